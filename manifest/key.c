/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "manifest_tool.h"
#include "os/fd.h"

static int key_usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest key [--p384] [--keep] FILE\n\n"
	      "Makes a private key (Ed25519, or ECDSA P-384) in a new file of mode 0600.\n"
	      "  --keep  a file that is there is left as it is\n",
	      to);
	return code;
}

/* A file that is there is somebody's key. */
static int make_file(const char *path, struct error *error)
{
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return file < 0 ? error_set(error, errno, "make %s: %s", path, strerror(errno)) : file;
}

/* As new as a build wants it to be that has asked for it. */
static int keep_file(const char *path, struct error *error)
{
	return utimensat(AT_FDCWD, path, NULL, 0) < 0
		       ? error_set(error, errno, "%s: %s", path, strerror(errno))
		       : 0;
}

static int write_key(int file, const char *path, bool p384, struct error *error)
{
	EVP_PKEY *key = p384 ? EVP_EC_gen("P-384") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	FILE *to = fdopen(dup(file), "w");
	bool good = key && to && PEM_write_PrivateKey(to, key, NULL, NULL, 0, NULL, NULL) == 1;

	good = to && fclose(to) == 0 && good;
	EVP_PKEY_free(key);
	if (good)
		return 0;
	unlink(path);
	return error_set(error, EIO, "%s: the key could not be made", path);
}

int key_main(int argc, char **argv)
{
	static const struct option options[] = {{"p384", no_argument, NULL, 'p'},
						{"keep", no_argument, NULL, 'k'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	bool p384 = false, keep = false;
	struct error error = {0};
	int option, file, ret;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return key_usage(stdout, 0);
		if (option == '?')
			return key_usage(stderr, 2);
		p384 = p384 || option == 'p';
		keep = keep || option == 'k';
	}
	if (argc - optind != 1)
		return key_usage(stderr, 2);
	file = make_file(argv[optind], &error);
	if (file == -EEXIST && keep)
		ret = keep_file(argv[optind], &error);
	else
		ret = file < 0 ? file : write_key(file, argv[optind], p384, &error);
	os_close(&file);
	return ret < 0 ? fail(&error) : 0;
}

static EVP_PKEY *read_any(FILE *from)
{
	EVP_PKEY *key = PEM_read_PUBKEY(from, NULL, NULL, NULL);

	if (key)
		return key;
	rewind(from);
	return PEM_read_PrivateKey(from, NULL, NULL, NULL);
}

int key_read_public(const char *path, unsigned char **der, size_t *length, struct error *error)
{
	FILE *from = fopen(path, "re");
	EVP_PKEY *key = from ? read_any(from) : NULL;
	int code = from ? EINVAL : errno, got = 0;

	*der = NULL;
	if (key)
		got = i2d_PUBKEY(key, der);
	EVP_PKEY_free(key);
	if (from)
		fclose(from);
	if (got <= 0)
		return error_set(error, code, "key %s: %s", path,
				 from ? "not a key in PEM" : strerror(code));
	*length = (size_t)got;
	return 0;
}

int key_open_public(const char *path, struct trust_key **key, struct error *error)
{
	CLEANUP_FREE unsigned char *der = NULL;
	size_t length;
	int ret = key_read_public(path, &der, &length, error);

	if (ret < 0)
		return ret;
	ret = trust_key_open(der, length, key);
	if (ret == -EINVAL)
		return error_set(error, EINVAL, "key %s: neither Ed25519 nor ECDSA P-384", path);
	return ret < 0 ? error_set(error, -ret, "key %s: %s", path, strerror(-ret)) : 0;
}

static void print_header(const unsigned char *der, size_t length, bool development)
{
	puts("/* SPDX-License-Identifier: Apache-2.0 */\n"
	     "/* Made by the build: the one key whose releases this controller runs. */\n"
	     "#ifndef KARUTA_TRUSTED_KEY_H\n#define KARUTA_TRUSTED_KEY_H\n\n"
	     "#include <stdbool.h>\n#include <stdint.h>\n");
	printf("static const bool trusted_key_is_development = %s;\n",
	       development ? "true" : "false");
	fputs("static const uint8_t trusted_key[] = {", stdout);
	for (size_t i = 0; i < length; i++)
		printf("%s0x%02x,", i % 16 ? " " : "\n\t", der[i]);
	puts("\n};\n\n#endif");
}

static int header_usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest header [--development] KEY\n\n"
	      "Prints the C header that a controller is built with, so that it trusts the key.\n"
	      "  --development  it runs development manifests, and says so; else it runs none\n",
	      to);
	return code;
}

int header_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"development", no_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
	CLEANUP_FREE unsigned char *der = NULL;
	struct trust_key *key = NULL;
	struct error error = {0};
	bool development = false;
	size_t length;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option != 'd')
			return option == 'h' ? header_usage(stdout, 0) : header_usage(stderr, 2);
		development = true;
	}
	if (argc - optind != 1)
		return header_usage(stderr, 2);
	if (key_open_public(argv[optind], &key, &error) < 0 ||
	    key_read_public(argv[optind], &der, &length, &error) < 0)
		return fail(&error);
	trust_key_free(key);
	print_header(der, length, development);
	return 0;
}
