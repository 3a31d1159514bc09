/* SPDX-License-Identifier: Apache-2.0 */
#include "sparse.h"

#include <errno.h>
#include <unistd.h>

#include "base/base.h"

int os_next_data(int fd, uint64_t at, uint64_t size, uint64_t *start, uint64_t *end)
{
	off_t data, hole;

	*start = size;
	*end = size;
	if (at >= size)
		return 0;
	data = lseek(fd, (off_t)at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return 0;
	if (data < 0 && errno != EINVAL)
		return -errno;
	*start = data < 0 ? at : min_u64((uint64_t)data, size);
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (hole >= 0)
		*end = min_u64((uint64_t)hole, size);
	return 0;
}
