/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta image push: an image of this machine becomes one of the plane. What is zeros is not sent.
 * A push that was cut short goes on when it is done again: what was sent is sent once more, which
 * does no harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "base/base.h"
#include "content.h"
#include "image.h"
#include "image_plane.h"
#include "interrupt.h"
#include "item.h"
#include "os/sparse.h"
#include "os/fd.h"

#define CHUNK	       ((size_t)1 << 20) /* the most that the plane takes at once */
#define PARTS	       3u
#define FINISH_SECONDS 1800 /* the plane reads all of it */

static const struct {
	const char *name; /* to the plane */
	const char *file;
} parts[PARTS] = {{"kernel", "kernel"}, {"initrd", "initrd"}, {"root", "root.img"}};

struct push {
	struct api *api;
	const struct invocation *call;
	const char *name; /* to the plane */
	int files[PARTS]; /* -1: there is none */
	uint64_t sizes[PARTS];
	struct progress progress;
	uint8_t *chunk;
};

/* ---- what there is ---- */

static int open_part(struct push *push, const char *folder, size_t part, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	struct stat status;

	if (asprintf(&path, "%s/%s", folder, parts[part].file) < 0)
		return error_set(error, ENOMEM, "out of memory");
	push->files[part] = open(path, O_RDONLY | O_CLOEXEC);
	if (push->files[part] < 0 && errno == ENOENT && !strcmp(parts[part].name, "initrd"))
		return 0;
	if (push->files[part] < 0 || fstat(push->files[part], &status))
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	push->sizes[part] = (uint64_t)status.st_size;
	return 0;
}

static int describe_part(struct push *push, json_t *body, size_t part, struct error *error)
{
	char digest[CONTENT_SHA384_TEXT], title[sizeof(push->progress.title)];
	int result;

	if (push->files[part] < 0)
		return 0;
	snprintf(title, sizeof(title), "checksum of the %s", parts[part].name);
	progress_step(&push->progress, title, push->sizes[part]);
	result = content_sha384(push->files[part], push->sizes[part], digest, &push->progress,
				error);
	if (result)
		return result;
	progress_end(&push->progress);
	json_object_set_new(
		body, parts[part].name,
		json_pack("{s:I, s:s}", "size", (json_int_t)push->sizes[part], "sha384", digest));
	return 0;
}

static int describe_parts(struct push *push, json_t *body, struct error *error)
{
	CLEANUP_FREE char *folder = home_image(push->call->operands[0], error);
	int result = folder ? 0 : -EINVAL;

	for (size_t i = 0; i < PARTS && !result; i++)
		result = open_part(push, folder, i, error);
	for (size_t i = 0; i < PARTS && !result; i++)
		result = describe_part(push, body, i, error);
	return result;
}

/* Which disk is nvme0n1 is not sure where there are several (Linux 6.2 and newer probe them at
 * once), but only an initrd can look for another name. */
static json_t *command_line(const json_t *facts)
{
	const char *uuid = item_text(facts, NULL, "uuid");

	if (strlen(uuid) < 2 || !json_object_get(facts, "initrd"))
		return json_sprintf("console=ttyS0 root=%s rw", item_text(facts, NULL, "root"));
	return json_sprintf("console=ttyS0 root=UUID=%s rw", uuid);
}

/* *body is the caller's in any case. */
static int describe(struct push *push, json_t **body, struct error *error)
{
	json_t *facts = image_read_facts(push->call->operands[0], error);
	const char *line = options_value(push->call, "command-line");
	int result;

	if (!facts)
		return -ENOENT;
	*body = json_pack("{s:s, s:o}", "name", push->name, "command_line",
			  line ? json_string(line) : command_line(facts));
	json_decref(facts);
	result = item_take_labels(push->call, "label", "labels", *body, error);
	return result ? result : describe_parts(push, *body, error);
}

/* ---- its bytes ---- */

static int send_chunk(struct push *push, size_t part, uint64_t offset, size_t length,
		      struct error *error)
{
	char path[API_PATH_MAX], query[API_PATH_MAX + 40];
	const struct api_request request = {
		.method = "PUT", .path = query, .bytes = push->chunk, .length = length};
	struct api_answer answer = {0};
	int result = os_pread_all(push->files[part], push->chunk, length, offset);

	if (result)
		return error_set(error, -result, "%s: %s", parts[part].file, strerror(-result));
	if (content_is_zero(push->chunk, length))
		return 0;
	result = api_path(path, "images", push->name, parts[part].name, error);
	snprintf(query, sizeof(query), "%s?offset=%llu", path, (unsigned long long)offset);
	if (!result)
		result = api_try(push->api, &request, &answer, error);
	if (!result && (answer.status < 200 || answer.status >= 300))
		return api_tell(&answer);
	json_decref(answer.body);
	return result;
}

