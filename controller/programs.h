/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of the host, as the manifest of their release lists them. Each is measured before it
 * is used: copied once into memory that nobody can change any more, hashed there, and that very
 * copy is what will be executed. What is not as listed begins a quarantine (quarantine.h); what
 * nobody has listed, or an older release has, is refused. Either is in the event log.
 *
 * The manifest is read, and its signature verified, each time: an installed release may have been
 * replaced meanwhile. What was measured is used as it is as long as its descriptor is open.
 */
#ifndef KARUTA_CONTROLLER_PROGRAMS_H
#define KARUTA_CONTROLLER_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "book.h"
#include "trust/manifest.h"

#define PROGRAMS_MANIFEST "karuta.manifest"

struct programs_host {
	uint64_t release; /* 0: nothing was verified yet */
	size_t count;	  /* files that were measured */
	uint64_t took_ns;
	bool development;
	bool attested; /* the event log is in a TPM */
};

/* Where the host's state is, for all calls below; NULL: as state_open() says. `path` stays the
 * caller's and in use. */
void programs_use_state(const char *path);
const char *programs_state(void);
/* The TPM that the event log is extended into (tpm.h); NULL: none. */
void programs_use_tpm(const char *how);
const char *programs_tpm(void);
/* The verified start: this very program and every file of the manifest are what it lists, and the
 * host's state is what was written. */
int programs_verify(struct programs_host *host, struct error *error);
/* The same for a controller that goes on where another was: the keeper has it as it was measured,
 * and the installed release may be another by now. */
int programs_verify_again(struct programs_host *host, struct error *error);
/* Of a host in a quarantine, which nothing is added to: this very program is what the manifest
 * lists. */
int programs_verify_own(struct programs_host *host, struct error *error);
/* The book of the host's instances (book.h), measured; the caller's. `again`: for a controller that
 * goes on where another was, or is started in a quarantine. */
int programs_load_book(struct book_entry entries[BOOK_ENTRIES], size_t *count, bool again,
		       struct error *error);
/* Where the controller's program was started from, for one that is executed from memory. */
void programs_use_folder(const char *path);
int programs_folder(char *folder, size_t size);
/* Something that was made here and is on no disk: its digest is in the event log, and the TPM, when
 * it returns 0. */
int programs_note(const char *what, const void *bytes, size_t length, struct error *error);
/* What programs_verify() found last. */
const struct programs_host *programs_host(void);
/* "tpm" or "unattested" */
const char *programs_attestation(const struct programs_host *host);
/* "development" or "release": whose key the controller was built to trust. */
const char *programs_signer(const struct programs_host *host);

/* A measured program to execute: beside the controller's own executable, or in ../libexec/karuta
 * from there. The caller's, or -errno. Measuring builds (mark.h) are refused even if listed. */
int programs_open(const char *program, enum manifest_role role, struct error *error);
/* Of the controller itself, for its own start: in a quarantine too. */
int programs_open_own(const char *program, struct error *error);
/* As programs_open(), anywhere: it must be `program` in the manifest beside it, or in ours if there
 * is none.
 */
int programs_open_path(const char *path, const char *program, enum manifest_role role,
		       struct error *error);

#endif
