/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "measure.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "trust/manifest.h"

static int hash(struct measured *measured)
{
	void *bytes = NULL;
	int ret;

	if (!measured->size)
		return trust_digest("", 0, &measured->digest);
	ret = os_map(measured->sealed, 0, measured->size, false, &bytes);
	if (ret == 0)
		ret = trust_digest(bytes, measured->size, &measured->digest);
	os_unmap(bytes, measured->size);
	return ret;
}

int measure(int file, const char *name, struct measured *measured)
{
	struct stat status;
	int ret;

	*measured = MEASURED_NONE;
	if (fstat(file, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	measured->sealed = os_copy_sealed(file, name, MANIFEST_FILE_MAX, &measured->size);
	ret = measured->sealed < 0 ? measured->sealed : hash(measured);
	if (ret < 0)
		measured_free(measured);
	return ret;
}

void measured_free(struct measured *measured)
{
	os_close(&measured->sealed);
	*measured = MEASURED_NONE;
}

bool measured_same(int one, int other)
{
	struct stat first, second;
	void *first_bytes = NULL, *second_bytes = NULL;
	bool same = false;
	uint64_t size;

	if (fstat(one, &first) < 0 || fstat(other, &second) < 0 || first.st_size != second.st_size)
		return false;
	size = (uint64_t)first.st_size;
	if (os_map(one, 0, size, false, &first_bytes) == 0 &&
	    os_map(other, 0, size, false, &second_bytes) == 0)
		same = !memcmp(first_bytes, second_bytes, size);
	os_unmap(first_bytes, size);
	os_unmap(second_bytes, size);
	return same;
}
