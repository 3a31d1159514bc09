/* SPDX-License-Identifier: Apache-2.0 */
/* karuta audit verify: a host's audit log, read through the plane, and its chain of hashes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/base.h"
#include "base/size.h"
#include "interrupt.h"
#include "item.h"
#include "progress.h"
#include "trust/audit_chain.h"
#include "trust/digest.h"

struct verify {
	const char *host;
	uint64_t first, count;
	struct audit_link link; /* the last line that was checked */
	/* A line that somebody has seen before. */
	uint64_t known;
	char known_hash[AUDIT_HASH_TEXT + 1];
	bool was_known;
};

static int broken(const struct verify *verify, const char *what, struct error *error)
{
	return error_set(error, EBADMSG,
			 "host %s: line %llu of its audit log %s\n        the log is evidence: "
			 "`karuta-controller audit verify` on the host looks at its files",
			 verify->host, (unsigned long long)verify->link.number + 1, what);
}

/* Older files are given up when a log has become long: the oldest line that is left is believed,
 * unless it is the very first. */
static int begin_chain(struct verify *verify, const char *line, size_t length, struct error *error)
{
	static const char member[] = " {\"number\":";
	const char *at = line + AUDIT_HASH_TEXT + strlen(member);
	uint64_t number;

	if (length < AUDIT_HASH_TEXT + sizeof(member) ||
	    memcmp(line + AUDIT_HASH_TEXT, member, strlen(member)) != 0 ||
	    size_take(&at, false, &number) || !number)
		return broken(verify, "is none", error);
	verify->first = number;
	if (number == 1)
		return 0;
	verify->link.number = number - 1;
	if (!trust_unhex(line, AUDIT_HASH_TEXT, verify->link.hash.bytes))
		return broken(verify, "has no good hash", error);
	verify->link.number = number;
	return 1;
}

static int take_line(struct verify *verify, const json_t *item, struct error *error)
{
	const char *line = json_string_value(item);
	size_t length = json_string_length(item);
	int result = 0;

	if (!line || length >= AUDIT_LINE_MAX || length < AUDIT_HASH_TEXT)
		return broken(verify, "is none", error);
	if (!verify->count)
		result = begin_chain(verify, line, length, error);
	if (result < 0)
		return result;
	if (!result && audit_chain_check(&verify->link, line, length))
		return broken(verify, "does not follow the one before it", error);
	verify->count++;
	if (verify->link.number != verify->known)
		return 0;
	verify->was_known = true;
	return memcmp(line, verify->known_hash, AUDIT_HASH_TEXT)
		       ? error_set(error, EBADMSG,
				   "host %s: line %llu of its audit log is not the one that is "
				   "known\n        the log was made anew from there or before",
				   verify->host, (unsigned long long)verify->known)
		       : 0;
}

static int take_page(struct verify *verify, const json_t *page, bool *more, struct error *error)
{
	const json_t *lines = json_object_get(page, "lines");
	uint64_t before = verify->link.number;
	int result = 0;

	for (size_t i = 0; i < json_array_size(lines) && !result; i++)
		result = take_line(verify, json_array_get(lines, i), error);
	*more = json_is_true(json_object_get(page, "more"));
	if (!result && *more && verify->link.number == before)
		result =
			error_set(error, EPROTO, "host %s: its audit log has no end", verify->host);
	return result;
}

static int read_all(struct api *api, struct verify *verify, struct error *error)
{
	char path[API_PATH_MAX], query[API_PATH_MAX + 32];
	struct progress progress = {0};
	bool more = true;
	int result = api_path(path, "hosts", verify->host, "audit", error);

	progress_step(&progress, "audit log", 0);
	while (!result && more) {
		json_t *page = NULL;

		snprintf(query, sizeof(query), "%s?since=%llu", path,
			 (unsigned long long)verify->link.number);
		result = api_ask(api, "GET", query, NULL, &page, error);
		if (!result)
			result = take_page(verify, page, &more, error);
		json_decref(page);
		progress_update(&progress, 0);
		if (!result && interrupt_pending())
			result = error_set(error, EINTR, "interrupted");
	}
	if (result)
		progress_abandon(&progress);
	else
		progress_clear(&progress);
	return result;
}

static int take_known(struct verify *verify, const struct invocation *call, struct error *error)
{
	const char *text = options_value(call, "known"), *at = text;

	if (!text)
		return 0;
	if (!size_take(&at, false, &verify->known) && verify->known && *at == ':' &&
	    strspn(at + 1, "0123456789abcdef") == AUDIT_HASH_TEXT &&
	    strlen(at + 1) == AUDIT_HASH_TEXT) {
		strcpy(verify->known_hash, at + 1);
		return 0;
	}
	error_set(error, EINVAL, "--known %.60s: wanted is NUMBER:HASH, as this verb prints it",
		  text);
	return CLI_USAGE;
}

static void print(const struct verify *verify, const struct invocation *call)
{
	char hash[AUDIT_HASH_TEXT + 1];
	json_t *answer;

	trust_hex(verify->link.hash.bytes, AUDIT_HASH_SIZE, hash);
	answer = json_pack("{s:s, s:I, s:I, s:s}", "host", verify->host, "first",
			   (json_int_t)verify->first, "last", (json_int_t)verify->link.number,
			   "hash", hash);
	if (!item_print_json(call, answer)) {
		printf("host %s: lines %llu to %llu of its audit log: each follows the one before "
		       "it\n",
		       verify->host, (unsigned long long)verify->first,
		       (unsigned long long)verify->link.number);
		if (verify->first > 1)
			puts("older ones are not on the host any more");
		printf("the last is known by\n%llu:%s\n", (unsigned long long)verify->link.number,
		       hash);
	}
	json_decref(answer);
}

static int audit_verify(struct api *api, const struct invocation *call, struct error *error)
{
	struct verify verify = {.host = call->operands[0]};
	int result = take_known(&verify, call, error);

	if (!result)
		result = read_all(api, &verify, error);
	if (!result && verify.known > verify.link.number)
		result = error_set(error, EBADMSG,
				   "host %s: its audit log ends with line %llu, and line %llu is "
				   "known\n        its end was cut off, or it was made anew",
				   verify.host, (unsigned long long)verify.link.number,
				   (unsigned long long)verify.known);
	if (result)
		return result;
	if (verify.known && !verify.was_known)
		fprintf(stderr, "karuta: the line that is known is not on the host any more\n");
	print(&verify, call);
	return 0;
}

static const struct option_spec options[] = {
	{"known", "NUMBER:HASH", "a line as it was before: it has to be the same still"},
};

const struct verb audit_verbs[] = {
	{.noun = "audit",
	 .name = "verify",
	 .operands = "HOST",
	 .operand_count = 1,
	 .summary = "Reads a host's audit log and checks that no line was changed, moved or left "
		    "out.",
	 .options = options,
	 .option_count = ARRAY_LEN(options),
	 .ask = audit_verify},
	{0},
};
