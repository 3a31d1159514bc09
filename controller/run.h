/* SPDX-License-Identifier: Apache-2.0 */
/* `karuta-controller run`: one instance in the foreground. */
#ifndef KARUTA_CONTROLLER_RUN_H
#define KARUTA_CONTROLLER_RUN_H

/* Returns the program's exit code. */
int run_main(int argc, char **argv);

#endif
