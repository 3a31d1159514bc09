/* SPDX-License-Identifier: Apache-2.0 */
/* karuta-plane: the service that a fleet is run with. What runs on the hosts runs on without it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "base/base.h"
#include "base/size.h"
#include "confine.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/replace.h"
#include "plane.h"
#include "releases.h"
#include "trust/key.h"
#include "trusted_key.h"

#define DEFAULT_ADDRESS "127.0.0.1:4750"
#define DEFAULT_FOLDER	"/var/lib/karuta/plane"
#define TOKEN_FILE	"admin.token"
#define KEK_FILE	"keys.kek"
#define SILENCE_MS	10000u /* of a host, until it counts as unreachable */
#define EVIDENCE_MS	120000u
#define HOUR_MS		3600000u

struct options {
	const char *address, *folder;
	const char *manifests[EVIDENCE_RELEASES];
	size_t manifest_count;
};

static int usage(FILE *to)
{
	fputs("usage: karuta-plane [OPTIONS]\n"
	      "\n"
	      "Serves the API that `karuta` and other clients run a fleet with.\n"
	      "\n"
	      "  --listen ADDRESS:PORT  for clients, HTTPS (default " DEFAULT_ADDRESS ")\n"
	      "  --name NAME            what clients call it by; may be repeated (localhost, "
	      "127.0.0.1)\n"
	      "  --folder FOLDER        its state (default " DEFAULT_FOLDER ")\n"
	      "  --release MANIFEST     a karuta.manifest that hosts may run; may be repeated\n"
	      "  --certificate-life SECONDS\n"
	      "                         of hosts' certificates (7776000: 90 days)\n"
	      "  --allow-unattested     use hosts that have no TPM as if they were trusted\n"
	      "\n"
	      "Exit code: 0 it was told to end, 1 it failed, 2 wrong usage.\n",
	      to);
	return to == stdout ? 0 : 2;
}

static bool read_life(struct plane *plane, const char *text)
{
	uint64_t seconds;

	if (size_take(&text, false, &seconds) < 0 || *text || !seconds || seconds > CA_SECONDS_MAX)
		return false;
	plane->certificate_seconds = (int64_t)seconds;
	return true;
}

