/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "instance.h"
#include "os/fd.h"

char *instance_join(const char *folder, const char *path)
{
	char *joined;

	if (path[0] == '/' || !folder)
		return strdup(path);
	return asprintf(&joined, "%s/%s", folder, path) < 0 ? NULL : joined;
}

static int out_of_memory(const struct place *place)
{
	return error_set(place->error, ENOMEM, "%s: out of memory", place->file);
}

/* A member that is a path, joined to the folder; NULL if it is absent. */
static int take_path(const struct place *place, const json_t *object, const char *member,
		     bool required, const char *folder, char **path)
{
	const char *text = NULL;
	int ret = strict_text(place, object, member, required, CARD_PATH_MAX, &text);

	if (ret < 0 || !text)
		return ret;
	if (!text[0])
		return strict_refuse(place, member, "must not be empty");
	*path = instance_join(folder, text);
	return *path ? 0 : out_of_memory(place);
}

static int take_store(const struct place *place, const json_t *object, const char *member,
		      const char *folder, char **path)
{
	const char *text = json_string_value(json_object_get(object, member));
	bool ram = text && card_store_is_ram(text);

	return take_path(place, object, member, true, ram ? NULL : folder, path);
}

static int check_allowed(const struct place *place, const struct card_member *member,
			 uint64_t number)
{
	char text[64] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_LEN(member->allowed) && member->allowed[i]; i++) {
		if (member->allowed[i] == number)
			return 0;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%llu",
					 i ? " or " : "", (unsigned long long)member->allowed[i]);
	}
	return strict_refuse(place, member->name, "must be %s", text);
}

static int take_value(const struct place *place, const json_t *object, const char *folder,
		      const struct card_member *member, struct card_value *value)
{
	int ret = 0;

	value->given = member->type != CARD_LABEL && json_object_get(object, member->name);
	if (!value->given)
		return 0;
	switch (member->type) {
	case CARD_STORE:
		ret = take_store(place, object, member->name, folder, &value->text);
		break;
	case CARD_SIZE:
		ret = strict_size(place, object, member->name, true, &value->number);
		break;
	case CARD_KEY:
		ret = strict_number(place, object, member->name, true, INSTANCE_KEY_FD_MIN,
				    INSTANCE_KEY_FD_MAX, &value->number);
		break;
	case CARD_NUMBER:
		ret = strict_number(place, object, member->name, true, 0, INT64_MAX,
				    &value->number);
		if (ret == 0)
			ret = check_allowed(place, member, value->number);
		break;
	case CARD_RATE:
	case CARD_BYTE_RATE:
		ret = strict_rate(place, object, member->name, member->type == CARD_BYTE_RATE,
				  &value->number, &value->burst);
		break;
	case CARD_LABEL:
		break;
	}
	return ret;
}

static int take_kind(const struct place *place, const json_t *object, const struct card_kind **kind)
{
	const char *name = NULL;
	char known[96];
	int ret = strict_text(place, object, "kind", true, 32, &name);

	if (ret < 0)
		return ret;
	*kind = card_kind_find(name);
	if (*kind)
		return 0;
	card_kind_list(known, sizeof(known));
	return strict_refuse(place, "kind", "no such kind of card; there are: %s", known);
}

/* The members that every card has. */
static int take_common(const struct place *place, const json_t *object, struct card_spec *card)
{
	const char *name = NULL;
	uint64_t slot = 0;
	int ret = strict_number(place, object, "slot", false, 1, COMMAND_MAX_SLOT, &slot);

	if (ret == 0)
		ret = strict_name(place, object, "name", false, CARD_NAME_MAX, &name);
	if (ret < 0)
		return ret;
	card->slot = (unsigned)slot;
	if (name)
		snprintf(card->name, sizeof(card->name), "%s", name);
	return 0;
}