/* Chunks are whole ones of the file, whatever its holes are. */
static int send_part(struct push *push, size_t part, struct error *error)
{
	uint64_t at = 0, size = push->sizes[part], start, end;
	char title[sizeof(push->progress.title)];
	int result = 0;

	if (push->files[part] < 0)
		return 0;
	snprintf(title, sizeof(title), "upload of the %s", parts[part].name);
	progress_step(&push->progress, title, size);
	while (at < size && !result) {
		result = os_next_data(push->files[part], at, size, &start, &end);
		if (result)
			return error_set(error, -result, "%s: %s", parts[part].file,
					 strerror(-result));
		at = start < size ? start - start % CHUNK : size;
		if (at < size)
			result = send_chunk(push, part, at, (size_t)min_u64(CHUNK, size - at),
					    error);
		at = min_u64(at + CHUNK, size);
		progress_update(&push->progress, at);
		if (!result && interrupt_pending())
			result = error_set(error, EINTR, "interrupted; done again it goes on");
	}
	if (!result)
		progress_end(&push->progress);
	return result;
}

/* ---- the whole ---- */

static bool is_the_same(const json_t *body, const json_t *there)
{
	for (size_t i = 0; i < PARTS; i++) {
		const json_t *ours = json_object_get(body, parts[i].name);
		const json_t *theirs = item_member(there, "spec", parts[i].name);

		if (!ours != !theirs ||
		    (ours &&
		     (strcmp(item_text(ours, NULL, "sha384"), item_text(theirs, NULL, "sha384")) ||
		      item_number(ours, NULL, "size") != item_number(theirs, NULL, "size"))))
			return false;
	}
	return true;
}

/* *item: the image that is there now, ours, which is the caller's. A refusal is told. */
static int begin(struct push *push, json_t *body, json_t **item, struct error *error)
{
	const struct api_request request = {.method = "POST", .path = "/v1/images", .body = body};
	struct api_answer answer = {0}, there = {0};
	char path[API_PATH_MAX];
	const struct api_request look = {.method = "GET", .path = path};
	int result = api_path(path, "images", push->name, NULL, error);

	if (!result)
		result = api_try(push->api, &request, &answer, error);
	if (result || answer.status < 300) {
		*item = answer.body;
		return result;
	}
	if (answer.status == 409)
		result = api_try(push->api, &look, &there, error);
	if (!result && there.status == 200 && is_the_same(body, there.body)) {
		json_decref(answer.body);
		*item = there.body;
		return 0;
	}
	json_decref(there.body);
	if (!result)
		return api_tell(&answer);
	json_decref(answer.body);
	return result;
}

static int finish(struct push *push, struct error *error)
{
	json_t *body = json_object();
	char path[API_PATH_MAX];
	const struct api_request request = {
		.method = "POST", .path = path, .body = body, .seconds = FINISH_SECONDS};
	struct api_answer answer = {0};
	int result = api_path(path, "images", push->name, "finish", error);

	progress_step(&push->progress, "check by the plane", 0);
	if (!result)
		result = api_try(push->api, &request, &answer, error);
	json_decref(body);
	if (!result && (answer.status < 200 || answer.status >= 300)) {
		progress_abandon(&push->progress);
		return api_tell(&answer);
	}
	if (!result)
		progress_end(&push->progress);
	if (!result && !item_print_json(push->call, answer.body))
		printf("image %s is ready\n", push->name);
	json_decref(answer.body);
	return result;
}

static int push_all(struct push *push, struct error *error)
{
	json_t *body = NULL, *item = NULL;
	int result = describe(push, &body, error);
	bool ready;

	if (!result)
		result = begin(push, body, &item, error);
	ready = !strcmp(item_text(item, "status", "state"), "ready");
	if (!result && ready && !item_print_json(push->call, item))
		printf("image %s is there already, the same\n", push->name);
	json_decref(body);
	json_decref(item);
	for (size_t i = 0; i < PARTS && !result && !ready; i++)
		result = send_part(push, i, error);
	return result || ready ? result : finish(push, error);
}

int image_push(struct api *api, const struct invocation *call, struct error *error)
{
	const char *as = options_value(call, "as");
	struct push push = {.api = api,
			    .call = call,
			    .name = as ? as : call->operands[0],
			    .files = {-1, -1, -1}};
	char path[API_PATH_MAX];
	int result = api_path(path, "images", push.name, NULL, error);

	push.chunk = malloc(CHUNK);
	if (!result && !push.chunk)
		result = error_set(error, ENOMEM, "out of memory");
	if (!result)
		result = push_all(&push, error);
	if (result)
		progress_abandon(&push.progress);
	for (size_t i = 0; i < PARTS; i++)
		os_close(&push.files[i]);
	free(push.chunk);
	return result;
}
