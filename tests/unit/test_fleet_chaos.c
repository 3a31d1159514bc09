/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that ask for anything in any order, and meanwhile kill -9 of the plane, controllers,
 * hypervisors and cards, and hosts that are switched off: what was acknowledged is what there is in
 * the end, by the plane's documents and by what each host has itself; nothing is there twice,
 *nothing is left over.
 *
 *	KARUTA_TEST_KILLS=200	so many; 10 if it is not said
 *	KARUTA_TEST_SEED=n	the chances of clients and kills
 */
#include <time.h>

#include "fleet_harness.h"

#include "fleet_clients.h"

#define KILLS	   10
#define KILL_PAUSE 500000u	   /* us, on average */
#define REST_MS	   UINT64_C(25000) /* what dies more often is not started again */
#define CALM	   90u		   /* s, for all to become what it is to be */

static uint64_t seed, rests[2][MODEL_INSTANCES];
static unsigned killed[5];

static unsigned chance(unsigned count)
{
	static uint64_t random;

	if (!random)
		random = ~seed;
	return (unsigned)(next_random(&random) % count);
}

/* ---- who is killed ---- */

enum victim { PLANE, CONTROLLER, HOST, HYPERVISOR, CARD };

static void kill_controller(unsigned host)
{
	pid_t pid = controller_of(host);

	if (pid > 0 && kill(pid, SIGKILL) == 0)
		killed[CONTROLLER]++;
}

static void restart_host(unsigned host)
{
	/* With a guest that does not listen it would be a long wait: the button, then the plug. */
	kill(keepers[host], SIGTERM);
	usleep(chance(500000));
	kill(keepers[host], SIGINT);
	wait_end(keepers[host]);
	start_host(host);
	killed[HOST]++;
}

/* The pid of the unit, or of its last card; 0: there is none, or it has died a short time ago. */
static pid_t find_victim(unsigned host, bool card)
{
	json_t *list = host_list(host), *unit;
	unsigned instance;
	pid_t pid = 0;
	char name[64] = "";

	unit = json_array_get(list,
			      json_array_size(list) ? chance((unsigned)json_array_size(list)) : 0);
	if (unit)
		snprintf(name, sizeof(name), "%s",
			 json_string_value(json_object_get(unit, "name")));
	json_decref(list);
	if (sscanf(name, "i%u.", &instance) != 1 || instance >= MODEL_INSTANCES ||
	    rests[card][instance] > now_ms())
		return 0;
	if (sh("timeout 5 ./karuta-controller call 127.0.0.1:%u status %s --ca plane/ca.pem --cert "
	       "reader.pem --key reader.key --json | jq '.result.%s // 0'",
	       (unsigned)port + host, name, card ? "cards[-1].pid" : "pid") == 0)
		pid = (pid_t)atoi(output);
	if (pid > 0)
		rests[card][instance] = now_ms() + REST_MS;
	return pid > 0 ? pid : 0;
}

static void kill_part(unsigned host, bool card)
{
	pid_t pid = 0;

	for (unsigned i = 0; i < HOSTS && !pid; i++)
		pid = find_victim((host + i) % HOSTS, card);
	if (pid && kill(pid, SIGKILL) == 0)
		killed[card ? CARD : HYPERVISOR]++;
}

static void kill_someone(void)
{
	unsigned host = chance(HOSTS), what = chance(20);

	if (what < 6) {
		kill(plane_pid, SIGKILL);
		waitpid(plane_pid, NULL, 0);
		usleep(chance(4) ? 0 : chance(1000000));
		start_plane();
		killed[PLANE]++;
	} else if (what < 11) {
		kill_controller(host);
	} else if (what < 12) {
		restart_host(host);
	} else {
		kill_part(host, what < 17);
	}
}

static unsigned kills_done(void)
{
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_LEN(killed); i++)
		count += killed[i];
	return count;
}

/* ---- what is true all the time ---- */

/* A volume is on one host for good, so within that host's answer. */
static void no_volume_is_on_two(unsigned host)
{
	json_t *list = host_list(host), *unit, *card, *holders = json_object();
	size_t i, j;

	json_array_foreach(list, i, unit)
	{
		json_array_foreach(json_object_get(unit, "cards"), j, card)
		{
			const char *name = json_string_value(json_object_get(card, "name"));

			if (json_object_get(holders, name))
				fail_msg("seed %llu: %s is on two instances of h%u: %s",
					 (unsigned long long)seed, name, host, output);
			json_object_set_new(holders, name, json_true());
		}
	}
	json_decref(holders);
	json_decref(list);
}

