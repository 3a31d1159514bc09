/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "os/memfd.h"

/* Through locked memory, which is wiped. */
static int unwrap(struct key *key, const struct wrap_pair *pair, const struct wrap_context *context,
		  const struct control_key *wrapped, struct error *error)
{
	uint8_t *bytes = OPENSSL_secure_malloc(CONTROL_KEY_MAX);
	ssize_t length =
		bytes ? wrap_open(pair, context, wrapped->bytes, wrapped->length, bytes, error)
		      : error_set(error, ENOMEM, "out of locked memory");
	int ret = length < 0 ? (int)length : key_keep_bytes(key, bytes, (size_t)length, error);

	OPENSSL_secure_clear_free(bytes, CONTROL_KEY_MAX);
	if (length < 0)
		error_prefix(error, "key %llu", (unsigned long long)wrapped->number);
	return ret;
}

int keyring_fill(struct keyring *keyring, const struct control_request *request, const char *caller,
		 const struct wrap_pair *pair, struct error *error)
{
	struct wrap_context context = {.caller = caller};
	int ret = request->key_count ? wrap_digest(request, context.request) : 0;

	*keyring = (struct keyring){0};
	if (ret < 0)
		return error_set(error, -ret, "keys: %s", strerror(-ret));
	for (size_t i = 0; ret == 0 && i < request->key_count; i++) {
		context.number = keyring->keys[i].number = request->keys[i].number;
		ret = unwrap(&keyring->keys[i].key, pair, &context, &request->keys[i], error);
		keyring->count += ret == 0;
	}
	if (ret < 0)
		keyring_free(keyring);
	return ret;
}

static const struct key *find(const struct keyring *keyring, uint64_t number)
{
	for (size_t i = 0; i < keyring->count; i++) {
		if (keyring->keys[i].number == number)
			return &keyring->keys[i].key;
	}
	return NULL;
}

/* The number of the first that is missing, else 0; how many are wanted. */
static uint64_t find_missing(const struct keyring *keyring, const struct card_spec *cards,
			     size_t count, size_t *wanted)
{
	*wanted = 0;
	for (size_t i = 0; i < count; i++) {
		const struct card_value *value = card_spec_value(&cards[i], CARD_KEY);

		*wanted += value != NULL;
		if (value && !find(keyring, value->number))
			return value->number;
	}
	return 0;
}

int keyring_fits(const struct keyring *keyring, const struct card_spec *cards, size_t count,
		 struct error *error)
{
	size_t wanted;
	uint64_t missing = find_missing(keyring, cards, count, &wanted);

	if (missing)
		return error_set(error, EINVAL, "key_fd: no key %llu came with the request",
				 (unsigned long long)missing);
	if (keyring->count != wanted)
		return error_set(error, EINVAL, "keys: %zu came, %zu are asked for", keyring->count,
				 wanted);
	return 0;
}

bool keyring_has_all(const struct keyring *keyring, const struct card_spec *cards, size_t count)
{
	size_t wanted;

	return !find_missing(keyring, cards, count, &wanted);
}

static struct card_value *key_of(struct card_spec *card)
{
	for (size_t i = 0; i < card->kind->member_count; i++) {
		if (card->kind->members[i].type == CARD_KEY && card->values[i].given)
			return &card->values[i];
	}
	return NULL;
}

int keyring_give(const struct keyring *keyring, struct card_spec *cards, size_t count,
		 struct error *error)
{
	size_t done = 0;
	int fd = 0;

	for (; fd >= 0 && done < count; done++) {
		struct card_value *value = key_of(&cards[done]);

		fd = value ? os_memfd_read_only(find(keyring, value->number)->fd) : 0;
		if (value && fd >= 0)
			value->number = (uint64_t)fd;
	}
	if (fd >= 0)
		return 0;
	for (size_t i = 0; i + 1 < done; i++)
		card_spec_close_key(&cards[i]);
	return error_set(error, -fd, "key: %s", strerror(-fd));
}

void keyring_free(struct keyring *keyring)
{
	for (size_t i = 0; i < keyring->count; i++)
		key_free(&keyring->keys[i].key);
	keyring->count = 0;
}
