/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/size.h"
#include "boot_files.h"
#include "child.h"
#include "os/fd.h"

#define LARGEST GIB

static const char kernel_prefix[] = "vmlinuz-";

/* It is written out in full, holes included. */
static bool is_possible_size(const char *text)
{
	uint64_t size;
	char digits[24];
	size_t length = strcspn(text, "/");

	if (length >= sizeof(digits))
		return false;
	memcpy(digits, text, length);
	digits[length] = 0;
	return !size_parse(digits, &size) && size <= LARGEST;
}

/* "/inode/mode/uid/gid/name/size/": the name, if it is a regular file with a plain name. */
static bool parse_entry(const char *line, char name[BOOT_NAME_MAX])
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._+~-";
	unsigned mode;
	int at = 0;
	size_t length;

	if (sscanf(line, "/%*u/%o/%*u/%*u/%n", &mode, &at) != 1 || !at || !S_ISREG(mode))
		return false;
	length = strcspn(line + at, "/");
	if (!length || length >= BOOT_NAME_MAX || strspn(line + at, plain) != length ||
	    line[at + (int)length] != '/' || !is_possible_size(line + at + (int)length + 1))
		return false;
	memcpy(name, line + at, length);
	name[length] = 0;
	return true;
}

void boot_names_take(struct boot_names *names, const char *line)
{
	char name[BOOT_NAME_MAX];

	if (!parse_entry(line, name) || strncmp(name, kernel_prefix, strlen(kernel_prefix)) ||
	    strstr(name, "rescue"))
		return;
	if (strverscmp(name, names->kernel) > 0)
		memcpy(names->kernel, name, sizeof(name));
}

/* Debian's and Fedora's way to name it. */
void boot_names_take_initrd(struct boot_names *names, const char *line)
{
	static const char *const forms[] = {"initrd.img-%s", "initramfs-%s.img", "initrd-%s"};
	const char *version = names->kernel + strlen(kernel_prefix);
	char name[BOOT_NAME_MAX], wanted[2 * BOOT_NAME_MAX];

	if (!parse_entry(line, name))
		return;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(wanted, sizeof(wanted), forms[i], version);
#pragma GCC diagnostic pop
		if (!strcmp(name, wanted))
			memcpy(names->initrd, name, sizeof(name));
	}
}

static int debugfs(const struct boot_place *place, const char *request,
		   void (*line)(void *context, const char *line), void *context,
		   struct error *error)
{
	char image[512];
	const char *argv[] = {"debugfs", "-R", request, image, NULL};
	struct child child = {.argv = argv,
			      .folder = place->folder,
			      .log = place->log,
			      .line = line,
			      .context = context};

	snprintf(image, sizeof(image), "%s?offset=%llu", place->image,
		 (unsigned long long)place->offset);
	return child_run(&child, error);
}

static void take_kernel(void *context, const char *line)
{
	boot_names_take(context, line);
}

static void take_initrd(void *context, const char *line)
{
	boot_names_take_initrd(context, line);
}

static void take_inode(void *context, const char *line)
{
	if (!strncmp(line, "Inode:", 6))
		*(bool *)context = true;
}

bool boot_files_exist(const struct boot_place *place, const char *path)
{
	struct error ignored = {0};
	char request[160];
	bool found = false;

	snprintf(request, sizeof(request), "stat %s", path);
	return !debugfs(place, request, take_inode, &found, &ignored) && found;
}

/* debugfs ends with 0 even if it failed: the file tells. */
static int dump(const struct boot_place *place, const char *directory, const char *name,
		const char *to, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	char request[BOOT_NAME_MAX * 2 + 64];
	struct stat status;
	int result;

	snprintf(request, sizeof(request), "dump %s/%s %s", directory, name, to);
	if (asprintf(&path, "%s/%s", place->folder, to) < 0)
		return error_set(error, ENOMEM, "out of memory");
	result = debugfs(place, request, NULL, NULL, error);
	if (result)
		return result;
	if (stat(path, &status) || !status.st_size)
		return error_set(error, EIO, "%s/%s cannot be read out of the image", directory,
				 name);
	return 0;
}

int boot_files_extract(const struct boot_place *place, const char *directory,
		       struct boot_names *names, struct error *error)
{
	char request[64];
	int result;

	*names = (struct boot_names){0};
	snprintf(request, sizeof(request), "ls -p %s", directory);
	result = debugfs(place, request, take_kernel, names, error);
	if (result)
		return result;
	if (!names->kernel[0])
		return error_set(error, ENOENT, "there is no kernel (vmlinuz-*) in its %s",
				 directory);
	result = debugfs(place, request, take_initrd, names, error);
	if (!result)
		result = dump(place, directory, names->kernel, "kernel", error);
	if (!result && names->initrd[0])
		result = dump(place, directory, names->initrd, "initrd", error);
	return result;
}
