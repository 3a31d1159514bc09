/* SPDX-License-Identifier: Apache-2.0 */
#include "enrol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/name.h"
#include "base/size.h"
#include "confine.h"
#include "enrol/psk.h"
#include "listen.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/loop.h"

#define DEFAULT_FOLDER "/etc/karuta"
#define CALLERS	       16u	       /* at once; the oldest stranger gives way */
#define WRONG_MAX      16u	       /* tokens */
#define STRANGE_TIME   (5 * NS_PER_S)  /* until it has shown that it knows the token */
#define KNOWN_TIME     (60 * NS_PER_S) /* until all is done */
#define SECONDS_MAX    86400u

enum state { FREE, HANDSHAKE, READING, WRITING };

struct enrol;

struct guest {
	struct enrol *enrol;
	enum state state;
	int fd;
	uint64_t deadline;
	char address[INET6_ADDRSTRLEN];
	char name[ENROL_NAME_MAX + 1];
	struct enrol_link link;
};

struct enrol {
	const char *listen, *folder;
	char *token, *token_file;
	unsigned seconds;

	struct enrol_psk psk;
	SSL_CTX *tls;
	struct os_loop *loop;
	int socket;
	unsigned wrong; /* tokens so far */
	bool over;	/* enrolled, and the plane knows */
	struct enrol_talk talk;
	struct guest guests[CALLERS];
};

static int usage(FILE *to)
{
	fputs("usage: karuta-controller enrol --token - [OPTIONS] <TOKEN\n"
	      "\n"
	      "Gets this host its certificate from the plane that has made the token (it was "
	      "added there).\n"
	      "The plane connects; nothing here does.\n"
	      "\n"
	      "  --token -              read the token from standard input\n"
	      "  --token-file FILE      read it from there\n"
	      "  --token TOKEN          it is this one, which others on this host may see in "
	      "ps(1)\n"
	      "  --listen ADDRESS:PORT  where the plane connects, now and later (default :4747)\n"
	      "  --folder FOLDER        for host.key, host.pem and ca.pem (/etc/karuta)\n"
	      "  --timeout SECONDS      to wait for the plane (600)\n"
	      "\n"
	      "Exit code: 0 it is enrolled, 1 it is not, 2 wrong usage.\n",
	      to);
	return to == stdout ? 0 : 2;
}

/* ---- who connects ---- */

static void end(struct guest *guest)
{
	enrol_link_close(&guest->link);
	os_loop_remove(guest->enrol->loop, guest->fd);
	os_close(&guest->fd);
	guest->state = FREE;
}

static void refuse(struct guest *guest, const char *why)
{
	fprintf(stderr, "karuta-controller: %s: refused: %s\n", guest->address, why);
	end(guest);
}

static void refuse_token(struct guest *guest)
{
	char why[64];

	snprintf(why, sizeof(why), "a wrong token (%u of %u tries)", ++guest->enrol->wrong,
		 WRONG_MAX);
	refuse(guest, why);
}

static void turn_handshake(struct guest *guest)
{
	struct error error = {0};
	int ret = enrol_link_handshake(&guest->link);

	if (ret == 0)
		return;
	if (ret == -EKEYREJECTED) {
		refuse_token(guest);
		return;
	}
	/* Whoever looks what is at this port. */
	if (ret < 0) {
		end(guest);
		return;
	}
	enrol_name(guest->link.ssl, guest->name);
	if (enrol_check(guest->link.ssl, &error) < 0) {
		refuse(guest, error.text);
	} else if (!name_is_valid(guest->name, ENROL_NAME_MAX)) {
		refuse(guest, "it gives this host no name that a host can have");
	} else {
		guest->state = READING;
		guest->deadline = os_now() + KNOWN_TIME;
		enrol_link_next(&guest->link);
	}
}

static void turn_reading(struct guest *guest)
{
	int ret = enrol_link_receive(&guest->link);

	if (ret == 0)
		return;
	if (ret == 1)
		ret = enrol_talk_answer(&guest->enrol->talk, &guest->link, guest->name);
	if (ret < 0)
		refuse(guest, ret == -ECONNRESET ? "it went away" : "not a request");
	else
		guest->state = WRITING;
}

static void turn_writing(struct guest *guest)
{
	int ret = enrol_link_send(&guest->link);

	if (ret == 0)
		return;
	guest->state = READING;
	if (guest->enrol->talk.done) {
		guest->enrol->over = true;
		end(guest);
	} else if (ret < 0) {
		refuse(guest, "it went away");
	}
}

