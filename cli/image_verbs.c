/* SPDX-License-Identifier: Apache-2.0 */
/* karuta image list, show, delete; and the table of all verbs for images. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "image.h"
#include "image_plane.h"
#include "size.h"

static int is_image(const struct dirent *entry)
{
	return home_name_is_good(entry->d_name);
}

static const char *text_of(const json_t *facts, const char *member)
{
	const char *text = json_string_value(json_object_get(facts, member));

	return text ? text : "-";
}

static void print_line(const json_t *facts)
{
	char size[SIZE_TEXT];

	printf("%-24s %-10s %-10s %-10s %s\n", text_of(facts, "name"), text_of(facts, "suite"),
	       size_format(size, (uint64_t)json_integer_value(json_object_get(facts, "size"))),
	       text_of(facts, "origin"), text_of(facts, "created"));
}

/* An image that cannot be read is told of, and does not hide the others. */
static json_t *read_all(struct error *error)
{
	CLEANUP_FREE char *images = home_images(error);
	json_t *list = json_array();
	struct dirent **names = NULL;
	int count;

	if (!images || !list)
		return list;
	count = scandir(images, &names, is_image, alphasort);
	for (int i = 0; i < count; i++) {
		struct error why = {0};
		json_t *facts = image_read_facts(names[i]->d_name, &why);

		if (facts)
			json_array_append_new(list, facts);
		else
			fprintf(stderr, "karuta: %s\n", why.text);
		free(names[i]);
	}
	free(names);
	return list;
}

static int image_list(const struct invocation *call, struct error *error)
{
	json_t *list = read_all(error), *facts;
	size_t i;

	if (!list)
		return error_set(error, ENOMEM, "out of memory");
	if (options_value(call, "json")) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (!json_array_size(list)) {
		puts("no images yet; make one: karuta image build NAME --suite bookworm");
	} else {
		printf("%-24s %-10s %-10s %-10s %s\n", "NAME", "SUITE", "SIZE", "ORIGIN",
		       "CREATED");
		json_array_foreach(list, i, facts) print_line(facts);
	}
	json_decref(list);
	return 0;
}

/* What a specification file needs, see karuta-instance(5). */
static void print_use(const json_t *facts, const char *folder)
{
	printf("\nin an instance's file, with a volume made from it in slot 1:\n"
	       "  \"kernel\": \"%s/kernel\",\n",
	       folder);
	if (json_object_get(facts, "initrd"))
		printf("  \"initrd\": \"%s/initrd\",\n", folder);
	printf("  \"command_line\": \"console=ttyS0 root=%s rw\",\n"
	       "  the card: \"sector\": %lld\n",
	       text_of(facts, "root"),
	       (long long)json_integer_value(json_object_get(facts, "sector")));
}

static int image_show(const struct invocation *call, struct error *error)
{
	CLEANUP_FREE char *folder = home_image(call->operands[0], error);
	json_t *facts = folder ? image_read_facts(call->operands[0], error) : NULL;

	if (!facts)
		return -ENOENT;
	json_dumpf(facts, stdout, JSON_INDENT(2));
	putchar('\n');
	if (!options_value(call, "json"))
		print_use(facts, folder);
	json_decref(facts);
	return 0;
}

static int image_delete(const struct invocation *call, struct error *error)
{
	CLEANUP_FREE char *folder = home_image(call->operands[0], error);
	int result;

	if (!folder)
		return -EINVAL;
	if (access(folder, F_OK))
		return error_set(
			error, ENOENT,
			"image %s: there is none; `karuta image list` shows those that are",
			call->operands[0]);
	result = home_remove_tree(folder);
	if (result)
		return error_set(error, -result, "image %s: %s", call->operands[0],
				 strerror(-result));
	return 0;
}

static const struct option_spec build_options[] = {
	{"suite", "bookworm|trixie", "the Debian release"},
	{"include", "PACKAGE,...", "more packages; may be repeated"},
	{"copy", "SRC:DST", "puts a file of this machine at DST in the image; may be repeated"},
	{"size", "SIZE", "of the disk (2G); it can grow with its volume later"},
	{"mirror", "URI", "the Debian mirror, if not that of this machine's apt sources"},
};

static const struct option_spec pushed_option[] = {
	{"pushed", NULL, "of the plane, instead of this machine"},
};

static const struct option_spec push_options[] = {
	{"as", "NAME", "what the plane calls it, if not the same"},
	{"command-line", "TEXT", "of the kernel, if not: console=ttyS0 root=UUID=... rw"},
	{"label", "NAME=VALUE", "may be repeated"},
};

const struct verb image_verbs[] = {
	{.noun = "image",
	 .name = "build",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary =
		 "Makes an image of a stock Debian from the mirror that this machine uses itself.",
	 .options = build_options,
	 .option_count = ARRAY_LEN(build_options),
	 .notes = "The root account is locked; what the system shall do on its own comes in with "
		  "--include and --copy.\nImages live in $KARUTA_HOME (root: /var/lib/karuta, "
		  "others: "
		  "~/.local/share/karuta).",
	 .run = image_build},
	{.noun = "image",
	 .name = "import",
	 .operands = "NAME FILE",
	 .operand_count = 2,
	 .summary = "Makes an image of a raw or qcow2 disk with an ext2, ext3 or ext4 root file "
		    "system; its kernel\nand initrd are taken out of it.",
	 .run = image_import},
	{.noun = "image",
	 .name = "list",
	 .operands = "",
	 .summary = "Shows all images.",
	 .options = pushed_option,
	 .option_count = 1,
	 .run = image_list,
	 .ask = image_list_pushed},
	{.noun = "image",
	 .name = "show",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Shows what an image is, and how it is started.",
	 .options = pushed_option,
	 .option_count = 1,
	 .run = image_show,
	 .ask = image_show_pushed},
	{.noun = "image",
	 .name = "delete",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Removes an image. Volumes that were made from it stay.",
	 .options = pushed_option,
	 .option_count = 1,
	 .run = image_delete,
	 .ask = image_delete_pushed},
	{.noun = "image",
	 .name = "push",
	 .operands = "NAME",
	 .operand_count = 1,
	 .summary = "Gives an image of this machine to the plane, for instances to start from.",
	 .options = push_options,
	 .option_count = ARRAY_LEN(push_options),
	 .ask = image_push},
	{0},
};
