/* SPDX-License-Identifier: Apache-2.0 */
/* The specification file: what is taken, and the words of each refusal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "instance.h"

#define MINIMAL "\"name\": \"web\", \"memory\": \"64M\", \"kernel\": \"k\""

static int parse(struct instance *instance, const char *text, struct error *error)
{
	memset(error, 0, sizeof(*error));
	return instance_parse(instance, "web.json", "/srv/web", text, strlen(text), error);
}

static void takes_all_members(void **state)
{
	static const char text[] =
		"{\"name\": \"web-1\", \"memory\": \"2G\", \"cpus\": 4, \"cores\": 2, \"kernel\": "
		"\"boot/vmlinuz\","
		" \"initrd\": \"/abs/initrd\", \"command_line\": \"root=/dev/nvme0n1 quiet\","
		" \"cards\": [{\"kind\": \"volume\", \"slot\": 3, \"name\": \"root\","
		"   \"store\": \"root.vol\", \"size\": \"10G\", \"key_fd\": 5, \"sector\": 512},"
		"  {\"kind\": \"null\"}], \"restart\": \"never\"}";
	struct instance instance;
	struct error error;
	const struct card_spec *card = &instance.cards[0];

	(void)state;
	assert_int_equal(parse(&instance, text, &error), 0);
	assert_string_equal(instance.name, "web-1");
	assert_int_equal(instance.memory, 2 * GIB);
	assert_int_equal(instance.cpus, 4);
	assert_int_equal(instance.cores, 2);
	assert_string_equal(instance.kernel, "/srv/web/boot/vmlinuz");
	assert_string_equal(instance.initrd, "/abs/initrd");
	assert_string_equal(instance.command_line, "root=/dev/nvme0n1 quiet");
	assert_int_equal(instance.restart, POLICY_NEVER);
	assert_int_equal(instance.card_count, 2);
	assert_int_equal(card->slot, 3);
	assert_string_equal(card->name, "root");
	assert_string_equal(card->kind->program, "karuta-card-volume");
	assert_string_equal(card_spec_value(card, CARD_STORE)->text, "/srv/web/root.vol");
	assert_int_equal(card_spec_value(card, CARD_SIZE)->number, 10 * GIB);
	assert_int_equal(card_spec_value(card, CARD_KEY)->number, 5);
	assert_int_equal(card_spec_value(card, CARD_NUMBER)->number, 512);
	assert_string_equal(instance.cards[1].kind->name, "null");
	assert_int_equal(instance.cards[1].slot, 0);
	instance_free(&instance);
}

static void takes_limits(void **state)
{
	struct instance instance;
	struct error error;
	const struct card_value *value;

	(void)state;
	assert_int_equal(
		parse(&instance,
		      "{\"memory\": \"64M\", \"kernel\": \"k\", \"cards\": [{\"kind\": \"local\", "
		      "\"store\": \"x\", \"iops\": 500, \"bandwidth\": \"100M:1G\"}]}",
		      &error),
		0);
	assert_string_equal(instance.cards[0].kind->program, "karuta-card-local");
	value = card_spec_value(&instance.cards[0], CARD_RATE);
	assert_int_equal(value->number, 500);
	assert_int_equal(value->burst, 0);
	value = card_spec_value(&instance.cards[0], CARD_BYTE_RATE);
	assert_int_equal(value->number, 100 * MIB);
	assert_int_equal(value->burst, GIB);
	instance_free(&instance);
}

static void has_defaults(void **state)
{
	struct instance instance;
	struct error error;

	(void)state;
	assert_int_equal(parse(&instance, "{" MINIMAL "}", &error), 0);
	assert_int_equal(instance.cpus, 1);
	assert_int_equal(instance.cores, 0);
	assert_null(instance.initrd);
	assert_string_equal(instance.command_line, "");
	assert_int_equal(instance.card_count, 0);
	assert_int_equal(instance.restart, POLICY_ON_FAILURE);
	instance_free(&instance);
}

static void takes_ram_store(void **state)
{
	struct instance instance;
	struct error error;

	(void)state;
	assert_int_equal(parse(&instance,
			       "{" MINIMAL ", \"cards\": [{\"kind\": \"volume\", \"store\": "
			       "\"ram:\", \"size\": 8192}]}",
			       &error),
			 0);
	assert_string_equal(card_spec_value(&instance.cards[0], CARD_STORE)->text, "ram:");
	instance_free(&instance);
}

struct refusal {
	const char *text;
	const char *message;
};

#define CARDS(cards) "{" MINIMAL ", \"cards\": [" cards "]}"
#define IOPS                                                                                       \
	"web.json: cards[0].iops: must be a number a second, or with a burst, such as "            \
	"\"500:2000\""
#define VOLUME "\"kind\": \"volume\", \"store\": \"v\""

static const struct refusal refusals[] = {
	{"[]", "web.json: must be one JSON object, { ... }"},
	{"{" MINIMAL ", \"colour\": 1}",
	 "web.json: colour: unknown member; known: name, memory, cpus, cores, kernel, initrd, "
	 "command_line, cards, restart"},
	{"{" MINIMAL ", \"restart\": \"sometimes\"}",
	 "web.json: restart: must be never, on-failure or always"},
	{"{" MINIMAL ", \"restart\": true}", "web.json: restart: must be a text in quotes"},
	{"{" MINIMAL ", \"a\\u001bb\\u00e9\": 1}",
	 "web.json: a?b??: unknown member; known: name, memory, cpus, cores, kernel, initrd, "
	 "command_line, cards, restart"},
	{"{\"name\": 7, \"memory\": \"64M\", \"kernel\": \"k\"}",
	 "web.json: name: must be a text in quotes"},
	{"{\"name\": \"../x\", \"memory\": \"64M\", \"kernel\": \"k\"}",
	 "web.json: name: must be letters, digits, '-', '_', '.', and begin with a letter or a "
	 "digit"},
	{"{\"name\": \"\", \"memory\": \"64M\", \"kernel\": \"k\"}",
	 "web.json: name: must be letters, digits, '-', '_', '.', and begin with a letter or a "
	 "digit"},
	{"{\"name\": \"a234567890123456789012345678901234567890123456789012345678901234\","
	 " \"memory\": \"64M\", \"kernel\": \"k\"}",
	 "web.json: name: longer than 63 bytes"},
	{"{\"kernel\": \"k\"}", "web.json: memory: missing"},
	{"{\"memory\": \"lots\", \"kernel\": \"k\"}",
	 "web.json: memory: must be a size such as \"512M\" or \"10G\" (K, M, G, T), or a number "
	 "of bytes"},
	{"{\"memory\": -1, \"kernel\": \"k\"}",
	 "web.json: memory: must be a size such as \"512M\" or \"10G\" (K, M, G, T), or a number "
	 "of bytes"},
	{"{\"memory\": \"1M\", \"kernel\": \"k\"}", "web.json: memory: must be 4M to 1T"},
	{"{\"memory\": \"1025G\", \"kernel\": \"k\"}", "web.json: memory: must be 4M to 1T"},
	{"{\"memory\": \"65M\", \"kernel\": \"k\"}", "web.json: memory: must be a multiple of 2M"},
	{"{" MINIMAL ", \"cpus\": 0}", "web.json: cpus: must be 1 to 64"},
	{"{" MINIMAL ", \"cores\": 0}", "web.json: cores: must be 1 to 1024"},
	{"{" MINIMAL ", \"cores\": \"whole\"}", "web.json: cores: must be a whole number"},
	{"{" MINIMAL ", \"cpus\": 65}", "web.json: cpus: must be 1 to 64"},
	{"{" MINIMAL ", \"cpus\": 1.0}", "web.json: cpus: must be a whole number"},
	{"{" MINIMAL ", \"cpus\": \"2\"}", "web.json: cpus: must be a whole number"},
	{"{\"memory\": \"64M\"}", "web.json: kernel: missing"},
	{"{\"memory\": \"64M\", \"kernel\": \"\"}", "web.json: kernel: must not be empty"},
	{"{" MINIMAL ", \"initrd\": null}", "web.json: initrd: must be a text in quotes"},
	{"{" MINIMAL ", \"command_line\": \"a\\nb\"}", "web.json: command_line: must be one line"},
	{"{" MINIMAL ", \"cards\": {}}", "web.json: cards: must be a list, [ ... ]"},
	{CARDS("1"), "web.json: cards[0]: must be an object, { ... }"},
	{CARDS("{}"), "web.json: cards[0].kind: missing"},
	{CARDS("{\"kind\": \"gpu\"}"),
	 "web.json: cards[0].kind: no such kind of card; there are: null, volume, local"},
	{CARDS("{\"kind\": \"null\", \"store\": \"x\"}"),
	 "web.json: cards[0].store: unknown member; known: slot, name, kind"},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"tags\": 5}"),
	 "web.json: cards[0].tags: unknown member; known: slot, name, kind, store, size, key_fd, "
	 "sector, iops, bandwidth"},
	{CARDS("{\"kind\": \"null\", \"slot\": 0}"), "web.json: cards[0].slot: must be 1 to 31"},
	{CARDS("{\"kind\": \"null\", \"slot\": 32}"), "web.json: cards[0].slot: must be 1 to 31"},
	{CARDS("{\"kind\": \"null\", \"slot\": 1}, {\"kind\": \"null\", \"slot\": 1}"),
	 "web.json: cards[1].slot: 1 is taken by cards[0]"},
	{CARDS("{\"kind\": \"null\", \"name\": \"a\"}, {\"kind\": \"null\", \"name\": \"a\"}"),
	 "web.json: cards[1].name: a is the name of cards[0]"},
	{CARDS("{\"kind\": \"null\", \"name\": \"a23456789012345678901\"}"),
	 "web.json: cards[0].name: longer than 20 bytes"},
	{CARDS("{\"kind\": \"volume\"}"),
	 "web.json: cards[0].store: missing; the path of the volume's file"},
	{CARDS("{" VOLUME "}"),
	 "web.json: cards[0].key_fd: missing; a volume is served with its key only"},
	{CARDS("{" VOLUME ", \"key_fd\": 2}"), "web.json: cards[0].key_fd: must be 3 to 1023"},
	{CARDS("{" VOLUME ", \"key_fd\": \"abcd\"}"),
	 "web.json: cards[0].key_fd: must be a whole number"},
	{CARDS("{" VOLUME ", \"key\": \"abcd\"}"),
	 "web.json: cards[0].key: unknown member; known: slot, name, kind, store, size, key_fd, "
	 "sector, iops, bandwidth"},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"sector\": 1024}"),
	 "web.json: cards[0].sector: must be 512 or 4096"},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"size\": 4097}"),
	 "web.json: cards[0].size: must be a multiple of 4096 bytes"},
	{CARDS("{" VOLUME ", \"key_fd\": 5}, {" VOLUME ", \"key_fd\": 5}"),
	 "web.json: cards[1].key_fd: 5 is the key of cards[0]; a key is read once"},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"iops\": 0}"), IOPS},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"iops\": \"5K\"}"), IOPS},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"iops\": \"5:\"}"), IOPS},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"iops\": \"9999999999999999\"}"), IOPS},
	{CARDS("{" VOLUME ", \"key_fd\": 5, \"bandwidth\": \"1M:x\"}"),
	 "web.json: cards[0].bandwidth: must be bytes a second, or with a burst, such as "
	 "\"100M:200M\""},
	{CARDS("{\"kind\": \"local\"}"),
	 "web.json: cards[0].store: missing; the path of a file or block device to use up"},
	{CARDS("{\"kind\": \"local\", \"store\": \"ram:\", \"size\": 4096}"),
	 "web.json: cards[0].store: must be a file or a block device"},
	{CARDS("{\"kind\": \"local\", \"store\": \"x\", \"key_fd\": 5}"),
	 "web.json: cards[0].key_fd: unknown member; known: slot, name, kind, store, size, sector, "
	 "iops, bandwidth"},
	{CARDS("{\"kind\": \"volume\", \"store\": \"ram:\"}"),
	 "web.json: cards[0].size: missing; the store ram: has none of its own"},
	{CARDS("{\"kind\": \"volume\", \"store\": \"ram:\", \"size\": 4096, \"key_fd\": 5}"),
	 "web.json: cards[0].key_fd: the store ram: is not encrypted"},
};

static void says_why_it_refuses(void **state)
{
	struct instance instance;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		assert_int_equal(parse(&instance, refusals[i].text, &error), -EINVAL);
		assert_string_equal(error.text, refusals[i].message);
		assert_null(instance.kernel);
		assert_int_equal(instance.card_count, 0);
	}
}

static void says_where_it_is_not_json(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"{" MINIMAL "} x",
		"{" MINIMAL ", \"name\": \"b\"}",
		"{\"name\": \"a\\u0000b\", \"memory\": \"64M\", \"kernel\": \"k\"}",
		"{\"name\": \"\xff\", \"memory\": \"64M\", \"kernel\": \"k\"}",
	};
	struct instance instance;
	struct error error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(parse(&instance, bad[i], &error), -EINVAL);
		assert_memory_equal(error.text, "web.json:", 9);
		assert_non_null(strstr(error.text, ": not JSON: "));
	}
}

static void refuses_long_command_line(void **state)
{
	char text[COMMAND_LINE_MAX + 200];
	char line[COMMAND_LINE_MAX + 2];
	struct instance instance;
	struct error error;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[COMMAND_LINE_MAX] = '\0';
	snprintf(text, sizeof(text), "{" MINIMAL ", \"command_line\": \"%s\"}", line);
	assert_int_equal(parse(&instance, text, &error), 0);
	instance_free(&instance);
	line[COMMAND_LINE_MAX] = 'x';
	line[COMMAND_LINE_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "{" MINIMAL ", \"command_line\": \"%s\"}", line);
	assert_int_equal(parse(&instance, text, &error), -EINVAL);
	assert_string_equal(error.text, "web.json: command_line: longer than 2047 bytes");
}

static void refuses_too_many_cards(void **state)
{
	char text[2000] = "{" MINIMAL ", \"cards\": [{\"kind\": \"null\"}";
	struct instance instance;
	struct error error;

	(void)state;
	for (unsigned i = 0; i < COMMAND_MAX_SLOT; i++)
		strcat(text, ", {\"kind\": \"null\"}");
	strcat(text, "]}");
	assert_int_equal(parse(&instance, text, &error), -EINVAL);
	assert_string_equal(error.text, "web.json: cards: more than 31");
}

static void refuses_files_that_cannot_be(void **state)
{
	char path[] = "/tmp/karuta-test-XXXXXX";
	static char much[INSTANCE_FILE_MAX + 1];
	int fd = mkstemp(path);
	struct instance instance;
	struct error error;

	(void)state;
	assert_true(fd >= 0);
	memset(much, ' ', sizeof(much));
	assert_int_equal(write(fd, much, sizeof(much)), sizeof(much));
	close(fd);
	assert_int_equal(instance_load(&instance, path, &error), -EFBIG);
	assert_non_null(strstr(error.text, "larger than 64 KiB"));
	unlink(path);
	assert_int_equal(instance_load(&instance, path, &error), -ENOENT);
	assert_non_null(strstr(error.text, "No such file"));
}

static void loads_relative_to_the_file(void **state)
{
	static const char text[] = "{" MINIMAL "}";
	char path[] = "/tmp/karuta-test-XXXXXX";
	int fd = mkstemp(path);
	struct instance instance;
	struct error error;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(instance_load(&instance, path, &error), 0);
	assert_string_equal(instance.kernel, "/tmp/k");
	instance_free(&instance);
	unlink(path);
}

static void sizes(void **state)
{
	static const char *const bad[] = {"",
					  "0",
					  "0K",
					  "K",
					  "1k",
					  "1KB",
					  "-1",
					  "1 M",
					  "+1",
					  " 1",
					  "1.5G",
					  "8388608T",
					  "99999999999999999999"};
	uint64_t bytes;

	(void)state;
	assert_int_equal(size_above_zero("1", &bytes), 0);
	assert_int_equal(bytes, 1);
	assert_int_equal(size_above_zero("3K", &bytes), 0);
	assert_int_equal(bytes, 3072);
	assert_int_equal(size_above_zero("8388607T", &bytes), 0);
	assert_true(bytes == UINT64_C(8388607) << 40);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(size_above_zero(bad[i], &bytes), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_members),
		cmocka_unit_test(takes_limits),
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(takes_ram_store),
		cmocka_unit_test(says_why_it_refuses),
		cmocka_unit_test(says_where_it_is_not_json),
		cmocka_unit_test(refuses_long_command_line),
		cmocka_unit_test(refuses_too_many_cards),
		cmocka_unit_test(refuses_files_that_cannot_be),
		cmocka_unit_test(loads_relative_to_the_file),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
