/* SPDX-License-Identifier: Apache-2.0 */
/* A host's certificate is replaced by another before it ends. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "host.h"
#include "os/clock.h"

#define KIND "hosts"

#define ANSWER_SECONDS 10u /* a key is made, files are flushed */

json_t *hosts_certificate(const struct ca_issued *issued)
{
	return json_pack("{s:s,s:I,s:I}", "serial", issued->serial, "begins",
			 (json_int_t)issued->not_before, "ends", (json_int_t)issued->not_after);
}

/* ---- what has come of it ---- */

/* The document that the host was made of, and no other of this name; -ENOENT. */
static int read_own(struct host *host, json_t **doc, struct error *error)
{
	int ret = doc_read(host->hosts->setup.store, KIND, host->name, doc, error);

	if (ret == 0 && strcmp(doc_uid(*doc), host->uid) != 0) {
		json_decref(*doc);
		*doc = NULL;
		ret = -ENOENT;
	}
	return ret;
}

__attribute__((format(printf, 4, 5))) static void
add_event(struct host *host, struct doc_batch *batch, const char *kind, const char *format, ...)
{
	char object[DOC_NAME_MAX + sizeof(KIND) + 1], text[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(object, sizeof(object), KIND "/%s", host->name);
	events_add(host->hosts->setup.events, batch, time(NULL), kind, object, NULL, "host %s: %s",
		   host->name, text);
}

/* It is told once, and again when it is another. */
static void failed(struct host *host, const char *why)
{
	struct renewal *renewal = &host->renewal;
	struct doc_batch batch = DOC_BATCH_NONE;
	char ends[DOC_TIME_SIZE];
	uint64_t revision;
	struct error error = {0};

	renewal->asking = false;
	ca_issued_free(&renewal->issued);
	if (!strcmp(renewal->why, why))
		return;
	snprintf(renewal->why, sizeof(renewal->why), "%s", why);
	doc_time(renewal->ends, ends);
	add_event(host, &batch, "not-renewed", "its certificate ends %s and was not renewed: %s",
		  ends, why);
	if (doc_commit(&batch, host->hosts->setup.store, &revision, &error) < 0)
		fprintf(stderr, "karuta-plane: host %s: %s\n", host->name, error.text);
}

static int store(struct host *host, struct error *error)
{
	const struct ca_issued *issued = &host->renewal.issued;
	struct doc_batch batch = DOC_BATCH_NONE;
	char ends[DOC_TIME_SIZE];
	uint64_t revision;
	json_t *doc = NULL;
	int ret = read_own(host, &doc, error);

	if (ret < 0)
		return ret;
	ret = doc_set(doc, "status.certificate", hosts_certificate(issued));
	if (ret == 0) {
		doc_time(issued->not_after, ends);
		doc_put(&batch, KIND, host->name, doc, doc_revision(doc));
		add_event(host, &batch, "renewed", "it has a new certificate, until %s", ends);
		ret = doc_commit(&batch, host->hosts->setup.store, &revision, error);
	}
	json_decref(doc);
	return ret;
}

/* ---- the two questions ---- */

/* NULL: the answer says yes. */
static const char *refusal(const struct control_answer *answer, const struct error *error,
			   struct error *why)
{
	if (error)
		return error->text;
	if (!answer->code)
		return NULL;
	error_set(why, answer->code, "%.*s", (int)min_u64(answer->text_length, 200), answer->text);
	return why->text;
}

/* What cannot be stored is renewed once more: the host does not mind. */
static void on_installed(void *context, const struct control_answer *answer,
			 const struct error *error)
{
	struct host *host = context;
	struct renewal *renewal = &host->renewal;
	struct error why = {0};
	const char *no = refusal(answer, error, &why);

	if (!no && store(host, &why) < 0)
		no = why.code ? why.text : "it was removed meanwhile";
	if (no) {
		failed(host, no);
		return;
	}
	renewal->begins = renewal->issued.not_before;
	renewal->ends = renewal->issued.not_after;
	renewal->asking = false;
	renewal->why[0] = '\0';
	ca_issued_free(&renewal->issued);
}

static int ask(struct host *host, struct control_request *request, call_done_fn done,
	       struct error *error)
{
	if (RAND_bytes(request->id, sizeof(request->id)) != 1)
		return error_set(error, EIO, "no randomness");
	return caller_ask(host->caller, request, ANSWER_SECONDS, done, host, error);
}

static int issue(struct host *host, const char *request, struct error *error)
{
	const struct hosts_setup *setup = &host->hosts->setup;
	const char *addresses[1];
	struct ca_want want = {.kind = CA_HOST,
			       .name = host->name,
			       .addresses = addresses,
			       .address_count = 1,
			       .now = time(NULL),
			       .seconds = setup->certificate_seconds};
	json_t *doc = NULL;
	int ret = read_own(host, &doc, error);

	if (ret < 0)
		return ret == -ENOENT ? error_set(error, ENOENT, "it was removed meanwhile") : ret;
	addresses[0] = doc_text(doc, "spec.address");
	ret = ca_issue(setup->ca, &want, request, strlen(request), &host->renewal.issued, error);
	json_decref(doc);
	return ret;
}

static int answer_request(struct host *host, const struct control_answer *answer,
			  struct error *error)
{
	json_t *object =
		json_loadb(answer->result, answer->result_length, JSON_REJECT_DUPLICATES, NULL);
	struct control_request request = {.verb = control_verb_find("renew-install", 13)};
	const char *asked = NULL;
	int ret;

	if (json_unpack(object, "{s:s!}", "request", &asked) < 0)
		ret = error_set(error, EBADMSG, "its answer has no request");
	else
		ret = issue(host, asked, error);
	json_decref(object);
	if (ret < 0)
		return ret;
	request.values[0] =
		(struct control_value){.given = true,
				       .text = host->renewal.issued.certificate,
				       .length = strlen(host->renewal.issued.certificate)};
	return ask(host, &request, on_installed, error);
}

static void on_requested(void *context, const struct control_answer *answer,
			 const struct error *error)
{
	struct host *host = context;
	struct error why = {0};
	const char *no = refusal(answer, error, &why);

	if (!no && answer_request(host, answer, &why) < 0)
		no = why.text;
	if (no)
		failed(host, no);
}

void host_renew(struct host *host, uint64_t now)
{
	struct control_request request = {.verb = control_verb_find("renew-request", 13)};
	struct renewal *renewal = &host->renewal;
	struct error error = {0};

	if (renewal->asking || now < renewal->at || !host->verdict.usable ||
	    !ca_is_due(renewal->begins, renewal->ends, time(NULL)))
		return;
	renewal->at = now + HOSTS_RENEW_MS;
	renewal->asking = true;
	if (ask(host, &request, on_requested, &error) < 0)
		failed(host, error.text);
}
