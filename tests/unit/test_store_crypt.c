/* SPDX-License-Identifier: Apache-2.0 */
/* The format of a volume, and what the crypt store does with requests of every shape. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "base/base.h"
#include "late_store.h"
#include "store/crypt.h"
#include "store/store.h"

#define BLOCKS 1024u
#define SIZE   ((uint64_t)BLOCKS * STORE_BLOCK)

/* ---- AES-256-XTS written down from IEEE 1619, 5.3, over plain AES: what the cipher must equal
 * ---- */

static void aes(const uint8_t key[32], uint8_t block[16])
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length;

	assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), NULL, key, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(context, block, &length, block, 16), 1);
	EVP_CIPHER_CTX_free(context);
}

static void mix(uint8_t block[16], const uint8_t tweak[16])
{
	for (size_t i = 0; i < 16; i++)
		block[i] ^= tweak[i];
}

/* Times alpha in GF(2^128). */
static void next_tweak(uint8_t tweak[16])
{
	uint8_t carry = 0;

	for (size_t i = 0; i < 16; i++) {
		uint8_t out = tweak[i] >> 7;

		tweak[i] = (uint8_t)(tweak[i] << 1 | carry);
		carry = out;
	}
	if (carry)
		tweak[0] ^= 0x87;
}

static void reference(const uint8_t key[64], uint64_t unit, uint8_t *data, size_t length)
{
	uint8_t tweak[16] = {0};

	memcpy(tweak, &unit, sizeof(unit));
	aes(key + 32, tweak);
	for (size_t at = 0; at < length; at += 16) {
		mix(data + at, tweak);
		aes(key, data + at);
		mix(data + at, tweak);
		next_tweak(tweak);
	}
}

/* IEEE 1619-2007, annex B, vector 10: the digits of e and pi, data unit ff. */
static const uint8_t vector_key[64] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74,
	0x71, 0x35, 0x26, 0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59,
	0x57, 0x49, 0x66, 0x96, 0x76, 0x27, 0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97,
	0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95, 0x02, 0x88, 0x41, 0x97,
	0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92};
static const uint8_t vector_start[16] = {0x1c, 0x3b, 0x3a, 0x10, 0x2f, 0x77, 0x03, 0x86,
					 0xe4, 0x83, 0x6c, 0x99, 0xe3, 0x70, 0xcf, 0x9b};

static void reference_equals_the_standard(void **state)
{
	uint8_t data[512];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	reference(vector_key, 0xff, data, sizeof(data));
	assert_memory_equal(data, vector_start, sizeof(vector_start));
}

static void cipher_equals_the_reference(void **state)
{
	static const uint64_t blocks[] = {0, 1, 2, 255, UINT64_C(1) << 29, UINT64_C(1) << 40};
	struct store_cipher *cipher;
	uint8_t plain[STORE_BLOCK], stored[STORE_BLOCK], expected[STORE_BLOCK];

	(void)state;
	assert_int_equal(store_cipher_create(&cipher, vector_key, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		for (size_t byte = 0; byte < sizeof(plain); byte++)
			expected[byte] = plain[byte] = (uint8_t)(byte * 31 + i);
		reference(vector_key, blocks[i] * 8, expected, sizeof(expected));
		assert_int_equal(store_cipher_encrypt(cipher, blocks[i], plain, stored), 0);
		assert_memory_equal(stored, expected, sizeof(stored));
		assert_int_equal(store_cipher_decrypt(cipher, blocks[i], stored, stored), 0);
		assert_memory_equal(stored, plain, sizeof(stored));
	}
	store_cipher_destroy(cipher);
}

/* ---- the store ---- */

struct fixture {
	struct late_store *late; /* below; the crypt store's */
	struct store *store;
};

/* One request and what became of it. */
struct asked {
	struct store_request request; /* first */
	struct iovec iov;
	unsigned answers;
	int error;
};

static void answered(struct store_request *request, int error)
{
	struct asked *asked = (struct asked *)request;

	asked->answers++;
	asked->error = error;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->late = late_store_create(SIZE);
	*state = fixture;
	return store_crypt_create(&fixture->store, &fixture->late->store, vector_key, NULL);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_destroy(fixture->store);
	free(fixture);
	return 0;
}

static void ask(struct fixture *fixture, struct asked *asked, enum store_op op, uint64_t offset,
		void *data, uint64_t length)
{
	asked->answers = 0;
	asked->iov = (struct iovec){.iov_base = data, .iov_len = length};
	asked->request = (struct store_request){.op = op,
						.offset = offset,
						.length = length,
						.iov = &asked->iov,
						.iov_count = 1,
						.done = answered};
	store_submit(fixture->store, &asked->request);
}

static void ask_and_end(struct fixture *fixture, enum store_op op, uint64_t offset, void *data,
			uint64_t length)
{
	struct asked asked;

	ask(fixture, &asked, op, offset, data, length);
	late_store_end_all(fixture->late);
	assert_int_equal(asked.answers, 1);
	assert_int_equal(asked.error, 0);
}

static void fill(uint8_t *data, size_t length, uint8_t seed)
{
	for (size_t i = 0; i < length; i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8) + seed);
}

