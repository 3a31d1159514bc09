/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that ask a running controller for something. Each returns the program's exit code. */
#ifndef KARUTA_CONTROLLER_CLIENT_H
#define KARUTA_CONTROLLER_CLIENT_H

int client_attach(int argc, char **argv);
int client_detach(int argc, char **argv);
int client_update(int argc, char **argv);
int client_resize(int argc, char **argv);
int client_snapshot(int argc, char **argv);
int client_status(int argc, char **argv);
int client_stop(int argc, char **argv);
int client_kill(int argc, char **argv);
int client_reset(int argc, char **argv);
int client_pause(int argc, char **argv);
int client_resume(int argc, char **argv);
int client_console(int argc, char **argv);

#endif
