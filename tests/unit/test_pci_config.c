/* SPDX-License-Identifier: Apache-2.0 */
/* What a function shows in its configuration space, and what software can change of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "pci/pci.h"

static const struct pci_identity identity = {
	.vendor = KARUTA_PCI_VENDOR,
	.device = 0x1234,
	.subsystem_vendor = 0xabcd,
	.subsystem = 0x4321,
	.class_code = 0x010802,
	.revision = 7,
	.bars = {{.size = 16 * KIB, .is_64bit = true},
		 {0},
		 {.size = 4 * KIB},
		 {0},
		 {.size = 8 * GIB, .is_64bit = true, .prefetchable = true}},
	.msix_vectors = 17,
	.msix_bar = 0,
	.msix_table_offset = 0x2000,
	.msix_pending_offset = 0x3000,
};

static uint32_t get(const struct pci_config *config, uint32_t offset, uint32_t width)
{
	uint32_t value = 0;

	pci_config_read(config, offset, &value, width);
	return value;
}

static unsigned put(struct pci_config *config, uint32_t offset, uint32_t width, uint32_t value)
{
	return pci_config_write(config, offset, &value, width);
}

static struct pci_config fresh(void)
{
	struct pci_config config;

	assert_int_equal(pci_config_init(&config, &identity), 0);
	return config;
}

static uint8_t find_capability(const struct pci_config *config, uint8_t id)
{
	uint8_t at = (uint8_t)get(config, PCI_CAPABILITIES, 1);

	for (unsigned i = 0; at && i < 48; i++) {
		assert_true(at >= PCI_FIRST_CAPABILITY && at % 4 == 0);
		if (get(config, at, 1) == id)
			return at;
		at = (uint8_t)get(config, at + 1u, 1);
	}
	return 0;
}

static void header_tells_what_the_function_is(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	assert_int_equal(get(&config, PCI_VENDOR_ID, 4), 0x1234u << 16 | KARUTA_PCI_VENDOR);
	assert_int_equal(get(&config, PCI_REVISION, 4), 0x01080207);
	assert_int_equal(get(&config, PCI_SUBSYSTEM_VENDOR, 4), 0x4321abcdu);
	assert_int_equal(get(&config, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(get(&config, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(get(&config, PCI_COMMAND, 2), 0);
	assert_int_equal(get(&config, PCI_STATUS, 2) & 0x10, 0x10);
}

static void sizing_a_32_bit_bar(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	assert_int_equal(get(&config, 0x18, 4), 0);
	put(&config, 0x18, 4, 0xffffffff);
	assert_int_equal(get(&config, 0x18, 4), 0xfffff000);
	put(&config, 0x18, 4, 0xc0001234);
	assert_int_equal(get(&config, 0x18, 4), 0xc0001000);
}

static void sizing_a_64_bit_bar(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	put(&config, 0x10, 4, 0xffffffff);
	put(&config, 0x14, 4, 0xffffffff);
	assert_int_equal(get(&config, 0x10, 4), 0xffffc004);
	assert_int_equal(get(&config, 0x14, 4), 0xffffffff);
	put(&config, 0x20, 4, 0xffffffff);
	put(&config, 0x24, 4, 0xffffffff);
	assert_int_equal(get(&config, 0x20, 4), 0x0000000c);
	assert_int_equal(get(&config, 0x24, 4), 0xfffffffe);
}

static void bars_that_are_not_there_stay_zero(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	put(&config, 0x1c, 4, 0xffffffff);
	put(&config, PCI_ROM_BAR, 4, 0xfffff800);
	assert_int_equal(get(&config, 0x1c, 4), 0);
	assert_int_equal(get(&config, PCI_ROM_BAR, 4), 0);
}

static void capability_list_has_all_three(void **state)
{
	struct pci_config config = fresh();
	uint8_t pm = find_capability(&config, PCI_CAP_PM);
	uint8_t express = find_capability(&config, PCI_CAP_EXPRESS);
	uint8_t msix = find_capability(&config, PCI_CAP_MSIX);

	(void)state;
	assert_true(pm && express && msix);
	assert_int_equal(pm, config.pm_capability);
	assert_int_equal(express, config.express_capability);
	assert_int_equal(msix, config.msix_capability);
	assert_int_equal(get(&config, express + 2u, 2) & 0xff, 0x02);
	assert_int_equal(get(&config, express + 4u, 4) & 1u << 28, 1u << 28);
	assert_int_equal(get(&config, msix + 2u, 2), 16);
	assert_int_equal(get(&config, msix + 4u, 4), 0x2000);
	assert_int_equal(get(&config, msix + 8u, 4), 0x3000);
}

static void without_vectors_no_msix(void **state)
{
	struct pci_identity plain = identity;
	struct pci_config config;

	(void)state;
	plain.msix_vectors = 0;
	assert_int_equal(pci_config_init(&config, &plain), 0);
	assert_int_equal(find_capability(&config, PCI_CAP_MSIX), 0);
	assert_int_equal(config.msix_capability, 0);
	assert_true(find_capability(&config, PCI_CAP_EXPRESS));
	/* Where its control register would be with an offset of 0: the status register. */
	assert_int_equal(put(&config, 2, 2, 0xffff) & PCI_EFFECT_MSIX, 0);
}

