/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things lie on a disk image: partition tables (GPT: UEFI 2.10, 5.3; MBR with its chain of
 * logical partitions) and ext2/3/4 superblocks. The image is anybody's: all numbers are checked
 * against its size, all loops are bounded.
 */
#ifndef KARUTA_CLI_PARTITION_H
#define KARUTA_CLI_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTITION_MAX 128

struct partition {
	unsigned number;	/* as Linux counts: nvme0n1p<number> */
	uint64_t start, length; /* bytes, within the disk */
};

struct partition_table {
	struct partition at[PARTITION_MAX];
	size_t count;	 /* 0: there is no table */
	unsigned sector; /* 512 or 4096: the unit that the table counts in */
};

/* -EBADMSG: a table is there and is damaged; -errno of reading. */
int partition_read(struct partition_table *table, int fd, uint64_t size);

struct ext_super {
	uint64_t length; /* bytes */
	uint32_t block;	 /* bytes */
	char uuid[37];
};

/* True if an ext2, 3 or 4 file system begins at `start`. */
bool partition_ext(int fd, uint64_t start, struct ext_super *super);

#endif
