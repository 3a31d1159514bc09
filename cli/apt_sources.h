/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Debian mirror of this machine, from its own apt configuration: sources.list(5) in the
 * one-line style and in the deb822 style. Only Debian's own archives count, not those of third
 * parties.
 */
#ifndef KARUTA_CLI_APT_SOURCES_H
#define KARUTA_CLI_APT_SOURCES_H

#include <stddef.h>

#include "base/error.h"

#define APT_MAX_SOURCES 64

/* One URI with one suite. The strings are the list's. */
struct apt_source {
	char *uri;
	char *suite;	  /* "bookworm-security" */
	char *components; /* separated by blanks */
	char *signed_by;  /* a key ring's path, or NULL */
};

struct apt_sources {
	struct apt_source at[APT_MAX_SOURCES];
	size_t count;
};

/* What cannot be understood is left out; -ENOMEM. Both add to `list`. */
int apt_sources_parse_lines(struct apt_sources *list, const char *text);
int apt_sources_parse_deb822(struct apt_sources *list, const char *text);
/* All of `folder` (/etc/apt). */
int apt_sources_load(struct apt_sources *list, const char *folder, struct error *error);
void apt_sources_free(struct apt_sources *list);

/*
 * Allocates the lines of a sources.list for `suite` (a code name): each of Debian's own archives on
 * this machine with its code name replaced. -ENOENT: there is no archive here that would hold it.
 */
int apt_sources_for_suite(const struct apt_sources *list, const char *suite, char **text,
			  struct error *error);

#endif
