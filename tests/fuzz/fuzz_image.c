/* SPDX-License-Identifier: Apache-2.0 */
/* What `karuta image` reads of other people's files: disks, qcow2 headers, apt sources, lists of
 * files. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apt_sources.h"
#include "base/base.h"
#include "boot_files.h"
#include "os/fd.h"
#include "partition.h"
#include "qcow2.h"

#define DISK (8 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One disk for all inputs: what one input wrote is zeroed again. */
static int disk_fd(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("disk", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, DISK))
			abort();
	}
	return fd;
}

static void check_table(const struct partition_table *table)
{
	if (table->count > PARTITION_MAX)
		abort();
	for (size_t i = 0; i < table->count; i++) {
		if (!range_within(table->at[i].start, table->at[i].length, DISK))
			abort();
	}
}

static void try_disk(const uint8_t *data, size_t size)
{
	static const uint8_t zeros[64 << 10];
	struct partition_table table;
	struct ext_super super;
	int fd = disk_fd();

	size = (size_t)min_u64(size, sizeof(zeros));
	if (os_pwrite_all(fd, data, size, 0))
		abort();
	if (!partition_read(&table, fd, DISK))
		check_table(&table);
	(void)partition_read(&table, fd, size);
	if (partition_ext(fd, 0, &super) && strlen(super.uuid) != 36)
		abort();
	if (os_pwrite_all(fd, zeros, size, 0))
		abort();
}

static void try_text(const char *text)
{
	struct apt_sources list = {0};
	struct boot_names names = {0};
	struct error error;
	char *lines;

	apt_sources_parse_lines(&list, text);
	apt_sources_parse_deb822(&list, text);
	if (!apt_sources_for_suite(&list, "trixie", &lines, &error))
		free(lines);
	apt_sources_free(&list);
	boot_names_take(&names, text);
	boot_names_take_initrd(&names, text);
	if (strpbrk(names.kernel, " \"'/\n\t;"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error;
	uint64_t disk;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	try_text(text);
	free(text);
	try_disk(data, size);
	(void)qcow2_check(data, size, &disk, &error);
	return 0;
}
