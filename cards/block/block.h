/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device card: the NVMe model on one side, a store on the other. What the volume and the
 * local-store card share.
 */
#ifndef KARUTA_CARDS_BLOCK_H
#define KARUTA_CARDS_BLOCK_H

#include "card/card.h"
#include "nvme/nvme.h"
#include "store/store.h"

extern const struct pci_identity block_identity;

struct block;

/* `setup` is copied. `store` becomes the block's. `state` is nvme_state_size() bytes of the state
 * area. */
int block_create(struct block **block, struct card *card, const struct nvme_setup *setup,
		 struct store *store, void *state, struct error *error);
void block_destroy(struct block *block);
void block_bar_read(struct block *block, unsigned bar, uint64_t offset, void *to, uint32_t length);
void block_bar_write(struct block *block, unsigned bar, uint64_t offset, const void *from,
		     uint32_t length);
void block_reset(struct block *block);
void block_quiesce(struct block *block);
void block_master(struct block *block, bool on);
bool block_work(struct block *block);

#endif
