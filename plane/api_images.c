/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api.h"
#include "base/base.h"
#include "list.h"
#include "trust/digest.h"

#define KIND		 IMAGES_KIND
#define COMMAND_LINE_MAX 2047u /* as of karuta-instance(5) */

/* ---- what there is ---- */

void api_images_list(void *context, const struct route_request *request)
{
	api_list(context, request, KIND, NULL);
}

void api_images_one(void *context, const struct route_request *request)
{
	json_t *doc = api_find(context, request, KIND);

	if (doc)
		api_show(request, 200, doc);
}

/* ---- a new one ---- */

struct wanted {
	const char *name, *command_line;
	json_t *parts[IMAGES_PARTS], *labels;
};

static int take_part(const json_t *body, enum images_part part, json_t **spec,
		     struct problem *problem)
{
	static const char *const known[] = {"size", "sha384", NULL};
	const char *where = images_part_names[part], *digest = NULL;
	uint8_t bytes[TRUST_DIGEST_SIZE];
	uint64_t size = 0;
	int ret = json_in_part(body, "", where, part != IMAGES_INITRD, JSON_OBJECT, spec, problem);

	if (ret < 0 || !*spec)
		return ret;
	ret = json_in_members(*spec, where, known, problem);
	if (ret == 0)
		ret = json_in_number(*spec, where, "size", true, 1,
				     part == IMAGES_ROOT ? IMAGES_ROOT_MAX : IMAGES_BOOT_MAX, &size,
				     problem);
	if (ret == 0 && part == IMAGES_ROOT && size % IMAGES_ROOT_UNIT)
		ret = problem_set(problem, 422, "invalid", NULL, NULL,
				  "root.size: must be a multiple of %u", IMAGES_ROOT_UNIT);
	if (ret == 0)
		ret = json_in_text(*spec, where, "sha384", true, TRUST_DIGEST_DIGITS, &digest,
				   problem);
	if (ret == 0 && (strlen(digest) != TRUST_DIGEST_DIGITS ||
			 !trust_unhex(digest, TRUST_DIGEST_DIGITS, bytes)))
		ret = problem_set(problem, 422, "invalid", NULL, NULL,
				  "%s.sha384: must be %u small hexadecimal digits", where,
				  TRUST_DIGEST_DIGITS);
	return ret;
}

static int take_wanted(struct wanted *wanted, const json_t *body, struct problem *problem)
{
	static const char *const known[] = {"name",	    "kernel", "initrd", "root",
					    "command_line", "labels", NULL};
	int ret = json_in_members(body, "", known, problem);

	if (ret == 0)
		ret = api_take_name(body, "", "name", true, &wanted->name, problem);
	for (unsigned i = 0; ret == 0 && i < IMAGES_PARTS; i++)
		ret = take_part(body, i, &wanted->parts[i], problem);
	if (ret == 0)
		ret = json_in_text(body, "", "command_line", false, COMMAND_LINE_MAX,
				   &wanted->command_line, problem);
	return ret == 0 ? api_take_labels(body, "labels", &wanted->labels, problem) : ret;
}

static json_t *make(const struct wanted *wanted)
{
	json_t *spec = json_pack("{s:s*}", "command_line", wanted->command_line), *doc;

	for (unsigned i = 0; i < IMAGES_PARTS; i++) {
		if (wanted->parts[i])
			json_object_set(spec, images_part_names[i], wanted->parts[i]);
	}
	doc = doc_make(wanted->name, wanted->labels, spec, time(NULL));
	doc_set(doc, "status.state", json_string("uploading"));
	return doc;
}

static int check_name(struct plane *plane, const char *name, struct error *error)
{
	json_t *doc = NULL;
	int ret = doc_read(plane->store, KIND, name, &doc, error);

	json_decref(doc);
	if (ret == 0)
		return error_set(error, EEXIST, "there is an image %s already", name);
	return ret == -ENOENT ? 0 : ret;
}

/* Its files first: those that no document is of are removed when the plane starts. */
static void add(struct plane *plane, const struct route_request *request,
		const struct wanted *wanted)
{
	struct api_change change = {KIND, wanted->name, 201, "added", "was added"};
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	json_t *doc = make(wanted);
	int ret = doc ? check_name(plane, wanted->name, &error) : -ENOMEM;

	if (ret == 0)
		ret = images_add(plane->images, doc, &error);
	if (ret < 0) {
		api_fail(request, ret, &error, NULL);
	} else {
		doc_put(&batch, KIND, wanted->name, doc, 0);
		if (!api_commit(plane, request, &batch, &change))
			images_drop(plane->images, doc_uid(doc));
	}
	json_decref(doc);
}

