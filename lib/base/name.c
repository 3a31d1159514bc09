/* SPDX-License-Identifier: Apache-2.0 */
#include "name.h"

#include <ctype.h>
#include <string.h>

bool name_is_valid(const char *name, size_t longest)
{
	size_t length = strnlen(name, longest + 1);

	if (!length || length > longest || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < length; i++) {
		/* isalnum() would ask the locale; the program never sets one. */
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	}
	return true;
}
