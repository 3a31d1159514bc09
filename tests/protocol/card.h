/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client, and a raw card on the other end of its socket that can say anything. The card's answer
 * is put into the socket before the client asks: its first message has id 1.
 */
#ifndef KARUTA_TESTS_PROTOCOL_CARD_H
#define KARUTA_TESTS_PROTOCOL_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfu/vfu_client.h"
#include "wire/vfio_user.h"

#define CARD_SHORT_MS 50      /* for calls that end at their deadline ... */
#define CARD_LONG_MS  20000   /* ... and for those that do not, however slow the machine */
#define CARD_SLOW     0x510u  /* a guest address whose memory takes long to read */
#define CARD_NOWHERE  0xdeadu /* one that has none */

struct card {
	struct vfu_client *client;
	int socket; /* the card's end */
	int fds_before;
	unsigned dma_reads, dma_writes;
};

void card_start(struct card *card, unsigned deadline_ms);
/* The client answers no DMA. */
void card_start_without_ops(struct card *card);
/* Fails unless all descriptors are gone. */
void card_end(struct card *card);

/* header.size is filled in unless it is set. The descriptors are the card's socket. */
void card_says(struct card *card, struct vfio_user_header header, const void *body, size_t length,
	       size_t fd_count);
void card_replies(struct card *card, uint16_t id, uint16_t command, const void *body, size_t length,
		  size_t fd_count);
/* The next message of the client's, which must be there. */
struct vfio_user_header card_hears(struct card *card, uint8_t *body, size_t room);
/* The link is dead, and stays so. */
void card_expect_dead(struct card *card);

#endif
