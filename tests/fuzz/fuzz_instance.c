/* SPDX-License-Identifier: Apache-2.0 */
/* The specification of an instance, and the card of an attach request, from arbitrary bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "instance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken holds to its limits. */
static void check_card(const struct card_spec *card)
{
	if (!card->kind || card->slot > COMMAND_MAX_SLOT ||
	    !memchr(card->name, '\0', sizeof(card->name)))
		abort();
	for (size_t i = 0; i < card->kind->member_count; i++) {
		enum card_member_type type = card->kind->members[i].type;
		const struct card_value *value = &card->values[i];

		if (value->given && (type == CARD_RATE || type == CARD_BYTE_RATE) &&
		    (!value->number || value->number > STRICT_RATE_MAX ||
		     value->burst > STRICT_RATE_MAX))
			abort();
	}
}

static void check(const struct instance *instance)
{
	if (!instance->kernel || !instance->command_line || instance->memory % (2u << 20) ||
	    instance->memory < INSTANCE_MEMORY_MIN || instance->memory > INSTANCE_MEMORY_MAX ||
	    instance->cpus < 1 || instance->cpus > COMMAND_MAX_CPUS ||
	    strlen(instance->command_line) > COMMAND_LINE_MAX ||
	    instance->card_count > COMMAND_MAX_SLOT)
		abort();
	for (size_t i = 0; i < instance->card_count; i++)
		check_card(&instance->cards[i]);
}

static void try_card(const char *bytes, size_t size)
{
	struct error error = {0};
	struct place place = {.file = "fuzz", .error = &error};
	struct card_spec card;
	json_t *object = NULL;

	if (strict_parse("fuzz", bytes, size, &object, &error) < 0)
		return;
	if (instance_parse_card(&card, object, NULL, &place) == 0) {
		check_card(&card);
		card_spec_free(&card);
	} else if (!error.text[0]) {
		abort();
	}
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instance instance;
	struct error error = {0};

	if (instance_parse(&instance, "fuzz", "/folder", (const char *)data, size, &error) == 0) {
		check(&instance);
		instance_free(&instance);
	} else if (!error.text[0]) {
		abort();
	}
	try_card((const char *)data, size);
	return 0;
}
