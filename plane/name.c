/* SPDX-License-Identifier: Apache-2.0 */
#include "name.h"

#include <string.h>

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool name_is_good(const char *name)
{
	size_t length = strlen(name);

	return length && length <= NAME_MOST && strchr(LETTERS_AND_DIGITS, name[0]) &&
	       strspn(name, LETTERS_AND_DIGITS "-_.@") == length;
}
