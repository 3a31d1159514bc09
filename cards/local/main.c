/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local-store card: a disk that begins empty and is gone when its device is. Its key is made
 * here and kept with the device's state (local.h); what an earlier device left in the file is given
 * back before the guest sees any of it. All else is cards/block.
 *
 * karuta-card-local --listen /tmp/local.sock --store file:scratch --size 10G
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/base.h"
#include "local.h"
#include "options.h"

#define CLEAR_STEP (UINT64_C(256) << 20) /* so that a signal does not wait for all of a disk */

struct local {
	struct block_options options;
	uint8_t key[STORE_KEY_SIZE]; /* until it is in the state */
	struct store *store;	     /* until it is the block's */
	struct block *block;
};

static struct block *block_of(struct card *card)
{
	return ((struct local *)card_device(card))->block;
}

static int local_option(struct card *card, const char *name, const char *argument,
			struct error *error)
{
	struct local *local = card_device(card);

	return block_option_take(&local->options, name, argument, error);
}

static int open_store(struct local *local, struct error *error)
{
	int err = block_options_open(&local->options, &local->store, error);

	if (!err)
		err = store_crypt_create(&local->store, local->store, local->key, error);
	if (err) {
		local->store = NULL;
		error_prefix(error, "local store %s", local->options.store);
	}
	return err;
}

static int local_open(struct card *card, struct error *error)
{
	struct local *local = card_device(card);
	int err;

	if (local->options.where == BLOCK_NOWHERE)
		return error_set(error, EINVAL, "--store is needed; try --help");
	local->options.is_successor = card_stands_by(card);
	local_key_protect(card_state(card));
	err = local_key_open(card_state(card), local->key, error);
	if (!err)
		err = open_store(local, error);
	block_memory_settle();
	return err;
}

/* Old cipher text under a new key would be noise; given back, it reads as zeros. */
static int clear(struct local *local, struct error *error)
{
	uint64_t size = local->store->size, length;

	for (uint64_t at = 0; at < size; at += length) {
		int err;

		length = min_u64(size - at, CLEAR_STEP);
		err = store_do(local->store, STORE_DISCARD, at, NULL, length);
		if (err)
			return error_set(error, -err, "local store %s: cannot be cleared: %s",
					 local->options.store, strerror(-err));
	}
	return 0;
}

/* A state that was in use holds the key that the store was opened with, or none. */
static int take_key(struct local *local, struct local_state *state, bool fresh, struct error *error)
{
	int err = 0;

	if (fresh)
		memcpy(state->key, local->key, STORE_KEY_SIZE);
	else if (CRYPTO_memcmp(state->key, local->key, STORE_KEY_SIZE))
		err = error_set(error, EPROTO, "state area: refused: it holds no key");
	OPENSSL_cleanse(local->key, sizeof(local->key));
	return err;
}

static int local_start(struct card *card, bool fresh, struct error *error)
{
	struct local *local = card_device(card);
	struct store *store = local->store;
	struct nvme_setup setup = {0};
	int err = block_options_take_over(&local->options, error);

	if (!err && fresh)
		err = clear(local, error);
	if (!err)
		err = take_key(local, card_state(card), fresh, error);
	if (err)
		return err;
	setup.size = store->size;
	setup.lba_size = block_options_sector(&local->options);
	block_options_name(&local->options, "karuta local store", &setup);
	local->store = NULL;
	return block_create(&local->block, card, &setup, store, &local->options.limits, error);
}

static void local_close(struct card *card)
{
	struct local *local = card_device(card);

	OPENSSL_cleanse(local->key, sizeof(local->key));
	block_destroy(local->block);
	store_destroy(local->store);
	block_options_let_go(&local->options);
}

static void local_bar_read(struct card *card, unsigned bar, uint64_t offset, void *to,
			   uint32_t length)
{
	(void)bar;
	block_bar_read(block_of(card), offset, to, length);
}

static void local_bar_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			    uint32_t length)
{
	(void)bar;
	block_bar_write(block_of(card), offset, from, length);
}

static void local_master(struct card *card, bool on)
{
	block_master(block_of(card), on);
}

static void local_reset(struct card *card)
{
	block_reset(block_of(card));
}

static void local_quiesce(struct card *card)
{
	block_quiesce(block_of(card));
}

static bool local_work(struct card *card)
{
	return block_work(block_of(card));
}

static bool local_rest(struct card *card)
{
	return block_rest(block_of(card));
}

static const struct card_option options[] = {BLOCK_OPTIONS};

static const struct card_ops local_ops = {
	.name = "local",
	.summary = "an NVMe disk that begins empty and ends with its device",
	.identity = &block_identity,
	.state_version = LOCAL_STATE_VERSION,
	.readable_from = LOCAL_STATE_VERSION, /* the key is behind what grows */
	.state_size = sizeof(struct local_state),
	.doorbells = block_doorbells,
	.doorbell_count = BLOCK_DOORBELLS,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.system_calls = block_system_calls,
	.system_call_count = BLOCK_SYSTEM_CALLS,
	.option = local_option,
	.open = local_open,
	.start = local_start,
	.close = local_close,
	.bar_read = local_bar_read,
	.bar_write = local_bar_write,
	.master = local_master,
	.reset = local_reset,
	.quiesce = local_quiesce,
	.work = local_work,
	.rest = local_rest,
	.device_size = sizeof(struct local),
};

int main(int argc, char **argv)
{
	return card_main(&local_ops, argc, argv);
}