/* ---- what is true in the end ---- */

static char why[512];

#define NOT(...) (snprintf(why, sizeof(why), __VA_ARGS__), false)

static json_t *documents(const char *kind)
{
	json_t *answer, *items;

	if (sh("curl -sS --fail-with-body --cacert plane/ca.pem -H \"Authorization: Bearer " TOKEN
	       "\" 'https://127.0.0.1:%d/v1/%s?limit=100' 2>&1",
	       plane_port, kind) != 0)
		fail_msg("%s", output);
	answer = json_loads(output, 0, NULL);
	items = json_incref(json_object_get(answer, "items"));
	json_decref(answer);
	return items;
}

static const char *text_of(const json_t *doc, const char *part, const char *member)
{
	const char *text = json_string_value(json_object_get(json_object_get(doc, part), member));

	return text ? text : "";
}

static json_t *named(const json_t *items, char letter, unsigned number)
{
	char name[16];
	json_t *item;
	size_t i;

	snprintf(name, sizeof(name), "%c%u", letter, number);
	json_array_foreach(items, i, item)
	{
		if (!strcmp(text_of(item, "metadata", "name"), name))
			return item;
	}
	return NULL;
}

static unsigned host_number(const json_t *doc)
{
	const char *host = text_of(doc, "status", "host");

	return host[0] == 'h' ? (unsigned)atoi(host + 1) : HOSTS;
}

/* All that there is, as the plane and its hosts tell. */
struct everything {
	json_t *instances, *volumes, *lists[HOSTS];
};

static bool read_everything(struct everything *all)
{
	bool whole = true;

	*all = (struct everything){.instances = documents("instances"),
				   .volumes = documents("volumes")};
	for (unsigned i = 0; i < HOSTS; i++) {
		all->lists[i] = host_list(i);
		whole = whole && all->lists[i];
	}
	return whole || NOT("a host does not answer");
}

static void free_everything(struct everything *all)
{
	json_decref(all->instances);
	json_decref(all->volumes);
	for (unsigned i = 0; i < HOSTS; i++)
		json_decref(all->lists[i]);
}

/* What its host calls it. */
static json_t *unit_of(const struct everything *all, const json_t *instance)
{
	const char *name = text_of(instance, "metadata", "name");
	const char *uid = text_of(instance, "metadata", "uid");
	unsigned host = host_number(instance);
	json_t *unit;
	size_t i;

	json_array_foreach(host < HOSTS ? all->lists[host] : NULL, i, unit)
	{
		const char *full = json_string_value(json_object_get(unit, "name"));
		size_t length = strlen(name);

		if (!strncmp(full, name, length) && full[length] == '.' &&
		    !strncmp(full + length + 1, uid, strlen(full + length + 1)))
			return unit;
	}
	return NULL;
}

static bool has_card(const json_t *unit, const json_t *volume)
{
	const char *uid = text_of(volume, "metadata", "uid");
	json_t *card;
	size_t i;

	json_array_foreach(json_object_get(unit, "cards"), i, card)
	{
		const char *name = json_string_value(json_object_get(card, "name"));

		if (!strncmp(name, "vol", 3) && !strncmp(name + 3, uid, strlen(name + 3)))
			return true;
	}
	return false;
}

static bool instance_is_as_wanted(const struct everything *all, unsigned number)
{
	json_t *doc = named(all->instances, 'i', number), *unit = doc ? unit_of(all, doc) : NULL;
	const char *state = doc ? text_of(doc, "status", "state") : "absent";
	const char *told = unit ? json_string_value(json_object_get(unit, "state")) : "absent";
	unsigned is = !doc			  ? MODEL_ABSENT
		      : !strcmp(state, "running") ? MODEL_RUNNING
		      : !strcmp(state, "stopped") ? MODEL_STOPPED
						  : MODEL_STATES;

	if (is == MODEL_STATES || !model_allows(&clients.model, number, is))
		return NOT("i%u is %s: %s", number, state,
			   doc ? text_of(doc, "status", "text") : "");
	if ((is == MODEL_RUNNING) != !strcmp(told, "running") ||
	    (is == MODEL_STOPPED && unit && strcmp(told, "ended") != 0))
		return NOT("i%u is %s and its host says %s", number, state, told);
	return true;
}

