/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_vhost OPTIONS SOCKET MIB: the same requests as bench_nvme's to a vhost-user-blk device of
 * so many MiB, to have others to compare with. One virtqueue (Virtio 1.1, 2.6), no interrupts; it
 * kicks unless the device says that it looks by itself. The options are those of measure.h; on
 * which core the server runs is the caller's affair.
 */
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "measure.h"
#include "os/fd.h"
#include "os/memfd.h"

#define MEMORY	 (UINT64_C(256) << 20)
#define BASE	 UINT64_C(0x40000000) /* where it lies for the device */
#define QUEUE	 512u		      /* descriptors: three a request, and room */
#define DATA	 (UINT64_C(1) << 20)  /* from there on; rings, headers and answers are before it */
#define SECTOR	 512u
#define VERSION	 1u
#define BIT(n)	 (UINT64_C(1) << (n))
#define FEATURES (BIT(32) | BIT(30)) /* VIRTIO_F_VERSION_1, protocol features */

/* vhost-user's requests that are used here. */
enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t number;
		struct vhost_vring_state state;
		struct vhost_vring_addr address;
		struct {
			uint32_t count, padding;
			uint64_t guest, size, user, offset;
		} memory;
	};
} __attribute__((packed));

#define HEADER offsetof(struct message, number)

struct vhost {
	int socket, memory_fd, kick, call;
	uint8_t *memory;
	struct vring_desc *descriptors;
	struct vring_avail *avail;
	struct vring_used *used;
	struct virtio_blk_outhdr *headers; /* a request's, by its number */
	uint8_t *answers;
	uint16_t put, rung, taken;
};

static uint64_t guest(const struct vhost *vhost, const void *at)
{
	return BASE + (uint64_t)((const uint8_t *)at - vhost->memory);
}

/* ---- set-up ---- */

static int say(struct vhost *vhost, struct message *message, uint32_t request, uint32_t size,
	       int fd)
{
	const struct iovec iov = {.iov_base = message, .iov_len = HEADER + size};

	message->request = request;
	message->flags = VERSION;
	message->size = size;
	return os_send(vhost->socket, &iov, 1, &fd, fd >= 0, 0) == (ssize_t)iov.iov_len ? 0
											: -EPIPE;
}

static int say_number(struct vhost *vhost, uint32_t request, uint64_t number, int fd)
{
	struct message message = {.number = number};

	return say(vhost, &message, request, sizeof(number), fd);
}

static int say_state(struct vhost *vhost, uint32_t request, unsigned number)
{
	struct message message = {.state = {.num = number}};

	return say(vhost, &message, request, sizeof(message.state), -1);
}

static int negotiate(struct vhost *vhost)
{
	struct message message = {0};
	int err = say(vhost, &message, SET_OWNER, 0, -1);

	if (!err)
		err = say(vhost, &message, GET_FEATURES, 0, -1);
	if (!err && os_read_full(vhost->socket, &message, HEADER + sizeof(message.number)) !=
			    (ssize_t)(HEADER + sizeof(message.number)))
		err = -EPROTO;
	if (!err && (message.number & FEATURES) != FEATURES)
		err = -ENOTSUP;
	if (!err)
		err = say_number(vhost, SET_FEATURES, FEATURES, -1);
	return err ? err : say_number(vhost, SET_PROTOCOL_FEATURES, 0, -1);
}

static int show_memory(struct vhost *vhost)
{
	struct message message = {.memory = {.count = 1,
					     .guest = BASE,
					     .size = MEMORY,
					     .user = (uintptr_t)vhost->memory}};

	return say(vhost, &message, SET_MEM_TABLE, sizeof(message.memory), vhost->memory_fd);
}

static int start_ring(struct vhost *vhost)
{
	struct message message = {.address = {.desc_user_addr = (uintptr_t)vhost->descriptors,
					      .avail_user_addr = (uintptr_t)vhost->avail,
					      .used_user_addr = (uintptr_t)vhost->used}};
	int err = say_state(vhost, SET_VRING_NUM, QUEUE);

	if (!err)
		err = say_state(vhost, SET_VRING_BASE, 0);
	if (!err)
		err = say(vhost, &message, SET_VRING_ADDR, sizeof(message.address), -1);
	if (!err)
		err = say_number(vhost, SET_VRING_CALL, 0, vhost->call);
	if (!err)
		err = say_number(vhost, SET_VRING_KICK, 0, vhost->kick);
	return err ? err : say_state(vhost, SET_VRING_ENABLE, 1);
}