/* 0, or an exit code + 1. */
static int read_options(struct options *options, struct plane *plane, int argc, char **argv)
{
	static const struct option known[] = {
		{"listen", required_argument, NULL, 'l'},
		{"name", required_argument, NULL, 'n'},
		{"folder", required_argument, NULL, 'f'},
		{"release", required_argument, NULL, 'r'},
		{"allow-unattested", no_argument, NULL, 'u'},
		{"certificate-life", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (option == 'l')
			options->address = optarg;
		else if (option == 'f')
			options->folder = optarg;
		else if (option == 'u')
			plane->allow_unattested = true;
		else if (option == 'n' && plane->name_count < PLANE_NAMES)
			plane->names[plane->name_count++] = optarg;
		else if (option == 'r' && options->manifest_count < EVIDENCE_RELEASES)
			options->manifests[options->manifest_count++] = optarg;
		else if (option == 'c' && read_life(plane, optarg))
			continue;
		else
			return 1 + usage(option == 'h' ? stdout : stderr);
	}
	if (!plane->name_count) {
		plane->names[plane->name_count++] = "localhost";
		plane->names[plane->name_count++] = "127.0.0.1";
	}
	return optind < argc ? 1 + usage(stderr) : 0;
}

/* ---- its parts ---- */

static int allow_releases(struct plane *plane, const struct options *options, struct error *error)
{
	struct trust_key *key;
	int ret = trust_key_open(trusted_key, sizeof(trusted_key), &key);

	if (ret < 0)
		return error_set(error, -ret, "the key of releases: %s", strerror(-ret));
	for (size_t i = 0; ret == 0 && i < options->manifest_count; i++)
		ret = releases_allow(&plane->releases, options->manifests[i], key, error);
	trust_key_free(key);
	return ret;
}

/* For who has just installed it: later ones are made with this one. */
static int first_token(struct plane *plane, const char *path, struct error *error)
{
	CLEANUP_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char token[AUTH_TOKEN_SIZE + 1], id[AUTH_ID_SIZE];
	int ret;

	/* Once; again only if it was killed before anybody could read it. */
	if (plane->store->revision > 1 ||
	    (plane->store->revision && faccessat(folder, TOKEN_FILE, F_OK, 0) == 0))
		return 0;
	ret = auth_create_token(plane->store, "admin", AUTH_ADMIN, time(NULL), 0, token, id, error);
	if (ret < 0)
		return ret;
	token[AUTH_TOKEN_SIZE - 1] = '\n';
	ret = os_replace(&os_file_calls, folder, TOKEN_FILE, token, AUTH_TOKEN_SIZE);
	OPENSSL_cleanse(token, sizeof(token));
	if (ret == 0 && fsync(folder) < 0)
		ret = -errno;
	return ret < 0 ? error_set(error, -ret, "%s/" TOKEN_FILE ": %s", path, strerror(-ret)) : 0;
}

static void on_change(void *context, const struct store_item *item)
{
	struct plane *plane = context;

	if (plane->fleet)
		fleet_tell(plane->fleet, item);
	watchers_tell(&plane->watchers, item);
}

/* A rotation may have been under way when the plane before this one ended. */
static int open_keys(struct plane *plane, const struct options *options, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	int ret;

	if (asprintf(&path, "%s/" KEK_FILE, options->folder) < 0)
		return error_set(error, ENOMEM, "out of memory");
	ret = kek_file_open(path, &plane->kek, error);
	plane->rewrapping = true;
	return ret < 0 ? ret : keys_open(plane->store, plane->kek, &plane->keys, error);
}

static int open_fleet(struct plane *plane, const struct options *options, struct error *error)
{
	struct images_setup images = {.loop = plane->loop,
				      .store = plane->store,
				      .events = &plane->events,
				      .hosts = &plane->hosts,
				      .folder = options->folder};
	struct fleet_setup fleet = {
		.store = plane->store, .events = &plane->events, .hosts = &plane->hosts};
	int ret = images_open(&images, &plane->images, error);

	fleet.keys = plane->keys;
	fleet.images = plane->images;
	return ret < 0 ? ret : fleet_open(&fleet, &plane->fleet, error);
}

static int open_state(struct plane *plane, const struct options *options, struct error *error)
{
	int ret = store_sqlite_open(options->folder, &plane->store, error);

	if (ret == 0)
		ret = first_token(plane, options->folder, error);
	if (ret == 0)
		ret = events_open(&plane->events, plane->store, error);
	if (ret == 0)
		ret = open_keys(plane, options, error);
	if (ret == 0)
		ret = identity_open(&plane->identity, options->folder, plane->names,
				    plane->name_count, error);
	if (ret < 0)
		return ret;
	plane->store->watcher = on_change;
	plane->store->watcher_context = plane;
	return 0;
}

static int open_hosts(struct plane *plane, struct error *error)
{
	struct hosts_setup setup = {.loop = plane->loop,
				    .store = plane->store,
				    .events = &plane->events,
				    .tls = plane->identity.tls,
				    .ca = plane->identity.ca,
				    .certificate_seconds = plane->certificate_seconds,
				    .releases = &plane->releases,
				    .policy = {.allow_unattested = plane->allow_unattested,
					       .evidence_lasts = EVIDENCE_MS,
					       .silence = SILENCE_MS}};

	return hosts_open(&setup, &plane->hosts, error);
}

static void serve(void *context, struct http_exchange *exchange)
{
	struct plane *plane = context;
	struct route_table table = {.routes = plane_routes,
				    .count = plane_route_count,
				    .store = plane->store,
				    .context = plane};

	route_serve(&table, exchange, time(NULL));
}

static int open_http(struct plane *plane, const struct options *options, struct error *error)
{
	struct http_setup setup = {.address = options->address,
				   .certificate = plane->identity.server.certificate,
				   .key = plane->identity.server.key,
				   .authority = ca_certificate(plane->identity.ca),
				   .serve = serve,
				   .context = plane};
	int ret = http_open(&setup, plane->loop, &plane->http, error);

	if (ret == 0)
		fprintf(stderr, "karuta-plane: serves at port %u; authority: %s/ca.pem\n",
			http_port(plane->http), options->folder);
	return ret;
}

/* ---- its life ---- */

static void on_signal(void *context, int fd, uint32_t events)
{
	struct plane *plane = context;
	struct signalfd_siginfo info;

	(void)events;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		plane->ending = true;
}

static int take_signals(struct plane *plane, int *fd, struct error *error)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ret = *fd < 0 ? -errno : os_loop_add(plane->loop, *fd, EPOLLIN, on_signal, plane);
	return ret < 0 ? error_set(error, -ret, "signals: %s", strerror(-ret)) : 0;
}

static void tell(const struct error *error)
{
	fprintf(stderr, "karuta-plane: %s\n", error->text);
}