/* The registers that a driver may change, by PCI 3.0, 6.2, and PCIe 5.0, 7.5. */
static const struct {
	uint32_t offset, width, mask;
} writable[] = {
	{0x04, 2, 0x0546},     {0x0c, 1, 0xff},	      {0x10, 4, 0xffffc000}, {0x14, 4, 0xffffffff},
	{0x18, 4, 0xfffff000}, {0x24, 4, 0xfffffffe}, {0x3c, 1, 0xff},	     {0x44, 2, 0x0003},
	{0x58, 2, 0x79ff},     {0x60, 2, 0x00c8},     {0x78, 2, 0x0010},     {0x80, 2, 0x000f},
	{0x92, 2, 0xc000},
};

static uint8_t writable_bits(uint32_t offset)
{
	for (size_t i = 0; i < ARRAY_LEN(writable); i++) {
		if (offset >= writable[i].offset && offset < writable[i].offset + writable[i].width)
			return (uint8_t)(writable[i].mask >> 8 * (offset - writable[i].offset));
	}
	return 0;
}

static void every_byte_changes_only_where_it_may(void **state)
{
	(void)state;
	for (uint32_t offset = 0; offset < PCI_CONFIG_SIZE; offset++) {
		struct pci_config config = fresh();
		uint8_t before = (uint8_t)get(&config, offset, 1);
		uint8_t mask = writable_bits(offset);

		put(&config, offset, 1, 0xff);
		assert_int_equal(get(&config, offset, 1), before | mask);
		put(&config, offset, 1, 0x00);
		assert_int_equal(get(&config, offset, 1), before & ~mask);
	}
}

static void a_write_touches_no_neighbour(void **state)
{
	(void)state;
	for (uint32_t offset = 0; offset < PCI_CONFIG_SIZE; offset++) {
		struct pci_config before = fresh(), after = before;

		put(&after, offset, 1, 0xff);
		for (uint32_t i = 0; i < PCI_CONFIG_SIZE; i++) {
			if (i != offset)
				assert_int_equal(before.bytes[i], after.bytes[i]);
		}
		assert_memory_equal(before.writable, after.writable, sizeof(before.writable));
	}
}

static void odd_lengths_are_bytes(void **state)
{
	struct pci_config config = fresh();
	uint8_t ones[3] = {0xff, 0xff, 0xff};

	(void)state;
	pci_config_write(&config, 0x11, ones, 3);
	assert_int_equal(get(&config, 0x10, 4), 0xffffc004);
	assert_int_equal(get(&config, 0x11, 3), 0xffffc0);
	assert_int_equal(pci_config_write(&config, 0x00, ones, 0), 0);
}

static void past_the_end_reads_zeros(void **state)
{
	struct pci_config config = fresh();
	uint8_t bytes[8];

	(void)state;
	config.bytes[255] = 0x55;
	memset(bytes, 0xee, sizeof(bytes));
	pci_config_read(&config, 255, bytes, 4);
	assert_memory_equal(bytes, ((uint8_t[]){0x55, 0, 0, 0, 0xee}), 5);
	pci_config_read(&config, 256, bytes, 4);
	pci_config_read(&config, UINT32_MAX, bytes + 4, 4);
	assert_memory_equal(bytes, (uint8_t[8]){0}, 8);
	pci_config_read(&config, 0, bytes, 0);
}