/* MODEL_STATES: none that may stay. */
static unsigned volume_state(const json_t *doc)
{
	const char *state = doc ? text_of(doc, "status", "state") : "";
	unsigned holder;

	if (!doc)
		return MODEL_ABSENT;
	/* An instance keeps the name of what it was launched with until it stops. */
	if (!strcmp(state, "available") || !strcmp(state, "detaching"))
		return MODEL_FREE;
	if ((strcmp(state, "attached") != 0 && strcmp(state, "attaching") != 0) ||
	    sscanf(text_of(doc, "status", "instance"), "i%u", &holder) != 1)
		return MODEL_STATES;
	return MODEL_HELD + holder;
}

static bool volume_is_as_wanted(const struct everything *all, unsigned number)
{
	json_t *doc = named(all->volumes, 'v', number), *instance;
	unsigned is = volume_state(doc);

	if (is == MODEL_STATES || !model_allows(&clients.model, volume_object(number), is))
		return NOT("v%u is %s %s: %s", number,
			   doc ? text_of(doc, "status", "state") : "absent",
			   doc ? text_of(doc, "status", "instance") : "",
			   doc ? text_of(doc, "status", "text") : "");
	for (unsigned i = 0; doc && i < MODEL_INSTANCES; i++) {
		instance = named(all->instances, 'i', i);
		if (!instance || strcmp(text_of(instance, "status", "state"), "running") != 0)
			continue;
		if (has_card(unit_of(all, instance), doc) != (is == MODEL_HELD + i))
			return NOT("v%u is %s and i%u %s it", number,
				   text_of(doc, "status", "state"), i,
				   is == MODEL_HELD + i ? "does not have" : "has");
	}
	return true;
}

/* Each unit of each host is an instance of the plane's that is there. */
static bool nothing_else_is_on_hosts(const struct everything *all)
{
	size_t units = 0, known = 0, i;
	json_t *instance;

	for (unsigned host = 0; host < HOSTS; host++)
		units += json_array_size(all->lists[host]);
	json_array_foreach(all->instances, i, instance)
	{
		known += unit_of(all, instance) != NULL;
	}
	return units == known || NOT("hosts have %zu instances, %zu of them known", units, known);
}

static bool files_are_those_of_volumes(const struct everything *all)
{
	unsigned files;
	json_t *volume;
	size_t i;

	sh("ls h?/srv/*.vol 2>/dev/null | wc -l");
	files = (unsigned)atoi(output);
	json_array_foreach(all->volumes, i, volume)
	{
		if (sh("test -f h%u/srv/%s.vol", host_number(volume),
		       text_of(volume, "metadata", "uid")) != 0)
			return NOT("%s has no file", text_of(volume, "metadata", "name"));
	}
	return files == json_array_size(all->volumes) ||
	       NOT("%u files of %zu volumes", files, json_array_size(all->volumes));
}

static bool all_is_as_wanted(void)
{
	struct everything all;
	bool good = read_everything(&all);

	for (unsigned i = 0; good && i < MODEL_INSTANCES; i++)
		good = instance_is_as_wanted(&all, i);
	for (unsigned i = 0; good && i < MODEL_VOLUMES; i++)
		good = volume_is_as_wanted(&all, i);
	good = good && nothing_else_is_on_hosts(&all) && files_are_those_of_volumes(&all);
	free_everything(&all);
	return good;
}

/* ---- the test ---- */

static void show_figures(void)
{
	print_message("%u requests: %u done, %u refused, %u not known (%u cut off, %u at once "
		      "twice); killed: plane %u, controllers %u, hosts %u, hypervisors %u, cards "
		      "%u\n",
		      clients.asked, clients.done, clients.refused, clients.unknown, clients.cut,
		      clients.doubled, killed[PLANE], killed[CONTROLLER], killed[HOST],
		      killed[HYPERVISOR], killed[CARD]);
}

