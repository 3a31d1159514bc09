/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of card that this host knows: which program serves a kind, and which members its
 * specification has besides slot, name and kind. A new kind is a new line of the table in cards.c.
 */
#ifndef KARUTA_CONTROLLER_CARDS_H
#define KARUTA_CONTROLLER_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strict.h"

#define CARD_NAME_MAX	 20u /* an NVMe serial number: NVMe Base 2.0, figure 275 */
#define CARD_MEMBERS_MAX 8u
#define CARD_PATH_MAX	 4095u

enum card_member_type {
	CARD_STORE,	/* a path that the controller opens for reading and writing, or "ram:" */
	CARD_SIZE,	/* of the store; without it all of the store */
	CARD_KEY,	/* number of a descriptor that the key can be read from */
	CARD_NUMBER,	/* one of `allowed` */
	CARD_RATE,	/* so many a second, and a burst */
	CARD_BYTE_RATE, /* the same in bytes */
	CARD_LABEL,	/* not a member: the card's name, for the program */
};

struct card_member {
	const char *name;   /* in the specification */
	const char *option; /* of the program */
	enum card_member_type type;
	uint64_t allowed[3]; /* CARD_NUMBER: ends at the first 0 */
};

struct card_value {
	bool given;
	uint64_t number; /* all but CARD_STORE */
	uint64_t burst;	 /* CARD_RATE, CARD_BYTE_RATE; 0: not given */
	char *text;	 /* CARD_STORE: absolute, or relative to the working directory; owned */
};

struct card_kind;

struct card_spec {
	unsigned slot;				    /* 0: the first free one */
	char name[CARD_NAME_MAX + 1];		    /* "": kind and slot, "volume2" */
	const struct card_kind *kind;		    /* NULL: not a card */
	struct card_value values[CARD_MEMBERS_MAX]; /* as kind->members */
};

struct card_kind {
	const char *name;
	const char *program;
	const struct card_member *members;
	size_t member_count;
	bool is_volume; /* what is in its store is worth keeping */
	/* Rules between members; NULL: none. -EINVAL with the place's error set. */
	int (*check)(const struct card_spec *card, const struct place *place);
};

extern const struct card_kind *const card_kinds[]; /* ends with NULL */

const struct card_kind *card_kind_find(const char *name);
/* "null, volume" */
void card_kind_list(char *text, size_t size);

/* The value of the member of this type, NULL if the kind has none or it was not given. */
const struct card_value *card_spec_value(const struct card_spec *card, enum card_member_type type);
bool card_store_is_ram(const char *store);
/* Another process can go on where one has ended: nothing but its state area was only in its memory.
 */
bool card_outlives_process(const struct card_spec *card);
/* The key's descriptor, when it is ours: it is of no use a second time. */
void card_spec_close_key(struct card_spec *card);
void card_spec_free(struct card_spec *card);

#endif
