/* SPDX-License-Identifier: Apache-2.0 */
#include "enrol.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/base.h"
#include "base/name.h"
#include "enrol/link.h"
#include "enrol/psk.h"
#include "os/clock.h"
#include "os/fd.h"

#define LATEST_MS 1000

enum state {
	PAUSING, /* before another try */
	CONNECTING,
	HANDSHAKE,
	ASKING,	    /* enrol-request is on its way */
	ASKED,	    /* and so is its answer */
	INSTALLING, /* enrol-install */
	INSTALLED,
	ENROLLED, /* to be told */
	FAILED,	  /* the same */
	TOLD,
};

struct enrolment {
	struct enrolment_setup setup;
	char name[ENROL_NAME_MAX + 1];
	enrolment_done_fn done;
	void *context;
	struct addrinfo *address;
	struct enrol_psk psk;
	SSL_CTX *tls;

	enum state state;
	int fd;
	struct enrol_link link;
	uint8_t id[CONTROL_ID_SIZE]; /* of the request that is under way */
	uint64_t end;		     /* of the token */
	uint64_t deadline;	     /* of this try, or of the pause */
	struct ca_issued issued;
	struct error why; /* of the last try */
};

int enrolment_token(char token[ENROL_TOKEN_SIZE], uint8_t secret[ENROL_SECRET_SIZE],
		    struct error *error)
{
	if (RAND_priv_bytes(secret, ENROL_SECRET_SIZE) != 1)
		return error_set(error, EIO, "no randomness for a token");
	enrol_token_write(secret, token);
	return 0;
}

/* ---- the end of a try, the end of all ---- */

static void disconnect(struct enrolment *enrolment)
{
	if (enrolment->fd < 0)
		return;
	enrol_link_close(&enrolment->link);
	os_loop_remove(enrolment->setup.loop, enrolment->fd);
	os_close(&enrolment->fd);
}

/* Nothing of it is touched behind this: it may be ended. */
static void tell(struct enrolment *enrolment)
{
	const struct ca_issued *issued = enrolment->issued.certificate ? &enrolment->issued : NULL;
	const struct error *error = enrolment->state == FAILED ? &enrolment->why : NULL;

	enrolment->state = TOLD;
	enrolment->done(enrolment->context, issued, error);
}

/* What is said of it comes from a stranger. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static void give_up(struct enrolment *enrolment)
{
	disconnect(enrolment);
	error_prefix(&enrolment->why, "host %s", enrolment->name);
	enrolment->state = FAILED;
}

/* Once more a little later, unless a certificate is with it already: then nobody knows. */
static void try_again(struct enrolment *enrolment)
{
	disconnect(enrolment);
	if (enrolment->issued.certificate) {
		give_up(enrolment);
		return;
	}
	enrolment->state = PAUSING;
	enrolment->deadline = os_now() + ENROL_PAUSE_SECONDS * NS_PER_S;
}

static void fail(struct enrolment *enrolment, int ret)
{
	if (ret == -EKEYREJECTED) {
		error_set(&enrolment->why, EKEYREJECTED,
			  "it has another token; make a new one and use it there");
		give_up(enrolment);
		return;
	}
	error_set(&enrolment->why, -ret, "%s",
		  ret == -EPROTO ? "what answers there waits for no enrolment" : strerror(-ret));
	try_again(enrolment);
}

/* ---- requests ---- */

static int ask(struct enrolment *enrolment, struct control_request *request)
{
	struct enrol_link *link = &enrolment->link;
	ssize_t length;

	if (RAND_bytes(enrolment->id, sizeof(enrolment->id)) != 1)
		return -EIO;
	memcpy(request->id, enrolment->id, sizeof(request->id));
	length = control_request_encode(request, link->out + CONTROL_HEAD_SIZE, ENROL_FRAME_MAX);
	if (length < 0)
		return (int)length;
	enrol_link_next(link);
	enrol_link_begin(link, (size_t)length);
	return 0;
}

static int ask_for_request(struct enrolment *enrolment)
{
	struct control_request request = {.verb = &enrol_verbs[ENROL_REQUEST]};

	enrolment->state = ASKING;
	return ask(enrolment, &request);
}

