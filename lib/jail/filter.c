/* SPDX-License-Identifier: Apache-2.0 */
/* Step 3: seccomp(2) through libseccomp. What is not listed ends the process with SIGSYS. */
#include <errno.h>
#include <seccomp.h>
#include <string.h>

#include "base/base.h"
#include "jail.h"

static int add_line(scmp_filter_ctx filter, const struct jail_syscall *line)
{
	struct scmp_arg_cmp conditions[ARRAY_LEN(line->arguments)];
	unsigned count = 0;

	while (count < ARRAY_LEN(line->arguments) && line->arguments[count].mask) {
		const struct jail_argument *argument = &line->arguments[count];

		conditions[count] = (struct scmp_arg_cmp){.arg = argument->index,
							  .op = SCMP_CMP_MASKED_EQ,
							  .datum_a = argument->mask,
							  .datum_b = argument->value};
		count++;
	}
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, line->number, count, conditions);
}

static int set_attributes(scmp_filter_ctx filter)
{
	int err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1);
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A binary tree: the cost of a call does not depend on its place in the list. */
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return err;
}

static int add_lines(scmp_filter_ctx filter, const struct jail_syscall *allow, size_t count,
		     struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		int err = add_line(filter, &allow[i]);

		/* The same line twice: libseccomp's -EEXIST, nothing is lost. */
		if (err && err != -EEXIST)
			return error_set(error, -err, "sandbox: system call %d (%s): %s",
					 allow[i].number, allow[i].reason, strerror(-err));
	}
	return 0;
}

int jail_filter(const struct jail_syscall *allow, size_t count, struct error *error)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err;

	if (!filter)
		return error_set(error, ENOMEM, "sandbox: seccomp: out of memory");
	err = set_attributes(filter);
	if (err)
		error_set(error, -err, "sandbox: seccomp: %s", strerror(-err));
	else
		err = add_lines(filter, allow, count, error);
	if (!err) {
		err = seccomp_load(filter);
		if (err)
			error_set(error, -err,
				  "sandbox: seccomp: %s; the kernel needs CONFIG_SECCOMP_FILTER",
				  strerror(-err));
	}
	seccomp_release(filter);
	return err;
}
