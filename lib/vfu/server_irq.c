/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts: an eventfd of the client's per vector. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "os/fd.h"
#include "server.h"

/* Where the index's vectors begin among all. index == VFU_IRQS: how many there are. */
static size_t first_vector(const struct vfu_server *server, unsigned index)
{
	size_t first = 0;

	for (unsigned i = 0; i < index; i++)
		first += server->device->irq_counts[i];
	return first;
}

int vfu_server_irqs_init(struct vfu_server *server)
{
	size_t count = first_vector(server, VFU_IRQS);

	for (unsigned i = 0; i < VFU_IRQS; i++)
		if (server->device->irq_counts[i] > VFU_MAX_VECTORS)
			return -EINVAL;
	server->irq_fds = malloc((count + 1) * sizeof(int));
	if (!server->irq_fds)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		server->irq_fds[i] = -1;
	return 0;
}

/* The vector's place for a descriptor, or NULL. */
static int *vector_fd(const struct vfu_server *server, unsigned index, unsigned vector)
{
	if (index >= VFU_IRQS || vector >= server->device->irq_counts[index])
		return NULL;
	return &server->irq_fds[first_vector(server, index) + vector];
}

void vfu_server_unbind_all(struct vfu_server *server)
{
	size_t count = first_vector(server, VFU_IRQS);

	for (size_t i = 0; i < count; i++)
		os_close(&server->irq_fds[i]);
}

void vfu_server_interrupt(struct vfu_server *server, unsigned index, unsigned vector)
{
	const int *fd = vector_fd(server, index, vector);

	if (fd && *fd >= 0)
		os_eventfd_signal(*fd);
}

bool vfu_server_vector_is_bound(const struct vfu_server *server, unsigned index, unsigned vector)
{
	const int *fd = vector_fd(server, index, vector);

	return fd && *fd >= 0;
}

int vfu_server_get_irq_info(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_irq_info info;

	memcpy(&info, message->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_IRQS)
		return -EINVAL;
	info = (struct vfio_user_irq_info){.argsz = sizeof(info),
					   .flags = VFIO_USER_IRQ_EVENTFD,
					   .index = info.index,
					   .count = server->device->irq_counts[info.index]};
	memcpy(vfu_writer_body(&server->out), &info, sizeof(info));
	*reply = sizeof(info);
	return 0;
}

/*
 * We will write to it, and a write to a pipe or a socket could block. An eventfd is an anonymous
 * inode, which has no file type; a write to another kind of those fails at once.
 */
static int prepare_eventfd(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0 || status.st_mode & S_IFMT)
		return -EINVAL;
	return os_set_nonblocking(fd, true);
}

static int prepare_eventfds(struct vfu_message *message)
{
	for (size_t i = 0; i < message->fd_count; i++)
		if (prepare_eventfd(message->fds[i]))
			return -EINVAL;
	return 0;
}

/* Without descriptors the vectors are unbound. */
static void bind_vectors(int *vectors, const struct vfio_user_set_irqs *set,
			 struct vfu_message *message)
{
	for (uint32_t i = 0; i < set->count; i++) {
		os_close(&vectors[i]);
		if (message->fd_count)
			vectors[i] = os_steal_fd(&message->fds[i]);
	}
}

/* The client tests its wiring. */
static void fire_vectors(const int *vectors, const struct vfio_user_set_irqs *set,
			 const uint8_t *chosen)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (vectors[i] >= 0 && (!chosen || chosen[i]))
			os_eventfd_signal(vectors[i]);
}

static void disable_index(struct vfu_server *server, unsigned index)
{
	int *vectors = vector_fd(server, index, 0);

	for (uint32_t i = 0; i < server->device->irq_counts[index]; i++)
		os_close(&vectors[i]);
}

/* Masks are the client's business: it simply does not bind, or ignores, a masked vector. They are
 * taken and change nothing; our devices have no level to raise again at unmask. */
int vfu_server_set_irqs(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	const uint8_t *data = message->body + sizeof(struct vfio_user_set_irqs);
	struct vfio_user_set_irqs set;
	int ret;

	(void)reply;
	memcpy(&set, message->body, sizeof(set));
	if (set.index >= VFU_IRQS)
		return -EINVAL;
	ret = vfio_user_set_irqs_check(&set, server->device->irq_counts[set.index],
				       message->length - sizeof(set), message->fd_count);
	if (!ret)
		ret = prepare_eventfds(message);
	if (ret || !(set.flags & VFIO_USER_SET_TRIGGER))
		return ret;
	if (!set.count)
		disable_index(server, set.index);
	else if (set.flags & VFIO_USER_SET_FD)
		bind_vectors(vector_fd(server, set.index, set.start), &set, message);
	else
		fire_vectors(vector_fd(server, set.index, set.start), &set,
			     set.flags & VFIO_USER_SET_BOOL ? data : NULL);
	return 0;
}
