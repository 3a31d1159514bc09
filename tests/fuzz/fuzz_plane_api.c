/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plane's handlers, with what a client sends and with what the store has. The first byte says
 * which: below 128 a request of the list, the rest is its body; else an item of the store, the rest
 * is its value, and all requests of the list come then; 255: what a host tells of its instances.
 * Each has exactly one answer, and the fleet has some turns with what there is then: a host that
 * answers nobody but is believed to be there, an instance on it and its volume, an image. What is
 * kept is in memory, and begins anew each time.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "fleet_private.h"
#include "host.h"
#include "memory_store.h"
#include "os/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TURNS	    4u
#define TOLD	    0xffu

/* A handler that reads a body is a line here. */
static const struct {
	enum http_method method;
	const char *path;
} requests[] = {
	{HTTP_POST, "/v1/hosts"},
	{HTTP_POST, "/v1/tokens"},
	{HTTP_POST, "/v1/hosts/h1/release"},
	{HTTP_GET, "/v1/hosts"},
	{HTTP_GET, "/v1/hosts/h1"},
	{HTTP_GET, "/v1/hosts/h1/evidence"},
	{HTTP_GET, "/v1/tokens"},
	{HTTP_GET, "/v1/events"},
	{HTTP_DELETE, "/v1/hosts/h1"},
	{HTTP_POST, "/v1/instances"},
	{HTTP_PATCH, "/v1/instances/web"},
	{HTTP_POST, "/v1/instances/web/reboot"},
	{HTTP_GET, "/v1/instances"},
	{HTTP_GET, "/v1/instances/web"},
	{HTTP_GET, "/v1/instances/web/console"},
	{HTTP_POST, "/v1/volumes"},
	{HTTP_PATCH, "/v1/volumes/data"},
	{HTTP_POST, "/v1/volumes/data/attach"},
	{HTTP_POST, "/v1/volumes/data/detach"},
	{HTTP_POST, "/v1/volumes/data/restore"},
	{HTTP_GET, "/v1/volumes"},
	{HTTP_GET, "/v1/volumes/data/trace"},
	{HTTP_POST, "/v1/snapshots"},
	{HTTP_GET, "/v1/snapshots/snap"},
	{HTTP_GET, "/v1/keys"},
	{HTTP_POST, "/v1/keys/rotate"},
	{HTTP_POST, "/v1/images"},
	{HTTP_PUT, "/v1/images/img/kernel"},
	{HTTP_POST, "/v1/images/img/finish"},
	{HTTP_GET, "/v1/images"},
	{HTTP_DELETE, "/v1/images/img"},
	{HTTP_DELETE, "/v1/instances/web"},
	{HTTP_DELETE, "/v1/snapshots/snap"},
	{HTTP_DELETE, "/v1/volumes/data"},
	{HTTP_DELETE, "/v1/keys/vol-4eb48dbf46fd12385f4e4f6f922af451"},
	{HTTP_GET, "/metrics"},
	{HTTP_POST, "/v1/certificates"},
	{HTTP_GET, "/v1/certificates"},
	{HTTP_DELETE, "/v1/certificates/5a"},
};

static char token_key[64]; /* of who asks */
/* What is read back is a line here. */
static const char *const stored[] = {
	"hosts/h1",	  "events/00000000000000000001",
	token_key,	  "requests/a",
	"instances/web",  "volumes/data",
	"snapshots/snap", "keys/vol-4eb48dbf46fd12385f4e4f6f922af451",
	"images/img",	  "certificates/5a",
};

#define METADATA(name, uid)                                                                        \
	"\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid                                       \
	"\",\"created\":\"2026-01-01T00:00:00Z\",\"labels\":{}}"
#define SHA384                                                                                     \
	"000000000000000000000000000000000000000000000000"                                         \
	"000000000000000000000000000000000000000000000000"
#define WEB  "6f8214f04a7aadeded6044269f4857c2"
#define DATA "4eb48dbf46fd12385f4e4f6f922af451"
#define KEK  MEMORY_KEK

/* For requests to them. */
static const char host[] =
	"{\"metadata\":{\"name\":\"h1\",\"uid\":\"01\",\"labels\":{}},\"spec\":{\"address\":"
	"\"127.0.0.1\",\"port\":4747},\"status\":{\"enrolled\":true}}";
