/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT, SIGTERM and SIGHUP end what is under way, and what is half made is removed. */
#ifndef KARUTA_CLI_INTERRUPT_H
#define KARUTA_CLI_INTERRUPT_H

/* Once, from main. */
void interrupt_install(void);
/* The signal that came, or 0. Long work asks every now and then and returns -EINTR. */
int interrupt_pending(void);

#endif