static int refuse_unknown(const struct place *place, const json_t *object,
			  const struct card_kind *kind)
{
	const char *known[CARD_MEMBERS_MAX + 4] = {"slot", "name", "kind"};
	size_t count = 3;

	for (size_t i = 0; i < kind->member_count; i++) {
		if (kind->members[i].name)
			known[count++] = kind->members[i].name;
	}
	return strict_members(place, object, known);
}

static int parse_card(struct card_spec *card, const json_t *object, const char *folder,
		      const struct place *place)
{
	int ret;

	if (!json_is_object(object))
		return strict_refuse(place, NULL, "must be an object, { ... }");
	ret = take_kind(place, object, &card->kind);
	if (ret == 0)
		ret = refuse_unknown(place, object, card->kind);
	if (ret == 0)
		ret = take_common(place, object, card);
	for (size_t i = 0; ret == 0 && i < card->kind->member_count; i++)
		ret = take_value(place, object, folder, &card->kind->members[i], &card->values[i]);
	if (ret == 0 && card->kind->check)
		ret = card->kind->check(card, place);
	return ret;
}

int instance_parse_card(struct card_spec *card, const json_t *object, const char *folder,
			const struct place *place)
{
	int ret;

	*card = (struct card_spec){0};
	ret = parse_card(card, object, folder, place);
	if (ret < 0)
		card_spec_free(card);
	return ret;
}

/* Two cards cannot share a slot, a name or a key's descriptor: it can be read once only. */
static int check_against(const struct place *place, const struct card_spec *card,
			 const struct card_spec *other, size_t other_index)
{
	const struct card_value *key = card_spec_value(card, CARD_KEY);
	const struct card_value *other_key = card_spec_value(other, CARD_KEY);

	if (card->slot && card->slot == other->slot)
		return strict_refuse(place, "slot", "%u is taken by cards[%zu]", card->slot,
				     other_index);
	if (card->name[0] && !strcmp(card->name, other->name))
		return strict_refuse(place, "name", "%s is the name of cards[%zu]", card->name,
				     other_index);
	if (key && other_key && key->number == other_key->number)
		return strict_refuse(place, "key_fd",
				     "%u is the key of cards[%zu]; a key is read once",
				     (unsigned)key->number, other_index);
	return 0;
}

static int take_cards(const char *label, const json_t *object, const char *folder,
		      struct instance *instance, struct error *error)
{
	struct place place = {.file = label, .error = error};
	const json_t *cards = json_object_get(object, "cards");
	int ret = 0;

	if (!cards)
		return 0;
	if (!json_is_array(cards))
		return strict_refuse(&place, "cards", "must be a list, [ ... ]");
	if (json_array_size(cards) > COMMAND_MAX_SLOT)
		return strict_refuse(&place, "cards", "more than %u", COMMAND_MAX_SLOT);
	for (size_t i = 0; ret == 0 && i < json_array_size(cards); i++) {
		snprintf(place.path, sizeof(place.path), "cards[%zu]", i);
		ret = instance_parse_card(&instance->cards[i], json_array_get(cards, i), folder,
					  &place);
		for (size_t j = 0; ret == 0 && j < i; j++)
			ret = check_against(&place, &instance->cards[i], &instance->cards[j], j);
		instance->card_count++;
	}
	return ret;
}

static int take_memory(const struct place *place, const json_t *object, struct instance *instance)
{
	int ret = strict_size(place, object, "memory", true, &instance->memory);

	if (ret < 0)
		return ret;
	if (instance->memory < INSTANCE_MEMORY_MIN || instance->memory > INSTANCE_MEMORY_MAX)
		return strict_refuse(place, "memory", "must be 4M to 1T");
	if (instance->memory % (2 * MIB))
		return strict_refuse(place, "memory", "must be a multiple of 2M");
	return 0;
}

static int take_command_line(const struct place *place, const json_t *object,
			     struct instance *instance)
{
	const char *line = "";
	int ret = strict_text(place, object, "command_line", false, COMMAND_LINE_MAX, &line);

	if (ret < 0)
		return ret;
	if (strpbrk(line, "\r\n"))
		return strict_refuse(place, "command_line", "must be one line");
	instance->command_line = strdup(line);
	return instance->command_line ? 0 : out_of_memory(place);
}

