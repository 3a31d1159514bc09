/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "call/tls.h"
#include "call/wrap.h"
#include "measure.h"
#include "os/fd.h"
#include "os/loop.h"
#include "trust/digest.h"

#define CALLER	   "plane" /* what the plane's certificate as a caller says */
#define TURN_MS	   5
#define FRAME_SIZE (CONTROL_HEAD_SIZE + CONTROL_REQUEST_MAX)

struct machine {
	struct machine *next;
	char *name;
	const char *state;
	json_t *cards;
};

struct host {
	struct world *world;
	int listening;
	SSL_CTX *tls;
	struct wrap_pair *pair;
	struct machine *machines;
};

/* A connection. */
struct link {
	struct link *next;
	struct host *host;
	SSL *ssl;
	int fd;
	bool ready;
	size_t length;
	uint8_t bytes[FRAME_SIZE];
};

struct world {
	struct os_loop *loop;
	volatile struct sim_seen *seen;
	struct host hosts[SIM_HOSTS_MOST];
	unsigned count, restarts;
	struct link *links;
};

/* A host that fails ends them all. */
static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "simulated hosts: %s\n", what);
	_exit(1);
}

/* ---- instances ---- */

static const char running[] = "running", keyless[] = "waiting for keys", ended[] = "ended";

static void set_state(struct host *host, struct machine *machine, const char *state)
{
	host->world->seen->running -= machine->state == running;
	host->world->seen->running += state == running;
	machine->state = state;
}

static struct machine **find(struct host *host, const char *name, size_t length)
{
	struct machine **at = &host->machines;

	while (*at && (strlen((*at)->name) != length || memcmp((*at)->name, name, length) != 0))
		at = &(*at)->next;
	return at;
}

static struct machine *named(struct host *host, const struct control_request *request)
{
	const struct control_value *name = control_value_find(request, "instance");

	return name ? *find(host, name->text, name->length) : NULL;
}

/* Opened as the host would, then forgotten. */
static void take_keys(struct host *host, const struct control_request *request)
{
	volatile struct sim_seen *seen = host->world->seen;
	struct wrap_context context = {.caller = CALLER};
	uint8_t key[CONTROL_KEY_MAX];

	must(wrap_digest(request, context.request) == 0, "digest");
	for (size_t i = 0; i < request->key_count; i++) {
		context.number = request->keys[i].number;
		if (wrap_open(host->pair, &context, request->keys[i].bytes, request->keys[i].length,
			      key, NULL) == 64)
			seen->keys++;
		else
			seen->wrong++;
	}
}

/* ---- verbs: an errno value, and what is told ---- */

static int tell_host(struct host *host, const struct control_request *request, json_t **result)
{
	(void)host;
	(void)request;
	*result = json_pack("{s:i,s:s,s:s,s:i,s:i,s:I,s:I,s:i}", "release", 1, "version", "0",
			    "attestation", "none", "cpus", 64, "cores", 64, "memory",
			    (json_int_t)1 << 38, "memory_free", (json_int_t)1 << 38,
			    "instances_most", 64);
	return 0;
}

static int tell_wrapping(struct host *host, const struct control_request *request, json_t **result)
{
	char digits[2 * WRAP_PUBLIC_SIZE + 1];

	(void)request;
	trust_hex(wrap_pair_public(host->pair), WRAP_PUBLIC_SIZE, digits);
	*result = json_pack("{s:s,s:b}", "wrapping", digits, "attested", 0);
	return 0;
}

static int list(struct host *host, const struct control_request *request, json_t **result)
{
	json_t *all = json_array();

	(void)request;
	host->world->seen->lists++;
	for (const struct machine *at = host->machines; at; at = at->next)
		json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:i,s:O}", "name", at->name,
						     "state", at->state, "text", "", "restarts", 0,
						     "cards", at->cards));
	*result = json_pack("{s:o}", "instances", all);
	return 0;
}

static int launch(struct host *host, const struct control_request *request, json_t **result)
{
	const struct control_value *text = control_value_find(request, "spec");
	json_t *spec = json_loadb(text->text, text->length, 0, NULL);
	const char *name = json_string_value(json_object_get(spec, "name"));
	struct machine *made = calloc(1, sizeof(*made));

	(void)result;
	must(made && name && !*find(host, name, strlen(name)), "a launch");
	made->name = strdup(name);
	made->cards = json_incref(json_object_get(spec, "cards"));
	made->state = ended;
	made->next = host->machines;
	host->machines = made;
	take_keys(host, request);
	host->world->seen->launches++;
	set_state(host, made, running);
	json_decref(spec);
	return 0;
}

