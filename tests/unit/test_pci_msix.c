/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X as the host keeps it, and the capability list that leads to it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "pci/pci.h"

static const uint64_t bar_sizes[PCI_BARS] = {8192, 0, 4096, 0, 0, 0};

static void put(uint8_t *config, unsigned offset, uint32_t value, size_t size)
{
	memcpy(config + offset, &value, size);
}

/* A function with a capability of another kind at 0x40 and MSI-X at 0x50. */
static void make_config(uint8_t config[PCI_CONFIG_SIZE], unsigned vectors, uint32_t table,
			uint32_t pending)
{
	memset(config, 0, PCI_CONFIG_SIZE);
	put(config, PCI_STATUS, 0x10, 2);
	put(config, PCI_CAPABILITIES, 0x40, 1);
	put(config, 0x40, 0x5001, 2);
	put(config, 0x50, PCI_CAP_MSIX, 2);
	put(config, 0x52, vectors - 1, 2);
	put(config, 0x54, table, 4);
	put(config, 0x58, pending, 4);
}

static int find(unsigned vectors, uint32_t table, uint32_t pending, struct pci_msix *msix)
{
	uint8_t config[PCI_CONFIG_SIZE];

	make_config(config, vectors, table, pending);
	return pci_msix_find(msix, config, bar_sizes);
}

static void test_find(void **state)
{
	struct pci_msix msix;

	(void)state;
	assert_int_equal(find(5, 0x1000, 0x0802, &msix), 0);
	assert_int_equal(msix.vectors, 5);
	assert_int_equal(msix.capability, 0x50);
	assert_int_equal(msix.table_bar, 0);
	assert_int_equal(msix.table_offset, 0x1000);
	assert_int_equal(msix.pending_bar, 2);
	assert_int_equal(msix.pending_offset, 0x800);
	assert_false(msix.enabled);
}

static void test_none(void **state)
{
	uint8_t config[PCI_CONFIG_SIZE];
	struct pci_msix msix;

	(void)state;
	make_config(config, 5, 0x1000, 0x0802);
	put(config, 0x50, PCI_CAP_PM, 1);
	assert_int_equal(pci_msix_find(&msix, config, bar_sizes), 0);
	assert_int_equal(msix.vectors, 0);
	make_config(config, 5, 0x1000, 0x0802);
	put(config, PCI_STATUS, 0, 2); /* no list at all, whatever its pointer says */
	assert_int_equal(pci_msix_find(&msix, config, bar_sizes), 0);
	assert_int_equal(msix.vectors, 0);
}

static void test_nonsense(void **state)
{
	struct pci_msix msix;

	(void)state;
	assert_int_equal(find(256, 0x1000, 0x0802, &msix), 0);
	assert_int_equal(find(257, 0x1000, 0x0802, &msix), -EINVAL); /* past the BAR's end */
	assert_int_equal(find(2, 0x1001, 0x0802, &msix), -EINVAL);   /* no such BAR */
	assert_int_equal(find(2, 0x1000, 0x0807, &msix), -EINVAL);   /* reserved indicator */
	assert_int_equal(find(2, 0x1000, 0x0ffa, &msix), 0);
	assert_int_equal(find(65, 0x1000, 0x0ffa, &msix), -EINVAL);
	assert_int_equal(find(2, 0xfffffff8, 0x0802, &msix), -EINVAL);
	assert_int_equal(find(2, 0x1000, 0x1018, &msix), -EINVAL); /* table and bits overlap */
	assert_int_equal(find(2, 0x1000, 0x1020, &msix), 0);
}

static void test_list(void **state)
{
	uint8_t config[PCI_CONFIG_SIZE];

	(void)state;
	make_config(config, 5, 0x1000, 0x0802);
	assert_int_equal(pci_find_capability(config, PCI_CAP_PM, 8), 0x40);
	assert_int_equal(pci_find_capability(config, PCI_CAP_EXPRESS, 12), -ENOENT);
	put(config, 0x51, 0x40, 1); /* a ring */
	assert_int_equal(pci_find_capability(config, PCI_CAP_EXPRESS, 12), -EINVAL);
	put(config, 0x51, 0x3c, 1); /* into the header */
	assert_int_equal(pci_find_capability(config, PCI_CAP_EXPRESS, 12), -EINVAL);
	put(config, 0x51, 0xfc, 1); /* cut off by the end */
	put(config, 0xfc, PCI_CAP_EXPRESS, 1);
	assert_int_equal(pci_find_capability(config, PCI_CAP_EXPRESS, 12), -EINVAL);
	assert_int_equal(pci_find_capability(config, PCI_CAP_EXPRESS, 4), 0xfc);
}

static void make(struct pci_msix *msix, struct pci_msix_entry table[4])
{
	assert_int_equal(find(4, 0x1000, 0x0802, msix), 0);
	msix->table = table;
	pci_msix_reset(msix);
}

static void test_table(void **state)
{
	struct pci_msix_entry table[4], read;
	struct pci_msix msix;
	uint64_t address = 0xfee00000, nothing = 1;
	uint32_t data = 0x4041, all = 0xffffffff;

	(void)state;
	memset(table, 0x55, sizeof(table));
	make(&msix, table);
	assert_int_equal(table[3].control, 1);
	assert_int_equal(table[3].address, 0);
	assert_int_equal(pci_msix_table_write(&msix, 16, &address, 8), 1);
	assert_int_equal(pci_msix_table_write(&msix, 24, &data, 4), 1);
	assert_int_equal(pci_msix_table_write(&msix, 28, &all, 4), 1);
	pci_msix_table_read(&msix, 16, &read, 16);
	assert_int_equal(read.address, address);
	assert_int_equal(read.data, data);
	assert_int_equal(read.control, 1); /* the other bits are reserved */
	assert_int_equal(pci_msix_table_write(&msix, 64, &data, 4), -1);
	assert_int_equal(pci_msix_table_write(&msix, 60, &address, 8), -1);
	assert_int_equal(pci_msix_table_write(&msix, 12, &address, 8), -1); /* two entries */
	assert_int_equal(pci_msix_table_write(&msix, UINT32_MAX, &address, 8), -1);
	pci_msix_table_read(&msix, 60, &nothing, 8);
	assert_int_equal(nothing, 0);
}

static void test_live(void **state)
{
	struct pci_msix_entry table[4];
	struct pci_msix msix;

	(void)state;
	make(&msix, table);
	assert_false(pci_msix_is_live(&msix, 0));
	msix.enabled = true;
	assert_false(pci_msix_is_live(&msix, 0));
	table[0].control = 0;
	assert_true(pci_msix_is_live(&msix, 0));
	assert_false(pci_msix_is_live(&msix, 1));
	assert_false(pci_msix_is_live(&msix, 4));
	msix.function_masked = true;
	assert_false(pci_msix_is_live(&msix, 0));
	pci_msix_reset(&msix);
	assert_false(msix.enabled || msix.function_masked);
	assert_int_equal(table[0].control, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	 cmocka_unit_test(test_none),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_list),
		cmocka_unit_test(test_table),	 cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
