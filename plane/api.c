/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "list.h"

const struct route plane_routes[] = {
	{HTTP_GET, "/healthz", AUTH_NOBODY, api_health},
	{HTTP_GET, "/metrics", AUTH_READER, api_metrics},
	{HTTP_GET, "/v1/hosts", AUTH_READER, api_hosts_list},
	{HTTP_POST, "/v1/hosts", AUTH_ADMIN, api_hosts_add},
	{HTTP_GET, "/v1/hosts/{name}", AUTH_READER, api_hosts_one},
	{HTTP_DELETE, "/v1/hosts/{name}", AUTH_ADMIN, api_hosts_remove},
	{HTTP_GET, "/v1/hosts/{name}/evidence", AUTH_READER, api_hosts_evidence},
	{HTTP_POST, "/v1/hosts/{name}/release", AUTH_ADMIN, api_hosts_release},
	{HTTP_POST, "/v1/hosts/{name}/update", AUTH_ADMIN, api_hosts_update},
	{HTTP_GET, "/v1/hosts/{name}/audit", AUTH_ADMIN, api_hosts_audit},
	{HTTP_GET, "/v1/hosts/{name}/instances", AUTH_READER, api_hosts_instances},
	{HTTP_GET, "/v1/instances", AUTH_READER, api_instances_list},
	{HTTP_POST, "/v1/instances", AUTH_OPERATOR, api_instances_add},
	{HTTP_GET, "/v1/instances/{name}", AUTH_READER, api_instances_one},
	{HTTP_PATCH, "/v1/instances/{name}", AUTH_OPERATOR, api_instances_change},
	{HTTP_DELETE, "/v1/instances/{name}", AUTH_OPERATOR, api_instances_remove},
	{HTTP_POST, "/v1/instances/{name}/reboot", AUTH_OPERATOR, api_instances_reboot},
	{HTTP_GET, "/v1/instances/{name}/console", AUTH_OPERATOR, api_instances_console},
	{HTTP_GET, "/v1/volumes", AUTH_READER, api_volumes_list},
	{HTTP_POST, "/v1/volumes", AUTH_OPERATOR, api_volumes_add},
	{HTTP_GET, "/v1/volumes/{name}", AUTH_READER, api_volumes_one},
	{HTTP_PATCH, "/v1/volumes/{name}", AUTH_OPERATOR, api_volumes_resize},
	{HTTP_DELETE, "/v1/volumes/{name}", AUTH_OPERATOR, api_volumes_remove},
	{HTTP_POST, "/v1/volumes/{name}/restore", AUTH_OPERATOR, api_volumes_restore},
	{HTTP_POST, "/v1/volumes/{name}/attach", AUTH_OPERATOR, api_volumes_attach},
	{HTTP_POST, "/v1/volumes/{name}/detach", AUTH_OPERATOR, api_volumes_detach},
	{HTTP_GET, "/v1/volumes/{name}/trace", AUTH_READER, api_volumes_trace},
	{HTTP_GET, "/v1/snapshots", AUTH_READER, api_snapshots_list},
	{HTTP_POST, "/v1/snapshots", AUTH_OPERATOR, api_snapshots_add},
	{HTTP_GET, "/v1/snapshots/{name}", AUTH_READER, api_snapshots_one},
	{HTTP_DELETE, "/v1/snapshots/{name}", AUTH_OPERATOR, api_snapshots_remove},
	{HTTP_GET, "/v1/keys", AUTH_READER, api_keys_list},
	{HTTP_POST, "/v1/keys/rotate", AUTH_ADMIN, api_keys_rotate},
	{HTTP_GET, "/v1/keys/{name}", AUTH_READER, api_keys_one},
	{HTTP_DELETE, "/v1/keys/{name}", AUTH_ADMIN, api_keys_remove},
	{HTTP_GET, "/v1/images", AUTH_READER, api_images_list},
	{HTTP_POST, "/v1/images", AUTH_OPERATOR, api_images_add},
	{HTTP_GET, "/v1/images/{name}", AUTH_READER, api_images_one},
	{HTTP_DELETE, "/v1/images/{name}", AUTH_OPERATOR, api_images_remove},
	{HTTP_PUT, "/v1/images/{name}/kernel", AUTH_OPERATOR, api_images_kernel},
	{HTTP_PUT, "/v1/images/{name}/initrd", AUTH_OPERATOR, api_images_initrd},
	{HTTP_PUT, "/v1/images/{name}/root", AUTH_OPERATOR, api_images_root},
	{HTTP_POST, "/v1/images/{name}/finish", AUTH_OPERATOR, api_images_finish},
	{HTTP_GET, "/v1/tokens", AUTH_ADMIN, api_tokens_list},
	{HTTP_POST, "/v1/tokens", AUTH_ADMIN, api_tokens_make},
	{HTTP_DELETE, "/v1/tokens/{name}", AUTH_ADMIN, api_tokens_remove},
	{HTTP_GET, "/v1/certificates", AUTH_ADMIN, api_certificates_list},
	{HTTP_POST, "/v1/certificates", AUTH_ADMIN, api_certificates_make},
	{HTTP_DELETE, "/v1/certificates/{name}", AUTH_ADMIN, api_certificates_remove},
	{HTTP_GET, "/v1/events", AUTH_READER, api_events},
};
const size_t plane_route_count = ARRAY_LEN(plane_routes);

