/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a controller, for people. */
#ifndef KARUTA_CONTROLLER_SHOW_H
#define KARUTA_CONTROLLER_SHOW_H

#include <jansson.h>

void show_status(const json_t *status);
/* Of a host: {"instances": [...]}. */
void show_list(const json_t *list);
/* An array of them. */
void show_images(const json_t *images);
/* Security events: an array of them. */
void show_events(const json_t *events);
/* An entry of the audit log. */
void show_audit_entry(const json_t *entry);
/* Lines of it, as the controller sends them. */
void show_audit_lines(const json_t *lines);
/* Bytes of a console, in base64; nothing, if they are not. */
void show_console(const char *text);
void show_json(const json_t *json);
/* Copies to standard output until the end of either; returns an exit code. */
int show_stream(int fd);

#endif