static const char *const others[][2] = {
	{"instances/web",
	 "{" METADATA("web",
		      WEB) ",\"record\":{\"placed\":true,\"generation\":1,\"starts\":1,"
			   "\"starts_known\":1},\"spec\":{\"cpus\":1,\"kernel\":\"kernel\","
			   "\"memory\":67108864},"
			   "\"status\":{\"host\":\"h1\",\"state\":\"running\"},\"want\":{"
			   "\"generation\":1,"
			   "\"keys\":true,\"starts\":1},\"wanted\":\"running\",\"writer\":\"" WEB
			   "\"}"},
	{"volumes/data",
	 "{" METADATA(
		 "data",
		 DATA) ",\"holder\":\"web\",\"record\":{\"size\":1048576,\"slot\":1,"
		       "\"state\":3,\"holder\":\"" WEB
		       "\",\"in_specification\":true},\"spec\":{\"key\":\"vol-" DATA
		       "\",\"size\":1048576},\"status\":{\"host\":\"h1\",\"state\":\"attached\"},"
		       "\"want\":{\"generation\":1,\"held\":true,\"holder\":\"" WEB
		       "\",\"size\":1048576,"
		       "\"slot\":1}}"},
	{"keys/vol-" DATA,
	 "{" METADATA("vol-" DATA, DATA) ",\"kek\":\"" KEK
					 "\",\"wrapped\":\"AAAAAAAAAAAAAAAAAAAAAAAA"
					 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
					 "AAAAAAAAAAAAAAA\"}"},
	{"images/img",
	 "{" METADATA("img", "aeb48dbf46fd12385f4e4f6f922af451") ",\"spec\":{\"kernel\":{\"size\":"
								 "4096,\"sha384\":\"" SHA384
								 "\"},\"root\":{\"size\":"
								 "4096,\"sha384\":\"" SHA384
								 "\"}},\"status\":"
								 "{\"state\":\"uploading\"}}"},
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- an exchange ---- */

static struct {
	struct http_exchange exchange;
	unsigned answers;
	bool held;
} now;
static char bearer[AUTH_TOKEN_SIZE + 8];

static void answered(unsigned status)
{
	must(now.answers++ == 0 && status >= 200 && status < 600);
}

const char *http_header(const struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	if (!strcmp(name, "Authorization"))
		return bearer;
	return strcmp(name, "Content-Type") == 0 ? "application/json" : NULL;
}

int http_set_header(struct http_exchange *exchange, const char *name, const char *value)
{
	(void)exchange;
	must(name[0] && value[0]);
	return 0;
}

void http_set_who(struct http_exchange *exchange, const char *name)
{
	(void)exchange;
	(void)name;
}

void http_answer_json(struct http_exchange *exchange, unsigned status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	(void)exchange;
	/* What is answered can be written. */
	must(text);
	free(text);
	json_decref(body);
	answered(status);
}

void http_answer_text(struct http_exchange *exchange, unsigned status, const char *type,
		      const char *text, size_t length)
{
	(void)exchange;
	must(type[0] && strlen(text) == length);
	answered(status);
}

void http_answer_problem(struct http_exchange *exchange, const struct problem *problem)
{
	must(problem->status >= 400);
	http_answer_json(exchange, problem->status, problem_json(problem));
}

void http_hold(struct http_exchange *exchange, void (*gone)(void *context), void *context)
{
	(void)exchange;
	(void)gone;
	(void)context;
	must(!now.answers && !now.held);
	now.held = true;
}

/* Nobody asks for one. */
struct http_stream *http_stream_begin(struct http_exchange *exchange, void (*gone)(void *context),
				      void *context)
{
	(void)exchange;
	(void)gone;
	(void)context;
	abort();
}

void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, const char *data)
{
	(void)stream;
	(void)event;
	(void)id;
	(void)data;
}

void http_stream_end(struct http_stream *stream)
{
	(void)stream;
}

void http_numbers(const struct http *http, struct http_numbers *numbers)
{
	(void)http;
	*numbers = (struct http_numbers){0};
}

/* ---- a plane ---- */

static struct store store = {.calls = &memory_store_calls};
static struct plane plane;
static char *token_value;
static struct ca *ca;

static struct kek kek = {.calls = &memory_kek_calls};
static char folder[] = "/tmp/karuta-fuzz-XXXXXX";

/* Who waits for a host is told when that is asked no more. */
static void close_services(void)
{
	hosts_close(plane.hosts);
	plane.hosts = NULL;
	fleet_close(plane.fleet);
	plane.fleet = NULL;
	images_close(plane.images);
	plane.images = NULL;
	keys_close(plane.keys);
	plane.keys = NULL;
	store.watcher = NULL;
	must(!now.held || now.answers == 1);
}

static void close_plane(void)
{
	enrolments_end(&plane.enrolments);
	close_services();
	store_close(&store);
}

static void on_change(void *context, const struct store_item *item)
{
	(void)context;
	fleet_tell(plane.fleet, item);
}

static bool open_fleet(struct error *error)
{
	struct images_setup images = {.loop = plane.loop,
				      .store = &store,
				      .events = &plane.events,
				      .hosts = &plane.hosts,
				      .folder = folder};
	struct fleet_setup fleet = {
		.store = &store, .events = &plane.events, .hosts = &plane.hosts};

	if (keys_open(&store, &kek, &plane.keys, error) < 0 ||
	    images_open(&images, &plane.images, error) < 0)
		return false;
	fleet.keys = plane.keys;
	fleet.images = plane.images;
	if (fleet_open(&fleet, &plane.fleet, error) < 0)
		return false;
	store.watcher = on_change;
	return true;
}

