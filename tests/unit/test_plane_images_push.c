/* SPDX-License-Identifier: Apache-2.0 */
/* Images on their way to a host that does what the test says: hosts_ask() is ours. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "images.h"
#include "os/clock.h"
#include "trust/digest.h"

#define KERNEL_SIZE 300000u /* three chunks */
#define ROOT_SIZE   (4u << 20)
#define DATA_AT	    (1u << 20) /* the chunk of the root that has something in it */
#define ASKED_MOST  64u

static char folder[64];
static struct os_loop *loop;
static struct store *store;
static struct events events;
static struct images *images;
static struct hosts *hosts = (struct hosts *)&hosts; /* nobody looks into it */
static uint8_t kernel[KERNEL_SIZE], root[ROOT_SIZE];
static char uid[DOC_UID_SIZE];

/* ---- the host ---- */

struct asked {
	char verb[CONTROL_VERB_MAX + 1], image[64], part[16], digests[1024];
	uint64_t offset;
	uint8_t data[IMAGES_SEND];
	size_t length;
	call_done_fn done;
	void *context;
};

static struct host {
	struct asked asked[ASKED_MOST];
	unsigned count, most; /* under way; at once, ever */
	unsigned lists, writes, finishes, deletes;
	bool busy, gone, begun, finished;
	uint8_t kernel[KERNEL_SIZE], root[ROOT_SIZE];
} host;

static const struct control_value *value_of(const struct control_request *request, const char *name)
{
	static const struct control_value none;

	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, name) && request->values[i].given)
			return &request->values[i];
	}
	return &none;
}

static void copy(const struct control_request *request, const char *name, char *to, size_t size)
{
	const struct control_value *value = value_of(request, name);

	snprintf(to, size, "%.*s", (int)value->length, value->length ? value->text : "");
}

int hosts_ask(struct hosts *asked_hosts, const char *name, const struct control_request *request,
	      unsigned seconds, call_done_fn done, void *context, struct error *error)
{
	struct asked *asked = &host.asked[host.count];
	const struct control_value *data = value_of(request, "data");

	assert_ptr_equal(asked_hosts, hosts);
	assert_true(seconds);
	if (host.gone)
		return error_set(error, ENOENT, "there is no host %s", name);
	if (host.busy)
		return error_set(error, EBUSY, "host %s is asked by others already", name);
	assert_true(host.count < ASKED_MOST && data->length <= sizeof(asked->data));
	*asked = (struct asked){.offset = value_of(request, "offset")->number,
				.length = data->length,
				.done = done,
				.context = context};
	snprintf(asked->verb, sizeof(asked->verb), "%s", request->verb->name);
	copy(request, "image", asked->image, sizeof(asked->image));
	copy(request, "part", asked->part, sizeof(asked->part));
	copy(request, "digests", asked->digests, sizeof(asked->digests));
	if (data->length)
		memcpy(asked->data, data->text, data->length);
	host.count++;
	host.most = host.count > host.most ? host.count : host.most;
	return 0;
}

/* What was asked first. */
static struct asked take(void)
{
	struct asked asked = host.asked[0];

	assert_true(host.count);
	host.count--;
	memmove(&host.asked[0], &host.asked[1], host.count * sizeof(asked));
	return asked;
}

static void answer(const struct asked *asked, int code, const char *text, const char *result)
{
	struct control_answer answer = {.code = code,
					.text = text,
					.text_length = strlen(text),
					.result = result,
					.result_length = strlen(result)};

	asked->done(asked->context, &answer, NULL);
}

static void write_image(const struct asked *asked)
{
	bool of_kernel = !strcmp(asked->part, "kernel");

	assert_true(of_kernel || !strcmp(asked->part, "root"));
	assert_true(asked->length && asked->offset % IMAGES_SEND == 0);
	assert_true(
		range_within(asked->offset, asked->length, of_kernel ? KERNEL_SIZE : ROOT_SIZE));
	memcpy((of_kernel ? host.kernel : host.root) + asked->offset, asked->data, asked->length);
	host.begun = true;
	host.writes++;
}

