/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/base.h"
#include "os/clock.h"
#include "trust/digest.h"

#define ANSWER_SECONDS	 5u
#define EVIDENCE_SECONDS 20u /* a TPM takes its time */

/* ---- being there ---- */

static int call_it(struct host *host, const json_t *doc, struct error *error)
{
	struct caller_setup setup = {.address = doc_text(doc, "spec.address"),
				     .port = (uint16_t)doc_number(doc, "spec.port"),
				     .name = host->name,
				     .tls = host->hosts->setup.tls,
				     .loop = host->hosts->setup.loop};

	return caller_open(&setup, &host->caller, error);
}

static bool is_loopback(const char *address)
{
	return !strncmp(address, "127.", 4) || !strcmp(address, "::1");
}

struct host *host_make(struct hosts *hosts, const json_t *doc, struct error *error)
{
	struct host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host) {
		error_set(error, ENOMEM, "out of memory");
		return NULL;
	}
	host->hosts = hosts;
	snprintf(host->name, sizeof(host->name), "%s", doc_name(doc));
	snprintf(host->uid, sizeof(host->uid), "%s", doc_uid(doc));
	ret = host_again(host, doc, error);
	if (ret < 0) {
		host_free(host);
		return NULL;
	}
	return host;
}

int host_again(struct host *host, const json_t *doc, struct error *error)
{
	host_recall(host, doc);
	host->evidence.here = is_loopback(doc_text(doc, "spec.address"));
	json_decref(host->labels);
	host->labels = json_deep_copy(doc_member(doc, "metadata.labels"));
	host->evidence.given = host->evidence.quarantine_told = false;
	host->report_stale = host->asking;
	host->proof_stale = host->proving;
	host->ask_at = host->prove_at = 0;
	if (host->caller || doc_member(doc, "status.enrolled") != json_true())
		return 0;
	return call_it(host, doc, error);
}

void host_free(struct host *host)
{
	struct error error = {0};

	caller_close(host->caller);
	error_set(&error, ECANCELED, "host %s was removed meanwhile", host->name);
	while (host->pending) {
		struct pending *pending = host->pending;

		host->pending = pending->next;
		pending->done(pending->context, NULL, &error);
		free(pending);
	}
	json_decref(host->labels);
	ca_issued_free(&host->renewal.issued);
	json_decref(host->report);
	free(host);
}

/* ---- asking ---- */

/* The result of an answer that says yes; NULL: it does not. */
static json_t *result_of(const struct control_answer *answer)
{
	json_t *result = NULL;

	if (answer && !answer->code)
		result = json_loadb(answer->result, answer->result_length, JSON_REJECT_DUPLICATES,
				    NULL);
	if (json_is_object(result))
		return result;
	json_decref(result);
	return NULL;
}

static void heard(struct host *host, const struct error *error)
{
	uint64_t now = os_now() / NS_PER_MS;

	host->asking = false;
	host->ask_at = now + HOSTS_ASK_MS;
	if (error)
		snprintf(host->silent, sizeof(host->silent), "%s", error->text);
	else
		host->evidence.heard = now;
	host_judge(host, now);
}

/* ---- for others ---- */

static void on_pending(void *context, const struct control_answer *answer,
		       const struct error *error)
{
	struct pending *pending = context, **at = &pending->host->pending;

	while (*at != pending)
		at = &(*at)->next;
	*at = pending->next;
	pending->host->pending_count--;
	pending->done(pending->context, answer, error);
	free(pending);
}

int host_ask(struct host *host, const struct control_request *request, unsigned seconds,
	     call_done_fn done, void *context, struct error *error)
{
	struct pending *pending;
	int ret;

	if (host->pending_count == HOST_PENDING)
		return error_set(error, EBUSY, "host %s is asked by others already", host->name);
	pending = malloc(sizeof(*pending));
	if (!pending)
		return error_set(error, ENOMEM, "out of memory");
	*pending = (struct pending){host, host->pending, done, context};
	ret = caller_ask(host->caller, request, seconds, on_pending, pending, error);
	if (ret < 0) {
		free(pending);
		return ret;
	}
	host->pending = pending;
	host->pending_count++;
	return 0;
}

/* ---- what it is asked again and again ---- */

static void on_host(void *context, const struct control_answer *answer, const struct error *error)
{
	struct host *host = context;
	json_t *report = result_of(answer);

	if (report && !host->report_stale)
		host->evidence.quarantine_told = doc_text(report, "quarantine")[0] != '\0';
	if (report) {
		json_decref(host->report);
		host->report = report;
	}
	host->report_stale = false;
	heard(host, error);
}

static int ask(struct host *host)
{
	struct control_request request = {.verb = control_verb_find("host", 4)};
	struct error error = {0};

	if (RAND_bytes(request.id, sizeof(request.id)) != 1)
		return -EIO;
	return caller_ask(host->caller, &request, ANSWER_SECONDS, on_host, host, &error);
}

static void on_evidence(void *context, const struct control_answer *answer,
			const struct error *error)
{
	struct host *host = context;
	json_t *result = result_of(answer);
	struct evidence found;
	bool stale = host->proof_stale;

	(void)error;
	host->proving = host->proof_stale = false;
	host->prove_at = stale ? 0 : os_now() / NS_PER_MS + HOSTS_EVIDENCE_MS;
	if (!result || stale) {
		json_decref(result);
		return;
	}
	evidence_check(&found, result, host->key, host->nonce, sizeof(host->nonce),
		       host->hosts->setup.releases);
	json_decref(result);
	host->evidence.given = true;
	host->evidence.taken = host->nonce_made;
	host->evidence.log = found.log;
	host->evidence.quote = found.quote;
	host->evidence.policy = found.policy;
	if (found.quote == TRUST_MATCHES && !host->key[0]) {
		host->evidence.has_tpm = true;
		memcpy(host->key, found.key, sizeof(host->key));
		host->stored = false;
	}
	snprintf(host->wrong, sizeof(host->wrong), "%s", found.why);
	host_judge(host, os_now() / NS_PER_MS);
}

static int prove(struct host *host, uint64_t now)
{
	struct control_request request = {.verb = control_verb_find("evidence", 8)};
	char digits[2 * HOST_NONCE_SIZE + 1];
	struct error error = {0};

	if (RAND_bytes(request.id, sizeof(request.id)) != 1 ||
	    RAND_bytes(host->nonce, sizeof(host->nonce)) != 1)
		return -EIO;
	trust_hex(host->nonce, sizeof(host->nonce), digits);
	host->nonce_made = now;
	request.values[0] = (struct control_value){
		.given = true, .text = digits, .length = 2 * HOST_NONCE_SIZE};
	return caller_ask(host->caller, &request, EVIDENCE_SECONDS, on_evidence, host, &error);
}

int host_turn(struct host *host, uint64_t now)
{
	uint64_t next = HOSTS_ASK_MS;

	if (!host->caller)
		return (int)next;
	if (!host->asking && now >= host->ask_at)
		host->asking = ask(host) == 0;
	if (!host->proving && now >= host->prove_at)
		host->proving = prove(host, now) == 0;
	host_renew(host, now);
	if (!host->asking && host->ask_at > now)
		next = min_u64(next, host->ask_at - now);
	return (int)min_u64(next, (uint64_t)caller_turn(host->caller));
}
