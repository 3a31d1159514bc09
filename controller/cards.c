/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "cards.h"

bool card_store_is_ram(const char *store)
{
	return !strcmp(store, "ram:");
}

const struct card_value *card_spec_value(const struct card_spec *card, enum card_member_type type)
{
	for (size_t i = 0; i < card->kind->member_count; i++) {
		if (card->kind->members[i].type == type && card->values[i].given)
			return &card->values[i];
	}
	return NULL;
}

bool card_outlives_process(const struct card_spec *card)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);

	return !store || !card_store_is_ram(store->text);
}

void card_spec_close_key(struct card_spec *card)
{
	for (size_t i = 0; i < card->kind->member_count; i++) {
		if (card->kind->members[i].type != CARD_KEY || !card->values[i].given)
			continue;
		close((int)card->values[i].number);
		card->values[i].given = false;
	}
}

void card_spec_free(struct card_spec *card)
{
	for (size_t i = 0; i < CARD_MEMBERS_MAX; i++)
		free(card->values[i].text);
	*card = (struct card_spec){0};
}

const struct card_kind *card_kind_find(const char *name)
{
	for (const struct card_kind *const *kind = card_kinds; *kind; kind++) {
		if (!strcmp((*kind)->name, name))
			return *kind;
	}
	return NULL;
}

void card_kind_list(char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (const struct card_kind *const *kind = card_kinds; *kind && used < size; kind++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 (*kind)->name);
}

/* A volume that is kept is always encrypted; memory that dies with the card needs a size. */
static int check_volume(const struct card_spec *card, const struct place *place)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);
	const struct card_value *size = card_spec_value(card, CARD_SIZE);
	bool ram;

	if (!store)
		return strict_refuse(place, "store", "missing; the path of the volume's file");
	ram = card_store_is_ram(store->text);
	if (!ram && !card_spec_value(card, CARD_KEY))
		return strict_refuse(place, "key_fd",
				     "missing; a volume is served with its key only");
	if (ram && card_spec_value(card, CARD_KEY))
		return strict_refuse(place, "key_fd", "the store ram: is not encrypted");
	if (ram && !size)
		return strict_refuse(place, "size", "missing; the store ram: has none of its own");
	if (size && size->number % 4096)
		return strict_refuse(place, "size", "must be a multiple of 4096 bytes");
	return 0;
}

/* The disk that is made anew at each start has no key of ours. */
static int check_local(const struct card_spec *card, const struct place *place)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);
	const struct card_value *size = card_spec_value(card, CARD_SIZE);

	if (!store)
		return strict_refuse(place, "store",
				     "missing; the path of a file or block device to use up");
	if (card_store_is_ram(store->text))
		return strict_refuse(place, "store", "must be a file or a block device");
	if (size && size->number % 4096)
		return strict_refuse(place, "size", "must be a multiple of 4096 bytes");
	return 0;
}

static const struct card_member volume_members[] = {
	{.name = "store", .option = "--store", .type = CARD_STORE},
	{.name = "size", .option = "--size", .type = CARD_SIZE},
	{.name = "key_fd", .option = "--key-fd", .type = CARD_KEY},
	{.name = "sector", .option = "--sector", .type = CARD_NUMBER, .allowed = {512, 4096}},
	{.name = "iops", .option = "--iops", .type = CARD_RATE},
	{.name = "bandwidth", .option = "--bandwidth", .type = CARD_BYTE_RATE},
	{.option = "--serial", .type = CARD_LABEL},
};
_Static_assert(ARRAY_LEN(volume_members) <= CARD_MEMBERS_MAX, "room for the values");

static const struct card_member local_members[] = {
	{.name = "store", .option = "--store", .type = CARD_STORE},
	{.name = "size", .option = "--size", .type = CARD_SIZE},
	{.name = "sector", .option = "--sector", .type = CARD_NUMBER, .allowed = {512, 4096}},
	{.name = "iops", .option = "--iops", .type = CARD_RATE},
	{.name = "bandwidth", .option = "--bandwidth", .type = CARD_BYTE_RATE},
	{.option = "--serial", .type = CARD_LABEL},
};
_Static_assert(ARRAY_LEN(local_members) <= CARD_MEMBERS_MAX, "room for the values");

static const struct card_kind null_kind = {
	.name = "null",
	.program = "karuta-card-null",
};

static const struct card_kind volume_kind = {
	.name = "volume",
	.program = "karuta-card-volume",
	.members = volume_members,
	.member_count = ARRAY_LEN(volume_members),
	.is_volume = true,
	.check = check_volume,
};

static const struct card_kind local_kind = {
	.name = "local",
	.program = "karuta-card-local",
	.members = local_members,
	.member_count = ARRAY_LEN(local_members),
	.check = check_local,
};

const struct card_kind *const card_kinds[] = {&null_kind, &volume_kind, &local_kind, NULL};
