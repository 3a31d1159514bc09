/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of guest memory: mapped when the client maps them, gone before it hears that they are. */
#include <errno.h>
#include <string.h>

#include "os/memfd.h"
#include "os/sigbus.h"
#include "server.h"

static void unmap_window(const struct mem_window *window)
{
	if (!window->host)
		return;
	os_sigbus_release(window->host);
	os_unmap(window->host, window->size);
}

/* The file is the client's, who can cut it at any time: hence the guard. */
static int map_window(struct mem_window *window, int fd, uint64_t offset)
{
	void *mapping;
	int ret = os_map(fd, offset, window->size, window->access & MEM_WRITE, &mapping);

	if (ret)
		return ret;
	ret = os_sigbus_guard(mapping, window->size);
	if (ret) {
		os_unmap(mapping, window->size);
		return ret;
	}
	window->host = mapping;
	return 0;
}

int vfu_server_dma_map(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_dma_map map;
	struct mem_window window;
	int ret;

	(void)reply;
	memcpy(&map, message->body, sizeof(map));
	ret = vfio_user_dma_map_check(&map, message->fd_count);
	if (ret)
		return ret;
	window = (struct mem_window){.address = map.address, .size = map.size};
	if (map.flags & VFIO_USER_MAP_READ)
		window.access |= MEM_READ;
	if (map.flags & VFIO_USER_MAP_WRITE)
		window.access |= MEM_WRITE;
	if (message->fd_count)
		ret = map_window(&window, message->fds[0], map.offset);
	if (ret)
		return ret;
	ret = mem_add(server->memory, &window);
	if (ret)
		unmap_window(&window);
	return ret;
}

static void quiesce(struct vfu_server *server)
{
	bool was_in_callback = server->in_callback;

	server->in_callback = true;
	server->ops->quiesce(server->context);
	server->in_callback = was_in_callback;
}

void vfu_server_unmap_all(struct vfu_server *server)
{
	if (!mem_count(server->memory))
		return;
	quiesce(server);
	while (mem_count(server->memory)) {
		struct mem_window window =
			*mem_window_at(server->memory, mem_count(server->memory) - 1);

		mem_remove(server->memory, window.address, window.size, NULL);
		unmap_window(&window);
	}
}

static bool has_window(const struct vfu_server *server, uint64_t address, uint64_t size)
{
	for (size_t i = 0; i < mem_count(server->memory); i++) {
		const struct mem_window *window = mem_window_at(server->memory, i);

		if (window->address == address)
			return window->size == size;
	}
	return false;
}

/* The device is quiesced only for a window that is there: it costs the guest time. */
static int unmap_one(struct vfu_server *server, uint64_t address, uint64_t size)
{
	struct mem_window window;
	int ret;

	if (!has_window(server, address, size))
		return -ENOENT;
	quiesce(server);
	ret = mem_remove(server->memory, address, size, &window);
	if (!ret)
		unmap_window(&window);
	return ret;
}

int vfu_server_dma_unmap(struct vfu_server *server, struct vfu_message *message, uint32_t *reply)
{
	struct vfio_user_dma_unmap unmap;
	int ret;

	memcpy(&unmap, message->body, sizeof(unmap));
	ret = vfio_user_dma_unmap_check(&unmap);
	if (!ret && unmap.flags & VFIO_USER_UNMAP_ALL)
		vfu_server_unmap_all(server);
	else if (!ret)
		ret = unmap_one(server, unmap.address, unmap.size);
	memcpy(vfu_writer_body(&server->out), &unmap, sizeof(unmap));
	*reply = sizeof(unmap);
	return ret;
}
