/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that came with a request, on their way to a card: each through a pipe of its own, so that
 * they are in kernel memory only until the card's own place for it reads them (key.h). */
#include <errno.h>
#include <string.h>

#include "fleet.h"
#include "os/fd.h"

static const struct control_key *find(const struct control_request *request, uint64_t number)
{
	for (size_t i = 0; i < request->key_count; i++) {
		if (request->keys[i].number == number)
			return &request->keys[i];
	}
	return NULL;
}

/* Fits into a pipe, whose smallest size is a page, so this does not wait. */
static int to_pipe(const struct control_key *key)
{
	int pair[2], ret = os_pipe(pair);

	_Static_assert(CONTROL_KEY_MAX <= 4096, "a key fits into the smallest pipe");
	if (ret < 0)
		return ret;
	ret = os_write_all(pair[1], key->bytes, key->length);
	os_close(&pair[1]);
	if (ret < 0)
		os_close(&pair[0]);
	return ret < 0 ? ret : pair[0];
}

static struct card_value *key_of(struct card_spec *card)
{
	for (size_t i = 0; i < card->kind->member_count; i++) {
		if (card->kind->members[i].type == CARD_KEY && card->values[i].given)
			return &card->values[i];
	}
	return NULL;
}

static int hand_over(struct card_value *value, const struct control_request *request,
		     struct error *error)
{
	const struct control_key *key = find(request, value->number);
	int fd;

	if (!key)
		return error_set(error, EINVAL, "key_fd: no key %llu came with the request",
				 (unsigned long long)value->number);
	fd = to_pipe(key);
	if (fd < 0)
		return error_set(error, -fd, "key: %s", strerror(-fd));
	value->number = (uint64_t)fd;
	return 0;
}

int keys_hand_over(struct card_spec *cards, size_t count, const struct control_request *request,
		   struct error *error)
{
	size_t done = 0, wanted = 0, i;
	int ret = 0;

	for (i = 0; ret == 0 && i < count; i++) {
		struct card_value *value = key_of(&cards[i]);

		wanted += value != NULL;
		if (value)
			ret = hand_over(value, request, error);
		done += value && ret == 0;
	}
	if (ret == 0 && request->key_count != wanted)
		ret = error_set(error, EINVAL, "keys: %zu came, %zu are asked for",
				request->key_count, wanted);
	for (size_t j = 0; ret < 0 && done && j < i; j++) {
		struct card_value *value = key_of(&cards[j]);

		if (value && done--)
			card_spec_close_key(&cards[j]);
	}
	return ret;
}
