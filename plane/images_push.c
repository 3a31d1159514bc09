/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images on their way to hosts. A transfer is of one image to one host:
 *
 *	ASKING		what the host has of it: all, and the transfer is THERE
 *	SENDING		chunk after chunk, two at once; what is zeros is left out
 *	FINISHING	the host reads all of it, for its digests
 *	THERE
 *	FAILED		until somebody wants it again, and a while has passed
 *	REMOVING	the image is no more: nor is it to be on the host
 *
 * Requests are begun by push_turn() only, never from within an answer: that may come while the
 * hosts are being closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "core/attempt.h"
#include "images_private.h"
#include "os/clock.h"
#include "os/fd.h"

#define SENDING_AT_ONCE 16u   /* transfers; the others wait */
#define CHUNKS_AT_ONCE	2u    /* others ask the host, too */
#define CHUNKS_A_TURN	16u   /* that are looked at, sent or not: others have their turn */
#define BUSY_MS		20u   /* the host is asked by others */
#define AGAIN_MS	1000u /* it does something with the image already */
#define IDLE_MS		60000u
#define ASK_SECONDS	10u
#define CHUNK_SECONDS	60u
#define FINISH_SECONDS	3600u
#define REMOVALS_MOST	8u /* tries */

_Static_assert(IMAGES_SEND <= CONTROL_DATA_MAX, "a chunk is one request");

enum state { ASKING, SENDING, FINISHING, THERE, FAILED, REMOVING };

/* A request without an answer yet; `transfer` NULL: nobody waits for it any more. */
struct sent {
	struct sent *next;
	struct transfer *transfer;
	enum state state; /* that it was sent in */
	unsigned part;
	uint64_t offset;
};

struct transfer {
	struct transfer *next;
	char host[DOC_NAME_MAX + 1], uid[DOC_UID_SIZE];
	enum state state;
	unsigned part; /* the next to be sent; all before it was taken, but for what is in `sent` */
	uint64_t offset;
	int file; /* of that part; -1: not open */
	struct sent *sent;
	unsigned sent_count;
	uint32_t failures;
	uint64_t not_before; /* ms */
	struct error error;  /* of FAILED */
};

static uint64_t now_ms(void)
{
	return os_now() / NS_PER_MS;
}

/* ---- its life ---- */

static struct transfer **find(struct images *images, const char *host, const char *uid)
{
	struct transfer **at = &images->transfers;

	while (*at && (strcmp((*at)->uid, uid) != 0 || strcmp((*at)->host, host) != 0))
		at = &(*at)->next;
	return at;
}

/* The last in the list: they have their turn in the order in which they were wanted. */
static struct transfer *begin(struct transfer **at, const char *host, const char *uid)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	snprintf(transfer->host, sizeof(transfer->host), "%s", host);
	snprintf(transfer->uid, sizeof(transfer->uid), "%s", uid);
	transfer->file = -1;
	*at = transfer;
	return transfer;
}

static void drop(struct transfer **at)
{
	struct transfer *transfer = *at;

	*at = transfer->next;
	for (struct sent *sent = transfer->sent; sent; sent = sent->next)
		sent->transfer = NULL;
	os_close(&transfer->file);
	free(transfer);
}

static void go_to(struct transfer *transfer, unsigned part, uint64_t offset)
{
	if (part != transfer->part)
		os_close(&transfer->file);
	transfer->part = part;
	transfer->offset = offset;
}

static void pause_it(struct transfer *transfer)
{
	uint64_t random = 0;

	RAND_bytes((unsigned char *)&random, sizeof(random));
	transfer->failures++;
	transfer->not_before = now_ms() + attempt_pause(transfer->failures, random);
}

/* Codes that mean something else to who calls images_ensure() are told as EREMOTEIO. */
static void fail(struct transfer *transfer, const struct error *why)
{
	int code = why->code;

	os_close(&transfer->file);
	pause_it(transfer);
	if (transfer->state == REMOVING)
		return;
	transfer->state = FAILED;
	error_set(&transfer->error,
		  code == ENOENT || code == EINPROGRESS || code <= 0 ? EREMOTEIO : code,
		  "the image does not get to host %s: %s", transfer->host, why->text);
}

/* ---- answers ---- */

static const json_t *find_image(const json_t *list, const char *uid)
{
	const json_t *image;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, image)
	{
		if (!strcmp(doc_text(image, "image"), uid))
			return image;
	}
	return NULL;
}

/* What was sent before is not sent again if the host still has it; whether it has all of it, it
 * says when it has been finished. */