/* A state is turned until it waits: OpenSSL may have the next bytes already, of which epoll does
 * not know. */
static void turn(struct guest *guest)
{
	enum state before;

	do {
		before = guest->state;
		if (before == HANDSHAKE)
			turn_handshake(guest);
		else if (before == READING)
			turn_reading(guest);
		else if (before == WRITING)
			turn_writing(guest);
	} while (guest->state != before && guest->state != FREE);
	if (guest->state != FREE)
		os_loop_change(guest->enrol->loop, guest->fd, guest->link.events);
}

static void on_event(void *context, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	turn(context);
}

static struct guest *find_place(struct enrol *enrol)
{
	struct guest *oldest = NULL;

	for (struct guest *guest = enrol->guests; guest < enrol->guests + CALLERS; guest++) {
		if (guest->state == FREE)
			return guest;
		if (guest->state == HANDSHAKE && (!oldest || guest->deadline < oldest->deadline))
			oldest = guest;
	}
	if (oldest)
		end(oldest);
	return oldest;
}

static void note_address(struct guest *guest, const struct sockaddr_storage *from)
{
	const void *bytes = from->ss_family == AF_INET6
				    ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
				    : &((const struct sockaddr_in *)from)->sin_addr;

	if (!inet_ntop(from->ss_family, bytes, guest->address, sizeof(guest->address)))
		snprintf(guest->address, sizeof(guest->address), "?");
}

