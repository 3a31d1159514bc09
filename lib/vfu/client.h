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

/* More would only hide a card that does not answer; as many answers always fit its socket. */
#define VFU_CLIENT_BEHIND 32u

/* A write whose answer has not come yet. */
struct vfu_behind {
	struct vfio_user_region_access access;
	uint16_t id;
	uint8_t data[VFU_CLIENT_BEHIND_DATA];
};

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
	struct vfu_behind behind[VFU_CLIENT_BEHIND]; /* a ring, the oldest first */
	uint32_t behind_first, behind_count;
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
/* Sends and leaves the reply, which has the id client->next_id then, for later; lock held. */
int vfu_client_send(struct vfu_client *client, const struct vfu_call *call);
/* The card has broken a rule: the link is dead. Returns `ret`. */
int vfu_client_break(struct vfu_client *client, int ret);
/* call, and the reply must have a body of exactly `length` bytes, copied to `body`, and no
 * descriptors. Takes the lock. */
int vfu_client_ask(struct vfu_client *client, const struct vfu_call *call, void *body,
		   uint32_t length);

/* The next whole message, a command of the card's or a reply, by the deadline; lock held. */
int vfu_client_receive(struct vfu_client *client, uint64_t deadline, struct vfu_message *message);
bool vfu_client_is_command(const struct vfu_message *message);

/* client_behind.c: if the reply is that of the oldest write behind, it is taken: 1, or -EPROTO: it
 * is wrong. 0: it is somebody else's. Lock held. */
int vfu_client_take_behind(struct vfu_client *client, const struct vfu_message *reply);

/* client_serve.c: answers a command of the card's; lock held. */
int vfu_client_serve(struct vfu_client *client, const struct vfu_message *message,
		     uint64_t deadline);
/* client.c: all that is in client->out, by the deadline. */
int vfu_client_flush(struct vfu_client *client, uint64_t deadline);

#endif