static void on_list(struct transfer *transfer, const struct control_answer *answer)
{
	json_t *result =
		json_loadb(answer->result, answer->result_length, JSON_REJECT_DUPLICATES, NULL);
	const json_t *list = json_object_get(result, "images");
	const json_t *image = find_image(list, transfer->uid);
	struct error error = {0};

	if (!json_is_array(list)) {
		error_set(&error, EPROTO, "it does not say what images it has");
		fail(transfer, &error);
	} else if (json_is_true(json_object_get(image, "finished"))) {
		transfer->state = THERE;
		transfer->failures = 0;
	} else {
		transfer->state = SENDING;
		if (!image)
			go_to(transfer, 0, 0);
	}
	json_decref(result);
}

static void on_yes(struct transfer *transfer, const struct sent *sent,
		   const struct control_answer *answer)
{
	if (sent->state != transfer->state)
		return;
	if (sent->state == ASKING) {
		on_list(transfer, answer);
	} else if (sent->state == FINISHING) {
		transfer->state = THERE;
		transfer->failures = 0;
	} else if (sent->state == REMOVING) {
		transfer->failures = REMOVALS_MOST;
	}
}

/* What is not there is what was wanted of REMOVING. */
static void on_no(struct transfer *transfer, const struct sent *sent,
		  const struct control_answer *answer)
{
	struct error error = {0};

	if (sent->state != transfer->state)
		return;
	if (answer->code == EBUSY && (sent->state == FINISHING || sent->state == REMOVING)) {
		transfer->not_before = now_ms() + AGAIN_MS;
		return;
	}
	if (sent->state == FINISHING)
		go_to(transfer, 0, 0);
	if (sent->state == REMOVING && answer->code == ENOENT) {
		transfer->failures = REMOVALS_MOST;
		return;
	}
	error_set(&error, answer->code, "%.*s", (int)answer->text_length, answer->text);
	fail(transfer, &error);
}

/* The hosts are being replaced, or this one was removed, which the next request tells. */
static void on_cancelled(struct transfer *transfer, const struct sent *sent)
{
	if (sent->state == FINISHING && transfer->state == FINISHING)
		transfer->state = ASKING;
}

static void take_out(struct transfer *transfer, struct sent *sent)
{
	struct sent **at = &transfer->sent;

	while (*at != sent)
		at = &(*at)->next;
	*at = sent->next;
	transfer->sent_count--;
}

/* A chunk that was not taken is sent again, and all behind it. */
static void on_answer(void *context, const struct control_answer *answer, const struct error *error)
{
	struct sent *sent = context;
	struct transfer *transfer = sent->transfer;

	if (!transfer) {
		free(sent);
		return;
	}
	take_out(transfer, sent);
	if (sent->state == SENDING && (!answer || answer->code) &&
	    (sent->part < transfer->part ||
	     (sent->part == transfer->part && sent->offset < transfer->offset)))
		go_to(transfer, sent->part, sent->offset);
	if (answer && answer->code == 0)
		on_yes(transfer, sent, answer);
	else if (answer)
		on_no(transfer, sent, answer);
	else if (error->code == ECANCELED)
		on_cancelled(transfer, sent);
	else if (sent->state == transfer->state)
		fail(transfer, error);
	free(sent);
}

/* ---- requests ---- */

static void give(struct control_request *request, const char *argument, struct control_value value)
{
	for (size_t i = 0; i < request->verb->argument_count; i++) {
		if (!strcmp(request->verb->arguments[i].name, argument)) {
			request->values[i] = value;
			request->values[i].given = true;
		}
	}
}

static struct control_value text_of(const char *text)
{
	return (struct control_value){.text = text, .length = strlen(text)};
}

/* 0: it is under way; -EBUSY: not now; other: the transfer has failed. */
static int ask(struct images *images, struct transfer *transfer,
	       const struct control_request *request, unsigned seconds)
{
	struct hosts *hosts = *images->setup.hosts;
	struct sent *sent = hosts ? malloc(sizeof(*sent)) : NULL;
	struct error error = {0};
	int ret;

	if (!sent)
		return -EBUSY;
	*sent = (struct sent){transfer->sent, transfer, transfer->state, transfer->part,
			      transfer->offset};
	ret = hosts_ask(hosts, transfer->host, request, seconds, on_answer, sent, &error);
	if (ret < 0) {
		free(sent);
		if (ret != -EBUSY)
			fail(transfer, &error);
		return ret;
	}
	transfer->sent = sent;
	transfer->sent_count++;
	return 0;
}

