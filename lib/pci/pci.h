/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI as state machines without a bus: what a function shows in its configuration space (config.c,
 * the card's half) and what the host side keeps of it (bar.c and msix.c, the hypervisor's half). No
 * system calls; all state is plain data that can live in a shared area. Clauses: PCI Local Bus 3.0
 * ("PCI 3.0"), PCI Express Base 5.0 ("PCIe 5.0").
 */
#ifndef KARUTA_PCI_PCI_H
#define KARUTA_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 256u  /* what a card implements */
#define PCI_ECAM_SIZE	4096u /* what a function occupies in ECAM; the rest reads as zeros */
#define PCI_BARS	6u
#define PCI_MSIX_MAX	2048u
#define PCI_MSIX_ENTRY	16u

/*
 * The vendor id of all karuta's cards: "KR". It is not assigned by the PCI-SIG; drivers find a card
 * by its class, and each card chooses its device id in its own identity.
 */
#define KARUTA_PCI_VENDOR 0x4b52u

/* Type 0 header (PCI 3.0, 6.1). */
enum pci_register {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS_CODE = 0x09,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_ROM_BAR = 0x30,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_FIRST_CAPABILITY = 0x40,
};

enum pci_command_bit {
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_OFF = 1 << 10,
};

enum pci_capability {
	PCI_CAP_PM = 0x01,
	PCI_CAP_EXPRESS = 0x10,
	PCI_CAP_MSIX = 0x11,
};

#define PCI_MSIX_CONTROL_ENABLE 0x8000u
#define PCI_MSIX_CONTROL_MASK	0x4000u

/* ---- the card's half: config.c ---- */

struct pci_bar_spec {
	uint64_t size; /* 0: not implemented; else a power of two >= 4096 */
	bool is_64bit; /* takes this BAR and the next */
	bool prefetchable;
};

/* What a function is; const, one a card. */
struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: base, sub, interface */
	uint8_t revision;
	struct pci_bar_spec bars[PCI_BARS];
	uint16_t msix_vectors;	    /* 0: none */
	uint8_t msix_bar;	    /* table and pending bits live in this BAR */
	uint32_t msix_table_offset; /* 8-byte aligned; the card's own registers do not overlap it */
	uint32_t msix_pending_offset;
};

/* Configuration space as stored. Plain data: survives the process in the state area. */
struct pci_config {
	uint8_t bytes[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that software may change */
	uint8_t msix_capability;	   /* offset, 0: none */
	uint8_t express_capability;
	uint8_t pm_capability;
	uint8_t reserved;
};

/* What a write asks the card to do beyond storing it. */
enum pci_effect {
	PCI_EFFECT_COMMAND = 1 << 0, /* bus master or memory enable changed */
	PCI_EFFECT_MSIX = 1 << 1,    /* MSI-X enable or function mask changed */
	PCI_EFFECT_RESET = 1 << 2,   /* function level reset (PCIe 5.0, 6.6.2) */
	PCI_EFFECT_REFUSED =
		1
		<< 3, /* wrote a read-only register that no driver writes: vendor, device, class */
};

/* 0 or -EINVAL (a specification that contradicts itself: it is a bug of the card, found by its
 * first test). */
int pci_config_init(struct pci_config *config, const struct pci_identity *identity);
/* Back to the state after power on; keeps what the function is. */
void pci_config_reset(struct pci_config *config, const struct pci_identity *identity);
/* Any offset and length are allowed: bytes past the end read as zeros and ignore writes. */
void pci_config_read(const struct pci_config *config, uint32_t offset, void *to, uint32_t length);
unsigned pci_config_write(struct pci_config *config, uint32_t offset, const void *from,
			  uint32_t length); /* enum pci_effect */
/* For a state area that came from elsewhere: offsets within bounds, capability list ends, read-only
 * bytes as `identity` says. -EPROTO. */
int pci_config_check(const struct pci_config *config, const struct pci_identity *identity);
/* Bus mastering: the function may reach memory and interrupt (PCI 3.0, 6.2.2). */
bool pci_config_is_master(const struct pci_config *config);

/* Bytes that the MSI-X table and its pending bits take in their BAR (PCI 3.0, 6.8.2). */
uint32_t pci_msix_table_size(const struct pci_identity *identity);
uint32_t pci_msix_pending_size(const struct pci_identity *identity);

/*
 * Walks the capability list in a copy of configuration space. The offset of the first capability
 * with this id, all `size` bytes of it within; -ENOENT: none; -EINVAL: the list is nonsense.
 */
int pci_find_capability(const uint8_t config[PCI_CONFIG_SIZE], uint8_t id, uint32_t size);

/* ---- the host's half: bar.c ---- */

/* One BAR register pair as the host keeps it: what the guest wrote, with the size's read-only bits.
 */
struct pci_bar {
	uint64_t size; /* 0: not there */
	uint64_t address;
	uint32_t type; /* low four bits as the function shows them */
	bool is_64bit;
	bool is_upper; /* second half of the BAR before it */
};

/* `types[i]`: the low 32 bits that the function shows in BAR i; `sizes[i]` its region's size.
 * -EINVAL: not a BAR of a sane function. */
int pci_bars_init(struct pci_bar bars[PCI_BARS], const uint64_t sizes[PCI_BARS],
		  const uint32_t types[PCI_BARS]);
/* Registers 0x10 .. 0x27, any alignment and length within. True if an address changed. */
void pci_bars_read(const struct pci_bar bars[PCI_BARS], uint32_t offset, void *to, uint32_t length);
bool pci_bars_write(struct pci_bar bars[PCI_BARS], uint32_t offset, const void *from,
		    uint32_t length);
/* Which BAR decodes [address, address + length)? Its index and offset, or -ENOENT. */
int pci_bars_find(const struct pci_bar bars[PCI_BARS], uint64_t address, uint32_t length,
		  uint64_t *offset);

/* ---- the host's half: msix.c ---- */

struct pci_msix_entry {
	uint64_t address;
	uint32_t data;
	uint32_t control; /* bit 0: masked */
};

struct pci_msix {
	uint16_t vectors;   /* 0: the function has none */
	uint8_t capability; /* offset in configuration space */
	uint8_t table_bar, pending_bar;
	uint32_t table_offset, pending_offset;
	bool enabled, function_masked;
	struct pci_msix_entry *table; /* `vectors` entries, the owner's memory */
};

/* Finds and checks the capability in a copy of the function's configuration space. 0 with vectors
 * == 0 if there is none; -EINVAL: nonsense. */
int pci_msix_find(struct pci_msix *msix, const uint8_t config[PCI_CONFIG_SIZE],
		  const uint64_t bar_sizes[PCI_BARS]);
void pci_msix_reset(struct pci_msix *msix);
/* Accesses to the table; offset is relative to it. The write gives the vector that changed, or -1.
 */
void pci_msix_table_read(const struct pci_msix *msix, uint32_t offset, void *to, uint32_t length);
int pci_msix_table_write(struct pci_msix *msix, uint32_t offset, const void *from, uint32_t length);
/* True when the vector may interrupt now: enabled, not masked by vector or function. */
bool pci_msix_is_live(const struct pci_msix *msix, unsigned vector);

#endif
