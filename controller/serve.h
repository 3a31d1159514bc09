/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_CONTROLLER_SERVE_H
#define KARUTA_CONTROLLER_SERVE_H

/* Returns the program's exit code. */
int serve_main(int argc, char **argv);

#endif