static void past_the_end_ignores_writes(void **state)
{
	struct pci_config before = fresh(), after = before;
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	assert_int_equal(pci_config_write(&after, 252, bytes, 8), 0);
	assert_int_equal(pci_config_write(&after, 256, bytes, 8), 0);
	assert_int_equal(pci_config_write(&after, UINT32_MAX - 2, bytes, 8), 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void command_bits_have_an_effect_when_they_change(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	assert_false(pci_config_is_master(&config));
	assert_int_equal(put(&config, PCI_COMMAND, 2, 0x0006), PCI_EFFECT_COMMAND);
	assert_true(pci_config_is_master(&config));
	assert_int_equal(put(&config, PCI_COMMAND, 2, 0x0406), 0);
	assert_int_equal(put(&config, PCI_COMMAND, 2, 0x0402), PCI_EFFECT_COMMAND);
	assert_false(pci_config_is_master(&config));
}

static void msix_control_has_an_effect_when_it_changes(void **state)
{
	struct pci_config config = fresh();
	uint32_t control = config.msix_capability + 2u;

	(void)state;
	assert_int_equal(put(&config, control, 2, 0xc010), PCI_EFFECT_MSIX);
	assert_int_equal(put(&config, control, 2, 0xc000), 0);
	assert_int_equal(get(&config, control, 2), 0xc010);
	assert_int_equal(put(&config, control, 2, 0x8000), PCI_EFFECT_MSIX);
}

static void function_level_reset_is_asked_for_and_reads_zero(void **state)
{
	struct pci_config config = fresh();
	uint32_t control = config.express_capability + 8u;

	(void)state;
	assert_int_equal(put(&config, control, 2, 0xa810), PCI_EFFECT_RESET);
	assert_int_equal(get(&config, control, 2), 0x2810);
	assert_int_equal(put(&config, control, 2, 0x2810), 0);
}

static void identity_registers_refuse(void **state)
{
	static const uint32_t offsets[] = {0, 2, 8, 9, 11, 0x2c, 0x2e};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		struct pci_config config = fresh();
		uint32_t is = get(&config, offsets[i], 1);

		assert_int_equal(put(&config, offsets[i], 1, is), 0);
		assert_int_equal(put(&config, offsets[i], 1, ~is), PCI_EFFECT_REFUSED);
		assert_int_equal(get(&config, offsets[i], 1), is);
	}
}

static void sane_writes_of_a_driver_are_not_refused(void **state)
{
	struct pci_config config = fresh();

	(void)state;
	assert_int_equal(put(&config, PCI_STATUS, 2, 0xf900), 0);
	assert_int_equal(put(&config, 0x0c, 2, 0x4010), 0);
	assert_int_equal(put(&config, PCI_ROM_BAR, 4, 0xfffff800), 0);
	assert_int_equal(put(&config, PCI_INTERRUPT_LINE, 1, 11), 0);
}

static void unsupported_power_states_are_not_taken(void **state)
{
	struct pci_config config = fresh();
	uint32_t control = config.pm_capability + 4u;

	(void)state;
	put(&config, control, 2, 3);
	assert_int_equal(get(&config, control, 2) & 3, 3);
	put(&config, control, 2, 1);
	assert_int_equal(get(&config, control, 2) & 3, 3);
	put(&config, control, 2, 0);
	put(&config, control, 2, 2);
	assert_int_equal(get(&config, control, 2) & 3, 0);
}

static void reset_is_power_on(void **state)
{
	struct pci_config config = fresh(), new = config;
	uint8_t ones[PCI_CONFIG_SIZE];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	pci_config_write(&config, 0, ones, sizeof(ones));
	assert_memory_not_equal(&config, &new, sizeof(new));
	pci_config_reset(&config, &identity);
	assert_memory_equal(&config, &new, sizeof(new));
}

static void check_takes_what_writes_can_reach(void **state)
{
	struct pci_config config = fresh();
	uint8_t ones[PCI_CONFIG_SIZE];

	(void)state;
	assert_int_equal(pci_config_check(&config, &identity), 0);
	memset(ones, 0xff, sizeof(ones));
	pci_config_write(&config, 0, ones, sizeof(ones));
	assert_int_equal(pci_config_check(&config, &identity), 0);
}

static void check_refuses_every_other_bit(void **state)
{
	struct pci_config config;
	uint8_t *bytes = (uint8_t *)&config;

	(void)state;
	for (uint32_t bit = 0; bit < 8 * sizeof(config); bit++) {
		uint32_t byte = bit / 8;
		uint8_t one = (uint8_t)(1u << bit % 8);

		config = fresh();
		bytes[byte] ^= one;
		/* A single power state bit makes D1 or D2. */
		if (byte < PCI_CONFIG_SIZE && writable_bits(byte) & one && byte != 0x44)
			assert_int_equal(pci_config_check(&config, &identity), 0);
		else
			assert_int_equal(pci_config_check(&config, &identity), -EPROTO);
	}
}

static void expect_refused(void (*spoil)(struct pci_identity *))
{
	struct pci_identity spoilt = identity;
	struct pci_config config;

	spoil(&spoilt);
	assert_int_equal(pci_config_init(&config, &spoilt), -EINVAL);
}

static void odd_size(struct pci_identity *spoilt)
{
	spoilt->bars[2].size = 5000;
}

static void small_size(struct pci_identity *spoilt)
{
	spoilt->bars[2].size = 2048;
}

static void big_32_bit(struct pci_identity *spoilt)
{
	spoilt->bars[2].size = 4 * GIB;
}

static void upper_in_use(struct pci_identity *spoilt)
{
	spoilt->bars[1].size = 4096;
}

static void upper_missing(struct pci_identity *spoilt)
{
	spoilt->bars[4].size = 0;
	spoilt->bars[5] = (struct pci_bar_spec){.size = 4096, .is_64bit = true};
}

static void table_outside(struct pci_identity *spoilt)
{
	spoilt->msix_table_offset = 16 * KIB - 16 * 16;
}

static void table_overlaps(struct pci_identity *spoilt)
{
	spoilt->msix_pending_offset = 0x2000 + 16 * 16;
}

static void table_crooked(struct pci_identity *spoilt)
{
	spoilt->msix_table_offset = 0x2004;
}

static void table_nowhere(struct pci_identity *spoilt)
{
	spoilt->msix_bar = 3;
}

static void table_in_no_bar(struct pci_identity *spoilt)
{
	spoilt->msix_bar = 6;
}

static void too_many_vectors(struct pci_identity *spoilt)
{
	spoilt->bars[0].size = 1 * MIB;
	spoilt->msix_pending_offset = 512 * 1024;
	spoilt->msix_vectors = PCI_MSIX_MAX + 1;
}

static void long_class(struct pci_identity *spoilt)
{
	spoilt->class_code = 1u << 24;
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	expect_refused(odd_size);
	expect_refused(small_size);
	expect_refused(big_32_bit);
	expect_refused(upper_in_use);
	expect_refused(upper_missing);
	expect_refused(table_outside);
	expect_refused(table_overlaps);
	expect_refused(table_crooked);
	expect_refused(table_nowhere);
	expect_refused(table_in_no_bar);
	expect_refused(too_many_vectors);
	expect_refused(long_class);
}

static void msix_sizes(void **state)
{
	struct pci_identity other = identity;

	(void)state;
	assert_int_equal(pci_msix_table_size(&identity), 17 * 16);
	assert_int_equal(pci_msix_pending_size(&identity), 8);
	other.msix_vectors = 65;
	assert_int_equal(pci_msix_pending_size(&other), 16);
	other.msix_vectors = 0;
	assert_int_equal(pci_msix_pending_size(&other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_tells_what_the_function_is),
		cmocka_unit_test(sizing_a_32_bit_bar),
		cmocka_unit_test(sizing_a_64_bit_bar),
		cmocka_unit_test(bars_that_are_not_there_stay_zero),
		cmocka_unit_test(capability_list_has_all_three),
		cmocka_unit_test(without_vectors_no_msix),
		cmocka_unit_test(every_byte_changes_only_where_it_may),
		cmocka_unit_test(a_write_touches_no_neighbour),
		cmocka_unit_test(odd_lengths_are_bytes),
		cmocka_unit_test(past_the_end_reads_zeros),
		cmocka_unit_test(past_the_end_ignores_writes),
		cmocka_unit_test(command_bits_have_an_effect_when_they_change),
		cmocka_unit_test(msix_control_has_an_effect_when_it_changes),
		cmocka_unit_test(function_level_reset_is_asked_for_and_reads_zero),
		cmocka_unit_test(identity_registers_refuse),
		cmocka_unit_test(sane_writes_of_a_driver_are_not_refused),
		cmocka_unit_test(unsupported_power_states_are_not_taken),
		cmocka_unit_test(reset_is_power_on),
		cmocka_unit_test(check_takes_what_writes_can_reach),
		cmocka_unit_test(check_refuses_every_other_bit),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(msix_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