/* ---- answers ---- */

static const struct {
	int error;
	unsigned status;
	const char *code, *remedy;
} kinds[] = {
	{ENOENT, 404, "not-found", NULL},
	{ESRCH, 404, "not-found", NULL},
	{EEXIST, 409, "exists", "choose another name"},
	{ENOTUNIQ, 409, "name-in-use", "terminate and delete them first, or choose another name"},
	{ESTALE, 412, "changed", "read it again, and decide again"},
	{EBUSY, 409, "busy", "try again in a moment"},
	{EINVAL, 422, "invalid", NULL},
	{E2BIG, 413, "too-large", NULL},
	{EHOSTDOWN, 409, "not-enrolled", "run `karuta-controller enrol` on the host"},
	{ETIMEDOUT, 504, "host-silent", "see whether its controller is up"},
	{ECONNREFUSED, 502, "host-unreachable", "see whether its controller is up"},
	{EHOSTUNREACH, 502, "host-unreachable", "see whether its controller is up"},
	{ENETUNREACH, 502, "host-unreachable", "see whether its controller is up"},
	{ECONNRESET, 502, "host-unreachable", "see whether its controller is up"},
	{EPROTO, 502, "host-answer", "see what answers at the host's address"},
	{ECANCELED, 409, "removed", NULL},
	{EKEYREVOKED, 409, "key-deleted", NULL},
	{EKEYEXPIRED, 409, "authority-ended", "the plane needs another authority"},
	{EDQUOT, 409, "too-many", "delete what is not used any more"},
	{ENOSPC, 507, "full", "make room where the plane keeps its state"},
};

int api_problem(struct problem *problem, int ret, const struct error *error, const char *object)
{
	const char *text = error && error->code ? error->text : strerror(-ret);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].error == -ret)
			return problem_set(problem, kinds[i].status, kinds[i].code, object,
					   kinds[i].remedy, "%s", text);
	}
	return problem_set(problem, 500, "internal", object, NULL, "%s", text);
}

void api_fail(const struct route_request *request, int ret, const struct error *error,
	      const char *object)
{
	struct problem problem = {0};

	api_problem(&problem, ret, error, object);
	http_answer_problem(request->exchange, &problem);
}

int api_conflict(struct problem *problem, const char *kind, const char *name, const char *why)
{
	char object[API_OBJECT_SIZE];

	snprintf(object, sizeof(object), "%s/%s", kind, name);
	return problem_set(problem, 409, "conflict", object, NULL, "%s", why);
}

void api_hide(json_t *doc)
{
	record_hide(doc);
	json_object_del(doc, "holder");	 /* of a volume */
	json_object_del(doc, "sha256");	 /* a token */
	json_object_del(doc, "wrapped"); /* a key */
	json_object_del(json_object_get(doc, "status"), "attestation_key");
}

void api_complete(struct plane *plane, const char *kind, json_t *doc)
{
	if (!strcmp(kind, "instances"))
		fleet_show_instance(plane->fleet, doc);
	api_hide(doc);
}

void api_show(const struct route_request *request, unsigned status, json_t *doc)
{
	char tag[32];

	api_hide(doc);
	snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", doc_revision(doc));
	http_set_header(request->exchange, "ETag", tag);
	http_answer_json(request->exchange, status, doc);
}

