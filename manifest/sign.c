/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "manifest_tool.h"

static int add_line(char *text, size_t *length, const char *word, const uint8_t *bytes,
		    size_t count)
{
	char digits[2 * TRUST_SIGNATURE_MAX + 1];
	int added;

	trust_hex(bytes, count, digits);
	added = snprintf(text + *length, MANIFEST_SIZE_MAX - *length, "%s %s\n", word, digits);
	if (added < 0 || (size_t)added >= MANIFEST_SIZE_MAX - *length)
		return -ENOSPC;
	*length += (size_t)added;
	return 0;
}

static int sign_bytes(EVP_PKEY *key, const char *bytes, size_t length, uint8_t *signature,
		      size_t *signature_length)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *hash = EVP_PKEY_is_a(key, "EC") ? EVP_sha384() : NULL;
	bool good = context && EVP_DigestSignInit(context, NULL, hash, NULL, key) == 1 &&
		    EVP_DigestSign(context, signature, signature_length,
				   (const unsigned char *)bytes, length) == 1;

	EVP_MD_CTX_free(context);
	return good ? 0 : -EIO;
}

static EVP_PKEY *read_private(const char *path)
{
	FILE *from = fopen(path, "re");
	EVP_PKEY *key = from ? PEM_read_PrivateKey(from, NULL, NULL, NULL) : NULL;

	if (from)
		fclose(from);
	return key;
}

int sign_text(const char *key_path, char *text, size_t *length, struct error *error)
{
	uint8_t signature[TRUST_SIGNATURE_MAX];
	size_t signature_length = sizeof(signature);
	struct trust_key *public = NULL;
	EVP_PKEY *private;
	int ret = key_open_public(key_path, &public, error);

	if (ret < 0)
		return ret;
	ret = add_line(text, length, "key", trust_key_id(public)->bytes, TRUST_DIGEST_SIZE);
	trust_key_free(public);
	private = read_private(key_path);
	if (!private)
		return error_set(error, EINVAL, "key %s: not a private key", key_path);
	if (ret == 0)
		ret = sign_bytes(private, text, *length, signature, &signature_length);
	EVP_PKEY_free(private);
	if (ret == 0)
		ret = add_line(text, length, "signature", signature, signature_length);
	return ret < 0 ? error_set(error, -ret, "sign with %s: %s", key_path, strerror(-ret)) : 0;
}

static int usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest sign --key KEY MANIFEST\n\n"
	      "Signs what `make` has listed. KEY is a private key in PEM.\n",
	      to);
	return code;
}

static int sign_file(const char *path, const char *key, struct error *error)
{
	CLEANUP_FREE char *read = NULL;
	CLEANUP_FREE char *text = calloc(1, MANIFEST_SIZE_MAX);
	CLEANUP_FREE struct manifest *manifest = malloc(sizeof(*manifest));
	size_t length;
	int ret = file_read(path, MANIFEST_SIZE_MAX / 2, &read, &length, error);

	if (ret < 0)
		return ret;
	if (!text || !manifest)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	ret = manifest_parse(manifest, read, length, error);
	if (ret < 0) {
		error_prefix(error, "%s: not a list to be signed", path);
		return ret;
	}
	memcpy(text, read, length);
	ret = sign_text(key, text, &length, error);
	return ret < 0 ? ret : file_write(path, text, length, error);
}

int sign_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct error error = {0};
	const char *key = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option != 'k')
			return option == 'h' ? usage(stdout, 0) : usage(stderr, 2);
		key = optarg;
	}
	if (!key || argc - optind != 1)
		return usage(stderr, 2);
	return sign_file(argv[optind], key, &error) < 0 ? fail(&error) : 0;
}
