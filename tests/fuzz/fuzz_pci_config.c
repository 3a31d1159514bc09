/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space, both halves. The input is a list of operations on
 *
 *	a card's configuration space: the guest writes and reads whatever it wants, a state area
 *comes back spoilt the host's BARs and MSI-X: made from what a hostile card shows, then used by a
 *hostile guest
 *
 * Broken promises abort: a read-only bit that changed, a BAR that decodes outside of itself, a
 * vector that is none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "pci/pci.h"

#define MOST_BYTES 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pci_identity identities[] = {
	{
		.vendor = KARUTA_PCI_VENDOR,
		.device = 2,
		.class_code = 0x010802,
		.bars = {{.size = 16 * KIB, .is_64bit = true}},
		.msix_vectors = 17,
		.msix_table_offset = 0x2000,
		.msix_pending_offset = 0x3000,
	},
	{
		.vendor = 1,
		.class_code = 0xffffff,
		.bars = {{.size = 4 * KIB},
			 {.size = 2 * GIB, .prefetchable = true},
			 {.size = 8 * GIB, .is_64bit = true, .prefetchable = true},
			 {0},
			 {.size = 64 * KIB}},
		.msix_vectors = PCI_MSIX_MAX,
		.msix_bar = 4,
		.msix_pending_offset = 0x8000,
	},
	{.vendor = 0xffff},
};

enum operation {
	CONFIG_WRITE,
	CONFIG_READ,
	CONFIG_RESET,
	CONFIG_SPOIL,
	BARS_WRITE,
	BARS_READ,
	BARS_FIND,
	TABLE_WRITE,
	TABLE_READ,
	TABLE_CONTROL,
	OPERATIONS
};

struct subject {
	const struct pci_identity *identity;
	struct pci_config config;
	struct pci_bar bars[PCI_BARS];
	bool has_bars;
	struct pci_msix msix;
};

static void promise(bool kept)
{
	if (!kept)
		abort();
}

/* Allocated to the byte, so that a sanitizer sees one too many. */
static uint8_t *take_bytes(struct cursor *input, uint32_t length)
{
	uint8_t *bytes = malloc(length ? length : 1);

	promise(bytes);
	cursor_copy(input, bytes, length);
	return bytes;
}

static void config_operation(struct subject *subject, enum operation operation, uint32_t offset,
			     uint8_t *bytes, uint32_t length)
{
	struct pci_config copy = subject->config;

	if (operation == CONFIG_WRITE)
		pci_config_write(&subject->config, offset, bytes, length);
	else if (operation == CONFIG_READ)
		pci_config_read(&subject->config, offset, bytes, length);
	else if (operation == CONFIG_RESET)
		pci_config_reset(&subject->config, subject->identity);
	promise(!pci_config_check(&subject->config, subject->identity));
	if (operation == CONFIG_READ && length && offset >= PCI_CONFIG_SIZE)
		promise(!bytes[0] && !bytes[length - 1]);
	if (operation == CONFIG_SPOIL && offset < sizeof(copy) && length) {
		((uint8_t *)&copy)[offset] = bytes[0];
		/* What passes the check is as good as our own. */
		if (!pci_config_check(&copy, subject->identity))
			subject->config = copy;
	}
}

static void bars_operation(struct subject *subject, enum operation operation, uint32_t offset,
			   uint8_t *bytes, uint32_t length)
{
	uint64_t address = 0, found = 0;
	int bar;

	if (!subject->has_bars)
		return;
	if (operation == BARS_FIND) {
		memcpy(&address, bytes, length < 8 ? length : 8);
		bar = pci_bars_find(subject->bars, address, offset, &found);
		if (bar >= 0)
			promise(bar < (int)PCI_BARS &&
				range_within(found, offset, subject->bars[bar].size));
		return;
	}
	offset = PCI_BAR0 + offset % (4 * PCI_BARS);
	length = (uint32_t)min_u64(length, PCI_BAR0 + 4 * PCI_BARS - offset);
	if (operation == BARS_WRITE)
		pci_bars_write(subject->bars, offset, bytes, length);
	else
		pci_bars_read(subject->bars, offset, bytes, length);
}

static void table_operation(struct subject *subject, enum operation operation, uint32_t offset,
			    uint8_t *bytes, uint32_t length)
{
	struct pci_msix *msix = &subject->msix;
	int vector;

	if (!msix->table)
		return;
	if (operation == TABLE_READ) {
		pci_msix_table_read(msix, offset, bytes, length);
	} else if (operation == TABLE_WRITE) {
		vector = pci_msix_table_write(msix, offset, bytes, length);
		promise(vector >= -1 && vector < msix->vectors);
	} else {
		msix->enabled = offset & 1;
		msix->function_masked = offset & 2;
		if (pci_msix_is_live(msix, offset >> 2))
			promise(msix->enabled && !msix->function_masked &&
				offset >> 2 < msix->vectors);
	}
}

/* The host's half, from what a card shows: its own configuration space, or any 256 bytes. */
static void make_host_side(struct subject *subject, struct cursor *input, bool is_hostile)
{
	uint8_t config[PCI_CONFIG_SIZE];
	uint64_t sizes[PCI_BARS];
	uint32_t types[PCI_BARS];

	if (is_hostile)
		cursor_copy(input, config, sizeof(config));
	else
		pci_config_read(&subject->config, 0, config, sizeof(config));
	memcpy(types, config + PCI_BAR0, sizeof(types));
	for (unsigned i = 0; i < PCI_BARS; i++)
		sizes[i] = is_hostile ? cursor_u64(input) : subject->identity->bars[i].size;
	subject->has_bars = !pci_bars_init(subject->bars, sizes, types);
	promise(is_hostile || subject->has_bars);
	if (pci_msix_find(&subject->msix, config, sizes)) {
		promise(is_hostile);
		return;
	}
	promise(is_hostile || subject->msix.vectors == subject->identity->msix_vectors);
	if (!subject->msix.vectors)
		return;
	subject->msix.table = calloc(subject->msix.vectors, sizeof(*subject->msix.table));
	promise(subject->msix.table);
	pci_msix_reset(&subject->msix);
}

static void operate(struct subject *subject, struct cursor *input)
{
	enum operation operation = (enum operation)(cursor_u8(input) % OPERATIONS);
	uint32_t offset = cursor_u32(input);
	uint32_t length = cursor_u16(input) % (MOST_BYTES + 1);
	uint8_t *bytes = take_bytes(input, length);

	if (operation <= CONFIG_SPOIL)
		config_operation(subject, operation, offset, bytes, length);
	else if (operation <= BARS_FIND)
		bars_operation(subject, operation, offset, bytes, length);
	else
		table_operation(subject, operation, offset, bytes, length);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(data, size);
	uint8_t choice = cursor_u8(&input);
	struct subject subject = {.identity = &identities[choice % ARRAY_LEN(identities)]};

	promise(!pci_config_init(&subject.config, subject.identity));
	make_host_side(&subject, &input, choice & 0x80);
	while (input.left && !input.failed)
		operate(&subject, &input);
	free(subject.msix.table);
	return 0;
}
