/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: all descriptors are inherited from the controller. */
#ifndef KARUTA_HYPERVISOR_OPTIONS_H
#define KARUTA_HYPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct options {
	int command_fd, descriptor_fd, status_fd, console_fd, kvm_fd, kernel_fd;
	int initrd_fd;	  /* -1: none */
	int take_over_fd; /* -1: a guest of our own; else kernel and initrd come from there */
	uid_t user;	  /* 0: stay who we are */
};

/* 0: go on; 1: --help or --version was answered; -EINVAL: error->text says why. */
int options_parse(struct options *options, int argc, char **argv, struct error *error);

#endif
