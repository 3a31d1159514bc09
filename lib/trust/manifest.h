/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a release: which files it has, and that its maker says so. Text, of which there
 * is one way to write each content; everything is checked, and the signature first.
 *
 *	karuta manifest 1
 *	purpose development
 *	release 7
 *	file karuta-card-null card 0.1.0 368120 <SHA-384>
 *	file karuta-controller controller 0.1.0 480968 <SHA-384>
 *	key <SHA-384 of the public key>
 *	signature <Ed25519, or ECDSA P-384 in DER>
 *
 * Files are in the order of their names, each once. One blank between words, one newline behind
 * each line, numbers without leading zeros, small hexadecimal digits. The signature is over all
 * that is before its line. A release number only grows: a host that has run one refuses all below.
 */
#ifndef KARUTA_TRUST_MANIFEST_H
#define KARUTA_TRUST_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "digest.h"
#include "key.h"

#define MANIFEST_SIZE_MAX    (64u << 10)
#define MANIFEST_FILES_MAX   64u
#define MANIFEST_NAME_MAX    63u
#define MANIFEST_VERSION_MAX 31u
#define MANIFEST_RELEASE_MAX UINT32_MAX
#define MANIFEST_FILE_MAX    ((uint64_t)256 << 20)

enum manifest_purpose {
	MANIFEST_DEVELOPMENT, /* signed by a key that any build makes for itself */
	MANIFEST_RELEASE,
};

enum manifest_role {
	MANIFEST_CONTROLLER,
	MANIFEST_HYPERVISOR,
	MANIFEST_CARD,
	MANIFEST_TOOL,
};

struct manifest_file {
	char name[MANIFEST_NAME_MAX + 1]; /* letters, digits, '-', '_', '.'; begins with a letter */
	char version[MANIFEST_VERSION_MAX + 1]; /* as above, and '+', '~'; begins with a digit */
	enum manifest_role role;
	uint64_t size; /* 1 to MANIFEST_FILE_MAX */
	struct trust_digest digest;
};

struct manifest {
	enum manifest_purpose purpose;
	uint64_t release;  /* 1 to MANIFEST_RELEASE_MAX */
	size_t file_count; /* 1 to MANIFEST_FILES_MAX */
	struct manifest_file files[MANIFEST_FILES_MAX];
};

/* Where in a manifest's text its end is. */
struct manifest_seal {
	size_t body_length;   /* all before the line "key" */
	size_t signed_length; /* all before the line "signature" */
	struct trust_digest key;
	uint8_t signature[TRUST_SIGNATURE_MAX];
	size_t signature_length;
};

/* Takes the text for what it says only if `key` has signed it. -EPERM: it has not, or it is not a
 * manifest at all; nothing of it was looked at but where its end is. -EBADMSG: signed nonsense. */
int manifest_open(struct manifest *manifest, const char *text, size_t length,
		  const struct trust_key *key, struct error *error);
/* -EPERM: a host that has seen release `seen` must not use it. */
int manifest_check_release(const struct manifest *manifest, uint64_t seen, struct error *error);

/* The parts of manifest_open(). What they find is nobody's word. */
int manifest_find_seal(const char *text, size_t length, struct manifest_seal *seal,
		       struct error *error);
int manifest_parse(struct manifest *manifest, const char *body, size_t length, struct error *error);

/* The body as text; returns its length, -ENOSPC, or -EINVAL: there is no text for it. */
int manifest_format(const struct manifest *manifest, char *text, size_t size);

/* NULL: not listed. */
const struct manifest_file *manifest_find(const struct manifest *manifest, const char *name);
const char *manifest_purpose_name(enum manifest_purpose purpose);
const char *manifest_role_name(enum manifest_role role);
/* -EINVAL: there is no such role. */
int manifest_role_find(const char *name, enum manifest_role *role);

#endif
