/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume card without encryption: this instead of cards/volume/open.c. For measuring only: the
 * mark keeps the controller from starting it.
 */
#include <errno.h>

#include "volume.h"
#include "wire/mark.h"

MARK_AS_MEASURING;

int volume_store_open(struct volume_options *options, struct store **store, struct error *error)
{
	int err = 0;

	if (options->block.where == BLOCK_NOWHERE)
		err = error_set(error, EINVAL, "--store is needed");
	else if (options->key_fd)
		err = error_set(error, EINVAL, "a measuring build does not encrypt: no --key-fd");
	else
		err = block_options_open(&options->block, store, error);
	if (err)
		*store = NULL;
	block_memory_settle();
	return err;
}
