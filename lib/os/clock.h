/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock, in nanoseconds. */
#ifndef KARUTA_OS_CLOCK_H
#define KARUTA_OS_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

uint64_t os_now(void);

#endif