static int send_certificate(struct enrolment *enrolment)
{
	const char *authority = ca_certificate(enrolment->setup.ca);
	const char *certificate = enrolment->issued.certificate;
	struct control_request request = {.verb = &enrol_verbs[ENROL_INSTALL]};

	request.values[0] = (struct control_value){
		.given = true, .text = authority, .length = strlen(authority)};
	request.values[1] = (struct control_value){
		.given = true, .text = certificate, .length = strlen(certificate)};
	enrolment->state = INSTALLING;
	return ask(enrolment, &request);
}

/* 0 with the host's answer, which may be no. */
static int read_answer(struct enrolment *enrolment, struct control_answer *answer)
{
	const struct enrol_link *link = &enrolment->link;
	int ret = control_answer_decode(answer, link->in + CONTROL_HEAD_SIZE, link->in_length);

	if (ret < 0 || memcmp(answer->id, enrolment->id, sizeof(answer->id)) != 0)
		return error_set(&enrolment->why, EBADMSG, "not an answer to what was asked");
	if (!answer->code)
		return 0;
	error_set(&enrolment->why, answer->code, "%.*s", (int)min_u64(answer->text_length, 200),
		  answer->text);
	make_printable(enrolment->why.text);
	return 0;
}

static int issue(struct enrolment *enrolment, const struct control_answer *answer)
{
	const struct ca_want want = {.kind = CA_HOST,
				     .name = enrolment->name,
				     .addresses = enrolment->setup.addresses,
				     .address_count = enrolment->setup.address_count,
				     .now = time(NULL),
				     .seconds = enrolment->setup.certificate_seconds};
	json_t *object =
		json_loadb(answer->result, answer->result_length, JSON_REJECT_DUPLICATES, NULL);
	const char *request = NULL;
	int ret;

	if (json_unpack(object, "{s:s!}", "request", &request) < 0)
		ret = error_set(&enrolment->why, EBADMSG, "its answer has no request");
	else
		ret = ca_issue(enrolment->setup.ca, &want, request, strlen(request),
			       &enrolment->issued, &enrolment->why);
	json_decref(object);
	return ret;
}

/* ---- a try ---- */

static void turn_connecting(struct enrolment *enrolment)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(enrolment->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error)
		fail(enrolment, -error);
	else
		enrolment->state = HANDSHAKE;
}

static void turn_handshake(struct enrolment *enrolment)
{
	int ret = enrol_link_handshake(&enrolment->link);

	if (ret == 0)
		return;
	if (ret == 1 && enrol_check(enrolment->link.ssl, NULL) < 0)
		ret = -EPROTO;
	if (ret == 1)
		ret = ask_for_request(enrolment);
	if (ret < 0)
		fail(enrolment, ret);
}

static void turn_sending(struct enrolment *enrolment)
{
	int ret = enrol_link_send(&enrolment->link);

	if (ret < 0)
		fail(enrolment, ret);
	else if (ret == 1)
		enrolment->state = enrolment->state == ASKING ? ASKED : INSTALLED;
}

static int take_answer(struct enrolment *enrolment)
{
	struct control_answer answer;
	int ret = read_answer(enrolment, &answer);

	if (ret < 0)
		return ret;
	if (answer.code) {
		/* It has said that it does not take it. */
		ca_issued_free(&enrolment->issued);
		return -answer.code;
	}
	if (enrolment->state == INSTALLED) {
		disconnect(enrolment);
		enrolment->state = ENROLLED;
		return 0;
	}
	ret = issue(enrolment, &answer);
	return ret == 0 ? send_certificate(enrolment) : ret;
}

static void turn_receiving(struct enrolment *enrolment)
{
	int ret = enrol_link_receive(&enrolment->link);

	if (ret < 0)
		fail(enrolment, ret);
	else if (ret == 1 && take_answer(enrolment) < 0)
		give_up(enrolment);
}

/* A state is turned until it waits: OpenSSL may have the next bytes already, of which epoll does
 * not know. */
static void turn(struct enrolment *enrolment)
{
	enum state before;

	do {
		before = enrolment->state;
		if (before == CONNECTING)
			turn_connecting(enrolment);
		else if (before == HANDSHAKE)
			turn_handshake(enrolment);
		else if (before == ASKING || before == INSTALLING)
			turn_sending(enrolment);
		else
			turn_receiving(enrolment);
	} while (enrolment->fd >= 0 && enrolment->state != before);
}

