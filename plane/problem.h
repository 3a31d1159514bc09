/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, for people and programs (RFC 9457, application/problem+json):
 *
 *	{"type": "about:blank", "title": "Not Found", "status": 404,
 *	 "detail": "there is no instance web", "object": "instances/web",
 *	 "remedy": "GET /v1/instances lists them", "code": "not-found"}
 *
 * `code` is for programs: a word of the list in docs/openapi.yaml, which does not change.
 */
#ifndef KARUTA_PLANE_PROBLEM_H
#define KARUTA_PLANE_PROBLEM_H

#include <jansson.h>

#define PROBLEM_TEXT_MAX 512u

struct problem {
	unsigned status; /* 0: there is none */
	const char *code;
	char object[128]; /* "": none */
	char detail[PROBLEM_TEXT_MAX];
	char remedy[PROBLEM_TEXT_MAX];
};

/* Returns -1, so that a check can end with it. `object` and `remedy` may be NULL. */
__attribute__((format(printf, 6, 7))) int problem_set(struct problem *problem, unsigned status,
						      const char *code, const char *object,
						      const char *remedy, const char *format, ...);
/* The caller's; NULL: out of memory. */
json_t *problem_json(const struct problem *problem);

#endif
