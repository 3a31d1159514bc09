/* SPDX-License-Identifier: Apache-2.0 */
/* karuta instance console: what the guest has written, page by page. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "api_private.h"
#include "base/base.h"
#include "instance.h"
#include "interrupt.h"
#include "item.h"

#define FOLLOW_PAUSE_MS 200u
#define LOST_PAUSE_MS	1000u

/* RFC 4648, 4; EVP_DecodeBlock(3) counts what pads as zeros. */
static int write_console(const char *text, struct error *error)
{
	size_t length = strlen(text), pads = 0;
	CLEANUP_FREE unsigned char *bytes = malloc(length + 1);
	int count;

	if (!bytes || length > INT32_MAX)
		return error_set(error, ENOMEM, "out of memory");
	count = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
	while (pads < 2 && pads < length && text[length - 1 - pads] == '=')
		pads++;
	if (length && (count < 0 || (size_t)count < pads))
		return error_set(error, EPROTO, "the plane's console is not base64");
	if (length && fwrite(bytes, 1, (size_t)count - pads, stdout) != (size_t)count - pads)
		return error_set(error, errno, "%s", strerror(errno));
	return fflush(stdout) ? error_set(error, errno, "%s", strerror(errno)) : 0;
}

/* *from moves on; *rest: 1 there is more now, 0 not yet, -1 never. */
static int one_page(struct api *api, const struct invocation *call, const char *path,
		    uint64_t *from, int *rest, struct error *error)
{
	char query[API_PATH_MAX + 32];
	json_t *page = NULL;
	uint64_t begin, next;
	int result;

	snprintf(query, sizeof(query), "%s?from=%llu", path, (unsigned long long)*from);
	result = api_ask(api, "GET", query, NULL, &page, error);
	if (result)
		return result;
	begin = item_number(page, NULL, "from");
	next = item_number(page, NULL, "next");
	if (begin > *from)
		fprintf(stderr, "karuta: %llu bytes before this are not kept any more\n",
			(unsigned long long)(begin - *from));
	if (!item_print_json(call, page)) {
		const char *text = json_string_value(json_object_get(page, "console"));

		result = write_console(text ? text : "", error);
	}
	*rest = json_is_true(json_object_get(page, "more")) && next > *from ? 1
		: json_is_true(json_object_get(page, "ended"))		    ? -1
									    : 0;
	*from = next > *from ? next : *from;
	json_decref(page);
	return result;
}

/* The guest runs on without the plane, which is waited for if it was there. */
static int wait_for_plane(bool *lost, struct error *error)
{
	if (!*lost)
		fprintf(stderr, "karuta: the plane has gone; waiting for it\n");
	*lost = true;
	*error = (struct error){0};
	api_pause(LOST_PAUSE_MS);
	return 0;
}

static int follow_console(struct api *api, const struct invocation *call, const char *path,
			  struct error *error)
{
	bool seen = false, lost = false;
	uint64_t from = 0;
	int rest = 1, result = 0;

	while (!result && !interrupt_pending() && rest >= 0) {
		result = one_page(api, call, path, &from, &rest, error);
		if (result == CLI_UNREACHABLE && seen) {
			result = wait_for_plane(&lost, error);
			continue;
		}
		seen = !result;
		lost = false;
		if (!result && !rest)
			api_pause(FOLLOW_PAUSE_MS);
	}
	return result == -EINTR ? 0 : result;
}

int instance_console(struct api *api, const struct invocation *call, struct error *error)
{
	char path[API_PATH_MAX];
	uint64_t from = 0;
	int rest = 1, result = api_path(path, "instances", call->operands[0], "console", error);

	if (!result && options_value(call, "follow"))
		return follow_console(api, call, path, error);
	while (!result && !interrupt_pending() && rest > 0)
		result = one_page(api, call, path, &from, &rest, error);
	return result;
}