/* ---- requests ---- */

/* Query members that are not filters. */
static bool is_of_the_page(const char *name)
{
	return !strcmp(name, "limit") || !strcmp(name, "after");
}

int api_take_limit(const char *text, unsigned *limit, struct problem *problem)
{
	char *end = NULL;
	unsigned long number = text ? strtoul(text, &end, 10) : 0;

	if (text && (*end || text[0] < '0' || text[0] > '9' || !number || number > LIST_LIMIT_MAX))
		return problem_set(problem, 400, "bad-query", NULL, NULL, "limit: must be 1 to %u",
				   LIST_LIMIT_MAX);
	*limit = (unsigned)number;
	return 0;
}

static int take_query(const struct http_exchange *exchange, struct list_query *query,
		      struct problem *problem)
{
	if (api_take_limit(http_query_find(exchange, "limit"), &query->limit, problem) < 0)
		return -1;
	query->after = http_query_find(exchange, "after");
	for (size_t i = 0; i < exchange->query_count; i++) {
		const struct http_query *given = &exchange->query[i];

		if (is_of_the_page(given->name))
			continue;
		if (query->filter_count == LIST_FILTERS)
			return problem_set(problem, 400, "bad-query", NULL, NULL,
					   "more than %u filters", LIST_FILTERS);
		query->filters[query->filter_count++] =
			(struct list_filter){given->name, given->value};
	}
	return 0;
}

void api_list(struct plane *plane, const struct route_request *request, const char *kind,
	      void (*show)(struct plane *plane, json_t *doc))
{
	char prefix[DOC_NAME_MAX + 2];
	struct list_query query = {.prefix = prefix};
	struct problem problem = {0};
	struct error error = {0};
	json_t *page = NULL, *item;
	size_t i;
	int ret;

	snprintf(prefix, sizeof(prefix), "%s/", kind);
	if (take_query(request->exchange, &query, &problem) < 0) {
		http_answer_problem(request->exchange, &problem);
		return;
	}
	ret = list_page(plane->store, &query, &page, &error);
	if (ret < 0) {
		api_fail(request, ret, &error, kind);
		return;
	}
	json_array_foreach(json_object_get(page, "items"), i, item)
	{
		if (show)
			show(plane, item);
		api_hide(item);
	}
	http_answer_json(request->exchange, 200, page);
}

static bool is_expected(const struct route_request *request, const json_t *doc)
{
	const char *expected = http_header(request->exchange, "If-Match");
	char tag[32];

	snprintf(tag, sizeof(tag), "\"%" PRIu64 "\"", doc_revision(doc));
	return !expected || !strcmp(expected, "*") || !strcmp(expected, tag);
}

json_t *api_find(struct plane *plane, const struct route_request *request, const char *kind)
{
	const char *name = request->match->names[0];
	char object[2 * DOC_NAME_MAX + 2];
	struct error error = {0};
	json_t *doc = NULL;
	int ret = doc_read(plane->store, kind, name, &doc, &error);

	snprintf(object, sizeof(object), "%s/%s", kind, name);
	if (ret == -ENOENT)
		error_set(&error, ENOENT, "there is no %.*s %s", (int)strlen(kind) - 1, kind, name);
	else if (ret == 0 && !is_expected(request, doc))
		ret = error_set(&error, ESTALE, "it has changed since: it is revision %" PRIu64,
				doc_revision(doc));
	if (ret == 0)
		return doc;
	json_decref(doc);
	api_fail(request, ret, &error, object);
	return NULL;
}

json_t *api_named(struct plane *plane, const char *kind, const char *name, struct problem *problem)
{
	char object[API_OBJECT_SIZE];
	struct error error = {0};
	json_t *doc = NULL;
	int ret = doc_read(plane->store, kind, name, &doc, &error);

	if (ret == 0)
		return doc;
	snprintf(object, sizeof(object), "%s/%s", kind, name);
	if (ret == -ENOENT)
		problem_set(problem, 422, "no-such-object", object, NULL, "there is no %.*s %s",
			    (int)strlen(kind) - 1, kind, name);
	else
		api_problem(problem, ret, &error, object);
	return NULL;
}
