/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a request (RFC 9112, 3.2): path and query, taken apart strictly. Pure. */
#ifndef KARUTA_PLANE_HTTP_QUERY_H
#define KARUTA_PLANE_HTTP_QUERY_H

#include "http.h"

/*
 * Decodes `target` in place and lets path and query of the exchange point into it. NULL, or why
 * it is refused. Every name of a query comes once and is not empty; "+" is a space there.
 */
const char *http_target_parse(char *target, struct http_exchange *exchange);

/* UTF-8 (RFC 3629) without control characters; also true of no bytes at all. */
bool http_text_is_printable(const char *text, size_t length);

#endif
