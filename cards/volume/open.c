/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>

#include "os/fd.h"
#include "volume.h"

static int check(const struct volume_options *options, struct error *error)
{
	if (options->block.where == BLOCK_NOWHERE)
		return error_set(error, EINVAL, "--store is needed; try --help");
	if (options->block.where != BLOCK_RAM && !options->key_fd)
		return error_set(
			error, EINVAL,
			"volume %s: no key: --key-fd is needed, since a volume is never kept "
			"in the clear",
			options->block.store);
	return 0;
}

static int read_key(struct volume_options *options, uint8_t key[STORE_KEY_SIZE],
		    struct error *error)
{
	int err = store_key_read(options->key_fd, key, error);

	os_close(&options->key_fd);
	return err;
}

static int open_under(struct volume_options *options, struct store **store, struct error *error)
{
	int err = block_options_open(&options->block, store, error);

	if (err)
		error_prefix(error, "volume %s", options->block.store);
	return err;
}

int volume_store_open(struct volume_options *options, struct store **store, struct error *error)
{
	uint8_t key[STORE_KEY_SIZE] = {0};
	bool encrypted = options->key_fd > 0;
	int err = check(options, error);

	if (!err && encrypted)
		err = read_key(options, key, error);
	if (!err)
		err = open_under(options, store, error);
	if (!err && encrypted)
		err = store_crypt_create(store, *store, key, error);
	OPENSSL_cleanse(key, sizeof(key));
	if (err)
		*store = NULL;
	block_memory_settle();
	return err;
}
