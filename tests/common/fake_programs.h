/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stand-ins for hypervisor and cards, for tests of the controller on machines whose KVM is of no
 * use. They keep to the contracts of wire/, or break them as the kernel's or the store's first word
 * says.
 */
#ifndef KARUTA_TESTS_FAKE_PROGRAMS_H
#define KARUTA_TESTS_FAKE_PROGRAMS_H

/*
 * First word of the kernel file:
 *   GOOD  boots, lets go of cards at once, powers off when asked to
 *   GENTLE as GOOD, and can be reset
 *   STUBBORN  lets go of nothing, does not listen to the power button, stays when the pipe closes
 *   BAD   says that the kernel is none
 *   WORDS ends with exit code 3 and last words
 *   LIAR  writes nonsense over its status page
 *   DEAF  takes no command
 *   ZOMBIE  says that it has ended and stays
 *   LOUD  fills the console without end
 *   RUDE  writes to each card's link
 *   BRIEF powers off by itself a moment after it was started
 *   SHY   meets no other program
 *   KEEPER does not hand over
 *   LOSER ends instead of handing over
 *   OFF   has its guest power off when it is to hand over
 *   GREEDY hands over and stays
 *   DYING closes its descriptor channel when started; is gone a while later
 *   SNEAKY makes a socket when started
 *   GARBLED writes nonsense over its status page when started
 *   CHATTY speaks on its descriptor channel when started
 */
_Noreturn void fake_hypervisor(int argc, char **argv);

/*
 * First word of the store:
 *   GOOD  is ready, ends with its link
 *   FAIL  says that the store is broken
 *   SLEEPY never gets ready
 *   MORTAL is ready, dies when its link is written to
 *   LATE  gets ready after a second
 *   CLINGY does not end with its link
 *   TORN  dies a moment after its link has ended
 *   STIFF refuses commands
 *   FRAIL dies of a command
 *   MUTE  does not answer commands
 *   SNEAKY makes a socket when commanded
 *   GARBLED writes nonsense over its status page when commanded
 *   CHATTY speaks on its bus before anybody else does
 *   BOSSY counts three protocol errors with each command
 *   NAUGHTY counts two things that no guest may do with each command
 * A card without a store is good. Its status text: the descriptors that it has, and the key.
 */
_Noreturn void fake_card(int argc, char **argv);

#endif