static void lay_out(struct vhost *vhost)
{
	vhost->descriptors = (void *)vhost->memory;
	vhost->avail = (void *)(vhost->memory + 16 * 1024);
	vhost->used = (void *)(vhost->memory + 32 * 1024);
	vhost->headers = (void *)(vhost->memory + 64 * 1024);
	vhost->answers = vhost->memory + 128 * 1024;
	vhost->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static int open_memory(struct vhost *vhost)
{
	void *memory;
	int err;

	vhost->memory_fd = os_memfd("guest", MEMORY);
	vhost->kick = os_eventfd();
	vhost->call = os_eventfd();
	if (vhost->memory_fd < 0 || vhost->kick < 0 || vhost->call < 0)
		return -ENOMEM;
	err = os_map(vhost->memory_fd, 0, MEMORY, true, &memory);
	if (err)
		return err;
	vhost->memory = memory;
	lay_out(vhost);
	return 0;
}

static int open_device(struct vhost *vhost, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	vhost->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (vhost->socket < 0 ||
	    connect(vhost->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	err = open_memory(vhost);
	if (!err)
		err = negotiate(vhost);
	if (!err)
		err = show_memory(vhost);
	return err ? err : start_ring(vhost);
}

/* ---- requests ---- */

/* Three descriptors: header, data, answer; two without data. */
static void describe(struct vhost *vhost, const struct measure_pattern *pattern, unsigned id)
{
	struct vring_desc *at = &vhost->descriptors[3 * id];
	uint8_t *data = vhost->memory + DATA + (uint64_t)id * pattern->length;
	uint16_t next = (uint16_t)(3 * id + 1);

	*at++ = (struct vring_desc){guest(vhost, &vhost->headers[id]), sizeof(vhost->headers[id]),
				    VRING_DESC_F_NEXT, next++};
	if (pattern->length)
		*at++ = (struct vring_desc){
			guest(vhost, data), pattern->length,
			VRING_DESC_F_NEXT | (pattern->how == MEASURE_READ ? VRING_DESC_F_WRITE : 0),
			next};
	*at = (struct vring_desc){guest(vhost, &vhost->answers[id]), 1, VRING_DESC_F_WRITE, 0};
}

static int put(void *context, const struct measure_pattern *pattern, unsigned place,
	       uint64_t offset)
{
	static const uint32_t types[] = {[MEASURE_READ] = VIRTIO_BLK_T_IN,
					 [MEASURE_WRITE] = VIRTIO_BLK_T_OUT,
					 [MEASURE_FLUSH] = VIRTIO_BLK_T_FLUSH};
	struct vhost *vhost = context;

	vhost->headers[place] =
		(struct virtio_blk_outhdr){.type = types[pattern->how], .sector = offset / SECTOR};
	describe(vhost, pattern, place);
	vhost->avail->ring[vhost->put++ % QUEUE] = (uint16_t)(3 * place);
	return (int)place;
}

static int ring(void *context)
{
	struct vhost *vhost = context;
	uint64_t one = 1;

	if (vhost->rung == vhost->put)
		return 0;
	vhost->rung = vhost->put;
	__atomic_store_n(&vhost->avail->idx, vhost->put, __ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&vhost->used->flags, __ATOMIC_SEQ_CST) & VRING_USED_F_NO_NOTIFY) &&
	    write(vhost->kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

static int take(void *context)
{
	struct vhost *vhost = context;
	uint32_t id;

	if (vhost->taken == __atomic_load_n(&vhost->used->idx, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	id = vhost->used->ring[vhost->taken++ % QUEUE].id / 3;
	return id >= MEASURE_DEPTH || vhost->answers[id] ? -EIO : (int)id;
}

int main(int argc, char **argv)
{
	struct vhost vhost = {.socket = -1};
	struct measure_device device = {.context = &vhost, .put = put, .ring = ring, .take = take};
	struct measure_settings settings;
	int err;

	if (!measure_options(&settings, argc, argv) || argc - optind != 2) {
		fprintf(stderr, "usage: bench_vhost [-n NAME] [-t SECONDS] [-c CORE,CORE] "
				"-p HOW:KIB:DEPTH ... SOCKET MIB\n");
		return 2;
	}
	device.size = strtoull(argv[optind + 1], NULL, 10) * MIB;
	measure_pin(settings.client_core);
	err = open_device(&vhost, argv[optind]);
	if (err)
		fprintf(stderr, "bench_vhost: %s: %s\n", argv[optind], strerror(-err));
	for (unsigned i = 0; i < settings.pattern_count && !err; i++)
		err = measure_run(&device, &settings, &settings.patterns[i]);
	return err ? 1 : 0;
}
