/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio-user on the wire (QEMU docs/interop/vfio-user). A message is a header and a body; its
 * descriptors travel with its first byte. One stream carries both directions' commands and replies:
 *
 *	client					server
 *	VERSION			->		first, and once
 *				<-		VERSION reply
 *	DMA_MAP, GET_..., SET_IRQS, REGION_...	executed in order of arrival, one reply each,
 *						none when NO_REPLY is set, not even for a failure
 *				<-		DMA_READ, DMA_WRITE: the server's own commands, with
 *						message ids of its own
 *
 * Layouts are the structs below, little endian, without padding. The functions are pure: they
 * decode and check bytes that a hostile peer chose. All return 0 or a count, or -errno.
 */
#ifndef KARUTA_WIRE_VFIO_USER_H
#define KARUTA_WIRE_VFIO_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_GET_INFO = 4,
	VFIO_USER_GET_REGION_INFO = 5,
	VFIO_USER_GET_REGION_IO_FDS = 6,
	VFIO_USER_GET_IRQ_INFO = 7,
	VFIO_USER_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
};

#define VFIO_USER_TYPE_MASK    0xfu
#define VFIO_USER_TYPE_COMMAND 0u
#define VFIO_USER_TYPE_REPLY   1u
#define VFIO_USER_NO_REPLY     0x10u
#define VFIO_USER_ERROR	       0x20u

struct vfio_user_header {
	uint16_t id; /* the sender's choice, echoed in the reply */
	uint16_t command;
	uint32_t size; /* of the whole message */
	uint32_t flags;
	uint32_t error; /* errno in an error reply */
};

#define VFIO_USER_MAJOR		     0u
#define VFIO_USER_MINOR		     2u
#define VFIO_USER_MAX_DATA	     (1u << 20) /* count of a data message, unless negotiated */
#define VFIO_USER_DEFAULT_DMA_MAPS   65535u
#define VFIO_USER_DEFAULT_PAGE_SIZES 4096u
/* A data message of the largest count: header, head, data. */
#define VFIO_USER_MAX_MESSAGE (VFIO_USER_MAX_DATA + 32u)
/* errno values that an error reply may carry (Linux: MAX_ERRNO). */
#define VFIO_USER_MAX_ERROR 4095u

struct vfio_user_version {
	uint16_t major, minor; /* then JSON with a NUL at its end, or nothing */
};

/* The members of "capabilities" in VERSION's JSON, with the protocol's defaults for absent ones. */
struct vfio_user_capabilities {
	uint64_t max_msg_fds; /* that the sender of this can receive in a message */
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	bool twin_socket;
};

#define VFIO_USER_MAP_READ  0x1u
#define VFIO_USER_MAP_WRITE 0x2u
#define VFIO_USER_MAP_MMAP  0x4u /* reach it by mmap */
#define VFIO_USER_MAP_FILE  0x8u /* reach it by pread and pwrite */

struct vfio_user_dma_map {
	uint32_t argsz, flags;
	uint64_t offset, address, size;
};

#define VFIO_USER_UNMAP_DIRTY 0x1u /* with a dirty bitmap: no longer in the protocol */
#define VFIO_USER_UNMAP_ALL   0x2u

struct vfio_user_dma_unmap {
	uint32_t argsz, flags;
	uint64_t address, size;
};

#define VFIO_USER_DEVICE_RESET 0x1u
#define VFIO_USER_DEVICE_PCI   0x2u

struct vfio_user_info {
	uint32_t argsz, flags, regions, irqs;
};

#define VFIO_USER_REGION_CAN_READ  0x1u
#define VFIO_USER_REGION_CAN_WRITE 0x2u
#define VFIO_USER_REGION_CAN_MMAP  0x4u
#define VFIO_USER_REGION_CAPS	   0x8u

struct vfio_user_region_info {
	uint32_t argsz, flags, index, cap_offset;
	uint64_t size, offset;
};

#define VFIO_USER_CAP_SPARSE_MMAP 1u

struct vfio_user_sparse_mmap {
	uint16_t id, version;
	uint32_t next; /* offset of the next capability from the region info's start; 0: last */
	uint32_t area_count, reserved;
};

struct vfio_user_area {
	uint64_t offset, size; /* within the region */
};

struct vfio_user_io_fds {
	uint32_t argsz, flags, index, count;
};

#define VFIO_USER_IO_EVENTFD   0u   /* type */
#define VFIO_USER_IO_DATAMATCH 0x1u /* flags, as KVM_IOEVENTFD has them */

struct vfio_user_io_fd {
	uint64_t offset, size;
	uint32_t fd_index, type, flags, pad;
	uint64_t match_value;
};

/* libvfio-user's entry has 48 bytes: a shadow offset comes before the value to match. */
#define VFIO_USER_IO_FD_LONG 48u

