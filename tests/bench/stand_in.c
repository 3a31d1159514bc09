/* SPDX-License-Identifier: Apache-2.0 */
/* What bench/host.sh has a controller launch in place of a hypervisor and cards: its name says
 * which. */
#include <string.h>

#include "fake_programs.h"

int main(int argc, char **argv)
{
	if (strstr(argv[0], "karuta-hypervisor"))
		fake_hypervisor(argc, argv);
	fake_card(argc, argv);
}
