/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile cards against the client: what they say about themselves is checked before it is used. */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "card.h"
#include "os/fd.h"

static struct card card;

static int negotiate_with(const void *body, size_t length, size_t fds)
{
	struct error error = {0};
	int ret;

	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_VERSION, body, length, fds);
	ret = vfu_client_negotiate(card.client, &error);
	if (ret) {
		assert_true(error.text[0]);
		card_expect_dead(&card);
	}
	card_end(&card);
	return ret;
}

static void versions_are_checked(void **state)
{
	(void)state;
	assert_int_equal(negotiate_with("\0\0\0\0", 4, 0), 0);
	assert_int_equal(negotiate_with("\0\0\0\0{}", 7, 0), 0);
	assert_int_equal(negotiate_with("\0\0\1\0", 4, 0), -EPROTO);
	assert_int_equal(negotiate_with("\1\0\0\0", 4, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0", 3, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0{}", 6, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0{]", 7, 0), -EPROTO);
	assert_int_equal(negotiate_with("\0\0\0\0", 4, 1), -EPROTO);
	assert_int_equal(
		negotiate_with("\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":7}}", 46, 0),
		-EPROTO);
}

/* What the card said its limits are is kept to. */
static void limits_of_the_card_are_kept(void **state)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":2,"
				      "\"max_data_xfer_size\":8}}";
	int fds[3] = {0, 1, 2};
	struct error error;
	uint8_t body[256], data[12] = {0};

	(void)state;
	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_VERSION, version, sizeof(version), 0);
	assert_int_equal(vfu_client_negotiate(card.client, &error), 0);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(vfu_client_post(card.client, 0, 0, data, sizeof(data)), 0);
	assert_int_equal(card_hears(&card, body, sizeof(body)).size, 16 + 16 + 8);
	assert_int_equal(card_hears(&card, body, sizeof(body)).size, 16 + 16 + 4);
	card_replies(&card, 4, VFIO_USER_SET_IRQS, NULL, 0, 0);
	card_replies(&card, 5, VFIO_USER_SET_IRQS, NULL, 0, 0);
	assert_int_equal(vfu_client_bind_irqs(card.client, 2, 0, fds, 3), 0);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(body[16], 2);
	card_hears(&card, body, sizeof(body));
	assert_int_equal(body[12], 2);
	assert_int_equal(body[16], 1);
	card_end(&card);
}

static int info_of(uint32_t flags, uint32_t regions, uint32_t irqs)
{
	struct vfio_user_info wire = {16, flags, regions, irqs};
	struct vfu_info info;
	int ret;

	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_GET_INFO, &wire, sizeof(wire), 0);
	ret = vfu_client_info(card.client, &info);
	assert_int_equal(vfu_client_is_dead(card.client), ret != 0);
	card_end(&card);
	return ret;
}

static void info_is_checked(void **state)
{
	(void)state;
	assert_int_equal(info_of(3, 9, 5), 0);
	assert_int_equal(info_of(2, 8, 3), 0);
	assert_int_equal(info_of(1, 9, 5), -EPROTO);
	assert_int_equal(info_of(3, 7, 5), -EPROTO);
	assert_int_equal(info_of(3, 101, 5), -EPROTO);
	assert_int_equal(info_of(3, 9, 2), -EPROTO);
	assert_int_equal(info_of(3, 9, 51), -EPROTO);
}

struct region_reply {
	struct vfio_user_region_info info;
	struct vfio_user_sparse_mmap sparse;
	struct vfio_user_area areas[2];
};

static const struct region_reply good_region = {
	.info = {.argsz = 80, .flags = 15, .index = 0, .cap_offset = 32, .size = 0x4000},
	.sparse = {.id = 1, .version = 1, .area_count = 2},
	.areas = {{0x1000, 0x1000}, {0x3000, 0x1000}},
};

static int region_of(struct region_reply wire, size_t length, size_t fds)
{
	struct vfu_region_info info = {.fd = -1};
	int ret;

	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_GET_REGION_INFO, &wire, length, fds);
	ret = vfu_client_region(card.client, 0, &info);
	assert_int_equal(vfu_client_is_dead(card.client), ret != 0);
	if (ret)
		assert_int_equal(info.fd, -1);
	os_close(&info.fd);
	card_end(&card);
	return ret ? ret : (int)info.area_count;
}

