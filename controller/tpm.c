/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "tpm_inside.h"

#define P384_SIZE 48u

static const TPML_PCR_SELECTION selection = {
	.count = 1,
	.pcrSelections[0] = {.hash = TPM2_ALG_SHA384,
			     .sizeofSelect = 3,
			     .pcrSelect[QUOTE_REGISTER / 8] = 1u << QUOTE_REGISTER % 8},
};

int tpm_failed(struct error *error, const char *what, TSS2_RC code)
{
	return error_set(error, EIO, "TPM: %s: error 0x%x", what, code);
}

int tpm_open(struct tpm **tpm, const char *how, struct error *error)
{
	struct tpm *made = calloc(1, sizeof(*made));
	TSS2_RC code;

	if (!made)
		return error_set(error, ENOMEM, "TPM: out of memory");
	/* Its errors are ours to tell. */
	setenv("TSS2_LOG", "all+none", 0);
	code = Tss2_TctiLdr_Initialize(how, &made->tcti);
	if (code == TSS2_RC_SUCCESS)
		code = Esys_Initialize(&made->esys, made->tcti, NULL);
	if (code != TSS2_RC_SUCCESS) {
		tpm_close(made);
		return error_set(error, EIO,
				 "TPM %s: error 0x%x; the host is not attested without "
				 "it",
				 how, code);
	}
	*tpm = made;
	return 0;
}

void tpm_close(struct tpm *tpm)
{
	if (!tpm)
		return;
	Esys_Finalize(&tpm->esys);
	Tss2_TctiLdr_Finalize(&tpm->tcti);
	free(tpm);
}

int tpm_read(struct tpm *tpm, struct trust_digest *value, struct error *error)
{
	TPML_DIGEST *values = NULL;
	TPML_PCR_SELECTION *read = NULL;
	TSS2_RC code = Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				     &selection, NULL, &read, &values);
	int ret = 0;

	if (code != TSS2_RC_SUCCESS)
		return tpm_failed(error, "read a register", code);
	/* A bank that it does not keep has no registers to read. */
	if (values->count == 1 && values->digests[0].size == TRUST_DIGEST_SIZE)
		memcpy(value->bytes, values->digests[0].buffer, TRUST_DIGEST_SIZE);
	else
		ret = error_set(error, ENOTSUP,
				"TPM: it keeps no SHA-384 registers; allocate them "
				"(tpm2_pcrallocate)");
	Esys_Free(values);
	Esys_Free(read);
	return ret;
}

int tpm_extend(struct tpm *tpm, const struct trust_digest *event, struct error *error)
{
	TPML_DIGEST_VALUES digests = {.count = 1, .digests[0].hashAlg = TPM2_ALG_SHA384};
	TSS2_RC code;

	memcpy(digests.digests[0].digest.sha384, event->bytes, TRUST_DIGEST_SIZE);
	code = Esys_PCR_Extend(tpm->esys, ESYS_TR_PCR0 + QUOTE_REGISTER, ESYS_TR_PASSWORD,
			       ESYS_TR_NONE, ESYS_TR_NONE, &digests);
	return code == TSS2_RC_SUCCESS ? 0 : tpm_failed(error, "extend a register", code);
}

/* ---- the key ---- */

static const TPM2B_PUBLIC template = {
	.publicArea =
		{
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA384,
			.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT |
					    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
			.parameters.eccDetail =
				{
					.symmetric.algorithm = TPM2_ALG_NULL,
					.scheme = {.scheme = TPM2_ALG_ECDSA,
						   .details.ecdsa.hashAlg = TPM2_ALG_SHA384},
					.curveID = TPM2_ECC_NIST_P384,
					.kdf.scheme = TPM2_ALG_NULL,
				},
		},
};

static int make_key(struct tpm *tpm, ESYS_TR *key, TPM2B_PUBLIC **public, struct error *error)
{
	static const TPM2B_SENSITIVE_CREATE no_secret = {0};
	static const TPM2B_DATA nothing = {0};
	static const TPML_PCR_SELECTION no_registers = {0};
	TSS2_RC code = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
					  ESYS_TR_NONE, ESYS_TR_NONE, &no_secret, &template,
					  &nothing, &no_registers, key, public, NULL, NULL, NULL);

	return code == TSS2_RC_SUCCESS ? 0 : tpm_failed(error, "make the attestation key", code);
}

/* Numbers of a curve come without their leading zeros. */
static bool put_number(uint8_t *to, const TPM2B_ECC_PARAMETER *number)
{
	if (number->size > P384_SIZE)
		return false;
	memset(to, 0, P384_SIZE);
	memcpy(to + P384_SIZE - number->size, number->buffer, number->size);
	return true;
}

static EVP_PKEY *from_point(const uint8_t *point, size_t size)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (build &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, size))
		params = OSSL_PARAM_BLD_to_param(build);
	if (context && params && EVP_PKEY_fromdata_init(context) == 1 &&
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	return key;
}

