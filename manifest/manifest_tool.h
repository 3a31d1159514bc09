/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-manifest: makes, signs, shows and verifies the manifests of releases (trust/manifest.h).
 * Used where releases are built, never on a host.
 */
#ifndef KARUTA_MANIFEST_TOOL_H
#define KARUTA_MANIFEST_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "trust/manifest.h"

/* Verbs; each returns the program's exit code. */
int make_main(int argc, char **argv);
int sign_main(int argc, char **argv);
int show_main(int argc, char **argv);
int verify_main(int argc, char **argv);
int key_main(int argc, char **argv);
int header_main(int argc, char **argv);

/* files.c. *text is the caller's to free and ends with a 0 that is not counted. */
int file_read(const char *path, size_t limit, char **text, size_t *length, struct error *error);
/* In the place of what is there, as a whole. */
int file_write(const char *path, const char *text, size_t length, struct error *error);
/* Size and digest of a program. */
int file_measure(const char *path, uint64_t *size, struct trust_digest *digest,
		 struct error *error);

/* sign.c. Adds the two lines of the signature to the body text[0 .. *length). */
int sign_text(const char *key_path, char *text, size_t *length, struct error *error);

/* key.c. From a PEM file of the public or the private key; *der is the caller's (free()). */
int key_read_public(const char *path, unsigned char **der, size_t *length, struct error *error);
int key_open_public(const char *path, struct trust_key **key, struct error *error);

/* Prints the error; returns 1, the exit code. */
int fail(const struct error *error);

#endif
