/* SPDX-License-Identifier: Apache-2.0 */
/* One host: hosts.h keeps them. host.c asks it, host_judge.c stores what that comes to,
 * host_renew.c has its certificate renewed. */
#ifndef KARUTA_PLANE_HOST_H
#define KARUTA_PLANE_HOST_H

#include "evidence.h"
#include "hosts.h"

#define HOST_NONCE_SIZE 32u

#define HOSTS_BUCKETS 1024u

struct hosts {
	struct hosts_setup setup;
	struct host *first;
	struct host *names[HOSTS_BUCKETS];
	size_t count;
};

#define HOST_PENDING                                                                               \
	6u /* of CALL_AT_ONCE; requests of others at once: its own questions are to have their     \
	      turn */

/* A request of somebody else's, who has an answer also if the host is removed meanwhile. */
struct pending {
	struct host *host;
	struct pending *next;
	call_done_fn done;
	void *context;
};

/* Of its certificate; seconds since 1970. */
struct renewal {
	int64_t begins, ends;
	uint64_t at;		   /* ms: not before */
	bool asking;		   /* an answer is under way */
	struct ca_issued issued;   /* the next one, while it is sent */
	char why[ERROR_TEXT_SIZE]; /* it was not renewed last; "": it was */
};

struct host {
	struct hosts *hosts;
	struct host *next, *next_name; /* of the same bucket */
	char name[DOC_NAME_MAX + 1];
	char uid[DOC_UID_SIZE];		/* of the document that it is of */
	struct caller *caller;		/* NULL: it is not enrolled yet */
	bool asking, proving;		/* an answer is under way */
	bool report_stale, proof_stale; /* to a question from before the host was released */
	uint64_t ask_at, prove_at;	/* ms */
	uint8_t nonce[HOST_NONCE_SIZE];
	uint64_t nonce_made; /* ms */
	struct trust_evidence evidence;
	struct trust_verdict verdict;
	bool stored;		      /* the verdict */
	char key[2 * 256 + 1];	      /* its TPM's, "": none was seen yet */
	char silent[ERROR_TEXT_SIZE]; /* why there was no answer last */
	char wrong[EVIDENCE_WHY_MAX]; /* what its evidence differs in; "": nothing */
	struct renewal renewal;
	json_t *labels; /* of its document */
	json_t *report; /* its last answer; NULL: none yet */
	struct pending *pending;
	unsigned pending_count;
};

/* NULL: out of memory, or the address is none (error set). `doc` is of the store. */
struct host *host_make(struct hosts *hosts, const json_t *doc, struct error *error);
/* Its document has changed: enrolled, released. */
int host_again(struct host *host, const json_t *doc, struct error *error);
/* Who waits for an answer has -ECANCELED. */
void host_free(struct host *host);
/* As hosts_ask(). */
int host_ask(struct host *host, const struct control_request *request, unsigned seconds,
	     call_done_fn done, void *context, struct error *error);
/* Asks what it is time for. Returns ms until the next time. */
int host_turn(struct host *host, uint64_t now);

/* host_renew.c: asks for it if it is time, and the host may be used. */
void host_renew(struct host *host, uint64_t now);

/* host_judge.c: what is known now, judged; what has changed is stored. */
void host_judge(struct host *host, uint64_t now);
/* What was stored of it before. */
void host_recall(struct host *host, const json_t *doc);

#endif
