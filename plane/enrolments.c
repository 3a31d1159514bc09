/* SPDX-License-Identifier: Apache-2.0 */
#include "enrolments.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "plane.h"

#define KIND "hosts"

struct enrolling {
	struct enrolments *all;
	struct enrolling *next;
	struct enrolment *enrolment;
	char host[DOC_NAME_MAX + 1], uid[DOC_UID_SIZE];
	char address[64];
	const char *addresses[1];
	bool over;
};

static int store_outcome(struct enrolling *enrolling, const struct ca_issued *issued,
			 const char *text, struct error *error)
{
	struct plane *plane = enrolling->all->plane;
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[DOC_NAME_MAX + sizeof(KIND) + 1];
	uint64_t revision;
	json_t *doc = NULL;
	int ret = doc_read(plane->store, KIND, enrolling->host, &doc, error);

	if (ret < 0)
		return ret;
	if (strcmp(doc_uid(doc), enrolling->uid) != 0)
		ret = -ENOENT;
	if (ret == 0 && issued) {
		ret = doc_set(doc, "status.enrolled", json_true());
		if (ret == 0)
			ret = doc_set(doc, "status.certificate", hosts_certificate(issued));
	}
	if (ret == 0)
		ret = doc_set(doc, "status.state",
			      json_string(issued ? "unreachable" : "not-enrolled"));
	if (ret == 0)
		ret = doc_set(doc, "status.text", doc_string(text));
	if (ret == 0) {
		snprintf(object, sizeof(object), KIND "/%s", enrolling->host);
		doc_put(&batch, KIND, enrolling->host, doc, doc_revision(doc));
		events_add(&plane->events, &batch, time(NULL), issued ? "enrolled" : "not-enrolled",
			   object, NULL, "host %s: %s", enrolling->host, text);
		ret = doc_commit(&batch, plane->store, &revision, error);
	}
	json_decref(doc);
	return ret;
}

static void on_done(void *context, const struct ca_issued *issued, const struct error *error)
{
	struct enrolling *enrolling = context;
	struct plane *plane = enrolling->all->plane;
	struct error why = {0};
	int ret = store_outcome(enrolling, issued, error ? error->text : "it is enrolled", &why);

	if (ret == 0 && issued)
		ret = hosts_changed(plane->hosts, enrolling->host, &why);
	if (ret < 0 && why.code)
		fprintf(stderr, "karuta-plane: host %s: %s\n", enrolling->host, why.text);
	enrolling->over = true;
}

static void end(struct enrolling **at)
{
	struct enrolling *enrolling = *at;

	*at = enrolling->next;
	enrolling->all->count--;
	enrolment_end(enrolling->enrolment);
	free(enrolling);
}

int enrolments_begin(struct enrolments *enrolments, const json_t *host,
		     char token[ENROL_TOKEN_SIZE], struct error *error)
{
	struct enrolling *enrolling;
	uint8_t secret[ENROL_SECRET_SIZE];
	int ret;

	if (enrolments->count == ENROLMENTS_MOST)
		return error_set(error, EBUSY, "%u hosts are being enrolled already",
				 ENROLMENTS_MOST);
	enrolling = calloc(1, sizeof(*enrolling));
	if (!enrolling)
		return error_set(error, ENOMEM, "out of memory");
	enrolling->all = enrolments;
	snprintf(enrolling->host, sizeof(enrolling->host), "%s", doc_name(host));
	snprintf(enrolling->uid, sizeof(enrolling->uid), "%s", doc_uid(host));
	snprintf(enrolling->address, sizeof(enrolling->address), "%s",
		 doc_text(host, "spec.address"));
	enrolling->addresses[0] = enrolling->address;
	ret = enrolment_token(token, secret, error);
	if (ret == 0) {
		struct enrolment_setup setup = {.name = enrolling->host,
						.address = enrolling->address,
						.port = (uint16_t)doc_number(host, "spec.port"),
						.secret = secret,
						.seconds = ENROLMENTS_SECONDS,
						.ca = enrolments->plane->identity.ca,
						.addresses = enrolling->addresses,
						.address_count = 1,
						.certificate_seconds =
							enrolments->plane->certificate_seconds,
						.loop = enrolments->plane->loop};

		ret = enrolment_begin(&setup, on_done, enrolling, &enrolling->enrolment, error);
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	if (ret < 0) {
		free(enrolling);
		return ret;
	}
	enrolling->next = enrolments->first;
	enrolments->first = enrolling;
	enrolments->count++;
	return 0;
}

static struct enrolling **find(struct enrolments *enrolments, const char *host)
{
	struct enrolling **at = &enrolments->first;

	while (*at && strcmp((*at)->host, host) != 0)
		at = &(*at)->next;
	return at;
}

void enrolments_drop(struct enrolments *enrolments, const char *host)
{
	struct enrolling **at = find(enrolments, host);

	if (*at)
		end(at);
}

int enrolments_turn(struct enrolments *enrolments)
{
	int pause = 1000;

	for (struct enrolling **at = &enrolments->first; *at;) {
		int next = (*at)->over ? 0 : enrolment_turn((*at)->enrolment);

		if ((*at)->over) {
			end(at);
			continue;
		}
		pause = next < pause ? next : pause;
		at = &(*at)->next;
	}
	return pause;
}

const char *enrolments_why(const struct enrolments *enrolments, const char *host)
{
	const struct enrolling *enrolling = *find((struct enrolments *)(uintptr_t)enrolments, host);

	return enrolling ? enrolment_why(enrolling->enrolment) : NULL;
}

void enrolments_end(struct enrolments *enrolments)
{
	while (enrolments->first)
		end(&enrolments->first);
}