static int ask_verb(struct images *images, struct transfer *transfer, const char *verb,
		    const char *digests, unsigned seconds)
{
	struct control_request request = {.verb = control_verb_find(verb, strlen(verb))};

	give(&request, "image", text_of(transfer->uid));
	if (digests)
		give(&request, "digests", text_of(digests));
	return ask(images, transfer, &request, seconds);
}

static int ask_to_finish(struct images *images, struct transfer *transfer,
			 const struct image *image)
{
	char hex[TRUST_DIGEST_DIGITS + 1], *text;
	json_t *digests = json_object();
	int ret;

	for (unsigned i = 0; i < IMAGES_PARTS; i++) {
		if (!image->parts[i].size)
			continue;
		trust_hex(image->parts[i].digest.bytes, TRUST_DIGEST_SIZE, hex);
		json_object_set_new(digests, images_part_names[i],
				    json_pack("{s:I,s:s}", "size", (json_int_t)image->parts[i].size,
					      "sha384", hex));
	}
	text = json_dumps(digests, JSON_COMPACT);
	json_decref(digests);
	ret = text ? ask_verb(images, transfer, "finish-image", text, FINISH_SECONDS) : -EBUSY;
	free(text);
	return ret;
}

/* ---- chunks ---- */

/* Where the part's next chunk with something in it may begin; its size: there is none. */
static int64_t next_data(const struct transfer *transfer, uint64_t size)
{
	off_t at = lseek(transfer->file, (off_t)transfer->offset, SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? (int64_t)size : -errno;
	return at - at % (off_t)IMAGES_SEND;
}

static bool are_zeros(const uint8_t *bytes, size_t length)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, length - 1);
}

static int send_chunk(struct images *images, struct transfer *transfer, size_t length)
{
	struct control_request request = {.verb = control_verb_find("write-image", 11)};

	give(&request, "image", text_of(transfer->uid));
	give(&request, "part", text_of(images_part_names[transfer->part]));
	give(&request, "offset", (struct control_value){.number = transfer->offset});
	give(&request, "data",
	     (struct control_value){.text = (const char *)images->chunk, .length = length});
	return ask(images, transfer, &request, CHUNK_SECONDS);
}

/* The first of a part is sent in any case: so the host has a file. */
static int next_chunk(struct images *images, struct transfer *transfer, uint64_t size)
{
	int64_t at = transfer->offset ? next_data(transfer, size) : 0;
	struct error error = {0};
	size_t length = 0;
	int ret = at < 0 ? (int)at : 0;

	if (ret == 0 && (uint64_t)at >= size) {
		transfer->offset = size;
		return 0;
	}
	if (ret == 0) {
		transfer->offset = (uint64_t)at;
		length = (size_t)min_u64(size - transfer->offset, IMAGES_SEND);
		ret = os_pread_all(transfer->file, images->chunk, length, transfer->offset);
	}
	if (ret < 0) {
		error_set(&error, -ret, "%s: %s", images_part_names[transfer->part],
			  strerror(-ret));
		fail(transfer, &error);
		return ret;
	}
	if (!transfer->offset || !are_zeros(images->chunk, length))
		ret = send_chunk(images, transfer, length);
	if (ret == 0)
		transfer->offset += length;
	return ret;
}

static int open_part(struct images *images, struct transfer *transfer)
{
	struct error error = {0};

	if (transfer->file >= 0)
		return 0;
	transfer->file = images_open_part(images, transfer->uid, transfer->part, O_RDONLY, &error);
	if (transfer->file >= 0)
		return 0;
	fail(transfer, &error);
	return -error.code;
}

/* As many as may be under way. 0: there may be more; 1: there are none any more; or as ask(). */
static int send(struct images *images, struct transfer *transfer, const struct image *image)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < CHUNKS_A_TURN; i++) {
		if (transfer->part == IMAGES_PARTS)
			return 1;
		if (transfer->sent_count == CHUNKS_AT_ONCE)
			return -EBUSY;
		if (transfer->offset >= image->parts[transfer->part].size)
			go_to(transfer, transfer->part + 1, 0);
		else if ((ret = open_part(images, transfer)) == 0)
			ret = next_chunk(images, transfer, image->parts[transfer->part].size);
	}
	return ret;
}

/* ---- turns ---- */

/* ms until it is to be called at the latest. An answer is a turn, too. */
static unsigned turn_sending(struct images *images, struct transfer *transfer,
			     const struct image *image)
{
	int ret = send(images, transfer, image);

	if (ret == 0)
		return 0;
	if (ret < 0)
		return ret == -EBUSY && transfer->sent_count < CHUNKS_AT_ONCE ? BUSY_MS : IDLE_MS;
	if (transfer->sent)
		return IDLE_MS;
	transfer->state = FINISHING;
	return 0;
}

