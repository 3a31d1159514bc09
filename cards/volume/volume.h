/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the volume card: its options (options.c), the opening of its store (open.c), its
 * memory (memory.c). */
#ifndef KARUTA_CARDS_VOLUME_H
#define KARUTA_CARDS_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "card/card.h"
#include "nvme/nvme.h"
#include "store/store.h"

enum volume_kind {
	VOLUME_NONE, /* --store was not given */
	VOLUME_PATH,
	VOLUME_FD,
	VOLUME_RAM,
};

struct volume_options {
	enum volume_kind kind;
	const char *store;  /* as given */
	const char *path;   /* VOLUME_PATH */
	int fd;		    /* VOLUME_FD */
	uint64_t size;	    /* 0: the file's own */
	int key_fd;	    /* 0: none was given; a key is never standard input */
	uint32_t sector;    /* 0: not given */
	const char *serial; /* NULL: made from the file's identity */
	bool direct;
	uint64_t identity; /* of the file, once it is open */
};

enum { VOLUME_OPTIONS = 6 };
extern const struct card_option volume_option_table[VOLUME_OPTIONS];

int volume_options_take(struct volume_options *options, const char *name, const char *argument,
			struct error *error);
uint32_t volume_options_sector(const struct volume_options *options);
/* Fills in what the disk is called, and the identifier made from its serial number. */
void volume_options_name(const struct volume_options *options, struct nvme_setup *setup);

/* Reads and closes the key, opens and locks the file. */
int volume_store_open(struct volume_options *options, struct store **store, struct error *error);

/* Once all is open: locks the heap, which holds what OpenSSL keeps of the key, and gives back what
 * only the start needed. */
void volume_memory_settle(void);

#endif