static int take_restart(const struct place *place, const json_t *object, enum policy *policy)
{
	const char *name = policy_name(POLICY_ON_FAILURE);
	int ret = strict_text(place, object, "restart", false, 16, &name);

	if (ret == 0 && !policy_parse(name, policy))
		ret = strict_refuse(place, "restart", "must be never, on-failure or always");
	return ret;
}

static int take_all(const struct place *place, const json_t *object, const char *folder,
		    struct instance *instance)
{
	static const char *const known[] = {"name",   "memory",	      "cpus",  "cores",	  "kernel",
					    "initrd", "command_line", "cards", "restart", NULL};
	const char *name = "";
	uint64_t cpus = 1, cores = 0;
	int ret = strict_members(place, object, known);

	if (ret == 0)
		ret = strict_name(place, object, "name", false, INSTANCE_NAME_MAX, &name);
	if (ret == 0)
		ret = take_memory(place, object, instance);
	if (ret == 0)
		ret = strict_number(place, object, "cpus", false, 1, COMMAND_MAX_CPUS, &cpus);
	if (ret == 0)
		ret = strict_number(place, object, "cores", false, 1, INSTANCE_CORES_MAX, &cores);
	if (ret == 0)
		ret = take_path(place, object, "kernel", true, folder, &instance->kernel);
	if (ret == 0)
		ret = take_path(place, object, "initrd", false, folder, &instance->initrd);
	if (ret == 0)
		ret = take_command_line(place, object, instance);
	if (ret == 0)
		ret = take_restart(place, object, &instance->restart);
	instance->cpus = (unsigned)cpus;
	instance->cores = (unsigned)cores;
	snprintf(instance->name, sizeof(instance->name), "%s", name);
	return ret;
}

int instance_parse(struct instance *instance, const char *label, const char *folder,
		   const char *bytes, size_t length, struct error *error)
{
	struct place place = {.file = label, .error = error};
	json_t *object = NULL;
	int ret = strict_parse(label, bytes, length, &object, error);

	*instance = (struct instance){0};
	if (ret < 0)
		return ret;
	ret = take_all(&place, object, folder, instance);
	if (ret == 0)
		ret = take_cards(label, object, folder, instance, error);
	json_decref(object);
	if (ret < 0)
		instance_free(instance);
	return ret;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int instance_read_file(const char *path, char **bytes, size_t *length, char **folder,
		       struct error *error)
{
	CLEANUP_FREE char *buffer = malloc(INSTANCE_FILE_MAX + 1);
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (!buffer)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	if (fd < 0)
		return error_set(error, errno, "%s: %s", path, strerror(errno));
	got = os_read_full(fd, buffer, INSTANCE_FILE_MAX + 1);
	if (got < 0)
		return error_set(error, (int)-got, "%s: %s", path, strerror((int)-got));
	if (got > (ssize_t)INSTANCE_FILE_MAX)
		return error_set(error, EFBIG, "%s: larger than %u KiB", path,
				 INSTANCE_FILE_MAX >> 10);
	*folder = folder_of(path);
	if (!*folder)
		return error_set(error, ENOMEM, "%s: out of memory", path);
	*bytes = buffer;
	*length = (size_t)got;
	buffer = NULL;
	return 0;
}

int instance_load(struct instance *instance, const char *path, struct error *error)
{
	CLEANUP_FREE char *bytes = NULL;
	CLEANUP_FREE char *folder = NULL;
	size_t length;
	int ret = instance_read_file(path, &bytes, &length, &folder, error);

	if (ret < 0)
		return ret;
	return instance_parse(instance, path, folder, bytes, length, error);
}

void instance_free(struct instance *instance)
{
	free(instance->kernel);
	free(instance->initrd);
	free(instance->command_line);
	for (size_t i = 0; i < instance->card_count; i++)
		card_spec_free(&instance->cards[i]);
	*instance = (struct instance){0};
}