static int start(struct host *host, const struct control_request *request, json_t **result)
{
	struct machine *machine = named(host, request);

	(void)result;
	if (!machine)
		return ESRCH;
	host->world->seen->wrong += request->key_count != json_array_size(machine->cards);
	take_keys(host, request);
	host->world->seen->starts++;
	set_state(host, machine, running);
	return 0;
}

static int stop(struct host *host, const struct control_request *request, json_t **result)
{
	struct machine *machine = named(host, request);

	(void)result;
	if (!machine)
		return ESRCH;
	set_state(host, machine, ended);
	return 0;
}

static int attach(struct host *host, const struct control_request *request, json_t **result)
{
	const struct control_value *card = control_value_find(request, "card");
	struct machine *machine = named(host, request);

	if (!machine)
		return ESRCH;
	take_keys(host, request);
	host->world->seen->attaches++;
	json_array_append_new(machine->cards, json_loadb(card->text, card->length, 0, NULL));
	*result = json_pack("{s:[]}", "steps");
	return 0;
}

static int make_volume(struct host *host, const struct control_request *request, json_t **result)
{
	(void)host;
	(void)request;
	(void)result;
	return 0;
}

static const struct {
	const char *verb;
	int (*fn)(struct host *host, const struct control_request *request, json_t **result);
} verbs[] = {
	{"host", tell_host}, {"list", list}, {"wrapping", tell_wrapping},  {"launch", launch},
	{"start", start},    {"stop", stop}, {"make-volume", make_volume}, {"attach", attach},
};

/* ---- connections ---- */

static void drop(struct link *link)
{
	struct link **at = &link->host->world->links;

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	os_loop_remove(link->host->world->loop, link->fd);
	SSL_free(link->ssl);
	close(link->fd);
	free(link);
}

static void answer(struct link *link, const struct control_request *request, int code,
		   const json_t *result)
{
	static uint8_t frame[CONTROL_HEAD_SIZE + CONTROL_ANSWER_MAX];
	char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
	const char *why = code ? strerror(code) : "done";
	struct control_answer answer = {.code = code,
					.text = why,
					.text_length = strlen(why),
					.result = text ? text : "",
					.result_length = text ? strlen(text) : 0};
	ssize_t length;

	memcpy(answer.id, request->id, CONTROL_ID_SIZE);
	length = control_answer_encode(&answer, frame + CONTROL_HEAD_SIZE, CONTROL_ANSWER_MAX);
	free(text);
	must(length > 0, "an answer");
	control_put_length(frame, (size_t)length);
	/* Answers are short, and a socket's room is not. */
	SSL_write(link->ssl, frame, (int)(CONTROL_HEAD_SIZE + (size_t)length));
}

static void carry_out(struct link *link, size_t length)
{
	static struct control_request request;
	json_t *result = NULL;
	int code = ENOSYS;

	must(control_request_decode(&request, link->bytes + CONTROL_HEAD_SIZE, length, NULL) == 0,
	     "a request");
	link->host->world->seen->requests++;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!strcmp(verbs[i].verb, request.verb->name))
			code = verbs[i].fn(link->host, &request, &result);
	}
	answer(link, &request, code, result);
	json_decref(result);
}

static void carry_out_all(struct link *link)
{
	while (link->length >= CONTROL_HEAD_SIZE) {
		ssize_t length = control_length(link->bytes, CONTROL_REQUEST_MAX);
		size_t whole = CONTROL_HEAD_SIZE + (size_t)length;

		must(length > 0, "a frame");
		if (link->length < whole)
			return;
		carry_out(link, (size_t)length);
		link->length -= whole;
		memmove(link->bytes, link->bytes + whole, link->length);
	}
}

