/* SPDX-License-Identifier: Apache-2.0 */
/* An index that can only be extended (TPM 2.0 Library, part 3, 31.9, TPM2_NV_Extend): what it
 * becomes depends on all that it was ever told, over starts of the host too. */
#include <errno.h>
#include <string.h>

#include "tpm_inside.h"

#define ATTRIBUTES                                                                                 \
	(TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA |                \
	 (TPM2_NT_EXTEND << TPMA_NV_TPM2_NT_SHIFT))

static const TPM2B_NV_PUBLIC index_public = {
	.nvPublic =
		{
			.nvIndex = TPM_LOG_INDEX,
			.nameAlg = TPM2_ALG_SHA384,
			.attributes = ATTRIBUTES,
			.dataSize = TRUST_DIGEST_SIZE,
		},
};

/* Part 2, 6.6.3: the number of the handle is in the code too. */
static bool is_no_such_handle(TSS2_RC code)
{
	return (code & (TPM2_RC_FMT1 | 0x3f)) == TPM2_RC_HANDLE;
}

/* Whether it is what we would have made; and was told anything yet. */
static int check_public(const TPMS_NV_PUBLIC *found, bool *written, struct error *error)
{
	const TPMS_NV_PUBLIC *wanted = &index_public.nvPublic;

	*written = found->attributes & TPMA_NV_WRITTEN;
	if (found->nameAlg == wanted->nameAlg && found->dataSize == wanted->dataSize &&
	    (found->attributes & ~TPMA_NV_WRITTEN) == wanted->attributes)
		return 0;
	return error_set(error, EEXIST, "TPM: its index 0x%x is somebody else's", TPM_LOG_INDEX);
}

/* -ENOENT: there is none. */
static int open_index(struct tpm *tpm, ESYS_TR *index, bool *written, struct error *error)
{
	TPM2B_NV_PUBLIC *public = NULL;
	TSS2_RC code = Esys_TR_FromTPMPublic(tpm->esys, TPM_LOG_INDEX, ESYS_TR_NONE, ESYS_TR_NONE,
					     ESYS_TR_NONE, index);
	int ret;

	if (is_no_such_handle(code))
		return error_set(error, ENOENT, "TPM: it has no index of an audit log (0x%x)",
				 TPM_LOG_INDEX);
	if (code == TSS2_RC_SUCCESS)
		code = Esys_NV_ReadPublic(tpm->esys, *index, ESYS_TR_NONE, ESYS_TR_NONE,
					  ESYS_TR_NONE, &public, NULL);
	if (code != TSS2_RC_SUCCESS)
		return tpm_failed(error, "look for an index", code);
	ret = check_public(&public->nvPublic, written, error);
	Esys_Free(public);
	return ret;
}

static int read_index(struct tpm *tpm, ESYS_TR index, struct trust_digest *value,
		      struct error *error)
{
	TPM2B_MAX_NV_BUFFER *data = NULL;
	TSS2_RC code = Esys_NV_Read(tpm->esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE, TRUST_DIGEST_SIZE, 0, &data);
	int ret = 0;

	if (code != TSS2_RC_SUCCESS)
		return tpm_failed(error, "read an index", code);
	if (data->size == TRUST_DIGEST_SIZE)
		memcpy(value->bytes, data->buffer, TRUST_DIGEST_SIZE);
	else
		ret = error_set(error, EIO, "TPM: its index has another size");
	Esys_Free(data);
	return ret;
}

int tpm_log_make(struct tpm *tpm, struct error *error)
{
	static const TPM2B_AUTH no_secret = {0};
	ESYS_TR index = ESYS_TR_NONE;
	TSS2_RC code =
		Esys_NV_DefineSpace(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE, &no_secret, &index_public, &index);

	Esys_TR_Close(tpm->esys, &index);
	return code == TSS2_RC_SUCCESS ? 0 : tpm_failed(error, "make an index", code);
}

int tpm_log_read(struct tpm *tpm, struct trust_digest *value, struct error *error)
{
	ESYS_TR index = ESYS_TR_NONE;
	bool written = false;
	int ret = open_index(tpm, &index, &written, error);

	*value = (struct trust_digest){0};
	if (ret == 0 && written)
		ret = read_index(tpm, index, value, error);
	Esys_TR_Close(tpm->esys, &index);
	return ret;
}

int tpm_log_extend(struct tpm *tpm, const struct trust_digest *digest, struct error *error)
{
	TPM2B_MAX_NV_BUFFER data = {.size = TRUST_DIGEST_SIZE};
	ESYS_TR index = ESYS_TR_NONE;
	TSS2_RC code = TSS2_RC_SUCCESS;
	bool written;
	int ret = open_index(tpm, &index, &written, error);

	memcpy(data.buffer, digest->bytes, TRUST_DIGEST_SIZE);
	if (ret == 0)
		code = Esys_NV_Extend(tpm->esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				      ESYS_TR_NONE, &data);
	Esys_TR_Close(tpm->esys, &index);
	return code == TSS2_RC_SUCCESS ? ret : tpm_failed(error, "extend an index", code);
}
