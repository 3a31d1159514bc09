/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames (wire/control.h) over TLS, without waiting. Each call goes on with what it has begun:
 * 1 it is done, 0 later, when `events` of the descriptor are there, -errno never.
 */
#ifndef KARUTA_ENROL_LINK_H
#define KARUTA_ENROL_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/enrol.h"

struct enrol_link {
	SSL *ssl;
	uint32_t events; /* EPOLLIN or EPOLLOUT */
	uint8_t in[CONTROL_HEAD_SIZE + ENROL_FRAME_MAX], out[CONTROL_HEAD_SIZE + ENROL_FRAME_MAX];
	size_t in_have, in_length; /* of the frame, behind the head; 0: not known yet */
	size_t out_done, out_length;
};

/* The descriptor stays the caller's, and is non-blocking. */
int enrol_link_open(struct enrol_link *link, SSL_CTX *context, int fd, bool server);
/* What was said is wiped. Says goodbye if the handshake is done. */
void enrol_link_close(struct enrol_link *link);

/* -EKEYREJECTED: the other end has another token; -EPROTO: it is no such thing. */
int enrol_link_handshake(struct enrol_link *link);
/* The frame is in[CONTROL_HEAD_SIZE ..], in_length bytes, until enrol_link_next(). -EMSGSIZE,
 * -ECONNRESET. */
int enrol_link_receive(struct enrol_link *link);
void enrol_link_next(struct enrol_link *link);
/* Of what is in out[CONTROL_HEAD_SIZE ..]. */
void enrol_link_begin(struct enrol_link *link, size_t length);
int enrol_link_send(struct enrol_link *link);

#endif