/* As a controller does. */
static void serve(const struct asked *asked)
{
	char result[256] = "{\"images\": []}";

	if (!strcmp(asked->verb, "images")) {
		host.lists++;
		if (host.begun || host.finished)
			snprintf(result, sizeof(result),
				 "{\"images\": [{\"image\": \"x\", \"finished\": true}, "
				 "{\"image\": \"%s\", \"finished\": %s}]}",
				 uid, host.finished ? "true" : "false");
		answer(asked, 0, "", result);
		return;
	}
	assert_string_equal(asked->image, uid);
	if (!strcmp(asked->verb, "write-image")) {
		write_image(asked);
	} else if (!strcmp(asked->verb, "finish-image")) {
		host.finishes++;
		if (memcmp(host.kernel, kernel, sizeof(kernel)) ||
		    memcmp(host.root, root, sizeof(root))) {
			answer(asked, EBADMSG, "root: its SHA-384 is another", "");
			return;
		}
		host.finished = true;
	} else {
		assert_string_equal(asked->verb, "delete-image");
		host.deletes++;
		host.finished = host.begun = false;
	}
	answer(asked, 0, "", "{}");
}

static void serve_one(void)
{
	struct asked asked = take();

	serve(&asked);
}

static void cancel_all(void)
{
	struct error error = {.code = ECANCELED, .text = "host h1 was removed meanwhile"};

	while (host.count) {
		struct asked asked = take();

		asked.done(asked.context, NULL, &error);
	}
}

static unsigned count_verb(const char *verb)
{
	unsigned count = 0;

	for (unsigned i = 0; i < host.count; i++)
		count += !strcmp(host.asked[i].verb, verb);
	return count;
}

/* ---- the plane ---- */

static void on_finished(void *context, int ret, const struct error *error)
{
	if (ret < 0)
		fail_msg("%s", error->text);
	*(bool *)context = true;
}

static void add_image(void)
{
	struct trust_digest digests[2];
	char texts[2][TRUST_DIGEST_DIGITS + 1];
	struct doc_batch batch = DOC_BATCH_NONE;
	struct error error = {0};
	uint64_t revision;
	json_t *doc;

	trust_digest(kernel, sizeof(kernel), &digests[0]);
	trust_digest(root, sizeof(root), &digests[1]);
	trust_hex(digests[0].bytes, TRUST_DIGEST_SIZE, texts[0]);
	trust_hex(digests[1].bytes, TRUST_DIGEST_SIZE, texts[1]);
	doc = doc_make("web", NULL,
		       json_pack("{s:{s:i,s:s},s:{s:i,s:s}}", "kernel", "size", KERNEL_SIZE,
				 "sha384", texts[0], "root", "size", ROOT_SIZE, "sha384", texts[1]),
		       time(NULL));
	doc_set(doc, "status.state", json_string("uploading"));
	snprintf(uid, sizeof(uid), "%s", doc_uid(doc));
	assert_int_equal(images_add(images, doc, &error), 0);
	doc_put(&batch, "images", "web", doc, STORE_ANY);
	assert_int_equal(doc_commit(&batch, store, &revision, &error), 0);
	json_decref(doc);
	assert_int_equal(
		images_write(images, uid, IMAGES_KERNEL, 0, kernel, sizeof(kernel), &error), 0);
	/* The second half is written, zeros too; the first is a hole but for the chunk. */
	assert_int_equal(images_write(images, uid, IMAGES_ROOT, ROOT_SIZE / 2, root + ROOT_SIZE / 2,
				      ROOT_SIZE / 2, &error),
			 0);
	assert_int_equal(images_write(images, uid, IMAGES_ROOT, DATA_AT, root + DATA_AT,
				      IMAGES_SEND, &error),
			 0);
}

static void finish_image(void)
{
	struct error error = {0};
	bool done = false;

	assert_int_equal(images_finish(images, uid, "ann", on_finished, &done, &error), 0);
	for (unsigned i = 0; i < 1000 && !done; i++)
		assert_true(os_loop_once(loop, 20) >= 0);
	assert_true(done);
}

static void open_images(void)
{
	struct images_setup setup = {
		.loop = loop, .store = store, .events = &events, .hosts = &hosts, .folder = folder};
	struct error error = {0};

	if (images_open(&setup, &images, &error) < 0)
		fail_msg("%s", error.text);
}

static int begin(void **state)
{
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(kernel); i++)
		kernel[i] = (uint8_t)(i * 7 + i / 251 + 1);
	memset(root + DATA_AT, 0xa5, IMAGES_SEND);
	root[ROOT_SIZE - 1] = 1;
	snprintf(folder, sizeof(folder), "/tmp/karuta-test-XXXXXX");
	if (!mkdtemp(folder) || os_loop_create(&loop) < 0 ||
	    store_sqlite_open(folder, &store, &error) < 0 ||
	    events_open(&events, store, &error) < 0)
		return -1;
	memset(&host, 0, sizeof(host));
	open_images();
	add_image();
	return 0;
}

