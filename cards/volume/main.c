/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card: an encrypted file or block device as an NVMe disk. Its key is taken in open.c,
 * the disk and its options are cards/block over lib/nvme, the format is lib/store's.
 *
 * karuta-card-volume --listen /tmp/vol.sock --store file:data.vol --size 10G --key-fd 3 3<key
 */
#include <string.h>

#include "base/base.h"
#include "block.h"
#include "card/card.h"
#include "volume.h"

struct volume {
	struct volume_options options;
	struct store *store; /* until it is the block's */
	struct block *block;
};

static struct block *block_of(struct card *card)
{
	return ((struct volume *)card_device(card))->block;
}

static int volume_option(struct card *card, const char *name, const char *argument,
			 struct error *error)
{
	struct volume *volume = card_device(card);

	if (!strcmp(name, "key-fd"))
		return block_option_fd(name, argument, &volume->options.key_fd, error);
	return block_option_take(&volume->options.block, name, argument, error);
}

static int volume_open(struct card *card, struct error *error)
{
	struct volume *volume = card_device(card);

	volume->options.block.is_successor = card_stands_by(card);
	return volume_store_open(&volume->options, &volume->store, error);
}

static int volume_start(struct card *card, bool fresh, struct error *error)
{
	struct volume *volume = card_device(card);
	struct store *store = volume->store;
	struct nvme_setup setup = {0};
	int err = block_options_take_over(&volume->options.block, error);

	(void)fresh; /* the model sees it itself */
	if (err)
		return err;
	setup.size = store->size;
	setup.lba_size = block_options_sector(&volume->options.block);
	block_options_name(&volume->options.block, "karuta volume", &setup);
	volume->store = NULL;
	return block_create(&volume->block, card, &setup, store, &volume->options.block.limits,
			    error);
}

static void volume_close(struct card *card)
{
	struct volume *volume = card_device(card);

	block_destroy(volume->block);
	store_destroy(volume->store);
	block_options_let_go(&volume->options.block);
}

static void volume_bar_read(struct card *card, unsigned bar, uint64_t offset, void *to,
			    uint32_t length)
{
	(void)bar;
	block_bar_read(block_of(card), offset, to, length);
}

static void volume_bar_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			     uint32_t length)
{
	(void)bar;
	block_bar_write(block_of(card), offset, from, length);
}

static void volume_master(struct card *card, bool on)
{
	block_master(block_of(card), on);
}

static void volume_reset(struct card *card)
{
	block_reset(block_of(card));
}

static void volume_quiesce(struct card *card)
{
	block_quiesce(block_of(card));
}

static int volume_resize(struct card *card, uint64_t size, struct error *error)
{
	return block_resize(block_of(card), size, error);
}

static bool volume_work(struct card *card)
{
	return block_work(block_of(card));
}

static bool volume_rest(struct card *card)
{
	return block_rest(block_of(card));
}

static const struct card_option options[] = {
	BLOCK_OPTIONS,
	{"key-fd", "N", "descriptor to read the key from: 64 raw bytes"},
};

static const struct card_ops volume_ops = {
	.name = "volume",
	.summary = "an encrypted volume as an NVMe disk",
	.identity = &block_identity,
	.state_version = BLOCK_STATE_VERSION,
	.readable_from = BLOCK_STATE_READABLE_FROM,
	.state_size = BLOCK_STATE_SIZE,
	.older_size = BLOCK_STATE_OLDER_SIZE,
	.doorbells = block_doorbells,
	.doorbell_count = BLOCK_DOORBELLS,
	.shared = BLOCK_SHARED,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.system_calls = block_system_calls,
	.system_call_count = BLOCK_SYSTEM_CALLS,
	.option = volume_option,
	.open = volume_open,
	.start = volume_start,
	.close = volume_close,
	.bar_read = volume_bar_read,
	.bar_write = volume_bar_write,
	.master = volume_master,
	.reset = volume_reset,
	.quiesce = volume_quiesce,
	.resize = volume_resize,
	.work = volume_work,
	.rest = volume_rest,
	.device_size = sizeof(struct volume),
};

int main(int argc, char **argv)
{
	return card_main(&volume_ops, argc, argv);
}
