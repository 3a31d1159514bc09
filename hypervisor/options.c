/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

enum {
	OPTION_COMMAND = 256,
	OPTION_DESCRIPTOR,
	OPTION_STATUS,
	OPTION_CONSOLE,
	OPTION_KVM,
	OPTION_KERNEL,
	OPTION_INITRD,
	OPTION_TAKE_OVER,
	OPTION_USER,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option table[] = {
	{"command-fd", required_argument, NULL, OPTION_COMMAND},
	{"descriptor-fd", required_argument, NULL, OPTION_DESCRIPTOR},
	{"status-fd", required_argument, NULL, OPTION_STATUS},
	{"console-fd", required_argument, NULL, OPTION_CONSOLE},
	{"kvm-fd", required_argument, NULL, OPTION_KVM},
	{"kernel-fd", required_argument, NULL, OPTION_KERNEL},
	{"initrd-fd", required_argument, NULL, OPTION_INITRD},
	{"take-over-fd", required_argument, NULL, OPTION_TAKE_OVER},
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
	switch (option) {
	case OPTION_COMMAND:
		return &options->command_fd;
	case OPTION_DESCRIPTOR:
		return &options->descriptor_fd;
	case OPTION_STATUS:
		return &options->status_fd;
	case OPTION_CONSOLE:
		return &options->console_fd;
	case OPTION_KVM:
		return &options->kvm_fd;
	case OPTION_KERNEL:
		return &options->kernel_fd;
	case OPTION_INITRD:
		return &options->initrd_fd;
	case OPTION_TAKE_OVER:
		return &options->take_over_fd;
	default:
		return NULL;
	}
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
	return option != OPTION_INITRD && option != OPTION_TAKE_OVER &&
	       (option != OPTION_KERNEL || options->take_over_fd < 0);
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
