/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "manifest_tool.h"

static int show_usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest show MANIFEST\n\n"
	      "Prints what a manifest says. Whether it is true, `verify` tells.\n",
	      to);
	return code;
}

static void print(const struct manifest *manifest)
{
	char digest[TRUST_DIGEST_DIGITS + 1];

	printf("release %" PRIu64 ", %s%s\n", manifest->release,
	       manifest_purpose_name(manifest->purpose),
	       manifest->purpose == MANIFEST_DEVELOPMENT
		       ? ": signed with a key that a build made for itself"
		       : "");
	for (size_t i = 0; i < manifest->file_count; i++) {
		const struct manifest_file *file = &manifest->files[i];

		trust_hex(file->digest.bytes, TRUST_DIGEST_SIZE, digest);
		printf("%-20s %-10s %-12s %9" PRIu64 "  %s\n", file->name,
		       manifest_role_name(file->role), file->version, file->size, digest);
	}
}

/* Signed or not. */
static int show(const char *path, struct error *error)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_FREE struct manifest *manifest = malloc(sizeof(*manifest));
	struct manifest_seal seal;
	char key[TRUST_DIGEST_DIGITS + 1];
	size_t length;
	bool is_signed;
	int ret = file_read(path, MANIFEST_SIZE_MAX, &text, &length, error);

	if (ret < 0)
		return ret;
	if (!manifest)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	is_signed = manifest_find_seal(text, length, &seal, NULL) == 0;
	ret = manifest_parse(manifest, text, is_signed ? seal.body_length : length, error);
	if (ret < 0) {
		error_prefix(error, "%s", path);
		return ret;
	}
	print(manifest);
	if (!is_signed) {
		puts("not signed");
		return 0;
	}
	trust_hex(seal.key.bytes, TRUST_DIGEST_SIZE, key);
	printf("signature by key %s, not verified here\n", key);
	return 0;
}

int show_main(int argc, char **argv)
{
	struct error error = {0};

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return show_usage(stdout, 0);
	if (argc != 2 || argv[1][0] == '-')
		return show_usage(stderr, 2);
	return show(argv[1], &error) < 0 ? fail(&error) : 0;
}

static int verify_usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest verify --key KEY MANIFEST [FOLDER]\n\n"
	      "Whether KEY (public or private, PEM) has signed it, and each file that it lists is\n"
	      "in FOLDER (default: the manifest's) and as it says.\n",
	      to);
	return code;
}

static int verify_file(const struct manifest_file *file, const char *folder)
{
	CLEANUP_FREE char *path = NULL;
	struct trust_digest digest;
	struct error error = {0};
	uint64_t size;

	if (asprintf(&path, "%s/%s", folder, file->name) < 0)
		return -ENOMEM;
	if (file_measure(path, &size, &digest, &error) < 0) {
		fprintf(stderr, "karuta-manifest: %s\n", error.text);
		return -EPERM;
	}
	if (size == file->size && trust_digest_same(&digest, &file->digest))
		return 0;
	fprintf(stderr, "karuta-manifest: %s: is not what the manifest says\n", path);
	return -EPERM;
}

static int verify_files(const struct manifest *manifest, const char *folder)
{
	size_t bad = 0;

	for (size_t i = 0; i < manifest->file_count; i++)
		bad += verify_file(&manifest->files[i], folder) < 0;
	if (bad)
		return 1;
	printf("release %" PRIu64 ", %s: %zu files are as signed\n", manifest->release,
	       manifest_purpose_name(manifest->purpose), manifest->file_count);
	return 0;
}

static int open_manifest(const char *path, const char *key_path, struct manifest *manifest,
			 struct error *error)
{
	CLEANUP_FREE char *text = NULL;
	struct trust_key *key = NULL;
	size_t length;
	int ret = key_open_public(key_path, &key, error);

	if (ret == 0)
		ret = file_read(path, MANIFEST_SIZE_MAX, &text, &length, error);
	if (ret == 0) {
		ret = manifest_open(manifest, text, length, key, error);
		if (ret < 0)
			error_prefix(error, "%s", path);
	}
	trust_key_free(key);
	return ret;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
}

int verify_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'h'}, {0}};
	CLEANUP_FREE struct manifest *manifest = malloc(sizeof(*manifest));
	CLEANUP_FREE char *folder = NULL;
	struct error error = {0};
	const char *key = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option != 'k')
			return option == 'h' ? verify_usage(stdout, 0) : verify_usage(stderr, 2);
		key = optarg;
	}
	if (!key || argc - optind < 1 || argc - optind > 2)
		return verify_usage(stderr, 2);
	folder = argc - optind == 2 ? strdup(argv[optind + 1]) : folder_of(argv[optind]);
	if (!manifest || !folder)
		return 1;
	if (open_manifest(argv[optind], key, manifest, &error) < 0)
		return fail(&error);
	return verify_files(manifest, folder);
}
