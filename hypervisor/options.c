/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "options.h"

static const char usage[] =
	"Usage: karuta-hypervisor --command-fd N --descriptor-fd N --status-fd N --console-fd N\n"
	"                         --kvm-fd N {--kernel-fd N [--initrd-fd N] | --take-over-fd N}\n"
	"                         [--user ID]\n"
	"Runs one instance on KVM. It is started by karuta-controller, which gives it these open\n"
	"descriptors and nothing else.\n"
	"  --command-fd N     pipe that commands are read from\n"
	"  --descriptor-fd N  socket on which the descriptors that belong to commands arrive\n"
	"  --status-fd N      shared page in which the state is told\n"
	"  --console-fd N     shared ring that takes what the guest writes to its serial port\n"
	"  --kvm-fd N         /dev/kvm\n"
	"  --kernel-fd N      kernel: a bzImage, or an ELF file with a PVH entry\n"
	"  --initrd-fd N      initial RAM disk\n"
	"  --take-over-fd N   socket to the program in whose place this one is to go on\n"
	"  --user ID          user and group to become (root only)\n"
	"  --help, --version\n";

enum { OPTION_USER = 256, OPTION_HELP, OPTION_VERSION };

/* A descriptor's option is where it goes to in struct options. */
#define FD(member) ((int)offsetof(struct options, member))

static const struct option table[] = {
	{"command-fd", required_argument, NULL, FD(command_fd)},
	{"descriptor-fd", required_argument, NULL, FD(descriptor_fd)},
	{"status-fd", required_argument, NULL, FD(status_fd)},
	{"console-fd", required_argument, NULL, FD(console_fd)},
	{"kvm-fd", required_argument, NULL, FD(kvm_fd)},
	{"kernel-fd", required_argument, NULL, FD(kernel_fd)},
	{"initrd-fd", required_argument, NULL, FD(initrd_fd)},
	{"take-over-fd", required_argument, NULL, FD(take_over_fd)},
	{"user", required_argument, NULL, OPTION_USER},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int parse_number(const char *name, const char *text, long most, struct error *error)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 0 || value > most)
		return error_set(error, EINVAL, "--%s: %s: not a number of 0 to %ld", name, text,
				 most);
	return (int)value;
}

static int parse_fd(const char *name, const char *text, int *fd, struct error *error)
{
	int value = parse_number(name, text, 65535, error);

	if (value < 0)
		return value;
	if (fcntl(value, F_GETFD) < 0)
		return error_set(error, EBADF, "--%s: descriptor %d is not open", name, value);
	*fd = value;
	return 0;
}

static int *fd_of(struct options *options, int option)
{
	_Static_assert(FD(user) < '?', "what getopt says of an error is no descriptor");
	return option < FD(user) ? (int *)(void *)((char *)options + option) : NULL;
}

static int parse_one(struct options *options, int option, const char *name, struct error *error)
{
	int *fd = fd_of(options, option);
	int value;

	if (fd)
		return parse_fd(name, optarg, fd, error);
	switch (option) {
	case OPTION_USER:
		value = parse_number(name, optarg, INT32_MAX, error);
		options->user = value < 0 ? 0 : (uid_t)value;
		return value < 0 ? value : 0;
	case OPTION_HELP:
		fputs(usage, stdout);
		return 1;
	case OPTION_VERSION:
		puts("karuta-hypervisor " KARUTA_VERSION);
		return 1;
	default:
		return error_set(error, EINVAL, "unknown option or missing argument; see --help");
	}
}

/* Kernel and initrd come from where the guest does. */
static bool is_needed(const struct options *options, int option)
{
	return option != FD(initrd_fd) && option != FD(take_over_fd) &&
	       (option != FD(kernel_fd) || options->take_over_fd < 0);
}

static int check_complete(struct options *options, struct error *error)
{
	for (size_t i = 0; table[i].name; i++) {
		const int *fd = fd_of(options, table[i].val);

		if (fd && *fd < 0 && is_needed(options, table[i].val))
			return error_set(error, EINVAL, "--%s is missing; see --help",
					 table[i].name);
	}
	return 0;
}

int options_parse(struct options *options, int argc, char **argv, struct error *error)
{
	int option, index = 0, ret;

	*options = (struct options){-1, -1, -1, -1, -1, -1, -1, -1, 0};
	while ((option = getopt_long(argc, argv, "", table, &index)) != -1) {
		ret = parse_one(options, option, table[index].name, error);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return error_set(error, EINVAL, "%s: not an option; see --help", argv[optind]);
	return check_complete(options, error);
}
