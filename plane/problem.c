/* SPDX-License-Identifier: Apache-2.0 */
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

/* RFC 9457, 4.2.1: with "about:blank" the title is the status's own phrase. */
static const char *title(unsigned status)
{
	static const struct {
		unsigned status;
		const char *title;
	} titles[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{507, "Insufficient Storage"},
	};

	for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
		if (titles[i].status == status)
			return titles[i].title;
	}
	return status < 500 ? "Client Error" : "Server Error";
}

int problem_set(struct problem *problem, unsigned status, const char *code, const char *object,
		const char *remedy, const char *format, ...)
{
	va_list arguments;

	problem->status = status;
	problem->code = code;
	snprintf(problem->object, sizeof(problem->object), "%s", object ? object : "");
	snprintf(problem->remedy, sizeof(problem->remedy), "%s", remedy ? remedy : "");
	va_start(arguments, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, arguments);
	va_end(arguments);
	return -1;
}

/* A text that was cut within a character is no UTF-8 any more: its end goes until it is again. */
static json_t *text(const char *bytes)
{
	json_t *made = NULL;

	for (size_t length = strlen(bytes), cut = 0; !made && cut <= 4 && cut <= length; cut++)
		made = json_stringn(bytes, length - cut);
	return made ? made : json_string("");
}

json_t *problem_json(const struct problem *problem)
{
	json_t *made = json_pack("{s:s, s:s, s:i, s:o, s:s}", "type", "about:blank", "title",
				 title(problem->status), "status", (int)problem->status, "detail",
				 text(problem->detail), "code", problem->code);

	if (made && ((problem->object[0] &&
		      json_object_set_new(made, "object", text(problem->object)) < 0) ||
		     (problem->remedy[0] &&
		      json_object_set_new(made, "remedy", text(problem->remedy)) < 0))) {
		json_decref(made);
		return NULL;
	}
	return made;
}