/* `sending`: how many others are being sent. */
static unsigned turn(struct images *images, struct transfer *transfer, uint64_t now,
		     unsigned *sending)
{
	const struct image *image;
	int ret = 0;

	if (transfer->state == THERE || transfer->state == FAILED)
		return IDLE_MS;
	image = images_find(images, transfer->uid);
	if (transfer->state == SENDING)
		return ++*sending > SENDING_AT_ONCE ? IDLE_MS
						    : turn_sending(images, transfer, image);
	if (transfer->sent)
		return IDLE_MS;
	if (now < transfer->not_before)
		return (unsigned)min_u64(transfer->not_before - now, IDLE_MS);
	if (transfer->state == ASKING)
		ret = ask_verb(images, transfer, "images", NULL, ASK_SECONDS);
	else if (transfer->state == FINISHING)
		ret = ask_to_finish(images, transfer, image);
	else
		ret = ask_verb(images, transfer, "delete-image", NULL, CHUNK_SECONDS);
	if (ret == -ENOENT && transfer->state == REMOVING)
		transfer->failures = REMOVALS_MOST;
	return ret == -EBUSY ? BUSY_MS : ret < 0 ? 0 : IDLE_MS;
}

int push_turn(struct images *images)
{
	struct transfer **at = &images->transfers;
	uint64_t now = now_ms();
	unsigned pause = IDLE_MS, sending = 0;

	while (*at) {
		unsigned next;

		if ((*at)->state == REMOVING && (*at)->failures >= REMOVALS_MOST) {
			drop(at);
			continue;
		}
		next = turn(images, *at, now, &sending);
		pause = next < pause ? next : pause;
		at = &(*at)->next;
	}
	return (int)pause;
}

/* ---- for others ---- */

static unsigned percent(const struct transfer *transfer, const struct image *image)
{
	uint64_t all = 0, done = 0;

	for (unsigned i = 0; i < IMAGES_PARTS; i++) {
		done += i < transfer->part    ? image->parts[i].size
			: i == transfer->part ? transfer->offset
					      : 0;
		all += image->parts[i].size;
	}
	return (unsigned)(min_u64(done, all) * 100 / all);
}

static int how_far(const struct transfer *transfer, const struct image *image, struct error *error)
{
	if (transfer->state == FINISHING)
		return error_set(error, EINPROGRESS, "image %s: host %s checks it", image->name,
				 transfer->host);
	return error_set(error, EINPROGRESS, "image %s: %u %% of it is on host %s", image->name,
			 percent(transfer, image), transfer->host);
}

int images_ensure(struct images *images, const char *host, const char *uid, struct error *error)
{
	const struct image *image = images_find(images, uid);
	struct transfer **at = find(images, host, uid), *transfer = *at;

	if (!image)
		return error_set(error, ENOENT, "the image is not there any more");
	if (!image->ready)
		return error_set(error, EAGAIN, "image %s is still being uploaded", image->name);
	if (!transfer)
		transfer = begin(at, host, uid);
	if (!transfer)
		return error_set(error, ENOMEM, "out of memory");
	if (transfer->state == THERE)
		return 0;
	if (transfer->state == FAILED && now_ms() < transfer->not_before)
		return error_set(error, transfer->error.code, "%s", transfer->error.text);
	if (transfer->state == FAILED)
		transfer->state = ASKING;
	return how_far(transfer, image, error);
}

void images_forget(struct images *images, const char *host, const char *uid)
{
	struct transfer **at = find(images, host, uid);

	if (*at && (*at)->state == THERE)
		drop(at);
}

/* Nothing of it is there where not even a chunk was sent. */
void push_drop_image(struct images *images, const char *uid)
{
	struct transfer **at = &images->transfers;

	while (*at) {
		struct transfer *transfer = *at;
		bool begun = transfer->state == THERE || transfer->part || transfer->offset;

		if (!strcmp(transfer->uid, uid) && !begun) {
			drop(at);
			continue;
		}
		if (!strcmp(transfer->uid, uid)) {
			transfer->state = REMOVING;
			transfer->failures = 0;
			transfer->not_before = 0;
			os_close(&transfer->file);
		}
		at = &transfer->next;
	}
}

void push_close(struct images *images)
{
	while (images->transfers)
		drop(&images->transfers);
}
