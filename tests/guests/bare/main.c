/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the hypervisor's tests. The first word of the command line says what it does; it
 * then powers off, or does what ends it.
 */
#include "guest.h"
#include "hostile.h"

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, rsdp, map;
	uint32_t map_entries;
};

struct map_entry {
	uint64_t address, size;
	uint32_t type, reserved;
};

#define RESET_MARK 0x300000ul /* memory that the kernel is not loaded to */
#define MARK	   0x6b617275u

static const struct start_info *start_info;

extern const char other_start[], other_end[];

#define KVM_CLOCK	 (1u << 3)
#define KVM_ASYNC_FAULTS (1u << 4 | 1u << 10 | 1u << 14)

static uint32_t kvm_features(void)
{
	uint32_t eax = 0x40000001, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return eax;
}

static void hello(void)
{
	put("hello from a guest\n");
}

/* Memory is where the map says it is, and all of it is there. */
static void memory(void)
{
	const struct map_entry *map = (const struct map_entry *)start_info->map;
	uint64_t total = 0;

	for (uint32_t i = 0; i < start_info->map_entries; i++) {
		if (map[i].type != 1)
			continue;
		total += map[i].size;
		if (map[i].address >= 0x100000)
			write64(map[i].address + map[i].size - 8, 0x1122334455667788);
		check("memory ends where the map says",
		      map[i].address < 0x100000 ||
			      read64(map[i].address + map[i].size - 8) == 0x1122334455667788);
	}
	put("memory ");
	put_number(total >> 20);
	put(" MiB\n");
	if (start_info->modules) {
		const uint64_t *module = (const uint64_t *)start_info->module_list;

		put("initrd ");
		put_number(module[1]);
		put(" bytes: ");
		put((const char *)module[0]);
	}
}

/* Each way to reset, once; the count is kept in memory. */
static void reboot(void)
{
	uint32_t *mark = (uint32_t *)RESET_MARK;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	if (mark[0] != MARK) {
		mark[0] = MARK;
		mark[1] = 0;
	}
	put("start ");
	put_number(mark[1]);
	put("\n");
	switch (mark[1]++) {
	case 0:
		outb(0x602, 1);
		break;
	case 1:
		outb(0xcf9, 6);
		break;
	case 2:
		outb(0x64, 0xfe);
		break;
	case 3:
		asm volatile("lidt %0; int3" : : "m"(none));
		break;
	default:
		return;
	}
	put("not ok - a reset did nothing\n");
}

static void absent_slots(void)
{
	bool all_ones = true;

	for (unsigned slot = 1; slot <= CARD_SLOTS; slot++)
		if (slot != 1)
			all_ones &= read32(config(slot, 0)) == 0xffffffff;
	check("absent slots read as all ones", all_ones);
	check("a second function reads as all ones", read32(config(1, 0x1000)) == 0xffffffff);
	check("an address that nobody decodes reads as all ones", read32(0xc1234560) == 0xffffffff);
	check("a port that nobody has reads as all ones", inb(0x123) == 0xff);
	check("there is a host bridge", read32(config(0, 8)) >> 16 == 0x0600);
	check("KVM has a clock and no asynchronous page faults",
	      (kvm_features() & (KVM_CLOCK | KVM_ASYNC_FAULTS)) == KVM_CLOCK);
}

static void registers(uint64_t bar)
{
	write64(bar, 0x0123456789abcdef);
	check("a register keeps what is written", read64(bar) == 0x0123456789abcdef);
	write32(bar + 4, 0xfeedf00d);
	check("half a register, too", read64(bar) == 0xfeedf00d89abcdef);
}

static void bar_rules(unsigned slot, uint64_t bar)
{
	write32(config(slot, 4), 4);
	check("a BAR does not decode while memory is off", read32(bar) == 0xffffffff);
	write32(config(slot, 0x10), 0xffffffff);
	check("a BAR says its size", read32(config(slot, 0x10)) == 0xffffe000);
	check("a BAR that is not there stays zero",
	      (write32(config(slot, 0x14), 0xffffffff), read32(config(slot, 0x14)) == 0));
	map_bar(slot);
	check("and decodes again", read32(bar + 4) == 0xfeedf00d);
	write32(config(slot, 0x10), 0x00400000);
	check("a BAR over memory does not decode",
	      (*(volatile uint32_t *)0x400000 = 7) == 7 && read32(0x400000) == 7);
	write32(config(slot, 0x10), (uint32_t)bar);
}

