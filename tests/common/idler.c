/* SPDX-License-Identifier: Apache-2.0 */
/* A program that never gets ready. */
#include <poll.h>
#include <stddef.h>

int main(void)
{
	/* pause(2) is on no list. */
	poll(NULL, 0, -1);
	return 0;
}
