/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a device answers: patterns of requests, so and so many at a time, and their latencies
 * from the moment at which a request is put into the queue to the one at which its answer is taken.
 */
#ifndef KARUTA_BENCH_MEASURE_H
#define KARUTA_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#define MEASURE_DEPTH	 128u /* at most */
#define MEASURE_LENGTH	 (1024u * 1024)
#define MEASURE_PATTERNS 16u

enum measure_how { MEASURE_READ, MEASURE_WRITE, MEASURE_FLUSH, MEASURE_IDLE };

struct measure_pattern {
	char name[32];
	enum measure_how how;
	bool random;
	uint32_t length;
	unsigned depth;
};

struct measure_settings {
	const char *name;
	double seconds;
	unsigned client_core, server_core;
	unsigned pattern_count;
	struct measure_pattern patterns[MEASURE_PATTERNS];
};

/* All return 0, or what is told, or -errno. */
struct measure_device {
	void *context;
	uint64_t size; /* bytes */
	/* Puts a request into the queue; `place` < depth says which memory is free for it. Returns
	 * a number below MEASURE_DEPTH. */
	int (*put)(void *context, const struct measure_pattern *pattern, unsigned place,
		   uint64_t offset);
	int (*ring)(void *context);
	/* The number of a request that has been answered, whose place is free again; -EAGAIN. */
	int (*take)(void *context);
};

/*
 * Options -n NAME, -t SECONDS, -c CORE,CORE and -p PATTERN; a pattern is HOW:KIB:DEPTH, such as
 * randread:4:32, write:128:1, flush:0:32, or idle:0:1. False: not understood. optind is where the
 * other words begin.
 */
bool measure_options(struct measure_settings *settings, int argc, char **argv);
void measure_pin(unsigned core);
/* One line of JSON on standard output. */
int measure_run(const struct measure_device *device, const struct measure_settings *settings,
		const struct measure_pattern *pattern);

#endif
