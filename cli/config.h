/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plane, and who asks it: a small file of JSON that nobody but its owner may read.
 *
 *	{"url": "https://plane.example:4750", "ca": "/etc/karuta/plane-ca.pem",
 *	 "token": "karuta_..."}				or "certificate" and "key", two files
 *
 * A file that it names is relative to the folder that it is in.
 */
#ifndef KARUTA_CLI_CONFIG_H
#define KARUTA_CLI_CONFIG_H

#include "base/error.h"

#define CONFIG_URL_MAX	 200u
#define CONFIG_TOKEN_MAX 200u

struct plane_config {
	char *path;		 /* of the file itself */
	char *url;		 /* https://HOST[:PORT], without a '/' at its end */
	char *ca;		 /* a file; the only authority that counts */
	char *token;		 /* or NULL, and then: */
	char *certificate, *key; /* files */
};

/* Allocates: `chosen` if it is not NULL, else $KARUTA_PLANE, else karuta/plane.json below
 * $XDG_CONFIG_HOME (~/.config). NULL with `error` set. */
char *config_path(const char *chosen, struct error *error);
/* -EACCES: others may read or change it. config_free() in any case. */
int config_load(struct plane_config *config, const char *chosen, struct error *error);
/* Writes config->path, as a whole, readable by its owner alone. */
int config_save(const struct plane_config *config, struct error *error);
/* Allocates a checked copy; NULL with `error` set. */
char *config_url(const char *text, struct error *error);
/* Letters, digits and . _ - ~ + / = only: nothing that could end a header. */
int config_check_token(const char *token, struct error *error);
/* The token is wiped. */
void config_free(struct plane_config *config);

#endif