static unsigned find_msix(unsigned slot)
{
	unsigned at = read32(config(slot, 0x34)) & 0xff;

	while (at && (read32(config(slot, at)) & 0xff) != 0x11)
		at = read32(config(slot, at)) >> 8 & 0xff;
	return at;
}

static void interrupts(unsigned slot, uint64_t bar)
{
	unsigned msix = find_msix(slot);

	check("there is an MSI-X capability", msix != 0);
	write64(bar + 0x1000, LAPIC);
	write32(bar + 0x1008, VECTOR);
	check("a vector is masked at first", read32(bar + 0x100c) == 1);
	write32(config(slot, msix), 0x80000000 | (read32(config(slot, msix)) & 0xffff));
	check("MSI-X is on", read32(config(slot, msix)) >> 16 == 0x8001);

	write32(bar + 0x10, 0);
	for (unsigned i = 0; i < 2000 && !(read32(bar + 0x1800) & 1); i++)
		relax();
	check("a masked vector becomes pending", read32(bar + 0x1800) == 1);
	check("and does not interrupt", interrupt_count == 0);
	write32(bar + 0x100c, 0);
	check("unmasked it interrupts once", wait_for_interrupts(1) && interrupt_count == 1);
	check("and is pending no more", read32(bar + 0x1800) == 0);
	write32(bar + 0x10, 0);
	check("a doorbell interrupts", wait_for_interrupts(2));
	check("the card counted the doorbells", read64(bar + 8) == 2);
	write32(config(slot, msix), 0xc0000000 | (read32(config(slot, msix)) & 0xffff));
	write32(bar + 0x10, 0);
	for (unsigned i = 0; i < 2000 && !(read32(bar + 0x1800) & 1); i++)
		relax();
	check("the function's mask holds it back", interrupt_count == 2);
	write32(config(slot, msix), 0x80000000 | (read32(config(slot, msix)) & 0xffff));
	check("until it is lifted", wait_for_interrupts(3));
}

static void bus(void)
{
	uint64_t bar;

	absent_slots();
	check("the card is in slot 1", (read32(config(1, 0)) & 0xffff) == 0x4b52);
	bar = map_bar(1);
	registers(bar);
	bar_rules(1, bar);
	enable_interrupts();
	interrupts(1, bar);
}

/* A card that is killed: its registers become all ones, and the guest is asked to let go of it. */
static void death(void)
{
	uint64_t bar = map_bar(1);

	put("kill it now\n");
	while (read32(bar + 0x20) != 0xffffffff)
		relax();
	check("configuration space reads as all ones", read32(config(1, 0)) == 0xffffffff);
	write32(bar, 1);
	check("the registers read as all ones", read32(bar) == 0xffffffff);
	while (!(inl(0x610) & 1))
		relax();
	check("the guest is asked to let go", inl(0x618) == 1u << 1);
	outl(0x61c, 1u << 1);
}

/* Says what happens in the slots until the power button is pressed. */
static void slots(void)
{
	put("waiting\n");
	for (;;) {
		uint32_t pending = inl(0x610), inserted, removed;

		if (pending & 2)
			break;
		if (!(pending & 1))
			continue;
		removed = inl(0x618);
		inserted = inl(0x614);
		if (inserted) {
			unsigned slot = (unsigned)__builtin_ctz(inserted);
			uint64_t bar = map_bar(slot);

			write64(bar, inserted);
			put(read64(bar) == inserted ? "inserted " : "not ok - inserted ");
			put_number(slot);
			put("\n");
		}
		if (removed) {
			put("removed ");
			put_number((unsigned)__builtin_ctz(removed));
			put("\n");
			outl(0x61c, removed);
		}
	}
}

