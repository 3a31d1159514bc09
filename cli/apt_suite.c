/* SPDX-License-Identifier: Apache-2.0 */
/* From the archives of this machine's release to those of another one. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apt_sources.h"
#include "base/base.h"

#define DEBIAN_KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

static const char *const releases[] = {"bullseye", "bookworm", "trixie",  "forky",
				       "sid",	   "stable",   "testing", "oldstable"};
static const char *const pockets[] = {"", "-updates", "-security"};
static const char *const areas[] = {"main", "contrib", "non-free", "non-free-firmware"};

static bool is_one_of(const char *const *words, size_t count, const char *word, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(words[i]) == length && !memcmp(words[i], word, length))
			return true;
	}
	return false;
}

/* "-security" of "bookworm-security"; NULL if this is no archive of Debian's, or not a needed one.
 */
static const char *pocket_of(const char *suite)
{
	size_t length = strcspn(suite, "-");

	if (!is_one_of(releases, ARRAY_LEN(releases), suite, length) ||
	    !is_one_of(pockets, ARRAY_LEN(pockets), suite + length, strlen(suite + length)))
		return NULL;
	return suite + length;
}

/* A third party signs with a key of its own, or names its areas otherwise. */
static bool is_debians(const struct apt_source *source)
{
	const char *at = source->components;

	if (source->signed_by && !strstr(source->signed_by, "debian-archive"))
		return false;
	while (*at) {
		size_t length = strcspn(at, " \t\n");

		if (length && !is_one_of(areas, ARRAY_LEN(areas), at, length))
			return false;
		at += length + strspn(at + length, " \t\n");
	}
	return true;
}

static bool writes_line(FILE *out, const struct apt_source *source, const char *suite,
			const char *pocket)
{
	const char *keyring = source->signed_by;

	if (!keyring && !access(DEBIAN_KEYRING, R_OK))
		keyring = DEBIAN_KEYRING;
	fputs("deb ", out);
	if (keyring)
		fprintf(out, "[signed-by=%s] ", keyring);
	fprintf(out, "%s %s%s main\n", source->uri, suite, pocket);
	return !*pocket;
}

/* Two releases on one machine would give the same line twice. */
static bool is_repeated(const struct apt_sources *list, size_t index, const char *pocket)
{
	for (size_t i = 0; i < index; i++) {
		const char *other = is_debians(&list->at[i]) ? pocket_of(list->at[i].suite) : NULL;

		if (other && !strcmp(other, pocket) &&
		    !strcmp(list->at[i].uri, list->at[index].uri))
			return true;
	}
	return false;
}

int apt_sources_for_suite(const struct apt_sources *list, const char *suite, char **text,
			  struct error *error)
{
	size_t length;
	FILE *out = open_memstream(text, &length);
	bool found = false;

	if (!out)
		return error_set(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < list->count; i++) {
		const struct apt_source *source = &list->at[i];
		const char *pocket = is_debians(source) ? pocket_of(source->suite) : NULL;

		if (pocket && !is_repeated(list, i, pocket))
			found |= writes_line(out, source, suite, pocket);
	}
	fclose(out);
	if (found)
		return 0;
	free(*text);
	*text = NULL;
	return error_set(
		error, ENOENT,
		"suite %s: the apt sources of this machine name no Debian mirror; give one "
		"with --mirror URI",
		suite);
}
