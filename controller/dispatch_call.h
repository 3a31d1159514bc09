/* SPDX-License-Identifier: Apache-2.0 */
/* A request that is on its way through dispatch.c, for the verbs, which are there and in
 * dispatch_<verb>.c. */
#ifndef KARUTA_CONTROLLER_DISPATCH_CALL_H
#define KARUTA_CONTROLLER_DISPATCH_CALL_H

#include "dispatch.h"

struct call {
	struct fleet *fleet;
	const char *caller;
	char who[TLS_NAME_MAX + 16];
	uint64_t begun; /* os_now() */
	struct control_request request;
	uint8_t digest[WRAP_DIGEST_SIZE]; /* of one that changes something */
	struct operation *operation;	  /* NULL: it only reads */
	struct unit *unit;
	char target[INSTANCE_NAME_MAX + CARD_NAME_MAX + 2]; /* instance, or instance/card */
	bool accepted;					    /* it is in the audit log */
	json_t *result;
	struct error error;
};

/* One verb. Returns 0: `result` is the answer, or the operation waits for it; -errno: the error
 * is. */
typedef int (*call_fn)(struct call *call);

void call_copy_text(const struct control_value *value, char *to, size_t size);
/* For the audit log: "instance" or "instance/card". */
void call_name_target(struct call *call, const char *instance, const char *card);
/* The instance, which is live, and the card that is named, if any. */
int call_take_names(struct call *call, char card[CARD_NAME_MAX + 1]);
/* An instance that is known, running or not. */
int call_take_known(struct call *call);
/* The last step before anything is done: it is in the audit log. */
int call_accept(struct call *call);
/* The same for an order to an instance, which has to run. */
int call_begin(struct call *call);

/* dispatch_<verb>.c */
int call_console(struct call *call);
int call_audit(struct call *call);
int call_snapshot(struct call *call);
int call_update_host(struct call *call);
int call_host(struct call *call);
int call_evidence(struct call *call);
int call_release(struct call *call);
int call_renew_request(struct call *call);
int call_renew_install(struct call *call);
int call_make_volume(struct call *call);
int call_copy_volume(struct call *call);
int call_delete_volume(struct call *call);
int call_grow_volume(struct call *call);
int call_images(struct call *call);
int call_write_image(struct call *call);
int call_finish_image(struct call *call);
int call_delete_image(struct call *call);

#endif
