/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the host itself; no instance has to run. Each returns the program's exit code. */
#ifndef KARUTA_CONTROLLER_HOST_H
#define KARUTA_CONTROLLER_HOST_H

int host_verify(int argc, char **argv);
int host_quote(int argc, char **argv);
int host_evidence(int argc, char **argv);
int host_release(int argc, char **argv);

#endif
