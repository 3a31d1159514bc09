/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta-controller enrol: this host gets its certificate from a plane (wire/enrol.h). It listens
 * where `serve` will listen later, since nothing of a host connects to anybody, and is there for as
 * long as it takes.
 */
#ifndef KARUTA_CONTROLLER_ENROL_H
#define KARUTA_CONTROLLER_ENROL_H

#include "enrol/link.h"
#include "identity.h"

/* Returns the program's exit code. */
int enrol_main(int argc, char **argv);

/* enrol_talk.c: what the plane asks for. */
struct enrol_talk {
	const char *folder;
	char name[ENROL_NAME_MAX + 1]; /* the host's, as the plane calls it; "": not known yet */
	EVP_PKEY *key;		       /* NULL: not made yet */
	char request[ENROL_REQUEST_MAX];
	bool done; /* the files are there */
};

/* One request, and its answer into link->out. -errno: it was not even a request. */
int enrol_talk_answer(struct enrol_talk *talk, struct enrol_link *link, const char *name);
void enrol_talk_free(struct enrol_talk *talk);

#endif
