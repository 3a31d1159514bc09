/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cards that serve a block device share besides the device itself: their options (options.c),
 * the opening of the file behind it (open.c), and what is done about secrets in memory (memory.c).
 * All of it is before the sandbox.
 */
#ifndef KARUTA_CARDS_BLOCK_OPTIONS_H
#define KARUTA_CARDS_BLOCK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "block.h"
#include "nvme/nvme.h"
#include "store/store.h"

enum block_where {
	BLOCK_NOWHERE, /* --store was not given */
	BLOCK_PATH,
	BLOCK_FD,
	BLOCK_RAM,
};

struct block_options {
	enum block_where where;
	const char *store;  /* as given */
	const char *path;   /* BLOCK_PATH */
	int fd;		    /* BLOCK_FD */
	uint64_t size;	    /* 0: the file's own */
	uint32_t sector;    /* 0: not given */
	const char *serial; /* NULL: made from the file's identity */
	bool direct;
	struct block_limits limits;
	uint64_t identity; /* of the file, once it is open */
	int lock_fd;	   /* 0: not open, standard input is never it */
	bool is_successor; /* another process has the lock until block_options_take_over() */
};

/* For a card's table of options. */
#define BLOCK_OPTIONS                                                                              \
	{"store", "WHERE", "file:PATH, fd:N (an open file), or ram: (lost at the end)"},           \
		{"size", "BYTES", "suffix K, M, G or T; default: the file's own; may grow it"},    \
		{"sector", "512|4096", "size of a logical block (default: 4096)"},                 \
		{"serial", "TEXT", "serial number, up to 20 characters; one a disk"},              \
		{"direct", NULL, "pass the host's page cache by (O_DIRECT)"},                      \
		{"iops", "N[:BURST]", "commands a second at most"},                                \
	{                                                                                          \
		"bandwidth", "BYTES[:BURST]", "bytes a second at most; suffix K, M, G or T"        \
	}

/* One of BLOCK_OPTIONS. */
int block_option_take(struct block_options *options, const char *name, const char *argument,
		      struct error *error);
/* An option of the card's own that is a descriptor. */
int block_option_fd(const char *name, const char *text, int *fd, struct error *error);
uint32_t block_options_sector(const struct block_options *options);
/* Fills in what the disk is called, and the identifier made from its serial number. */
void block_options_name(const struct block_options *options, const char *model,
			struct nvme_setup *setup);

/* Opens and locks the file; makes the timer that limits need. Errors do not name the store. */
int block_options_open(struct block_options *options, struct store **store, struct error *error);
/* The process that it goes on from has ended: its lock is ours now. */
int block_options_take_over(const struct block_options *options, struct error *error);
/* At the end, after block_destroy(). */
void block_options_let_go(struct block_options *options);

/* Once all is open: locks the heap, which holds what OpenSSL keeps of the key, keeps it out of
 * dumps, and gives back what only the start needed. */
void block_memory_settle(void);

#endif