static void on_event(void *context, int fd, uint32_t events)
{
	struct enrolment *enrolment = context;

	(void)events;
	turn(enrolment);
	if (enrolment->fd >= 0)
		os_loop_change(enrolment->setup.loop, fd, enrolment->link.events);
	else if (enrolment->state == ENROLLED || enrolment->state == FAILED)
		tell(enrolment);
}

static int open_connection(struct enrolment *enrolment)
{
	const struct addrinfo *address = enrolment->address;
	int ret;

	enrolment->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (enrolment->fd < 0)
		return -errno;
	if (connect(enrolment->fd, address->ai_addr, address->ai_addrlen) < 0 &&
	    errno != EINPROGRESS)
		ret = -errno;
	else
		ret = enrol_link_open(&enrolment->link, enrolment->tls, enrolment->fd, false);
	if (ret == 0)
		ret = os_loop_add(enrolment->setup.loop, enrolment->fd, EPOLLOUT, on_event,
				  enrolment);
	return ret;
}

static void begin_try(struct enrolment *enrolment)
{
	int ret = open_connection(enrolment);

	enrolment->state = CONNECTING;
	enrolment->deadline = os_now() + ENROL_TRY_SECONDS * NS_PER_S;
	if (ret < 0)
		fail(enrolment, ret);
}

/* ---- the whole ---- */

static struct addrinfo *find_address(const struct enrolment_setup *setup)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char port[8];

	snprintf(port, sizeof(port), "%u", setup->port);
	return getaddrinfo(setup->address, port, &hints, &found) == 0 ? found : NULL;
}

static int fill(struct enrolment *enrolment, const struct enrolment_setup *setup,
		struct error *error)
{
	if (!name_is_valid(setup->name, ENROL_NAME_MAX))
		return error_set(error, EINVAL, "host %.64s: no name that a host can have",
				 setup->name);
	enrolment->address = find_address(setup);
	if (!enrolment->address)
		return error_set(error, EINVAL, "host %s: %.64s: not an address in numbers",
				 setup->name, setup->address);
	snprintf(enrolment->name, sizeof(enrolment->name), "%s", setup->name);
	snprintf(enrolment->psk.name, sizeof(enrolment->psk.name), "%s", setup->name);
	memcpy(enrolment->psk.secret, setup->secret, ENROL_SECRET_SIZE);
	enrolment->tls = enrol_context(&enrolment->psk, false, error);
	return enrolment->tls ? 0 : -ENOMEM;
}

int enrolment_begin(const struct enrolment_setup *setup, enrolment_done_fn done, void *context,
		    struct enrolment **enrolment, struct error *error)
{
	struct enrolment *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "host %s: out of memory", setup->name);
	made->setup = *setup;
	made->done = done;
	made->context = context;
	made->fd = -1;
	made->state = PAUSING;
	made->deadline = os_now();
	made->end = made->deadline + setup->seconds * NS_PER_S;
	error_set(&made->why, ETIMEDOUT, "not tried yet");
	ret = fill(made, setup, error);
	if (ret == 0)
		*enrolment = made;
	else
		enrolment_end(made);
	return ret;
}

int enrolment_turn(struct enrolment *enrolment)
{
	uint64_t now = os_now();
	uint64_t next = enrolment->deadline < enrolment->end ? enrolment->deadline : enrolment->end;

	if (enrolment->state == TOLD)
		return LATEST_MS;
	if (now >= enrolment->end) {
		error_prefix(&enrolment->why, "the token has ended");
		enrolment->why.code = ETIMEDOUT;
		give_up(enrolment);
	} else if (now >= enrolment->deadline && enrolment->state == PAUSING) {
		begin_try(enrolment);
	} else if (now >= enrolment->deadline) {
		fail(enrolment, -ETIMEDOUT);
	}
	if (enrolment->state == FAILED) {
		tell(enrolment);
		return 0;
	}
	return next > now ? (int)min_u64((next - now) / NS_PER_MS + 1, LATEST_MS) : 0;
}

const char *enrolment_why(const struct enrolment *enrolment)
{
	return enrolment->why.text;
}

void enrolment_end(struct enrolment *enrolment)
{
	if (!enrolment)
		return;
	disconnect(enrolment);
	SSL_CTX_free(enrolment->tls);
	if (enrolment->address)
		freeaddrinfo(enrolment->address);
	ca_issued_free(&enrolment->issued);
	OPENSSL_cleanse(enrolment, sizeof(*enrolment));
	free(enrolment);
}