static void wait_some(unsigned exits)
{
	for (unsigned i = 0; i < exits; i++)
		inb(0x80);
}

/* Starts all other processors; each counts itself. */
static void processors(void)
{
	volatile uint32_t *started = (volatile uint32_t *)0x8800;
	char *page = (char *)0x8000;

	for (const char *at = other_start; at < other_end; at++)
		*page++ = *at;
	*started = 0;
	write32(LAPIC + 0xf0, 0x1ff);
	write32(LAPIC + 0x300, 0xc4500); /* INIT to all but this one */
	wait_some(100);
	write32(LAPIC + 0x300, 0xc4608); /* start at 0x8000 */
	for (unsigned i = 0; i < 2000; i++)
		inb(0x80);
	put("processors ");
	put_number(*started + 1);
	put("\n");
}

/* Counts for ever. */
static void count(void)
{
	for (uint64_t i = 0;; i++) {
		put("count ");
		put_number(i);
		put("\n");
		wait_some(200);
	}
}

static void spin(void)
{
	put("spinning\n");
	for (;;)
		relax();
}

/* Something that KVM cannot go on from: code where no memory is. */
static void crash(void)
{
	put("crashing\n");
	((void (*)(void))0xc8000000)();
}

/* What no sane guest does; nothing may come of it. */
static void nonsense(void)
{
	for (uint64_t at = 0xe8000000; at < 0xe8100000; at += 1021) {
		write32(at, 0xffffffff);
		read64(at);
	}
	for (unsigned port = 0; port < 0x1000; port++) {
		if (port == 0x64 || port == 0x600 || port == 0x602 || port == 0xcf9)
			continue;
		outl((uint16_t)port, 0xffffffff & ~(port == 0x61c ? ~0u : 0u));
		inl((uint16_t)port);
	}
	for (uint64_t at = 0xc0000000; at < 0xe8000000; at += 0x123457) {
		write64(at, at);
		read64(at);
	}
	outb(0x3fb, 3); /* the console as it was */
	outb(0x3fc, 0);
	put("still here\n");
}

#define SECRET 0x6b61727574612121ul

/* What another guest can be looked for by: one word in every page above the kernel. */
static void for_each_page(uint64_t *found, bool write)
{
	const struct map_entry *map = (const struct map_entry *)start_info->map;

	for (uint32_t i = 0; i < start_info->map_entries; i++) {
		uint64_t end = map[i].address + map[i].size;

		if (map[i].type != 1)
			continue;
		for (uint64_t at = map[i].address; at < end; at += 4096) {
			if (at < 0x400000)
				continue;
			*found += read64(at + 8) == SECRET;
			if (write)
				write64(at + 8, SECRET);
		}
	}
}

static void leave_secret(void)
{
	uint64_t found = 0;

	for_each_page(&found, true);
	found = 0;
	for_each_page(&found, false);
	put("secrets in ");
	put_number(found);
	put(" pages\n");
}

static void find_secret(void)
{
	uint64_t found = 0;

	for_each_page(&found, false);
	put("secrets in ");
	put_number(found);
	put(" pages\n");
}

static const struct {
	const char *name;
	void (*run)(void);
} behaviours[] = {
	{"hello", hello},
	{"memory", memory},
	{"reboot", reboot},
	{"bus", bus},
	{"death", death},
	{"slots", slots},
	{"count", count},
	{"spin", spin},
	{"crash", crash},
	{"processors", processors},
	{"nonsense", nonsense},
	{"hostile", hostile},
	{"verify", verify},
	{"leave-secret", leave_secret},
	{"find-secret", find_secret},
};

static bool is_named(const char *name)
{
	const char *line = command_line;

	while (*name && *line == *name)
		line++, name++;
	return !*name && (!*line || *line == ' ');
}

void guest_main(const struct start_info *info)
{
	start_info = info;
	command_line = (const char *)info->command_line;
	for (unsigned i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		if (!is_named(behaviours[i].name))
			continue;
		behaviours[i].run();
		power_off();
	}
	put("not ok - the guest does not know what to do\n");
	power_off();
}
