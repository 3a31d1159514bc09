/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets as in QEMU's docs/interop/qcow2.txt, "Header"; integers are big endian. */
#include <errno.h>
#include <string.h>

#include "qcow2.h"

#define LARGEST		   (UINT64_C(64) << 40)
#define INCOMPATIBLE_DATA  4u /* bit 2: external data file */
#define INCOMPATIBLE_KNOWN 0x1Fu

static uint64_t big_endian(const uint8_t *bytes, size_t length)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++)
		value = value << 8 | bytes[i];
	return value;
}

bool qcow2_is_one(const uint8_t *bytes, size_t length)
{
	return length >= 4 && !memcmp(bytes, "QFI\xfb", 4);
}

static int refuse(struct error *error, const char *why)
{
	return error_set(error, EINVAL, "qcow2 file: %s", why);
}

int qcow2_check(const uint8_t *bytes, size_t length, uint64_t *size, struct error *error)
{
	uint64_t version, incompatible;

	if (length < 72 || !qcow2_is_one(bytes, length))
		return refuse(error, "its header is too short");
	version = big_endian(bytes + 4, 4);
	if (version != 2 && version != 3)
		return refuse(error, "neither of version 2 nor of version 3");
	if (big_endian(bytes + 8, 8))
		return refuse(error, "it has a backing file; make one without: `qemu-img convert`");
	if (big_endian(bytes + 32, 4))
		return refuse(error, "it is encrypted; decrypt it with `qemu-img convert` first");
	if (version == 3 && length < QCOW2_HEADER_SIZE)
		return refuse(error, "its header is too short");
	incompatible = version == 3 ? big_endian(bytes + 72, 8) : 0;
	if (incompatible & INCOMPATIBLE_DATA)
		return refuse(error,
			      "its data is in another file; make one without: `qemu-img convert`");
	if (incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN)
		return refuse(error, "it needs features that are not known here");
	*size = big_endian(bytes + 24, 8);
	if (!*size || *size > LARGEST)
		return refuse(error, "a disk in it is of 1 byte to 64 TiB");
	return 0;
}
