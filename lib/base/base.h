/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file may use: element counts, checked sums, rounding, scope cleanup. No system calls.
 */
#ifndef KARUTA_BASE_BASE_H
#define KARUTA_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* True when [address, address + length) wraps around 2^64; a range that ends exactly at 2^64 wraps.
 */
static inline bool range_wraps(uint64_t address, uint64_t length)
{
	uint64_t end;

	return __builtin_add_overflow(address, length, &end);
}

/* True when [offset, offset + length) lies within [0, size). Never overflows. */
static inline bool range_within(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset <= size && length <= size - offset;
}

static inline bool ranges_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a_length && b_length && (a < b ? b - a < a_length : a - b < b_length);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* `align` is a power of two; the caller has made sure that the sum does not overflow. */
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static inline uint64_t align_down(uint64_t value, uint64_t align)
{
	return value & ~(align - 1);
}

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

/* The variable's memory is freed at the end of its scope. */
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free_pointer)))

#endif