static void check_stored(const struct fixture *fixture, uint64_t block, const uint8_t *plain)
{
	uint8_t expected[STORE_BLOCK];

	memcpy(expected, plain, sizeof(expected));
	reference(vector_key, block * 8, expected, sizeof(expected));
	assert_memory_equal(fixture->late->bytes + block * STORE_BLOCK, expected, STORE_BLOCK);
}

static void stores_what_dm_crypt_would(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[3 * STORE_BLOCK], back[3 * STORE_BLOCK];

	fill(data, sizeof(data), 1);
	ask_and_end(fixture, STORE_WRITE, 7 * STORE_BLOCK, data, sizeof(data));
	for (uint64_t i = 0; i < 3; i++)
		check_stored(fixture, 7 + i, data + i * STORE_BLOCK);
	ask_and_end(fixture, STORE_READ, 7 * STORE_BLOCK, back, sizeof(back));
	assert_memory_equal(back, data, sizeof(data));
}

static void written_zeros_are_encrypted(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[STORE_BLOCK] = {0};

	ask_and_end(fixture, STORE_WRITE, 0, data, sizeof(data));
	check_stored(fixture, 0, data);
}

static void a_hole_reads_as_zeros(void **state)
{
	struct fixture *fixture = *state;
	uint8_t back[2 * STORE_BLOCK], zeros[2 * STORE_BLOCK] = {0};

	memset(back, 0xee, sizeof(back));
	ask_and_end(fixture, STORE_READ, 5 * STORE_BLOCK, back, sizeof(back));
	assert_memory_equal(back, zeros, sizeof(back));
	memset(back, 0xee, sizeof(back));
	ask_and_end(fixture, STORE_READ, 5 * STORE_BLOCK + 512, back, 1024);
	assert_memory_equal(back, zeros, 1024);
	assert_int_equal(back[1024], 0xee);
}

static void a_sector_in_a_hole_leaves_zeros_around_it(void **state)
{
	struct fixture *fixture = *state;
	uint8_t plain[STORE_BLOCK] = {0};

	fill(plain + 1024, 512, 9);
	ask_and_end(fixture, STORE_WRITE, 3 * STORE_BLOCK + 1024, plain + 1024, 512);
	check_stored(fixture, 3, plain);
}

static void ragged_requests_keep_their_neighbours(void **state)
{
	struct fixture *fixture = *state;
	uint8_t plain[4 * STORE_BLOCK], new[4 * STORE_BLOCK];

	fill(plain, sizeof(plain), 3);
	fill(new, sizeof(new), 77);
	ask_and_end(fixture, STORE_WRITE, 0, plain, sizeof(plain));
	ask_and_end(fixture, STORE_WRITE, 512, new, 2 * STORE_BLOCK);
	memcpy(plain + 512, new, 2 * STORE_BLOCK);
	for (uint64_t i = 0; i < 4; i++)
		check_stored(fixture, i, plain + i * STORE_BLOCK);
	ask_and_end(fixture, STORE_READ, 1536, new, 2 * STORE_BLOCK + 512);
	assert_memory_equal(new, plain + 1536, 2 * STORE_BLOCK + 512);
}

