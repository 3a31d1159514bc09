/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "client_card.h"
#include "instance.h"

/* Members that are texts even if they look like a number. */
static bool is_text(const char *member)
{
	if (!strcmp(member, "kind") || !strcmp(member, "name"))
		return true;
	for (const struct card_kind *const *kind = card_kinds; *kind; kind++) {
		for (size_t i = 0; i < (*kind)->member_count; i++) {
			const struct card_member *known = &(*kind)->members[i];

			if (known->type == CARD_STORE && !strcmp(known->name, member))
				return true;
		}
	}
	return false;
}

static json_t *make_value(const char *member, const char *text)
{
	char *end;
	long long number = strtoll(text, &end, 10);

	return *text && !*end && !is_text(member) ? json_integer(number) : json_string(text);
}

static int from_arguments(char **arguments, int count, json_t **card, struct error *error)
{
	*card = json_object();
	for (int i = 0; i < count; i++) {
		const char *equals = strchr(arguments[i], '=');
		char name[40];

		if (!equals || (size_t)(equals - arguments[i]) >= sizeof(name))
			return error_set(error, EINVAL,
					 "%s: must be MEMBER=VALUE, such as kind=volume",
					 arguments[i]);
		snprintf(name, sizeof(name), "%.*s", (int)(equals - arguments[i]), arguments[i]);
		if (json_object_set_new(*card, name, make_value(name, equals + 1)) < 0)
			return error_set(error, EINVAL, "card: %s: is not UTF-8", name);
	}
	return 0;
}

static int from_file(const char *path, json_t **card, char **folder, struct error *error)
{
	CLEANUP_FREE char *bytes = NULL;
	size_t length;
	int ret = instance_read_file(path, &bytes, &length, folder, error);

	return ret < 0 ? ret : strict_parse(path, bytes, length, card, error);
}

/* `folder` as seen from everywhere. */
static char *absolute(const char *folder)
{
	CLEANUP_FREE char *here = getcwd(NULL, 0);

	return here ? instance_join(here, folder) : NULL;
}

static int prepare_key(json_t *card, const char *member, uint64_t number, int *key,
		       const struct place *place)
{
	*key = (int)number;
	if (fcntl(*key, F_GETFD) < 0)
		return strict_refuse(place, member,
				     "descriptor %d is not open; start with %d<KEYFILE or a pipe",
				     *key, *key);
	/* It comes along with the request; its number there means nothing. */
	return json_object_set_new(card, member, json_integer(INSTANCE_KEY_FD_MIN));
}

static int prepare_member(json_t *card, const struct card_spec *spec, size_t index, int *key,
			  const struct place *place)
{
	const struct card_member *member = &spec->kind->members[index];
	const struct card_value *value = &spec->values[index];

	if (!value->given)
		return 0;
	if (member->type == CARD_STORE &&
	    json_object_set_new(card, member->name, json_string(value->text)) < 0)
		return strict_refuse(place, member->name, "%s is not UTF-8", value->text);
	if (member->type == CARD_KEY)
		return prepare_key(card, member->name, value->number, key, place);
	return 0;
}

static int prepare(json_t *card, const char *folder, int *key, const struct place *place)
{
	CLEANUP_FREE char *base = absolute(folder);
	struct card_spec spec;
	int ret;

	if (!base)
		return error_set(place->error, errno, "%s: %s", folder, strerror(errno));
	ret = instance_parse_card(&spec, card, base, place);
	if (ret < 0)
		return ret;
	for (size_t i = 0; ret == 0 && i < spec.kind->member_count; i++)
		ret = prepare_member(card, &spec, i, key, place);
	card_spec_free(&spec);
	return ret;
}

int client_card_read(char **arguments, int count, json_t **card, int *key, struct error *error)
{
	CLEANUP_FREE char *folder = NULL;
	struct place place = {.file = "card", .error = error};
	int ret;

	*card = NULL;
	*key = -1;
	if (count == 1 && !strchr(arguments[0], '=')) {
		place.file = arguments[0];
		ret = from_file(arguments[0], card, &folder, error);
	} else {
		ret = from_arguments(arguments, count, card, error);
	}
	if (ret == 0)
		ret = prepare(*card, folder ? folder : ".", key, &place);
	if (ret < 0) {
		json_decref(*card);
		*card = NULL;
	}
	return ret;
}
