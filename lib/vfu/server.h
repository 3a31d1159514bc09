/* SPDX-License-Identifier: Apache-2.0 */
/* The server's insides, shared by its files. */
#ifndef KARUTA_VFU_SERVER_H
#define KARUTA_VFU_SERVER_H

#include "backlog.h"
#include "message.h"
#include "vfu_server.h"

/* Told to the client in VERSION. Both are far below what the process could take, and far above
 * what hypervisors use. */
#define VFU_SERVER_FDS	   VFU_BACKLOG_FDS
#define VFU_SERVER_WINDOWS 512u

struct vfu_server {
	const struct vfu_device *device;
	const struct vfu_device_ops *ops;
	void *context;
	struct os_loop *loop;
	int listening; /* -1: none; in the loop while there is no client */
	int socket;    /* -1: no client */
	int kick;      /* eventfd: there is something to do that epoll cannot see */
	bool negotiated;
	bool lost;	  /* the client is finished with; cleaned up from the loop */
	bool in_callback; /* of the device: no DMA by message */
	bool in_transfer; /* waiting for the answer to a DMA message */
	size_t client_fds;
	uint64_t client_transfer;
	uint16_t next_id;
	struct vfu_reader in;
	struct vfu_writer out; /* while it is pending nothing is read */
	struct vfu_backlog backlog;
	struct mem_map *memory;
	int *irq_fds; /* of all indexes, one after the other; -1: not bound */
	struct vfu_server_counters counters;
};

/* A handler is given a body of a length that its command allows. It builds its reply at
 * vfu_writer_body(&server->out) and sets *reply, or returns -errno, which becomes the answer. */
typedef int (*vfu_server_handler)(struct vfu_server *server, struct vfu_message *message,
				  uint32_t *reply);

/* server.c */
/* Serves one message; a request is answered, anything else dropped and counted. */
void vfu_server_serve(struct vfu_server *server, struct vfu_message *message);
/* Tells the loop what the server is waiting for. */
void vfu_server_watch(struct vfu_server *server);

/* server_listen.c */
int vfu_server_resume_listening(struct vfu_server *server);

/* server_version.c */
int vfu_server_version(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);

/* server_device.c */
int vfu_server_get_info(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
int vfu_server_get_region_info(struct vfu_server *server, struct vfu_message *message,
			       uint32_t *reply);
int vfu_server_get_io_fds(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
int vfu_server_region_read(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
int vfu_server_region_write(struct vfu_server *server, struct vfu_message *message,
			    uint32_t *reply);
int vfu_server_reset(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
int vfu_server_device_feature(struct vfu_server *server, struct vfu_message *message,
			      uint32_t *reply);

/* server_dma.c */
int vfu_server_dma_map(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
int vfu_server_dma_unmap(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
/* Quiesces the device and takes all windows away. */
void vfu_server_unmap_all(struct vfu_server *server);

/* server_irq.c */
int vfu_server_irqs_init(struct vfu_server *server);
int vfu_server_get_irq_info(struct vfu_server *server, struct vfu_message *message,
			    uint32_t *reply);
int vfu_server_set_irqs(struct vfu_server *server, struct vfu_message *message, uint32_t *reply);
void vfu_server_unbind_all(struct vfu_server *server);

#endif