static void discard_makes_holes_of_whole_blocks(void **state)
{
	struct fixture *fixture = *state;
	uint8_t plain[4 * STORE_BLOCK], zeros[2 * STORE_BLOCK] = {0};

	fill(plain, sizeof(plain), 3);
	ask_and_end(fixture, STORE_WRITE, 0, plain, sizeof(plain));
	ask_and_end(fixture, STORE_DISCARD, 3584, NULL, 2 * STORE_BLOCK + 1024);
	memset(plain + 3584, 0, 2 * STORE_BLOCK + 1024);
	check_stored(fixture, 0, plain);
	assert_memory_equal(fixture->late->bytes + STORE_BLOCK, zeros, sizeof(zeros));
	check_stored(fixture, 3, plain + 3 * STORE_BLOCK);
}

static void an_error_below_comes_back_once(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t data[100 * STORE_BLOCK];
	struct asked asked;

	ask(fixture, &asked, STORE_WRITE, 0, data, sizeof(data));
	assert_true(fixture->late->count > 1);
	late_store_end(fixture->late, 1, -ENOSPC);
	late_store_end(fixture->late, 0, -EIO);
	late_store_end_all(fixture->late);
	assert_int_equal(asked.answers, 1);
	assert_int_equal(asked.error, -ENOSPC);
	ask(fixture, &asked, STORE_WRITE, 512, data, 512);
	late_store_end(fixture->late, 0, -EIO); /* the read before the write */
	assert_int_equal(asked.answers, 1);
	assert_int_equal(asked.error, -EIO);
	assert_int_equal(fixture->late->count, 0);
}

static void halves_of_a_block_take_turns(void **state)
{
	struct fixture *fixture = *state;
	uint8_t plain[STORE_BLOCK];
	struct asked first, second, reader;
	uint8_t back[STORE_BLOCK];

	fill(plain, sizeof(plain), 5);
	ask(fixture, &first, STORE_WRITE, 0, plain, 2048);
	ask(fixture, &second, STORE_WRITE, 2048, plain + 2048, 2048);
	ask(fixture, &reader, STORE_READ, 0, back, STORE_BLOCK);
	assert_int_equal(fixture->late->count, 1); /* the others wait */
	late_store_end(fixture->late, 0, 0);
	late_store_end(fixture->late, 0, 0);
	assert_int_equal(first.answers, 1);
	assert_int_equal(second.answers, 0);
	late_store_end_all(fixture->late);
	assert_int_equal(second.answers, 1);
	assert_int_equal(reader.answers, 1);
	assert_memory_equal(back, plain, sizeof(plain));
	check_stored(fixture, 0, plain);
}

static void strangers_do_not_wait(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[STORE_BLOCK] = {1}, more[STORE_BLOCK];
	struct asked asked[4];

	ask(fixture, &asked[0], STORE_WRITE, 0, data, STORE_BLOCK);
	ask(fixture, &asked[1], STORE_WRITE, STORE_BLOCK, data, STORE_BLOCK);
	ask(fixture, &asked[2], STORE_READ, 2 * STORE_BLOCK, more, STORE_BLOCK);
	ask(fixture, &asked[3], STORE_READ, 2 * STORE_BLOCK, more, 512);
	assert_int_equal(fixture->late->count, 4);
	late_store_end_all(fixture->late);
}

static void one_write_reads_the_memory_once(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[STORE_BLOCK], kept[STORE_BLOCK];
	struct asked asked;

	fill(data, sizeof(data), 8);
	memcpy(kept, data, sizeof(kept));
	ask(fixture, &asked, STORE_WRITE, 0, data, STORE_BLOCK);
	memset(data, 0xff, sizeof(data)); /* the guest changes its mind, too late */
	late_store_end_all(fixture->late);
	check_stored(fixture, 0, kept);
}