static void on_newcomer(void *context, int socket, uint32_t events)
{
	struct enrol *enrol = context;
	struct sockaddr_storage from = {0};
	socklen_t length = sizeof(from);
	int fd = accept4(socket, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct guest *guest = fd < 0 ? NULL : find_place(enrol);

	(void)events;
	if (!guest || enrol_link_open(&guest->link, enrol->tls, fd, true) < 0) {
		os_close(&fd);
		return;
	}
	guest->enrol = enrol;
	guest->state = HANDSHAKE;
	guest->fd = fd;
	guest->deadline = os_now() + STRANGE_TIME;
	note_address(guest, &from);
	if (os_loop_add(enrol->loop, fd, guest->link.events, on_event, guest) < 0)
		end(guest);
}

static void drop_late(struct enrol *enrol)
{
	uint64_t now = os_now();

	for (struct guest *guest = enrol->guests; guest < enrol->guests + CALLERS; guest++) {
		if (guest->state != FREE && now >= guest->deadline)
			end(guest);
	}
}

/* ---- the whole ---- */

static int serve_plane(struct enrol *enrol, struct error *error)
{
	uint64_t until = os_now() + enrol->seconds * NS_PER_S;

	/* The files are what counts: whether the plane has heard of it or not. */
	while (!enrol->over && !enrol->talk.done) {
		uint64_t now = os_now();

		if (now >= until)
			return error_set(error, ETIMEDOUT,
					 "the plane has not come for %u seconds; can it reach this "
					 "host at %s? The token is not good any more, make another",
					 enrol->seconds, enrol->listen);
		if (enrol->wrong >= WRONG_MAX)
			return error_set(
				error, EACCES,
				"%u tries with a wrong token: see whose they are, and make "
				"another",
				WRONG_MAX);
		os_loop_once(enrol->loop, (int)min_u64((until - now) / NS_PER_MS + 1, 1000));
		drop_late(enrol);
	}
	return 0;
}

/* The answer is on its way. */
static void let_it_be_told(struct enrol *enrol)
{
	uint64_t until = os_now() + STRANGE_TIME;

	while (!enrol->over && os_now() < until) {
		os_loop_once(enrol->loop, 100);
		drop_late(enrol);
	}
}

static int make_folder(const char *folder, struct error *error)
{
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return error_set(error, errno, "%s: %s", folder, strerror(errno));
	return identity_must_be_new(folder, error);
}

static int start(struct enrol *enrol, struct error *error)
{
	int ret = make_folder(enrol->folder, error);

	signal(SIGPIPE, SIG_IGN);
	if (ret == 0)
		enrol->tls = enrol_context(&enrol->psk, true, error);
	if (ret < 0 || !enrol->tls)
		return -EINVAL;
	enrol->socket = listen_open(enrol->listen, error);
	if (enrol->socket < 0)
		return enrol->socket;
	ret = os_loop_create(&enrol->loop);
	if (ret == 0)
		ret = os_loop_add(enrol->loop, enrol->socket, EPOLLIN, on_newcomer, enrol);
	return ret < 0 ? error_set(error, -ret, "event loop: %s", strerror(-ret)) : 0;
}

static void finish(struct enrol *enrol)
{
	for (struct guest *guest = enrol->guests; guest < enrol->guests + CALLERS; guest++) {
		if (guest->state != FREE)
			end(guest);
	}
	os_loop_destroy(enrol->loop);
	os_close(&enrol->socket);
	SSL_CTX_free(enrol->tls);
	enrol_talk_free(&enrol->talk);
	explicit_bzero(&enrol->psk, sizeof(enrol->psk));
}

static int run(struct enrol *enrol, struct error *error)
{
	int ret = start(enrol, error);

	enrol->talk.folder = enrol->folder;
	if (ret < 0)
		return ret;
	printf("Waiting at %s for the plane, for %u seconds.\n", enrol->listen, enrol->seconds);
	fflush(stdout);
	ret = serve_plane(enrol, error);
	if (ret < 0)
		return ret;
	let_it_be_told(enrol);
	printf("This host is %s now: %s has host.key, host.pem and ca.pem.\n"
	       "Next: start `karuta-controller serve`, which listens at the same place.\n",
	       enrol->talk.name, enrol->folder);
	return 0;
}

/* ---- the command line ---- */

/* Out of sight of ps(1), from now on. */
static void hide(char *text)
{
	memset(text, 'x', strlen(text));
}

/* A line, whose end may be missing. */
static int read_token_from(int fd, struct enrol *enrol, struct error *error)
{
	char text[ENROL_TOKEN_SIZE + 2];
	ssize_t length = os_read_full(fd, text, sizeof(text));
	int ret;

	if (length < 0)
		return error_set(error, (int)-length, "the token: %s", strerror((int)-length));
	while (length && strchr("\r\n", text[length - 1]))
		length--;
	ret = enrol_token_read(text, (size_t)length, enrol->psk.secret, error);
	explicit_bzero(text, sizeof(text));
	return ret;
}

static int read_token(struct enrol *enrol, struct error *error)
{
	CLEANUP_CLOSE int fd = -1;
	int ret;

	if (enrol->token_file) {
		fd = open(enrol->token_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? error_set(error, errno, "%s: %s", enrol->token_file,
					  strerror(errno))
			      : read_token_from(fd, enrol, error);
	}
	if (!strcmp(enrol->token, "-"))
		return read_token_from(STDIN_FILENO, enrol, error);
	ret = enrol_token_read(enrol->token, strlen(enrol->token), enrol->psk.secret, error);
	hide(enrol->token);
	return ret;
}

static int take_option(struct enrol *enrol, int option)
{
	uint64_t seconds;

	switch (option) {
	case 't':
		enrol->token = optarg;
		return 0;
	case 'T':
		enrol->token_file = optarg;
		return 0;
	case 'l':
		enrol->listen = optarg;
		return 0;
	case 'f':
		enrol->folder = optarg;
		return 0;
	case 's':
		if (size_parse(optarg, &seconds) < 0 || !seconds || seconds > SECONDS_MAX)
			return 1 + usage(stderr);
		enrol->seconds = (unsigned)seconds;
		return 0;
	default:
		return 1 + usage(option == 'h' ? stdout : stderr);
	}
}

/* 0, or an exit code + 1. */
static int read_options(struct enrol *enrol, int argc, char **argv)
{
	static const struct option options[] = {
		{"token", required_argument, NULL, 't'},
		{"token-file", required_argument, NULL, 'T'},
		{"listen", required_argument, NULL, 'l'},
		{"folder", required_argument, NULL, 'f'},
		{"timeout", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option, code = 0;

	while (!code && (option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		code = take_option(enrol, option);
	if (!code && (optind < argc || !enrol->token == !enrol->token_file))
		code = 1 + usage(stderr);
	return code;
}

int enrol_main(int argc, char **argv)
{
	static struct enrol enrol = {
		.listen = LISTEN_DEFAULT,
		.folder = DEFAULT_FOLDER,
		.seconds = ENROL_SECONDS,
		.socket = -1,
	};
	struct error error = {0};
	int code = read_options(&enrol, argc, argv);

	if (code)
		return code - 1;
	code = confine_memory(&error);
	if (code == 0)
		code = read_token(&enrol, &error);
	if (code == 0)
		code = run(&enrol, &error);
	finish(&enrol);
	if (code == 0)
		return 0;
	fprintf(stderr, "karuta-controller: %s\n", error.text);
	return 1;
}
