/* SPDX-License-Identifier: Apache-2.0 */
/* A program that never gets ready. */
#include <unistd.h>

int main(void)
{
	pause();
	return 0;
}
