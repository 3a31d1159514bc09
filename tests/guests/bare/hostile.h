/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KARUTA_GUEST_HOSTILE_H
#define KARUTA_GUEST_HOSTILE_H

/* Whatever the card in slot 1 should not be asked; then waits for the power button. */
void hostile(void);
/* Writes, reads and compares, for ever, until the power button. */
void verify(void);

#endif