static int put_key(struct quote *quote, const TPMT_PUBLIC *public)
{
	uint8_t point[1 + 2 * P384_SIZE] = {POINT_CONVERSION_UNCOMPRESSED};
	unsigned char *der = NULL;
	EVP_PKEY *key = NULL;
	int length;

	if (put_number(point + 1, &public->unique.ecc.x) &&
	    put_number(point + 1 + P384_SIZE, &public->unique.ecc.y))
		key = from_point(point, sizeof(point));
	length = key ? i2d_PUBKEY(key, &der) : -1;
	EVP_PKEY_free(key);
	if (length > 0 && (size_t)length <= sizeof(quote->key)) {
		memcpy(quote->key, der, (size_t)length);
		quote->key_length = (size_t)length;
	}
	OPENSSL_free(der);
	return quote->key_length ? 0 : -EIO;
}

int tpm_identify(struct tpm *tpm, char text[TPM_IDENTITY_SIZE], struct error *error)
{
	struct quote quote = {0};
	struct trust_digest digest;
	TPM2B_PUBLIC *public = NULL;
	ESYS_TR key = ESYS_TR_NONE;
	int ret = make_key(tpm, &key, &public, error);

	if (ret < 0)
		return ret;
	ret = put_key(&quote, &public->publicArea);
	if (ret == 0)
		ret = trust_digest(quote.key, quote.key_length, &digest);
	if (ret == 0)
		trust_hex(digest.bytes, (TPM_IDENTITY_SIZE - 1) / 2, text);
	Esys_Free(public);
	Esys_FlushContext(tpm->esys, key);
	return ret < 0 ? error_set(error, -ret, "TPM: its key is not one") : 0;
}

/* ---- quote ---- */

static int put_signature(struct quote *quote, const TPMS_SIGNATURE_ECDSA *signature)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature->signatureR.buffer, signature->signatureR.size, NULL);
	BIGNUM *s = BN_bin2bn(signature->signatureS.buffer, signature->signatureS.size, NULL);
	unsigned char *der = NULL;
	int length = -1;

	if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
		r = s = NULL;
		length = i2d_ECDSA_SIG(pair, &der);
	}
	if (length > 0 && (size_t)length <= sizeof(quote->signature)) {
		memcpy(quote->signature, der, (size_t)length);
		quote->signature_length = (size_t)length;
	}
	OPENSSL_free(der);
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return quote->signature_length ? 0 : -EIO;
}

static int put_attest(struct quote *quote, const TPM2B_ATTEST *attest)
{
	if (attest->size > sizeof(quote->attest))
		return -EIO;
	memcpy(quote->attest, attest->attestationData, attest->size);
	quote->attest_length = attest->size;
	return 0;
}

static int sign(struct tpm *tpm, ESYS_TR key, const TPM2B_DATA *nonce, struct quote *quote,
		struct error *error)
{
	static const TPMT_SIG_SCHEME as_the_key = {.scheme = TPM2_ALG_NULL};
	TPM2B_ATTEST *attest = NULL;
	TPMT_SIGNATURE *signature = NULL;
	TSS2_RC code = Esys_Quote(tpm->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
				  nonce, &as_the_key, &selection, &attest, &signature);
	int ret;

	if (code != TSS2_RC_SUCCESS)
		return tpm_failed(error, "quote", code);
	ret = put_attest(quote, attest);
	if (ret == 0)
		ret = signature->sigAlg == TPM2_ALG_ECDSA
			      ? put_signature(quote, &signature->signature.ecdsa)
			      : -EIO;
	Esys_Free(attest);
	Esys_Free(signature);
	return ret < 0 ? error_set(error, -ret, "TPM: its quote is not one") : 0;
}

int tpm_quote(struct tpm *tpm, const void *nonce, size_t length, struct quote *quote,
	      struct error *error)
{
	TPM2B_DATA data = {.size = (UINT16)length};
	TPM2B_PUBLIC *public = NULL;
	ESYS_TR key = ESYS_TR_NONE;
	int ret;

	*quote = (struct quote){0};
	if (length < QUOTE_NONCE_MIN || length > QUOTE_NONCE_MAX)
		return error_set(error, EINVAL, "a nonce has %u to %u bytes", QUOTE_NONCE_MIN,
				 QUOTE_NONCE_MAX);
	memcpy(data.buffer, nonce, length);
	ret = make_key(tpm, &key, &public, error);
	if (ret < 0)
		return ret;
	ret = put_key(quote, &public->publicArea);
	if (ret < 0)
		error_set(error, -ret, "TPM: its key is not one");
	else
		ret = sign(tpm, key, &data, quote, error);
	Esys_Free(public);
	Esys_FlushContext(tpm->esys, key);
	return ret;
}