static int begin_ready(void **state)
{
	if (begin(state) < 0)
		return -1;
	finish_image();
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	images_close(images);
	cancel_all();
	store_close(store);
	os_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct error said;

static int ensure(void)
{
	said = (struct error){0};
	return images_ensure(images, "h1", uid, &said);
}

/* Turns, and answers, until `until` requests of the verb are under way, or none is any more. */
static void run_until(const char *verb, unsigned until)
{
	for (unsigned i = 0; i < 1000; i++) {
		int pause = images_turn(images);

		assert_true(pause >= 0);
		if (verb && count_verb(verb) >= until)
			return;
		if (host.count)
			serve_one();
		else if (pause)
			return;
	}
	fail_msg("it has no end");
}

static void assert_host_has_it(void)
{
	assert_true(host.finished);
	assert_memory_equal(host.kernel, kernel, sizeof(kernel));
	assert_memory_equal(host.root, root, sizeof(root));
	assert_int_equal(ensure(), 0);
}

/* ---- what is tested ---- */

static void an_image_gets_to_a_host_without_its_zeros(void **state)
{
	(void)state;
	assert_int_equal(ensure(), -EINPROGRESS);
	assert_string_equal(said.text, "image web: 0 % of it is on host h1");
	run_until("finish-image", 1);
	assert_int_equal(ensure(), -EINPROGRESS);
	assert_string_equal(said.text, "image web: host h1 checks it");
	run_until(NULL, 0);
	assert_host_has_it();
	/* Three of the kernel; of the root the first, which is always sent, one, and the last. */
	assert_int_equal(host.writes, 6);
	assert_int_equal(host.lists, 1);
	assert_int_equal(host.finishes, 1);
	assert_int_equal(host.most, 2);
}

static void how_far_it_is_is_told(void **state)
{
	(void)state;
	ensure();
	run_until("write-image", 2);
	assert_int_equal(ensure(), -EINPROGRESS);
	assert_string_equal(said.text, "image web: 5 % of it is on host h1");
}

static void what_the_host_has_is_not_sent(void **state)
{
	(void)state;
	host.finished = true;
	ensure();
	run_until(NULL, 0);
	assert_int_equal(ensure(), 0);
	assert_int_equal(host.writes + host.finishes, 0);
	/* Nor is it asked again, before it says that it has it not. */
	run_until(NULL, 0);
	assert_int_equal(host.lists, 1);
	host.finished = false;
	images_forget(images, "h1", uid);
	assert_int_equal(ensure(), -EINPROGRESS);
	run_until(NULL, 0);
	assert_host_has_it();
}

static void a_busy_host_is_asked_again(void **state)
{
	(void)state;
	host.busy = true;
	ensure();
	for (unsigned i = 0; i < 5; i++)
		assert_true(images_turn(images) <= 50);
	assert_int_equal(ensure(), -EINPROGRESS);
	host.busy = false;
	run_until("write-image", 1);
	serve_one();
	host.busy = true;
	assert_true(images_turn(images) <= 50);
	host.busy = false;
	run_until(NULL, 0);
	assert_host_has_it();
	assert_int_equal(host.writes, 6);
}

static void what_was_lost_with_the_hosts_is_sent_again(void **state)
{
	struct hosts *before = hosts;

	(void)state;
	for (unsigned at = 0; at < 8; at++) {
		images_forget(images, "h1", uid);
		host.begun = host.finished = false;
		memset(host.root, 0, sizeof(host.root));
		memset(host.kernel, 0, sizeof(host.kernel));
		ensure();
		images_turn(images);
		for (unsigned i = 0; i < at; i++)
			serve_one(), images_turn(images);
		cancel_all();
		hosts = NULL; /* while they are replaced */
		assert_true(images_turn(images) <= 50);
		hosts = before;
		run_until(NULL, 0);
		assert_host_has_it();
	}
}

static void answer_next(int code, const char *text)
{
	struct asked asked = take();

	answer(&asked, code, text, "");
}

static void an_error_is_told_and_tried_again_later(void **state)
{
	uint64_t end;

	(void)state;
	ensure();
	run_until("write-image", 2);
	answer_next(ENOSPC, "no space left");
	answer_next(ENOENT, "of no interest any more");
	assert_int_equal(ensure(), -ENOSPC);
	assert_string_equal(said.text, "the image does not get to host h1: no space left");
	images_turn(images);
	assert_int_equal(host.count, 0);
	for (end = os_now() + 10 * NS_PER_S; ensure() != -EINPROGRESS && os_now() < end;)
		usleep(20000);
	run_until(NULL, 0);
	assert_host_has_it();
	assert_int_equal(host.lists, 2);
}

static void a_host_with_other_bytes_gets_all_of_them_again(void **state)
{
	uint64_t end;

	(void)state;
	ensure();
	run_until("finish-image", 1);
	host.root[5] = 1;
	run_until(NULL, 0);
	assert_int_equal(ensure(), -EBADMSG);
	host.root[5] = 0;
	host.kernel[5] = 0;
	for (end = os_now() + 10 * NS_PER_S; ensure() != -EINPROGRESS && os_now() < end;)
		usleep(20000);
	run_until(NULL, 0);
	assert_host_has_it();
	assert_int_equal(host.writes, 12);
}

static void a_host_that_is_not_there_is_no_image_that_is_not(void **state)
{
	struct error error = {0};

	(void)state;
	host.gone = true;
	ensure();
	images_turn(images);
	assert_int_equal(ensure(), -EREMOTEIO);
	assert_non_null(strstr(said.text, "there is no host h1"));
	assert_int_equal(images_ensure(images, "h1", "none", &error), -ENOENT);
}

static void what_is_not_ready_is_not_sent(void **state)
{
	(void)state;
	assert_int_equal(ensure(), -EAGAIN);
	run_until(NULL, 0);
	assert_int_equal(host.lists, 0);
	finish_image();
	assert_int_equal(ensure(), -EINPROGRESS);
}

static void an_image_that_is_removed_goes_from_its_hosts(void **state)
{
	(void)state;
	ensure();
	run_until(NULL, 0);
	assert_host_has_it();
	images_drop(images, uid);
	assert_int_equal(ensure(), -ENOENT);
	run_until(NULL, 0);
	assert_int_equal(host.deletes, 1);
	assert_false(host.finished);
	run_until(NULL, 0);
	assert_int_equal(host.deletes, 1);
}

static void one_that_is_removed_on_its_way_goes_after_its_last_chunk(void **state)
{
	(void)state;
	ensure();
	run_until("write-image", 2);
	images_drop(images, uid);
	images_turn(images);
	assert_int_equal(count_verb("delete-image"), 0);
	serve_one();
	images_turn(images);
	assert_int_equal(count_verb("delete-image"), 0);
	run_until(NULL, 0);
	assert_int_equal(host.deletes, 1);
	assert_int_equal(host.finishes, 0);
	assert_false(host.begun);
}

static void sixteen_are_sent_at_once_and_the_others_after_them(void **state)
{
	char name[8];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(images_ensure(images, name, uid, &said), -EINPROGRESS);
	}
	images_turn(images);
	assert_int_equal(count_verb("images"), 20);
	for (unsigned i = 0; i < 20; i++)
		serve_one();
	images_turn(images);
	assert_int_equal(count_verb("write-image"), 32);
	run_until(NULL, 0);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "h%u", i);
		assert_int_equal(images_ensure(images, name, uid, &said), 0);
	}
	assert_int_equal(host.writes, 20 * 6);
}

