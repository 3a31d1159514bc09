/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Inside a program a function returns 0 (or a count) or -errno. Where a person or another
 * program will read about it, the function takes a `struct error *` as well and fills in a text
 * that names the object and the remedy ("volume data: open /srv/data.vol: no such file; create it
 * with `karuta file create`").
 */
#ifndef KARUTA_BASE_ERROR_H
#define KARUTA_BASE_ERROR_H

#define ERROR_TEXT_SIZE 256

struct error {
	int code; /* errno value, 0 = no error */
	char text[ERROR_TEXT_SIZE];
};

/* Sets code and text (cut, never overflown), returns -code. `error` may be NULL: only the return
 * value then. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *error, int code,
						    const char *format, ...);

/* Puts "prefix: " in front of the text. */
__attribute__((format(printf, 2, 3))) void error_prefix(struct error *error, const char *format,
							...);

#endif
