/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "areas.h"
#include "base/base.h"
#include "os/fd.h"
#include "os/memfd.h"

int area_create(struct area *area, const char *name, uint64_t size, bool view, struct error *error)
{
	void *mapping = NULL;
	int ret;

	*area = AREA_NONE;
	area->fd = os_memfd(name, size);
	if (area->fd < 0) {
		ret = area->fd;
		*area = AREA_NONE;
		return error_set(error, -ret, "make shared area %s: %s", name, strerror(-ret));
	}
	area->size = size;
	ret = view ? os_map(area->fd, 0, size, false, &mapping) : 0;
	if (ret < 0) {
		area_free(area);
		return error_set(error, -ret, "map shared area %s: %s", name, strerror(-ret));
	}
	area->view = mapping;
	return 0;
}

int area_adopt(struct area *area, uint64_t size, bool view)
{
	void *mapping = NULL;
	int ret = view ? os_map(area->fd, 0, size, false, &mapping) : 0;

	area->size = size;
	area->view = mapping;
	return ret;
}

/* A card's state may hold a key: memory that is only given back keeps its bytes for a while. */
static void overwrite(const struct area *area)
{
	static const uint8_t zeros[4096];
	uint64_t length;

	for (uint64_t at = 0; at < area->size; at += length) {
		length = min_u64(area->size - at, sizeof(zeros));
		if (os_pwrite_all(area->fd, zeros, length, at) < 0)
			return;
	}
}

void area_free(struct area *area)
{
	if (area->fd >= 0)
		overwrite(area);
	os_unmap((void *)(uintptr_t)area->view, area->size);
	os_close(&area->fd);
	*area = AREA_NONE;
}

/* The bytes are copied before they are looked at. */
bool area_words(const struct area *area, char *text, size_t size)
{
	char words[AREA_WORDS_SIZE + 1] = "";
	char *line;
	size_t i;

	text[0] = '\0';
	if (!area->view)
		return false;
	memcpy(words, area->view, AREA_WORDS_SIZE);
	i = strlen(words);
	while (i && words[i - 1] == '\n')
		words[--i] = '\0';
	line = strrchr(words, '\n');
	line = line ? line + 1 : words;
	for (i = 0; i + 1 < size && line[i]; i++)
		text[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
	text[i] = '\0';
	return i > 0;
}
