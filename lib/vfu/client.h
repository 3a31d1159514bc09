/* SPDX-License-Identifier: Apache-2.0 */
/* The client's insides, shared by its files. */
#ifndef KARUTA_VFU_CLIENT_H
#define KARUTA_VFU_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "message.h"
#include "vfu_client.h"

/* Told to the card in VERSION. More than this in one message is never needed, and buffers stay
 * small: a hypervisor has one client for each of its cards. */
#define VFU_CLIENT_DATA	   (64u << 10)
#define VFU_CLIENT_MESSAGE (VFU_CLIENT_DATA + 32u)

struct vfu_client {
	pthread_mutex_t lock; /* over everything below but `dead` */
	_Atomic bool dead;    /* for good */
	int fd;
	const struct vfu_client_ops *ops;
	void *context;
	uint64_t deadline_ns;
	uint16_t next_id;
	size_t card_fds;	/* the card can take in a message */
	uint32_t card_transfer; /* bytes in a data message, either way */
	struct vfu_reader in;
	bool holds_reply; /* `in` does, for whoever has the lock */
	struct vfu_writer out;
};

/* A request: head and data make its body. Descriptors stay the caller's. */
struct vfu_call {
	enum vfio_user_command command;
	const void *head;
	uint32_t head_length;
	const void *data;
	uint32_t data_length;
	const int *fds;
	size_t fd_count;
};

/*
 * One exchange:
 *	vfu_client_lock(client);
 *	ret = vfu_client_call(client, &call, &reply);
 *	if (!ret)
 *		... look at reply, take its descriptors, vfu_client_break() if it is wrong ...
 *	return vfu_client_unlock(client, ret);
 */
void vfu_client_lock(struct vfu_client *client);
int vfu_client_call(struct vfu_client *client, const struct vfu_call *call,
		    struct vfu_message *reply);
/* Forgets the reply. Returns `ret`. */
int vfu_client_unlock(struct vfu_client *client, int ret);
/* Sends and expects no reply; lock held. */
int vfu_client_send_posted(struct vfu_client *client, const struct vfu_call *call);
/* The card has broken a rule: the link is dead. Returns `ret`. */
int vfu_client_break(struct vfu_client *client, int ret);
/* call, and the reply must have a body of exactly `length` bytes, copied to `body`, and no
 * descriptors. Takes the lock. */
int vfu_client_ask(struct vfu_client *client, const struct vfu_call *call, void *body,
		   uint32_t length);

/* client_serve.c: answers a command of the card's; lock held. */
int vfu_client_serve(struct vfu_client *client, const struct vfu_message *message,
		     uint64_t deadline);
/* client.c: all that is in client->out, by the deadline. */
int vfu_client_flush(struct vfu_client *client, uint64_t deadline);

#endif