static void await_calm(void)
{
	uint64_t end = now_ms() + CALM * 1000, begun = now_ms();

	while (!all_is_as_wanted()) {
		if (now_ms() > end)
			fail_msg("seed %llu: %s", (unsigned long long)seed, why);
		usleep(200000);
	}
	print_message("calm after %llu ms\n", (unsigned long long)(now_ms() - begun));
}

static void kill_and_look(unsigned kills)
{
	unsigned told = 0;

	while (kills_done() < kills && !clients.over) {
		usleep(chance(2 * KILL_PAUSE));
		kill_someone();
		no_volume_is_on_two(chance(HOSTS));
		if (kills_done() >= told + 20) {
			told = kills_done();
			print_message("%u killed, %u requests\n", told, clients.asked);
		}
	}
}

static void must_be_explained(void)
{
	if (clients.model.failure[0])
		fail_msg("seed %llu: %s", (unsigned long long)seed, clients.model.failure);
}

static void what_was_acknowledged_is_there_in_the_end(void **state)
{
	const char *kills = getenv("KARUTA_TEST_KILLS");
	struct client all[CLIENTS], last = {.number = CLIENTS, .random = seed};

	(void)state;
	keep_folder = true;
	start_clients(all, seed);
	sleep(1); /* there is something to be killed */
	kill_and_look(kills ? (unsigned)atoi(kills) : KILLS);
	join_clients(all);
	show_figures();
	must_be_explained();
	usleep(MODEL_SETTLES * 1000);
	model_forget(&clients.model, now_ms());
	print_message("%u of %u objects have one state that they may have\n", say_last_words(&last),
		      MODEL_OBJECTS);
	must_be_explained();
	end_clients();
	await_calm();
	keep_folder = false;
}

/* ---- the model itself ---- */

static enum model_state only_state(const struct model *model, unsigned object)
{
	assert_int_equal(model_choices(model, object), 1);
	for (unsigned i = 0; i < MODEL_STATES; i++) {
		if (model_allows(model, object, i))
			return (enum model_state)i;
	}
	return MODEL_STATES;
}

static void the_model_tells_what_may_be(void **state)
{
	static struct model model;
	struct model_request create = {.act = MODEL_CREATE}, stop = {.act = MODEL_STOP},
			     again = {.act = MODEL_CREATE}, start = {.act = MODEL_START};

	(void)state;
	model_open(&model);
	assert_true(model_begin(&model, &create, 1));
	model_end(&model, &create, MODEL_DONE, 2);
	assert_int_equal(only_state(&model, 0), MODEL_RUNNING);
	/* In either order; the one that was cut off also never. */
	assert_true(model_begin(&model, &start, 3));
	assert_true(model_begin(&model, &stop, 3));
	model_end(&model, &stop, MODEL_DONE, 4);
	model_end(&model, &start, MODEL_UNKNOWN, 4);
	assert_int_equal(model_choices(&model, 0), 2);
	model_forget(&model, 4 + MODEL_SETTLES);
	assert_true(model_begin(&model, &stop, 5000));
	model_end(&model, &stop, MODEL_DONE, 5001);
	assert_int_equal(only_state(&model, 0), MODEL_STOPPED);
	assert_string_equal(model.failure, "");
	/* It was there. */
	assert_true(model_begin(&model, &again, 5002));
	model_end(&model, &again, MODEL_DONE, 5003);
	assert_string_not_equal(model.failure, "");
}

static void the_model_misses_what_was_lost(void **state)
{
	static struct model model;
	struct model_request create = {.act = MODEL_CREATE, .object = MODEL_INSTANCES},
			     detach = {.act = MODEL_DETACH, .object = MODEL_INSTANCES};

	(void)state;
	model_open(&model);
	assert_true(model_begin(&model, &create, 1));
	model_end(&model, &create, MODEL_DONE, 2);
	assert_true(model_begin(&model, &detach, 3));
	model_end(&model, &detach, MODEL_NOT_FOUND, 4);
	assert_string_not_equal(model.failure, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_model_tells_what_may_be),
		cmocka_unit_test(the_model_misses_what_was_lost),
		cmocka_unit_test_setup_teardown(what_was_acknowledged_is_there_in_the_end,
						begin_fleet, end_fleet),
	};
	const char *given = getenv("KARUTA_TEST_SEED");

	be_what_is_launched(argc, argv);
	plane_program = "karuta-test-plane-brisk";
	signal(SIGPIPE, SIG_IGN);
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	print_message("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