static int add_of(struct plane *plane, const struct route_request *request, const json_t *body,
		  struct problem *problem)
{
	struct wanted wanted = {0};

	if (take_wanted(&wanted, body, problem) < 0)
		return -1;
	add(plane, request, &wanted);
	return 0;
}

void api_images_add(void *context, const struct route_request *request)
{
	api_add(context, request, add_of);
}

/* ---- its bytes ---- */

static int take_offset(const struct http_exchange *exchange, uint64_t *offset,
		       struct problem *problem)
{
	const char *text = http_query_find(exchange, "offset");
	char *end = NULL;

	errno = 0;
	*offset = text ? strtoull(text, &end, 10) : 0;
	if (exchange->query_count > (text ? 1u : 0u))
		return problem_set(problem, 400, "bad-query", NULL, NULL,
				   "offset is all that may be asked with");
	if (text && (text[0] < '0' || text[0] > '9' || *end || errno))
		return problem_set(problem, 400, "bad-query", NULL, NULL,
				   "offset: must be a number of bytes");
	return 0;
}

static int check_bytes(const struct http_exchange *exchange, struct problem *problem)
{
	const char *type = http_header(exchange, "Content-Type");

	if (!type || strcasecmp(type, "application/octet-stream") != 0)
		return problem_set(problem, 415, "not-bytes", NULL,
				   "send it with Content-Type: application/octet-stream",
				   "the body is not said to be bytes");
	if (!exchange->body_length || exchange->body_length > IMAGES_CHUNK)
		return problem_set(problem, 422, "invalid", NULL, NULL,
				   "the body must have 1 to %u bytes", IMAGES_CHUNK);
	return 0;
}

static void write_bytes(struct plane *plane, const struct route_request *request,
			enum images_part part)
{
	const struct http_exchange *exchange = request->exchange;
	json_t *doc = api_find(plane, request, KIND);
	struct problem problem = {0};
	struct error error = {0};
	char object[API_OBJECT_SIZE];
	uint64_t offset;
	int ret;

	if (!doc)
		return;
	snprintf(object, sizeof(object), KIND "/%s", doc_name(doc));
	if (take_offset(exchange, &offset, &problem) < 0 || check_bytes(exchange, &problem) < 0) {
		json_decref(doc);
		http_answer_problem(request->exchange, &problem);
		return;
	}
	ret = images_write(plane->images, doc_uid(doc), part, offset, exchange->body,
			   exchange->body_length, &error);
	json_decref(doc);
	if (ret == 0) {
		http_answer_text(request->exchange, 204, "text/plain", "", 0);
	} else if (ret == -EEXIST) {
		api_conflict(&problem, KIND, request->match->names[0], error.text);
		http_answer_problem(request->exchange, &problem);
	} else {
		api_fail(request, ret, &error, object);
	}
}

void api_images_kernel(void *context, const struct route_request *request)
{
	write_bytes(context, request, IMAGES_KERNEL);
}

void api_images_initrd(void *context, const struct route_request *request)
{
	write_bytes(context, request, IMAGES_INITRD);
}

void api_images_root(void *context, const struct route_request *request)
{
	write_bytes(context, request, IMAGES_ROOT);
}

/* ---- the end of its upload ---- */

/* A client that waits for the image to be checked. */
struct waiting {
	struct plane *plane;
	struct route_request request; /* caller and match are not there any more */
	bool gone;
	char name[NAME_MOST + 1];
};

static void on_gone(void *context)
{
	struct waiting *waiting = context;

	waiting->gone = true;
}

static void answer_finish(struct waiting *waiting, int ret, const struct error *error)
{
	struct problem problem = {0};
	struct error why = {0};
	char object[API_OBJECT_SIZE];
	json_t *doc = NULL;

	snprintf(object, sizeof(object), KIND "/%s", waiting->name);
	if (ret == 0) {
		ret = doc_read(waiting->plane->store, KIND, waiting->name, &doc, &why);
		error = &why;
	}
	if (ret == 0) {
		api_show(&waiting->request, 200, doc);
	} else if (ret == -EBADMSG) {
		problem_set(&problem, 409, "differs", object,
			    "send that part again, and finish again", "%s", error->text);
		http_answer_problem(waiting->request.exchange, &problem);
	} else {
		api_fail(&waiting->request, ret, error, object);
	}
}

