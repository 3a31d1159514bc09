/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "clock.h"

uint64_t os_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