/* As if it had just answered. */
static void believe_hosts(void)
{
	uint64_t time = os_now() / NS_PER_MS;

	for (struct host *at = plane.hosts->first; at; at = at->next) {
		json_decref(at->report);
		at->report = json_pack("{s:i,s:i,s:I}", "cpus", 8, "cores", 8, "memory",
				       (json_int_t)1 << 36);
		at->evidence.heard = time;
		at->evidence.here = true;
		host_judge(at, time);
	}
}

/* What it has; of any content. */
static void tell_instances(const char *text)
{
	struct fleet_host *at = fleet_host(plane.fleet, "h1");
	json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *told;
	size_t i;

	must(at != NULL);
	json_decref(at->seen);
	at->seen = json_object();
	json_array_foreach(list, i, told)
	{
		json_object_set(at->seen, doc_text(told, "name"), told);
	}
	json_decref(list);
	at->seen_asked = fleet_now(plane.fleet);
	for (struct entry *entry = plane.fleet->entries; entry; entry = entry->next)
		fleet_due(entry, 0);
}

static void turn(void)
{
	believe_hosts();
	for (unsigned i = 0; i < TURNS; i++) {
		fleet_turn(plane.fleet);
		images_turn(plane.images);
	}
}

/* False: the store has what no plane starts with, and that was told. */
static bool open_plane(void)
{
	struct error error = {0};
	struct hosts_setup setup = {.loop = plane.loop,
				    .store = &store,
				    .events = &plane.events,
				    .releases = &plane.releases,
				    .tls = plane.identity.tls,
				    .ca = ca,
				    .certificate_seconds = CA_SECONDS,
				    .policy = {.allow_unattested = true, .silence = 1000}};

	plane.store = &store;
	plane.enrolments.plane = &plane;
	plane.certificate_seconds = CA_SECONDS;
	if (events_open(&plane.events, &store, &error) == 0 &&
	    hosts_open(&setup, &plane.hosts, &error) == 0 && open_fleet(&error))
		return true;
	must(error.text[0]);
	return false;
}

static void end(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	must(system(command) == 0);
}

static void begin(void)
{
	struct error error = {0};
	char token[AUTH_TOKEN_SIZE], id[AUTH_ID_SIZE];

	must(os_loop_create(&plane.loop) == 0 && ca_make("plane", 1000000, &ca, &error) == 0);
	must(mkdtemp(folder) && atexit(end) == 0);
	plane.identity.ca = ca;
	/* Nobody is called: the loop is not turned. */
	plane.identity.tls = SSL_CTX_new(TLS_client_method());
	must(plane.identity.tls != NULL);
	must(auth_create_token(&store, "ann", AUTH_ADMIN, 1000000, 0, token, id, &error) == 0);
	snprintf(bearer, sizeof(bearer), "Bearer %s", token);
	snprintf(token_key, sizeof(token_key), "tokens/%s", id);
	token_value = strdup(memory_store_find(token_key));
	store_close(&store);
}

static void request(size_t index, const char *body)
{
	const struct route_table table = {.routes = plane_routes,
					  .count = plane_route_count,
					  .store = &store,
					  .context = &plane};

	must(!now.held || now.answers == 1);
	now.answers = 0;
	now.held = false;
	now.exchange = (struct http_exchange){.method = requests[index].method,
					      .path = requests[index].path,
					      .body = body,
					      .body_length = strlen(body)};
	route_serve(&table, &now.exchange, 1000001);
	must(now.held || now.answers == 1);
}

static void all_requests(void)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		request(i, "{\"reason\":\"x\"}");
		if (!now.held || now.answers)
			continue;
		close_services();
		if (!open_plane())
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!ca)
		begin();
	if (!text || !size || size > STORE_VALUE_MAX) {
		free(text);
		return 0;
	}
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	now.held = false;
	memory_store_put(&store, token_key, token_value);
	memory_store_put(&store, stored[0], host);
	for (size_t i = 0; i < COUNT(others); i++)
		memory_store_put(&store, others[i][0], others[i][1]);
	if (data[0] & 0x80 && data[0] != TOLD)
		memory_store_put(&store, stored[(data[0] & 0x7f) % COUNT(stored)], text);
	if (open_plane()) {
		turn();
		if (data[0] == TOLD)
			tell_instances(text);
		else if (data[0] & 0x80)
			all_requests();
		else
			request(data[0] % COUNT(requests), text);
		if (plane.fleet)
			turn();
	}
	close_plane();
	free(text);
	return 0;
}
