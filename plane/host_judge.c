/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "host.h"

#define KIND "hosts"

void host_recall(struct host *host, const json_t *doc)
{
	snprintf(host->key, sizeof(host->key), "%s", doc_text(doc, "status.attestation_key"));
	host->evidence.has_tpm = host->key[0] != '\0';
	host->evidence.quarantined = doc_member(doc, "status.quarantined") == json_true();
	host->renewal.begins = (int64_t)doc_number(doc, "status.certificate.begins");
	host->renewal.ends = (int64_t)doc_number(doc, "status.certificate.ends");
}

/* What people read: the host's own word for a quarantine first. */
static const char *why(const struct host *host)
{
	const char *told = doc_text(host->report, "quarantine");

	if (host->verdict.state == TRUST_UNREACHABLE && host->silent[0])
		return host->silent;
	if (host->verdict.state == TRUST_QUARANTINED && told[0])
		return told;
	if (host->verdict.state == TRUST_QUARANTINED && host->wrong[0])
		return host->wrong;
	return host->verdict.why;
}

static int fill(const struct host *host, json_t *doc)
{
	int ret = doc_set(doc, "status.state", json_string(trust_name(host->verdict.state)));

	if (ret == 0)
		ret = doc_set(doc, "status.text", doc_string(why(host)));
	if (ret == 0)
		ret = doc_set(doc, "status.quarantined", json_boolean(host->evidence.quarantined));
	if (ret == 0 && host->key[0])
		ret = doc_set(doc, "status.attestation_key", json_string(host->key));
	return ret;
}

/* Of the document that the host was made of, and no other of this name. */
static int store(struct host *host, struct error *error)
{
	struct hosts_setup *setup = &host->hosts->setup;
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + sizeof(KIND) + 1];
	uint64_t revision;
	json_t *doc = NULL;
	int ret = doc_read(setup->store, KIND, host->name, &doc, error);

	if (ret < 0)
		return ret;
	if (strcmp(doc_uid(doc), host->uid) != 0)
		ret = -ENOENT;
	if (ret == 0)
		ret = fill(host, doc);
	if (ret == 0) {
		snprintf(object, sizeof(object), KIND "/%s", host->name);
		doc_put(&batch, KIND, host->name, doc, doc_revision(doc));
		events_add(setup->events, &batch, time(NULL), trust_name(host->verdict.state),
			   object, NULL, "host %s is %s%s%s", host->name,
			   trust_name(host->verdict.state), why(host)[0] ? ": " : "", why(host));
		ret = doc_commit(&batch, setup->store, &revision, error);
	}
	json_decref(doc);
	return ret;
}

/* What cannot be stored is tried again with the next answer: until then it does not count. */
void host_judge(struct host *host, uint64_t now)
{
	struct trust_verdict verdict =
		trust_judge(&host->evidence, &host->hosts->setup.policy, now);
	struct trust_verdict before = host->verdict;
	bool same = verdict.state == before.state && host->stored &&
		    verdict.quarantine == host->evidence.quarantined;
	struct error error = {0};

	host->verdict = verdict;
	if (same)
		return;
	/* Until it has shown something, what was stored before is as good. */
	if (host->proving && !host->evidence.given && verdict.state == TRUST_UNATTESTED) {
		host->stored = false;
		return;
	}
	host->evidence.quarantined |= verdict.quarantine;
	host->stored = store(host, &error) == 0;
	if (!host->stored && error.code)
		fprintf(stderr, "karuta-plane: host %s: %s\n", host->name, error.text);
}
