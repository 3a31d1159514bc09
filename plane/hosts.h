/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts of the fleet, as they are now: each is asked every HOSTS_ASK_MS what it is and has,
 * and now and then for evidence of that, whose nonce is made here. What that says is judged
 * (core/trust.h), and a change of the verdict is stored, with an event. One that may be used is
 * given another certificate when a third of the life of its own is left.
 *
 * The plane calls, hosts answer. One that does not answer holds up nobody else.
 */
#ifndef KARUTA_PLANE_HOSTS_H
#define KARUTA_PLANE_HOSTS_H

#include <jansson.h>
#include <openssl/ssl.h>

#include "ca.h"
#include "call/call.h"
#include "core/trust.h"
#include "doc.h"
#include "events.h"
#include "evidence.h"
#include "os/loop.h"

#define HOSTS_ASK_MS	  1000u
#define HOSTS_EVIDENCE_MS 30000u
#define HOSTS_RENEW_MS	  60000u /* between two tries to renew a certificate */
#define HOSTS_MOST	  1000u
#define HOSTS_STATES	  (TRUST_TRUSTED + 1u)

struct hosts;

struct hosts_setup {
	struct os_loop *loop;
	struct store *store;
	struct events *events;
	SSL_CTX *tls;	     /* the plane's certificate as a caller */
	const struct ca *ca; /* of the hosts' certificates */
	int64_t certificate_seconds;
	struct trust_policy policy;
	const struct evidence_policy *releases;
};

/* Those that the store has. */
int hosts_open(const struct hosts_setup *setup, struct hosts **hosts, struct error *error);
/* NULL is allowed. */
void hosts_close(struct hosts *hosts);
/* Returns after how many ms it is to be called at the latest. */
int hosts_turn(struct hosts *hosts);

/* A host was stored, changed or deleted under this name. */
int hosts_changed(struct hosts *hosts, const char *name, struct error *error);
/* There can be no more. */
bool hosts_are_all(const struct hosts *hosts);
/* What the host told last is put into `status` of its document, which is to be shown. */
void hosts_show(struct hosts *hosts, json_t *doc);

/* How many there are of each state. */
void hosts_count(const struct hosts *hosts, unsigned counts[HOSTS_STATES]);

/* What is stored of a host's certificate: {"serial", "begins", "ends"}, seconds since 1970. */
json_t *hosts_certificate(const struct ca_issued *issued);

/* Of a host that there is not: unreachable. `why` is NULL before the first answer, or the lack of
 * one. */
struct trust_verdict hosts_verdict(const struct hosts *hosts, const char *name);
bool hosts_has(const struct hosts *hosts, const char *name);
/* It takes so many more requests at once. */
unsigned hosts_room(const struct hosts *hosts, const char *name);

/* There until the next call of hosts.h. */
struct hosts_view {
	const char *name;
	const json_t *labels;
	const json_t *report; /* what it has told last; NULL: nothing yet */
	struct trust_verdict verdict;
};

void hosts_each(const struct hosts *hosts, void (*fn)(void *context, const struct hosts_view *view),
		void *context);

/* A request to a host; call.h. -ENOENT: there is none of this name, -EHOSTDOWN: it is not enrolled
 * yet. */
int hosts_ask(struct hosts *hosts, const char *name, const struct control_request *request,
	      unsigned seconds, call_done_fn done, void *context, struct error *error);

#endif