static void answers_may_come_when_nobody_waits_any_more(void **state)
{
	(void)state;
	ensure();
	run_until("write-image", 2);
	images_close(images);
	serve_one();
	cancel_all();
	open_images();
	/* What was ready is. */
	assert_int_equal(ensure(), -EINPROGRESS);
	images_drop(images, uid);
	run_until(NULL, 0);
}

#define READY(test) cmocka_unit_test_setup_teardown(test, begin_ready, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		READY(an_image_gets_to_a_host_without_its_zeros),
		READY(how_far_it_is_is_told),
		READY(what_the_host_has_is_not_sent),
		READY(a_busy_host_is_asked_again),
		READY(what_was_lost_with_the_hosts_is_sent_again),
		READY(an_error_is_told_and_tried_again_later),
		READY(a_host_with_other_bytes_gets_all_of_them_again),
		READY(a_host_that_is_not_there_is_no_image_that_is_not),
		READY(an_image_that_is_removed_goes_from_its_hosts),
		READY(one_that_is_removed_on_its_way_goes_after_its_last_chunk),
		READY(sixteen_are_sent_at_once_and_the_others_after_them),
		READY(answers_may_come_when_nobody_waits_any_more),
		cmocka_unit_test_setup_teardown(what_is_not_ready_is_not_sent, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
