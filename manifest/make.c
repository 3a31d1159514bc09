/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/size.h"
#include "manifest_tool.h"

struct making {
	const char *output, *key, *version;
	struct manifest manifest;
};

static int usage(FILE *to, int code)
{
	fputs("usage: karuta-manifest make --output FILE --release N [OPTIONS] ROLE:PATH...\n\n"
	      "Lists files: their names without folder, sizes and SHA-384.\n"
	      "ROLE is controller, hypervisor, card or tool.\n\n"
	      "  --release N    the number of the release; a host takes none below what it has "
	      "run\n"
	      "  --version V    of the files (default: " KARUTA_VERSION ")\n"
	      "  --development  mark it as a development manifest\n"
	      "  --key KEY      sign it, with a private key in PEM\n",
	      to);
	return code;
}

static int take_release(struct making *making, const char *text)
{
	const char *end = text;
	uint64_t number;

	if (size_take(&end, false, &number) < 0 || *end || !number ||
	    number > MANIFEST_RELEASE_MAX) {
		fprintf(stderr, "karuta-manifest: --release %s: must be 1 to %u\n", text,
			MANIFEST_RELEASE_MAX);
		return -EINVAL;
	}
	making->manifest.release = number;
	return 0;
}

/* 0, or an exit code + 1. */
static int read_options(struct making *making, int argc, char **argv)
{
	static const struct option options[] = {{"output", required_argument, NULL, 'o'},
						{"release", required_argument, NULL, 'r'},
						{"version", required_argument, NULL, 'v'},
						{"development", no_argument, NULL, 'd'},
						{"key", required_argument, NULL, 'k'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'o')
			making->output = optarg;
		else if (option == 'v')
			making->version = optarg;
		else if (option == 'd')
			making->manifest.purpose = MANIFEST_DEVELOPMENT;
		else if (option == 'k')
			making->key = optarg;
		else if (option != 'r')
			return 1 + (option == 'h' ? usage(stdout, 0) : usage(stderr, 2));
		else if (take_release(making, optarg) < 0)
			return 1 + 2;
	}
	if (!making->output || !making->manifest.release || optind == argc)
		return 1 + usage(stderr, 2);
	return 0;
}

/* "card:build/bin/karuta-card-null" */
static int add_file(struct making *making, const char *argument, struct error *error)
{
	struct manifest *manifest = &making->manifest;
	struct manifest_file *file = &manifest->files[manifest->file_count];
	const char *colon = strchr(argument, ':'), *path = colon ? colon + 1 : argument;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char role[16] = "";

	if (colon)
		snprintf(role, sizeof(role), "%.*s", (int)(colon - argument), argument);
	if (manifest_role_find(role, &file->role) < 0)
		return error_set(error, EINVAL, "%s: no role; write card:PATH, for instance",
				 argument);
	if (manifest->file_count == MANIFEST_FILES_MAX)
		return error_set(error, EINVAL, "more than %u files", MANIFEST_FILES_MAX);
	if (strlen(name) > MANIFEST_NAME_MAX || strlen(making->version) > MANIFEST_VERSION_MAX)
		return error_set(error, EINVAL, "%s: its name or version is too long", path);
	snprintf(file->name, sizeof(file->name), "%s", name);
	snprintf(file->version, sizeof(file->version), "%s", making->version);
	manifest->file_count++;
	return file_measure(path, &file->size, &file->digest, error);
}

static int by_name(const void *a, const void *b)
{
	const struct manifest_file *one = a, *other = b;

	return strcmp(one->name, other->name);
}

static int make(struct making *making, char **files, int count, struct error *error)
{
	CLEANUP_FREE char *text = calloc(1, MANIFEST_SIZE_MAX);
	size_t length;
	int ret = text ? 0 : error_set(error, ENOMEM, "out of memory");

	for (int i = 0; ret == 0 && i < count; i++)
		ret = add_file(making, files[i], error);
	if (ret < 0)
		return ret;
	qsort(making->manifest.files, making->manifest.file_count, sizeof(struct manifest_file),
	      by_name);
	ret = manifest_format(&making->manifest, text, MANIFEST_SIZE_MAX / 2);
	if (ret < 0)
		return error_set(error, -ret,
				 "a name comes twice, or a file is empty, or a name or version has "
				 "characters that it must not have");
	length = (size_t)ret;
	ret = making->key ? sign_text(making->key, text, &length, error) : 0;
	return ret < 0 ? ret : file_write(making->output, text, length, error);
}

int make_main(int argc, char **argv)
{
	struct making making = {.version = KARUTA_VERSION, .manifest.purpose = MANIFEST_RELEASE};
	struct error error = {0};
	int code = read_options(&making, argc, argv);

	if (code)
		return code - 1;
	return make(&making, argv + optind, argc - optind, &error) < 0 ? fail(&error) : 0;
}