/* Hosts are called with the new one from then on: who waits for one of them is told so. */
static int renew(struct plane *plane, struct error *error)
{
	int ret, opened;

	if (!identity_is_due(&plane->identity, time(NULL)))
		return 0;
	hosts_close(plane->hosts);
	plane->hosts = NULL;
	ret = identity_renew(&plane->identity, plane->names, plane->name_count, time(NULL), error);
	if (ret == 0)
		ret = http_renew(plane->http, plane->identity.server.certificate,
				 plane->identity.server.key, error);
	opened = open_hosts(plane, error);
	plane->failed = opened < 0;
	return ret < 0 ? ret : opened;
}

/* What is not for every turn. None of it waits for the others to work. */
static void clean_up(struct plane *plane, uint64_t *next)
{
	uint64_t now = os_now() / NS_PER_MS;
	struct error error = {0};

	if (now < *next)
		return;
	*next = now + HOUR_MS;
	if (api_once_trim(plane->store, time(NULL), &error) < 0)
		tell(&error);
	if (api_certificates_trim(plane->store, time(NULL), &error) < 0)
		tell(&error);
	if (events_trim(&plane->events, &error) < 0)
		tell(&error);
	if (renew(plane, &error) < 0)
		tell(&error);
}

/* -1: there is nothing to wait for. */
static int sooner(int a, int b)
{
	return b < 0 || (a >= 0 && a < b) ? a : b;
}

/* A batch at a time: clients are to have their turn as well. */
static int rewrap(struct plane *plane)
{
	struct error error = {0};
	int ret = plane->rewrapping ? keys_rewrap(plane->keys, &error) : 0;

	if (ret < 0)
		tell(&error);
	plane->rewrapping = ret > 0;
	return ret > 0 ? 0 : -1;
}

static void until_end(struct plane *plane)
{
	uint64_t next = 0;

	while (!plane->ending && !plane->failed) {
		int pause = hosts_turn(plane->hosts);

		pause = sooner(pause, enrolments_turn(&plane->enrolments));
		pause = sooner(pause, http_turn(plane->http));
		pause = sooner(pause, images_turn(plane->images));
		pause = sooner(pause, fleet_turn(plane->fleet));
		pause = sooner(pause, rewrap(plane));
		clean_up(plane, &next);
		if (!plane->failed)
			os_loop_once(plane->loop, pause);
	}
}

static int start(struct plane *plane, const struct options *options, int *signals,
		 struct error *error)
{
	int ret = confine_memory(error);

	if (ret == 0)
		ret = kek_use_locked_memory(error);
	plane->enrolments.plane = plane;
	if (ret == 0)
		ret = os_loop_create(&plane->loop);
	if (ret == 0)
		ret = take_signals(plane, signals, error);
	if (ret == 0)
		ret = allow_releases(plane, options, error);
	if (ret == 0)
		ret = confine_user(options->folder, error);
	if (ret == 0)
		ret = open_state(plane, options, error);
	if (ret == 0)
		ret = open_hosts(plane, error);
	if (ret == 0)
		ret = open_http(plane, options, error);
	/* Before there is another thread, which would go on as it is. */
	if (ret == 0)
		ret = confine(options->folder, error);
	return ret == 0 ? open_fleet(plane, options, error) : ret;
}

/* Clients first: what they wait for is answered. */
static void finish(struct plane *plane, int signals)
{
	watchers_end(&plane->watchers);
	http_close(plane->http);
	enrolments_end(&plane->enrolments);
	/* Who waits for a host's answer has one, of those that follow. */
	hosts_close(plane->hosts);
	plane->hosts = NULL;
	fleet_close(plane->fleet);
	images_close(plane->images);
	keys_close(plane->keys);
	if (plane->kek)
		plane->kek->calls->close(plane->kek);
	identity_close(&plane->identity);
	evidence_policy_free(&plane->releases);
	store_close(plane->store);
	os_loop_destroy(plane->loop);
	os_close(&signals);
	free(plane);
}

int main(int argc, char **argv)
{
	struct options options = {.address = DEFAULT_ADDRESS, .folder = DEFAULT_FOLDER};
	struct plane *plane = calloc(1, sizeof(*plane));
	struct error error = {0};
	int signals = -1, code;

	if (!plane)
		return 1;
	plane->certificate_seconds = CA_SECONDS;
	code = read_options(&options, plane, argc, argv);
	if (code) {
		free(plane);
		return code - 1;
	}
	umask(077);
	if (start(plane, &options, &signals, &error) < 0) {
		tell(&error);
		code = 1;
	} else {
		until_end(plane);
		code = plane->failed;
	}
	finish(plane, signals);
	return code;
}
