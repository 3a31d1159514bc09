/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest card, and how to write one. A PCI function that does nothing useful:
 *
 *	BAR 0	0x0000	scratch register, keeps what is written to it
 *		0x0008	how often the doorbell was heard (rings that come together count once)
 *		0x0010	doorbell: a write raises the interrupt of vector 0
 *		0x1000	MSI-X table, 0x1800 its pending bits: the host's
 *
 * karuta-card-null --listen /tmp/null.sock
 */
#include <string.h>

#include "base/base.h"
#include "card/card.h"

#define DOORBELL 0x10u

/* What the guest can see must be here, in the state area: another process may go on from it. */
struct null_state {
	uint64_t scratch;
	uint64_t rings;
};
_Static_assert(sizeof(struct null_state) <= CARD_STATE_MAX, "it fits the state area");

/* What it is: the frame makes the configuration space from it. */
static const struct pci_identity null_identity = {
	.vendor = KARUTA_PCI_VENDOR,
	.device = 0x0001,
	.subsystem_vendor = KARUTA_PCI_VENDOR,
	.subsystem = 0x0001,
	.class_code = 0xff0000, /* fits no defined class */
	.bars = {{.size = 8192}},
	.msix_vectors = 2,
	.msix_bar = 0,
	.msix_table_offset = 0x1000,
	.msix_pending_offset = 0x1800,
};

/* A client can ring this one by eventfd: no message, and no exit to the hypervisor's process. */
static const struct vfu_io_fd null_doorbells[] = {{.region = 0, .offset = DOORBELL, .size = 4}};

/* The guest may read any bytes: what is not a register reads as zeros. */
static void null_bar_read(struct card *card, unsigned bar, uint64_t offset, void *to,
			  uint32_t length)
{
	const struct null_state *state = card_state(card);
	const uint64_t registers[] = {state->scratch, state->rings};

	(void)bar;
	memset(to, 0, length);
	if (offset < sizeof(registers))
		memcpy(to, (const uint8_t *)registers + offset,
		       min_u64(length, sizeof(registers) - offset));
}

static void null_doorbell(struct card *card, unsigned index)
{
	struct null_state *state = card_state(card);

	state->rings++;
	card_interrupt(card, index);
}

static void null_bar_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			   uint32_t length)
{
	struct null_state *state = card_state(card);

	(void)bar;
	if (range_within(offset, length, sizeof(state->scratch)))
		memcpy((uint8_t *)&state->scratch + offset, from, length);
	else if (offset == DOORBELL)
		null_doorbell(card, 0);
}

static void null_reset(struct card *card)
{
	memset(card_state(card), 0, sizeof(struct null_state));
}

static const struct card_ops null_ops = {
	.name = "null",
	.summary = "a PCI function that does nothing: a scratch register and a doorbell",
	.identity = &null_identity,
	.state_version = 1,
	.state_size = sizeof(struct null_state),
	.doorbells = null_doorbells,
	.doorbell_count = ARRAY_LEN(null_doorbells),
	.bar_read = null_bar_read,
	.bar_write = null_bar_write,
	.doorbell = null_doorbell,
	.reset = null_reset,
};

int main(int argc, char **argv)
{
	return card_main(&null_ops, argc, argv);
}
