/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing, shared by both ends: one message at a time in, one out, over a stream socket, without
 * blocking and without allocating after the start.
 */
#ifndef KARUTA_VFU_MESSAGE_H
#define KARUTA_VFU_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/vfio_user.h"

#define VFU_MESSAGE_FDS 128u /* that are kept of one message at most */

/* A whole message. Descriptors that are still >= 0 when it has been handled are closed. */
struct vfu_message {
	struct vfio_user_header header;
	const uint8_t *body;
	uint32_t length; /* of the body */
	int *fds;
	size_t fd_count;
	bool refused_fds; /* some came that are too many or sockets; those are closed already */
};

/*
 * Never reads past the end of a message: what the kernel hands over with a read can then belong to
 * this message only.
 */
struct vfu_reader {
	uint8_t *bytes;
	uint32_t capacity, have;
	size_t fd_limit, fd_count;
	int fds[VFU_MESSAGE_FDS];
	bool refused_fds;
	/* A peer that passes its own end of the socket and dies would never seem dead to whoever
	 * holds it. Costs a system call for each descriptor. */
	bool refuse_sockets;
};

/* Takes sockets, unless `refuse_sockets` is set afterwards. */
int vfu_reader_init(struct vfu_reader *reader, uint32_t largest, size_t fd_limit);
void vfu_reader_free(struct vfu_reader *reader);
/* 1: vfu_reader_message() is whole; 0: the rest has not come yet; -EPIPE: the peer is gone;
 * -EBADMSG: its size cannot be right, only the header is there. */
int vfu_reader_step(struct vfu_reader *reader, int socket);
struct vfu_message vfu_reader_message(struct vfu_reader *reader);
/* Forgets the message, closes what is left of its descriptors. */
void vfu_reader_next(struct vfu_reader *reader);

/* One message on its way out. Descriptors stay their owner's and must live until it has left. */
struct vfu_writer {
	uint8_t *bytes;
	uint32_t capacity, start, end;
	size_t fd_count;
	int fds[VFU_MESSAGE_FDS];
};

int vfu_writer_init(struct vfu_writer *writer, uint32_t largest);
void vfu_writer_free(struct vfu_writer *writer);
/* Where the next message's body is to be built; only while nothing is pending. */
uint8_t *vfu_writer_body(struct vfu_writer *writer);
/* Puts the header in front of a body of `length` bytes. header.size is filled in. */
void vfu_writer_finish(struct vfu_writer *writer, struct vfio_user_header header, uint32_t length);
bool vfu_writer_is_pending(const struct vfu_writer *writer);
void vfu_writer_drop(struct vfu_writer *writer);
/* 0: all of it has left; -EAGAIN: the socket is full; -EPIPE: the peer is gone. */
int vfu_writer_flush(struct vfu_writer *writer, int socket);

#endif
