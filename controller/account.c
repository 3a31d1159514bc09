/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"

#include <errno.h>
#include <stdio.h>

static size_t free_place(const struct account *account)
{
	size_t i = 0;

	while (i < ACCOUNT_OPEN && account->open[i].ticket)
		i++;
	return i;
}

int account_accept(struct account *account, uint64_t ticket, const char *caller, const char *verb,
		   const char *object, struct error *error)
{
	struct audit_record record = {
		.caller = caller, .verb = verb, .object = object, .text = "accepted"};
	size_t place = free_place(account);
	int ret;

	if (ticket && place == ACCOUNT_OPEN)
		return error_set(error, EBUSY, "too many commands wait");
	ret = audit_write(&account->audit, &record, error);
	if (ret < 0)
		return ret;
	if (ticket) {
		account->open[place].ticket = ticket;
		account->open[place].line = audit_last(&account->audit);
	}
	return 0;
}

/* What was done, or not, cannot be undone because it cannot be written down. */
static void write_or_tell(struct account *account, const struct audit_record *record)
{
	struct error error = {0};

	if (audit_write(&account->audit, record, &error) < 0)
		fprintf(stderr, "karuta-controller: %s: %s\n", record->text, error.text);
}

void account_refuse(struct account *account, const char *caller, const char *verb,
		    const char *object, int code, const char *text)
{
	write_or_tell(account, &(struct audit_record){.caller = caller,
						      .verb = verb,
						      .object = object,
						      .code = code,
						      .text = text});
}

static void close_place(struct account *account, size_t place, int code, const char *text)
{
	struct audit_record record = {.of = account->open[place].line, .code = code, .text = text};

	account->open[place].ticket = 0;
	write_or_tell(account, &record);
}

void account_outcome(struct account *account, uint64_t ticket, int code, const char *text)
{
	for (size_t i = 0; i < ACCOUNT_OPEN; i++) {
		if (ticket && account->open[i].ticket == ticket)
			close_place(account, i, code, text);
	}
}

void account_end(struct account *account, const char *outcome)
{
	account_outcome(account, ACCOUNT_AT_END, 0, outcome);
	for (size_t i = 0; i < ACCOUNT_OPEN; i++) {
		if (account->open[i].ticket)
			close_place(account, i, ESHUTDOWN, "the instance has ended");
	}
}
