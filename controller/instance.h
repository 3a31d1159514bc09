/* SPDX-License-Identifier: Apache-2.0 */
/* The specification of an instance: karuta-instance(5). Parsing opens nothing but the file itself.
 */
#ifndef KARUTA_CONTROLLER_INSTANCE_H
#define KARUTA_CONTROLLER_INSTANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cards.h"
#include "policy.h"
#include "wire/command.h"

#define INSTANCE_NAME_MAX   63u
#define INSTANCE_FILE_MAX   (64u << 10)
#define INSTANCE_KEY_FD_MIN 3u
#define INSTANCE_KEY_FD_MAX 1023u
#define INSTANCE_CORES_MAX  1024u
#define INSTANCE_MEMORY_MIN (UINT64_C(4) << 20)
#define INSTANCE_MEMORY_MAX (UINT64_C(1) << 40) /* the hypervisor takes no more */

struct instance {
	char name[INSTANCE_NAME_MAX + 1]; /* "": must come from elsewhere */
	uint64_t memory;
	unsigned cpus;
	unsigned cores; /* whole ones of its own; 0: it shares */
	char *kernel;
	char *initrd;	    /* NULL: none */
	char *command_line; /* as the user wrote it; nothing is added */
	struct card_spec cards[COMMAND_MAX_SLOT];
	size_t card_count;
	enum policy restart; /* of `serve` */
};

/*
 * `label` names the file in messages; relative paths become relative to `folder` (NULL: stay as
 * they are). On an error `instance` needs no freeing.
 */
int instance_parse(struct instance *instance, const char *label, const char *folder,
		   const char *bytes, size_t length, struct error *error);
int instance_load(struct instance *instance, const char *path, struct error *error);
void instance_free(struct instance *instance);

/* One card from its object; -EINVAL with the place's error set. */
int instance_parse_card(struct card_spec *card, const json_t *object, const char *folder,
			const struct place *place);

/* The bytes of a specification file (or of a card's) and the folder that it lies in; both the
 * caller's. */
int instance_read_file(const char *path, char **bytes, size_t *length, char **folder,
		       struct error *error);
/* Allocates "folder/path", or `path` alone if it is absolute or there is no folder. */
char *instance_join(const char *folder, const char *path);

#endif
