/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "manifest_tool.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{"make", make_main, "list files, with their digests; sign the list if a key is given"},
	{"sign", sign_main, "sign a list that is not signed yet"},
	{"show", show_main, "what a manifest says, without believing it"},
	{"verify", verify_main, "whether it is signed by a key, and the files are what it says"},
	{"key", key_main, "make a private key"},
	{"header", header_main, "the C header that makes a controller trust a key"},
};

static void usage(FILE *to)
{
	fputs("usage: karuta-manifest VERB [OPTIONS] ...\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(to, "  %-7s %s\n", verbs[i].name, verbs[i].help);
	fputs("\nkaruta-manifest VERB --help tells more; so does karuta-manifest(1).\n", to);
}

int fail(const struct error *error)
{
	fprintf(stderr, "karuta-manifest: %s\n", error->text);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("karuta-manifest " KARUTA_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].main(argc - 1, argv + 1);
	}
	fprintf(stderr, "karuta-manifest: there is no verb %s; see --help\n", argv[1]);
	return 2;
}