static void stored_bytes_never_reach_the_caller(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[STORE_BLOCK];

	fill(data, sizeof(data), 8);
	ask_and_end(fixture, STORE_WRITE, 0, data, STORE_BLOCK);
	for (size_t i = 0; i < 3; i++) {
		struct asked asked;
		uint64_t from = i * 512;

		memset(data, 0xee, sizeof(data));
		ask(fixture, &asked, STORE_READ, from, data, STORE_BLOCK - from);
		for (size_t piece = 0; piece < fixture->late->count; piece++) {
			const struct store_request *below = fixture->late->pending[piece];

			for (size_t j = 0; j < below->iov_count; j++)
				assert_false(ranges_overlap((uintptr_t)below->iov[j].iov_base,
							    below->iov[j].iov_len, (uintptr_t)data,
							    sizeof(data)));
		}
		late_store_end_all(fixture->late);
	}
}

static void more_than_there_is_room_for_waits(void **state)
{
	struct fixture *fixture = *state;
	enum { MANY = 700, LENGTH = 40 * STORE_BLOCK };
	struct asked *asked = calloc(MANY, sizeof(*asked));
	uint8_t *data = calloc(MANY, LENGTH);

	assert_non_null(asked);
	assert_non_null(data);
	for (size_t i = 0; i < MANY; i++)
		ask(fixture, &asked[i], i % 3 ? STORE_READ : STORE_WRITE,
		    i % 600 * STORE_BLOCK + i % 8 * 512, data + i * LENGTH, LENGTH);
	assert_true(fixture->late->count > 0);
	assert_true(fixture->late->count < MANY);
	while (fixture->late->count)
		store_poll(fixture->store);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(asked[i].answers, 1);
		assert_int_equal(asked[i].error, 0);
	}
	free(data);
	free(asked);
}

static void flush_and_force_unit_access_go_through(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[1024] = {1};
	struct asked asked;

	ask_and_end(fixture, STORE_FLUSH, 0, NULL, 0);
	assert_int_equal(fixture->late->submitted[STORE_FLUSH], 1);
	asked.iov = (struct iovec){.iov_base = data, .iov_len = sizeof(data)};
	asked.request = (struct store_request){.op = STORE_WRITE,
					       .flags = STORE_FUA,
					       .length = sizeof(data),
					       .iov = &asked.iov,
					       .iov_count = 1,
					       .done = answered};
	store_submit(fixture->store, &asked.request);
	assert_int_equal(fixture->late->pending[0]->flags, 0); /* the read before */
	late_store_end(fixture->late, 0, 0);
	assert_int_equal(fixture->late->pending[0]->flags, STORE_FUA);
	late_store_end_all(fixture->late);
}

/* A disk's flush before or after another request carries that one's range along. */
static void a_flush_is_one_whatever_its_range(void **state)
{
	struct fixture *fixture = *state;
	struct asked asked;

	ask(fixture, &asked, STORE_FLUSH, STORE_BLOCK, NULL, 2 * STORE_BLOCK);
	assert_int_equal(fixture->late->count, 1);
	late_store_end_all(fixture->late);
	assert_int_equal(asked.answers, 1);
	assert_int_equal(fixture->late->submitted[STORE_FLUSH], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_equals_the_standard),
		cmocka_unit_test(cipher_equals_the_reference),
		cmocka_unit_test_setup_teardown(stores_what_dm_crypt_would, setup, teardown),
		cmocka_unit_test_setup_teardown(written_zeros_are_encrypted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hole_reads_as_zeros, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sector_in_a_hole_leaves_zeros_around_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(ragged_requests_keep_their_neighbours, setup,
						teardown),
		cmocka_unit_test_setup_teardown(discard_makes_holes_of_whole_blocks, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_error_below_comes_back_once, setup, teardown),
		cmocka_unit_test_setup_teardown(halves_of_a_block_take_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers_do_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(one_write_reads_the_memory_once, setup, teardown),
		cmocka_unit_test_setup_teardown(stored_bytes_never_reach_the_caller, setup,
						teardown),
		cmocka_unit_test_setup_teardown(more_than_there_is_room_for_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(flush_and_force_unit_access_go_through, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_flush_is_one_whatever_its_range, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
