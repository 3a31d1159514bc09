/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_chain.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"

#define BEGIN "karuta-audit 1 "

static void hash_to_text(const struct audit_hash *hash, char text[AUDIT_HASH_TEXT + 1])
{
	for (size_t i = 0; i < AUDIT_HASH_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
}

/* One way to write a hash only: an upper-case digit is a changed line. */
static bool text_is_hash(const char *text, const struct audit_hash *hash)
{
	char expected[AUDIT_HASH_TEXT + 1];

	hash_to_text(hash, expected);
	return !memcmp(text, expected, AUDIT_HASH_TEXT);
}

int audit_chain_hash(const struct audit_hash *before, const void *bytes, size_t length,
		     struct audit_hash *hash)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context && EVP_DigestInit_ex(context, EVP_sha384(), NULL) == 1 &&
		    EVP_DigestUpdate(context, before->bytes, AUDIT_HASH_SIZE) == 1 &&
		    EVP_DigestUpdate(context, bytes, length) == 1 &&
		    EVP_DigestFinal_ex(context, hash->bytes, NULL) == 1;

	EVP_MD_CTX_free(context);
	return done ? 0 : -ENOMEM;
}

/* Callers choose some of the texts: they are cut, and what is not UTF-8 is replaced. */
static json_t *field(const char *text)
{
	char copy[AUDIT_FIELD_MAX + 1];
	json_t *string;

	snprintf(copy, sizeof(copy), "%s", text ? text : "");
	string = json_string(copy);
	if (string)
		return string;
	for (char *at = copy; *at; at++) {
		if (*at & 0x80)
			*at = '?';
	}
	return json_string(copy);
}

static void time_now(char *text, size_t size)
{
	struct timespec now;
	struct tm parts;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text, size, "%s.%06ldZ", seconds, now.tv_nsec / 1000);
}

static char *write_object(uint64_t number, const struct audit_record *record)
{
	char now[64], *text;
	json_t *object;

	time_now(now, sizeof(now));
	if (record->verb)
		object = json_pack("{s:I,s:s,s:o,s:o,s:o,s:i,s:o}", "number", (json_int_t)number,
				   "time", now, "caller", field(record->caller), "verb",
				   field(record->verb), "object", field(record->object), "code",
				   record->code, "text", field(record->text));
	else
		object = json_pack("{s:I,s:s,s:I,s:i,s:o}", "number", (json_int_t)number, "time",
				   now, "of", (json_int_t)record->of, "code", record->code, "text",
				   field(record->text));
	text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

int audit_chain_add(struct audit_link *link, const struct audit_record *record, char *line,
		    size_t size)
{
	struct audit_link next = {.number = link->number + 1};
	CLEANUP_FREE char *object = write_object(next.number, record);
	char hash[AUDIT_HASH_TEXT + 1];
	int ret, length;

	if (!object)
		return -ENOMEM;
	ret = audit_chain_hash(&link->hash, object, strlen(object), &next.hash);
	if (ret < 0)
		return ret;
	hash_to_text(&next.hash, hash);
	length = snprintf(line, size, "%s %s\n", hash, object);
	if (length < 0 || (size_t)length >= size)
		return -EMSGSIZE;
	*link = next;
	return length;
}

const char *audit_chain_object(const char *line, size_t length, size_t *object_length)
{
	*object_length = length - AUDIT_HASH_TEXT - 1;
	return line + AUDIT_HASH_TEXT + 1;
}

int audit_chain_check(struct audit_link *link, const char *line, size_t length)
{
	struct audit_link next = {.number = link->number + 1};
	char begin[48];
	const char *object;
	size_t object_length;
	int ret;

	if (length <= AUDIT_HASH_TEXT || line[AUDIT_HASH_TEXT] != ' ')
		return -EBADMSG;
	object = audit_chain_object(line, length, &object_length);
	ret = audit_chain_hash(&link->hash, object, object_length, &next.hash);
	if (ret < 0)
		return ret;
	snprintf(begin, sizeof(begin), "{\"number\":%llu,", (unsigned long long)next.number);
	if (!text_is_hash(line, &next.hash) || object_length < strlen(begin) ||
	    memcmp(object, begin, strlen(begin)) != 0)
		return -EBADMSG;
	*link = next;
	return 0;
}

int audit_chain_begin(const struct audit_link *link, char *line, size_t size)
{
	char hash[AUDIT_HASH_TEXT + 1];
	int length;

	hash_to_text(&link->hash, hash);
	length =
		snprintf(line, size, BEGIN "%llu %s\n", (unsigned long long)link->number + 1, hash);
	return length < 0 || (size_t)length >= size ? -EMSGSIZE : length;
}

static int digit_value(char digit)
{
	return digit >= '0' && digit <= '9'   ? digit - '0'
	       : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
					      : -1;
}

int audit_chain_parse_begin(struct audit_link *link, const char *line, size_t length)
{
	const char *hash = line + length - AUDIT_HASH_TEXT;
	char copy[AUDIT_LINE_MAX], again[AUDIT_LINE_MAX];

	if (length < strlen(BEGIN) + AUDIT_HASH_TEXT + 2 || length >= sizeof(copy))
		return -EBADMSG;
	for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
		int high = digit_value(hash[2 * i]), low = digit_value(hash[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		link->hash.bytes[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(copy, line, length);
	copy[length] = '\0';
	link->number = strtoull(copy + strlen(BEGIN), NULL, 10) - 1;
	/* The one way to write it, newline aside. */
	if (audit_chain_begin(link, again, sizeof(again)) != (int)length + 1 ||
	    memcmp(line, again, length) != 0)
		return -EBADMSG;
	return 0;
}