static void regions_are_checked(void **state)
{
	struct region_reply wire;

	(void)state;
	assert_int_equal(region_of(good_region, 80, 1), 2);
	assert_int_equal(region_of(good_region, 80, 0), 0);
	assert_int_equal(region_of(good_region, 80, 2), -EPROTO);
	for (size_t length = 0; length < 80; length += 4)
		assert_int_equal(region_of(good_region, length, 1), -EPROTO);
#define BAD_REGION(change)                                                                         \
	do {                                                                                       \
		wire = good_region;                                                                \
		change;                                                                            \
		assert_int_equal(region_of(wire, 80, 1), -EPROTO);                                 \
	} while (0)
	BAD_REGION(wire.info.index = 1);
	BAD_REGION(wire.info.argsz = 31);
	BAD_REGION(wire.info.argsz = 96);
	BAD_REGION(wire.info.cap_offset = 0);
	BAD_REGION(wire.info.cap_offset = 24);
	BAD_REGION(wire.info.cap_offset = 36);
	BAD_REGION(wire.info.cap_offset = 80);
	BAD_REGION(wire.info.cap_offset = UINT32_MAX - 7);
	BAD_REGION(wire.sparse.next = 32); /* a circle */
	BAD_REGION(wire.sparse.next = UINT32_MAX);
	BAD_REGION(wire.sparse.area_count = 3);
	BAD_REGION(wire.sparse.area_count = UINT32_MAX);
	BAD_REGION(wire.areas[0].size = 0);
	BAD_REGION(wire.areas[0].offset = 0x1001);
	BAD_REGION(wire.areas[1].size = 0x2000);
	BAD_REGION(wire.areas[1].offset = UINT64_MAX - 0xfff);
	BAD_REGION(wire.info.offset = UINT64_MAX - 0xfff);
	BAD_REGION(wire.info.flags = 11); /* a descriptor and nothing to map */
#undef BAD_REGION
	wire = good_region;
	wire.info.flags = 7;
	assert_int_equal(region_of(wire, 32, 1), 1); /* all of it */
	wire.sparse.id = 9;
	wire.info.flags = 15;
	assert_int_equal(region_of(wire, 80, 1), 1);
}

static void irq_counts_are_checked(void **state)
{
	struct vfio_user_irq_info wire = {16, 1, 2, 2049};
	uint32_t count;

	(void)state;
	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_GET_IRQ_INFO, &wire, sizeof(wire), 0);
	assert_int_equal(vfu_client_irq(card.client, 2, &count), -EPROTO);
	card_expect_dead(&card);
	card_end(&card);
}

struct io_fds_reply {
	struct vfio_user_io_fds head;
	struct vfio_user_io_fd entries[3];
};

static const struct io_fds_reply good_io_fds = {
	.head = {.argsz = 136, .count = 3},
	.entries = {{.offset = 0x1000, .size = 4, .fd_index = 0},
		    {.offset = 0x1004, .size = 4, .fd_index = 1},
		    {.offset = 0x1008, .size = 4, .fd_index = 1, .flags = 1, .match_value = 7}},
};

static int io_fds_of(struct io_fds_reply wire, size_t length, size_t fds)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];
	int ret;

	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_GET_REGION_IO_FDS, &wire, length, fds);
	ret = vfu_client_io_fds(card.client, 0, io_fds);
	assert_int_equal(vfu_client_is_dead(card.client), ret < 0);
	for (int i = 0; i < ret; i++)
		if (io_fds[i].owned)
			os_close(&io_fds[i].fd);
	card_end(&card);
	return ret;
}

static void io_fds_are_checked(void **state)
{
	struct io_fds_reply wire = good_io_fds;

	(void)state;
	assert_int_equal(io_fds_of(wire, 136, 2), 3);
	assert_int_equal(io_fds_of(wire, 136, 1), -EPROTO);
	assert_int_equal(io_fds_of(wire, 136, 128), 3);
	assert_int_equal(io_fds_of(wire, 16, 0), 0);
	assert_int_equal(io_fds_of(wire, 16, 1), -EPROTO);
	for (size_t length = 0; length < 136; length += 8)
		if (length != 16)
			assert_int_equal(io_fds_of(wire, length, 2), -EPROTO);
	wire.head.count = 2;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire.head.count = UINT32_MAX;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire.head.count = 0;
	assert_int_equal(io_fds_of(wire, 136, 2), -EPROTO);
	wire = good_io_fds;
	wire.entries[0].type = 1;
	wire.entries[1].size = 3;
	assert_int_equal(io_fds_of(wire, 136, 2), 1);
	wire.entries[2].flags = 2;
	assert_int_equal(io_fds_of(wire, 136, 2), 0);
}

static void unmap_must_be_repeated(void **state)
{
	struct vfio_user_dma_unmap wire = {24, 0, 0x1000, 0x2000};

	(void)state;
	card_start(&card, CARD_LONG_MS);
	card_replies(&card, 1, VFIO_USER_DMA_UNMAP, &wire, sizeof(wire), 0);
	assert_int_equal(vfu_client_dma_unmap(card.client, 0x1000, 0x1000), -EPROTO);
	card_expect_dead(&card);
	card_end(&card);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_checked),
		cmocka_unit_test(limits_of_the_card_are_kept),
		cmocka_unit_test(info_is_checked),
		cmocka_unit_test(regions_are_checked),
		cmocka_unit_test(irq_counts_are_checked),
		cmocka_unit_test(io_fds_are_checked),
		cmocka_unit_test(unmap_must_be_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
