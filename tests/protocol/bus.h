/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of a small device, turned by the test itself, and a raw peer on the other end of its
 * socket that can say anything:
 *
 *	test --- raw bytes ---> [socket pair] ---> vfu_server --- callbacks ---> struct bus
 */
#ifndef KARUTA_TESTS_PROTOCOL_BUS_H
#define KARUTA_TESTS_PROTOCOL_BUS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vfu/vfu_server.h"
#include "wire/vfio_user.h"

#define BUS_BAR_SIZE	0x4000u
#define BUS_CONFIG_SIZE 256u
#define BUS_VECTORS	8u
#define BUS_IO_FDS	3u
#define BUS_WINDOW_NAME "bus-window" /* of memfds whose mappings are counted */

struct bus {
	struct vfu_device device;
	struct vfu_io_fd io_fds[BUS_IO_FDS];
	struct vfu_server *server;
	struct os_loop *loop;
	int peer;
	uint16_t id;
	uint8_t bar[BUS_BAR_SIZE], config[BUS_CONFIG_SIZE];
	unsigned reads, writes, resets, lost, quiesces;
	int fail;	     /* read and write return this */
	int dma_in_callback; /* what dma_read said when called from a write; 1: not tried */
	int fds_before;
};

/* A whole message as the peer got it. */
struct bus_message {
	struct vfio_user_header header;
	uint8_t body[8192];
	size_t length; /* of the body */
	int fds[16];
	size_t fd_count;
};

int bus_count_fds(void);
/* Mappings of memfds named BUS_WINDOW_NAME. */
int bus_count_windows(void);
int bus_window(uint64_t size);

/* Device and server with the peer connected, nothing said yet. */
void bus_start(struct bus *bus);
/* bus_start and VERSION with max_msg_fds 16. */
void bus_open(struct bus *bus);
/* Connects a new peer to a server that has lost its client. */
void bus_reconnect(struct bus *bus);
/* All is closed; fails unless descriptors and windows are where they were. */
void bus_end(struct bus *bus);

/* Turns the server's loop until nothing is left to do. */
void bus_turn(struct bus *bus);
void bus_hang_up(struct bus *bus);
bool bus_is_hung_up(struct bus *bus);

void bus_send_bytes(struct bus *bus, const void *bytes, size_t length, const int *fds,
		    size_t fd_count);
/* header.size is filled in. Does not turn the loop. */
void bus_send(struct bus *bus, struct vfio_user_header header, const void *body, size_t length,
	      const int *fds, size_t fd_count);
/* The next message for the peer, which must be there; false if there is none. */
bool bus_receive(struct bus *bus, struct bus_message *message);

/* One command and its answer: 0 or the errno in it. *reply may be NULL. Exactly one answer must
 * come, with the request's id and command. */
int bus_ask(struct bus *bus, uint16_t command, const void *body, size_t length, const int *fds,
	    size_t fd_count, struct bus_message *reply);

int bus_map(struct bus *bus, uint64_t address, uint64_t size, int fd, uint64_t offset,
	    uint32_t flags);
int bus_unmap(struct bus *bus, uint64_t address, uint64_t size);

#endif