#define VFIO_USER_IRQ_EVENTFD 0x1u

struct vfio_user_irq_info {
	uint32_t argsz, flags, index, count;
};

#define VFIO_USER_IRQ_INDEX_ERR 3u
#define VFIO_USER_IRQ_INDEX_REQ 4u

#define VFIO_USER_SET_NONE    0x01u
#define VFIO_USER_SET_BOOL    0x02u
#define VFIO_USER_SET_FD      0x04u
#define VFIO_USER_SET_MASK    0x08u
#define VFIO_USER_SET_UNMASK  0x10u
#define VFIO_USER_SET_TRIGGER 0x20u

struct vfio_user_set_irqs {
	uint32_t argsz; /* this and the data; descriptors do not count */
	uint32_t flags, index, start, count;
};

struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region, count;
};

struct vfio_user_dma_access {
	uint64_t address, count;
};

_Static_assert(sizeof(struct vfio_user_header) == 16, "header");
_Static_assert(sizeof(struct vfio_user_version) == 4, "VERSION");
_Static_assert(sizeof(struct vfio_user_dma_map) == 32, "DMA_MAP");
_Static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct vfio_user_info) == 16, "GET_INFO");
_Static_assert(sizeof(struct vfio_user_region_info) == 32, "GET_REGION_INFO");
_Static_assert(offsetof(struct vfio_user_region_info, size) == 16, "GET_REGION_INFO");
_Static_assert(sizeof(struct vfio_user_sparse_mmap) == 16, "sparse mmap capability");
_Static_assert(sizeof(struct vfio_user_area) == 16, "sparse mmap area");
_Static_assert(sizeof(struct vfio_user_io_fds) == 16, "GET_REGION_IO_FDS");
_Static_assert(sizeof(struct vfio_user_io_fd) == 40, "GET_REGION_IO_FDS entry");
_Static_assert(sizeof(struct vfio_user_irq_info) == 16, "GET_IRQ_INFO");
_Static_assert(sizeof(struct vfio_user_set_irqs) == 20, "SET_IRQS");
_Static_assert(sizeof(struct vfio_user_region_access) == 16, "REGION_READ");
_Static_assert(sizeof(struct vfio_user_dma_access) == 16, "DMA_READ");

/* -EBADMSG: the size cannot be right, so that nobody knows where the next message begins. */
int vfio_user_header_check(const struct vfio_user_header *header, uint32_t max_size);

/* -EINVAL: not a reply that the protocol knows. Otherwise 0 and the peer's errno, or 0, in *error.
 */
int vfio_user_reply_check(const struct vfio_user_header *reply, uint32_t *error);

void vfio_user_capabilities_default(struct vfio_user_capabilities *capabilities);
/* `text` needs no NUL. Unknown members are skipped, the last of equal ones counts. */
int vfio_user_capabilities_parse(const char *text, size_t length,
				 struct vfio_user_capabilities *capabilities);
/* The body of VERSION, either way. */
int vfio_user_version_decode(const void *body, size_t length, struct vfio_user_version *version,
			     struct vfio_user_capabilities *capabilities);
/* Returns the body's length, or -ENOSPC. Writes only members that differ from the defaults. */
int vfio_user_version_encode(void *body, size_t room, struct vfio_user_version version,
			     const struct vfio_user_capabilities *capabilities);

/* Everything but what depends on the windows that are there already. */
int vfio_user_dma_map_check(const struct vfio_user_dma_map *map, size_t fd_count);
int vfio_user_dma_unmap_check(const struct vfio_user_dma_unmap *unmap);

/* `vectors`: how many the index has. `data_length`: of the bytes after the struct. */
int vfio_user_set_irqs_check(const struct vfio_user_set_irqs *set, uint32_t vectors,
			     size_t data_length, size_t fd_count);

/* The capability and its areas, after the region info. Returns the length of all of it. */
size_t vfio_user_region_info_size(size_t area_count);
void vfio_user_sparse_mmap_encode(void *after_info, const struct vfio_user_area *areas,
				  size_t area_count);

/*
 * A reply to GET_REGION_INFO. *area_count: the areas that may be mapped, -1 when the reply has no
 * sparse-mmap capability. Areas are page aligned, not empty and within the region.
 */
int vfio_user_region_info_decode(const void *body, size_t length,
				 struct vfio_user_region_info *info, struct vfio_user_area *areas,
				 size_t max_areas, int *area_count);

/*
 * A reply to GET_REGION_IO_FDS that came with `fd_count` descriptors, entries in either length.
 * Returns the number of entries, each with fd_index < fd_count. A reply without entries gives 0.
 */
int vfio_user_io_fds_decode(const void *body, size_t length, size_t fd_count,
			    struct vfio_user_io_fd *entries, size_t max_entries);

#endif
