/* SPDX-License-Identifier: Apache-2.0 */
/* Base address registers as the host keeps them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "pci/pci.h"

#define TYPE_64	      0x4u
#define TYPE_PREFETCH 0x8u
#define TYPE_IO	      0x1u

/* BAR 0: 4 KiB, 32 bits; BAR 2 and 3: 64 KiB, 64 bits, prefetchable. */
static const uint64_t sizes[PCI_BARS] = {4096, 0, 65536, 0, 0, 0};
static const uint32_t types[PCI_BARS] = {0, 0, TYPE_64 | TYPE_PREFETCH, 0, 0, 0};

static uint32_t get(const struct pci_bar *bars, unsigned index)
{
	uint32_t value;

	pci_bars_read(bars, PCI_BAR0 + 4 * index, &value, 4);
	return value;
}

static bool put(struct pci_bar *bars, unsigned index, uint32_t value)
{
	return pci_bars_write(bars, PCI_BAR0 + 4 * index, &value, 4);
}

static void test_sizing(void **state)
{
	struct pci_bar bars[PCI_BARS];

	(void)state;
	assert_int_equal(pci_bars_init(bars, sizes, types), 0);
	for (unsigned i = 0; i < PCI_BARS; i++)
		put(bars, i, 0xffffffff);
	assert_int_equal(get(bars, 0), 0xfffff000);
	assert_int_equal(get(bars, 1), 0);
	assert_int_equal(get(bars, 2), 0xffff000c);
	assert_int_equal(get(bars, 3), 0xffffffff);
	assert_int_equal(get(bars, 4), 0);
}

static void test_big_bar_sizes_in_its_upper_half(void **state)
{
	const uint64_t big[PCI_BARS] = {64 * GIB};
	const uint32_t type[PCI_BARS] = {TYPE_64};
	struct pci_bar bars[PCI_BARS];

	(void)state;
	assert_int_equal(pci_bars_init(bars, big, type), 0);
	put(bars, 0, 0xffffffff);
	put(bars, 1, 0xffffffff);
	assert_int_equal(get(bars, 0), 0x4);
	assert_int_equal(get(bars, 1), 0xfffffff0);
}

static void test_write_tells_of_changes(void **state)
{
	struct pci_bar bars[PCI_BARS];

	(void)state;
	pci_bars_init(bars, sizes, types);
	assert_true(put(bars, 0, 0xd0000000));
	assert_false(put(bars, 0, 0xd0000fff)); /* only bits that cannot be set */
	assert_false(put(bars, 1, 0xd0000000)); /* not there */
	assert_true(put(bars, 3, 1));
	assert_int_equal(get(bars, 3), 1);
	assert_int_equal(get(bars, 2), 0xc);
}

static void test_bytes_and_edges(void **state)
{
	struct pci_bar bars[PCI_BARS];
	uint8_t byte = 0xab, all[24], past[4] = {1, 2, 3, 4};

	(void)state;
	pci_bars_init(bars, sizes, types);
	assert_true(pci_bars_write(bars, PCI_BAR0 + 3, &byte, 1));
	assert_int_equal(get(bars, 0), 0xab000000);
	pci_bars_read(bars, PCI_BAR0, all, sizeof(all));
	assert_int_equal(all[3], 0xab);
	assert_int_equal(all[8], 0xc);
	assert_false(pci_bars_write(bars, PCI_BAR0 - 1, past, 4));
	assert_false(pci_bars_write(bars, 0x26, past, 4));
	pci_bars_read(bars, 0x26, past, 4);
	assert_int_equal(past[0] | past[1] | past[2] | past[3], 0);
}

static void test_find(void **state)
{
	struct pci_bar bars[PCI_BARS];
	uint64_t offset = 0;

	(void)state;
	pci_bars_init(bars, sizes, types);
	assert_int_equal(pci_bars_find(bars, 0, 4, &offset), -ENOENT); /* nobody placed it */
	put(bars, 0, 0xd0000000);
	put(bars, 2, 0x10000);
	put(bars, 3, 0x80);
	assert_int_equal(pci_bars_find(bars, 0xd0000ffc, 4, &offset), 0);
	assert_int_equal(offset, 0xffc);
	assert_int_equal(pci_bars_find(bars, 0xd0000ffd, 4, &offset), -ENOENT);
	assert_int_equal(pci_bars_find(bars, 0xcfffffff, 4, &offset), -ENOENT);
	assert_int_equal(pci_bars_find(bars, 0x8000010008, 8, &offset), 2);
	assert_int_equal(offset, 8);
}

static void test_find_at_the_end_of_the_world(void **state)
{
	struct pci_bar bars[PCI_BARS];
	uint64_t offset;

	(void)state;
	pci_bars_init(bars, sizes, types);
	put(bars, 2, 0xffffffff);
	put(bars, 3, 0xffffffff);
	assert_int_equal(pci_bars_find(bars, UINT64_MAX - 7, 8, &offset), 2);
	assert_int_equal(pci_bars_find(bars, UINT64_MAX - 3, 8, &offset), -ENOENT);
	assert_int_equal(pci_bars_find(bars, 0, 8, &offset), -ENOENT);
}

static int init(unsigned index, uint64_t size, uint32_t type, uint64_t next)
{
	uint64_t some[PCI_BARS] = {0};
	uint32_t kinds[PCI_BARS] = {0};
	struct pci_bar bars[PCI_BARS];

	some[index] = size;
	kinds[index] = type;
	if (index + 1 < PCI_BARS)
		some[index + 1] = next;
	return pci_bars_init(bars, some, kinds);
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(init(0, 4096, 0, 0), 0);
	assert_int_equal(init(0, 4096, TYPE_IO, 0), -EINVAL);
	assert_int_equal(init(0, 4096, 2, 0), -EINVAL);
	assert_int_equal(init(0, 4096, 6, 0), -EINVAL);
	assert_int_equal(init(0, 4097, 0, 0), -EINVAL);
	assert_int_equal(init(0, 8, 0, 0), -EINVAL);
	assert_int_equal(init(0, 2 * GIB, 0, 0), 0);
	assert_int_equal(init(0, 4 * GIB, 0, 0), -EINVAL);
	assert_int_equal(init(0, 4 * GIB, TYPE_64, 0), 0);
	assert_int_equal(init(0, UINT64_C(1) << 63, TYPE_64, 0), -EINVAL);
	assert_int_equal(init(0, 4096, TYPE_64, 4096), -EINVAL);
	assert_int_equal(init(5, 4096, TYPE_64, 0), -EINVAL);
	assert_int_equal(init(4, 4096, TYPE_64, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizing),
		cmocka_unit_test(test_big_bar_sizes_in_its_upper_half),
		cmocka_unit_test(test_write_tells_of_changes),
		cmocka_unit_test(test_bytes_and_edges),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_at_the_end_of_the_world),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
