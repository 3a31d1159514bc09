/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_CONTROLLER_AUDIT_COMMAND_H
#define KARUTA_CONTROLLER_AUDIT_COMMAND_H

/* Returns the program's exit code. */
int audit_main(int argc, char **argv);

#endif
