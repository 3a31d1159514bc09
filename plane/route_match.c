/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "route.h"

static bool take_name(struct route_match *match, const char *part, size_t length)
{
	char *name;

	if (match->count == ROUTE_NAMES || length > NAME_MOST)
		return false;
	name = match->names[match->count++];
	memcpy(name, part, length);
	name[length] = '\0';
	return name_is_good(name);
}

bool route_matches(const char *pattern, const char *path, struct route_match *match)
{
	match->count = 0;
	while (*pattern == '/' && *path == '/') {
		size_t wanted = strcspn(++pattern, "/"), given = strcspn(++path, "/");

		if (*pattern == '{') {
			if (!take_name(match, path, given))
				return false;
		} else if (wanted != given || strncmp(pattern, path, given) != 0) {
			return false;
		}
		pattern += wanted;
		path += given;
	}
	return !*pattern && !*path;
}