/* False: it has ended. */
static bool wants_more(const struct link *link, int ret)
{
	int why = SSL_get_error(link->ssl, ret);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void on_link(void *context, int fd, uint32_t events)
{
	struct link *link = context;
	int ret = link->ready ? 1 : SSL_accept(link->ssl);

	(void)fd;
	(void)events;
	link->ready = ret == 1;
	while (ret > 0) {
		ret = SSL_read(link->ssl, link->bytes + link->length,
			       (int)(sizeof(link->bytes) - link->length));
		if (ret > 0) {
			link->length += (size_t)ret;
			carry_out_all(link);
		}
	}
	if (!wants_more(link, ret))
		drop(link);
}

static void on_caller(void *context, int fd, uint32_t events)
{
	struct host *host = context;
	struct link *link = malloc(sizeof(*link));

	(void)events;
	must(link != NULL, "memory");
	*link = (struct link){.next = host->world->links,
			      .host = host,
			      .ssl = SSL_new(host->tls),
			      .fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
	must(link->ssl && link->fd >= 0, "accept");
	SSL_set_fd(link->ssl, link->fd);
	host->world->links = link;
	must(os_loop_add(host->world->loop, link->fd, EPOLLIN, on_link, link) == 0, "the loop");
}

/* ---- their life ---- */

static void restart(struct world *world)
{
	volatile struct sim_seen *seen = world->seen;

	while (world->links)
		drop(world->links);
	for (unsigned i = 0; i < world->count; i++) {
		struct host *host = &world->hosts[i];

		wrap_pair_free(host->pair);
		must(wrap_pair_make(&host->pair, NULL) == 0, "a key");
		for (struct machine *at = host->machines; at; at = at->next) {
			if (at->state == running)
				set_state(host, at, keyless);
		}
	}
	seen->requests = seen->launches = seen->starts = seen->attaches = seen->lists = 0;
	seen->keys = seen->wrong = 0;
	world->restarts++;
	seen->restarts = 0;
}

static void live(struct world *world)
{
	for (;;) {
		if (world->seen->restarts)
			restart(world);
		os_loop_once(world->loop, TURN_MS);
	}
}

static void begin_world(struct world *world, struct sim_hosts *hosts, const struct ca *ca,
			const int *listening)
{
	struct error error = {0};

	must(os_loop_create(&world->loop) == 0, "the loop");
	world->seen = hosts->seen;
	world->count = hosts->count;
	for (unsigned i = 0; i < hosts->count; i++) {
		struct host *host = &world->hosts[i];
		const struct tls_files files = {.authority = ca_certificate(ca),
						.certificate = hosts->certificates[i].certificate,
						.key = hosts->certificates[i].key,
						.are_texts = true};

		*host = (struct host){.world = world, .listening = listening[i]};
		host->tls = tls_context(&files, true, &error);
		must(host->tls != NULL, error.text);
		must(wrap_pair_make(&host->pair, NULL) == 0, "a key");
		must(os_loop_add(world->loop, listening[i], EPOLLIN, on_caller, host) == 0,
		     "the loop");
	}
}

static int listen_at(unsigned short *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 64) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	*port = ntohs(address.sin_port);
	return fd;
}

static int issue(struct sim_hosts *hosts, unsigned i, const struct ca *ca, struct error *error)
{
	static const char *const addresses[] = {"127.0.0.1"};
	const struct ca_want want = {.kind = CA_HOST,
				     .name = hosts->names[i],
				     .addresses = addresses,
				     .address_count = 1,
				     .now = time(NULL),
				     .seconds = CA_SECONDS};

	snprintf(hosts->names[i], SIM_NAME_SIZE, "host-%03u", i % SIM_HOSTS_MOST);
	return ca_issue_own(ca, &want, &hosts->certificates[i], error);
}

int sim_hosts_begin(struct sim_hosts *hosts, unsigned count, const struct ca *ca, unsigned core,
		    struct error *error)
{
	int listening[SIM_HOSTS_MOST] = {0}, ret = 0;

	*hosts = (struct sim_hosts){.count = count};
	hosts->seen = mmap(NULL, sizeof(*hosts->seen), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (hosts->seen == MAP_FAILED)
		return error_set(error, errno, "memory: %s", strerror(errno));
	for (unsigned i = 0; i < count && ret >= 0; i++) {
		ret = issue(hosts, i, ca, error);
		listening[i] = ret < 0 ? ret : listen_at(&hosts->ports[i]);
		if (ret == 0 && listening[i] < 0)
			ret = error_set(error, -listening[i], "listen: %s",
					strerror(-listening[i]));
	}
	if (ret < 0)
		return ret;
	hosts->pid = fork();
	if (hosts->pid == 0) {
		static struct world world;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		measure_pin(core);
		begin_world(&world, hosts, ca, listening);
		live(&world);
	}
	for (unsigned i = 0; i < count; i++)
		close(listening[i]);
	return hosts->pid < 0 ? error_set(error, errno, "fork: %s", strerror(errno)) : 0;
}

void sim_hosts_restart(struct sim_hosts *hosts)
{
	hosts->seen->restarts = 1;
	while (hosts->seen->restarts)
		usleep(1000);
}

void sim_hosts_end(struct sim_hosts *hosts)
{
	if (hosts->pid > 0) {
		kill(hosts->pid, SIGKILL);
		waitpid(hosts->pid, NULL, 0);
	}
	for (unsigned i = 0; i < hosts->count; i++)
		ca_issued_free(&hosts->certificates[i]);
}
