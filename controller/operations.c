/* SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"

#include <stdio.h>
#include <string.h>

struct operation *operations_find(struct operations *operations, const char *caller,
				  const uint8_t id[CONTROL_ID_SIZE])
{
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (operation->used && !strcmp(operation->caller, caller) &&
		    !memcmp(operation->id, id, CONTROL_ID_SIZE))
			return operation;
	}
	return NULL;
}

/* The one that was answered and came first, of this caller or (NULL) of all. */
static struct operation *oldest(struct operations *operations, const char *caller, size_t *count)
{
	struct operation *found = NULL;

	*count = 0;
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (!operation->used || (caller && strcmp(operation->caller, caller) != 0))
			continue;
		++*count;
		if (operation->done && (!found || operation->order < found->order))
			found = operation;
	}
	return found;
}

static struct operation *place_for(struct operations *operations, const char *caller)
{
	size_t own, all;
	struct operation *mine = oldest(operations, caller, &own);
	struct operation *any = oldest(operations, NULL, &all);

	if (own >= OPERATIONS_SHARE)
		return mine;
	if (all == OPERATIONS_MAX)
		return any;
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		if (!operations->all[i].used)
			return &operations->all[i];
	}
	return NULL;
}

struct operation *operations_begin(struct operations *operations, const char *caller,
				   const uint8_t id[CONTROL_ID_SIZE],
				   const uint8_t digest[WRAP_DIGEST_SIZE])
{
	struct operation *operation = place_for(operations, caller);

	if (!operation)
		return NULL;
	*operation = (struct operation){.used = true, .order = ++operations->last};
	snprintf(operation->caller, sizeof(operation->caller), "%s", caller);
	memcpy(operation->id, id, CONTROL_ID_SIZE);
	memcpy(operation->digest, digest, WRAP_DIGEST_SIZE);
	return operation;
}

bool operation_is(const struct operation *operation, const uint8_t digest[WRAP_DIGEST_SIZE])
{
	return !memcmp(operation->digest, digest, WRAP_DIGEST_SIZE);
}

void operation_finish(struct operation *operation, int code, const char *text)
{
	operation->done = true;
	operation->finished = os_now();
	operation->code = code;
	operation->unit = NULL;
	snprintf(operation->text, sizeof(operation->text), "%s", text);
}

void operations_turn(struct operations *operations, uint64_t now)
{
	for (size_t i = 0; i < OPERATIONS_MAX; i++) {
		struct operation *operation = &operations->all[i];

		if (operation->used && operation->done &&
		    now - operation->finished > OPERATIONS_MEMORY)
			operation->used = false;
	}
}