static void on_finished(void *context, int ret, const struct error *error)
{
	struct waiting *waiting = context;

	if (!waiting->gone)
		answer_finish(waiting, ret, error);
	free(waiting);
}

static void finish(struct plane *plane, const struct route_request *request, const char *uid)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));
	struct error error = {0};
	int ret = waiting ? 0 : -ENOMEM;

	if (ret == 0) {
		waiting->plane = plane;
		waiting->request = *request;
		snprintf(waiting->name, sizeof(waiting->name), "%s", request->match->names[0]);
		ret = images_finish(plane->images, uid, request->caller->name, on_finished, waiting,
				    &error);
	}
	if (ret < 0) {
		free(waiting);
		api_fail(request, ret, &error, NULL);
		return;
	}
	http_hold(request->exchange, on_gone, waiting);
}

void api_images_finish(void *context, const struct route_request *request)
{
	struct problem problem = {0};
	json_t *doc = api_find(context, request, KIND);

	if (!doc)
		return;
	if (api_take_nothing(request->exchange, &problem) < 0) {
		http_answer_problem(request->exchange, &problem);
	} else if (!strcmp(doc_text(doc, "status.state"), "ready")) {
		api_show(request, 200, doc);
		return;
	} else {
		finish(context, request, doc_uid(doc));
	}
	json_decref(doc);
}

/* ---- its end ---- */

/* Who needs it; the first one that was found. */
struct users {
	const char *uid, *state; /* NULL: in any state */
	char name[DOC_NAME_MAX + 1];
	struct error *error;
};

static int look(void *context, const struct store_item *item)
{
	struct users *users = context;
	json_t *doc;
	int ret = list_item_json(item, &doc, users->error);

	if (ret < 0)
		return ret;
	if (!strcmp(doc_text(doc, "spec.image_uid"), users->uid) &&
	    (!users->state || !strcmp(doc_text(doc, "status.state"), users->state)))
		snprintf(users->name, sizeof(users->name), "%s", doc_name(doc));
	json_decref(doc);
	return users->name[0] != '\0';
}

/* An instance boots with its kernel each time; a volume is made of it once. */
static int check_unused(struct plane *plane, const json_t *doc, struct problem *problem)
{
	static const struct {
		const char *kind, *prefix, *state, *why;
	} kinds[] = {
		{"instances", "instances/", NULL, "it boots with the image: delete it first"},
		{"volumes", "volumes/", "creating", "it is being made of the image"},
	};
	struct error error = {0};
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_LEN(kinds); i++) {
		struct users users = {
			.uid = doc_uid(doc), .state = kinds[i].state, .error = &error};

		ret = store_list(plane->store, kinds[i].prefix, NULL, SIZE_MAX, look, &users,
				 &error);
		if (ret > 0)
			return api_conflict(problem, kinds[i].kind, users.name, kinds[i].why);
	}
	return ret < 0 ? api_problem(problem, ret, &error, NULL) : 0;
}

static int remove_doc(struct plane *plane, const struct route_request *request, const json_t *doc,
		      struct error *error)
{
	struct doc_batch batch = DOC_BATCH_NONE;
	char object[API_OBJECT_SIZE];
	uint64_t revision;

	snprintf(object, sizeof(object), KIND "/%s", doc_name(doc));
	doc_put(&batch, KIND, doc_name(doc), NULL, doc_revision(doc));
	events_add(&plane->events, &batch, time(NULL), "removed", object, request->caller->name,
		   "image %s was removed", doc_name(doc));
	return doc_commit(&batch, plane->store, &revision, error);
}

void api_images_remove(void *context, const struct route_request *request)
{
	struct plane *plane = context;
	json_t *doc = api_find(plane, request, KIND);
	struct problem problem = {0};
	struct error error = {0};
	int ret;

	if (!doc)
		return;
	ret = check_unused(plane, doc, &problem);
	if (ret == 0) {
		ret = remove_doc(plane, request, doc, &error);
		if (ret == 0)
			images_drop(plane->images, doc_uid(doc));
		else
			api_problem(&problem, ret, &error, NULL);
	}
	json_decref(doc);
	if (ret == 0)
		http_answer_text(request->exchange, 204, "text/plain", "", 0);
	else
		http_answer_problem(request->exchange, &problem);
}
