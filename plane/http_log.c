/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {"time":"2026-11-26T20:55:00.123Z","number":7,"address":"192.0.2.1","who":"ann","method":"GET",
 *  "path":"/v1/instances","status":200,"ms":1.234}
 *
 * No query and no header: what is secret may stand there. A path that has a token in it is cut off
 * before it. status 0: the client has gone before there was an answer.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http_private.h"
#include "os/clock.h"

#define LINE_MAX_BYTES 1024u
#define PATH_MOST      256u /* of it, before it is escaped */

/* Printable UTF-8 is all that comes here, so two characters are to be escaped (RFC 8259, 7). What
 * is too long ends with "...", at the beginning of a character. */
static void escape(char *to, const char *from, size_t most)
{
	const char *secret = strstr(from, "karuta_");
	size_t length = secret ? (size_t)(secret - from) : strlen(from);
	bool cut = secret != NULL;

	if (length > most) {
		length = most;
		while (length && ((unsigned char)from[length] & 0xc0) == 0x80)
			length--;
		cut = true;
	}
	for (size_t i = 0; i < length; i++) {
		if (from[i] == '"' || from[i] == '\\')
			*to++ = '\\';
		*to++ = from[i];
	}
	strcpy(to, cut ? "..." : "");
}

void http_log(const struct http_request *request)
{
	char line[LINE_MAX_BYTES], path[2 * PATH_MOST + 4], who[2 * sizeof(request->who) + 4];
	char date[32];
	struct timespec now;
	struct tm parts;
	int length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
	escape(path, request->exchange.path, PATH_MOST);
	escape(who, request->who, sizeof(request->who));
	length = snprintf(
		line, sizeof(line),
		"{\"time\":\"%s.%03ldZ\",\"number\":%llu,\"address\":\"%s\",\"who\":\"%s\","
		"\"method\":\"%s\",\"path\":\"%s\",\"status\":%u,\"ms\":%.3f}\n",
		date, now.tv_nsec / 1000000, (unsigned long long)request->exchange.number,
		request->exchange.address, who, request->method, path, request->status,
		(double)(os_now() - request->begun) / 1e6);
	/* Nobody is there to be told that the log cannot be written. */
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}
