/* SPDX-License-Identifier: Apache-2.0 */
/* `karuta init` as root, below a folder of its own: a real plane and a real controller, with
 * stand-ins for what that launches. */
#include <sys/prctl.h>

#include "serve_harness.h"

#define INIT                                                                                       \
	"KARUTA_PLANE=root/plane.json ./karuta init --root root --programs . --no-kvm --name h1 "
#define PORTS "--listen 127.0.0.1:%d --host-port %d"

static int plane_port;

static int init_again(void)
{
	return sh(INIT PORTS, plane_port, port);
}

static int ask(const char *words)
{
	return sh("./karuta %s --plane root/plane.json", words);
}

static int begin(void **state)
{
	if (make_host_folder(state) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return -1;
	plane_port = 3000 + getpid() % 3400 * 2;
	return sh("cp $(dirname $(readlink /proc/%d/exe))/../../bin/karuta-plane . && "
		  "cp $(dirname $(readlink /proc/%d/exe))/../../bin/karuta .",
		  getpid(), getpid());
}

/* Who has started it has ended: it is ours. */
static void end_service(const char *root, const char *name, int signal_number)
{
	pid_t pid;

	assert_int_equal(sh("cat %s/run/karuta/%s.pid", root, name), 0);
	pid = (pid_t)atoi(output);
	assert_true(pid > 1);
	kill(pid, signal_number);
	assert_int_equal(wait_end(pid), signal_number == SIGKILL ? -SIGKILL : 0);
}

static int end(void **state)
{
	end_service("root", "karuta-host", SIGTERM);
	end_service("root", "karuta-plane", SIGTERM);
	return remove_folder(state);
}

static void a_machine_becomes_plane_and_host(void **state)
{
	(void)state;
	if (init_again() != 0)
		fail_msg("%s", output);
	assert_true(says("plane     https://127.0.0.1:") && says(": started") &&
		    says("host      h1: enrolled, unattested") && says("karuta image push"));
	assert_int_equal(ask("host list"), 0);
	assert_true(says("h1    127.0.0.1  unattested"));
	assert_int_equal(sh("stat -c %%a root/var/lib/karuta/plane root/plane.json"), 0);
	assert_string_equal(output, "700\n600\n");
}

static void the_second_time_nothing_is_left_to_do(void **state)
{
	(void)state;
	assert_int_equal(sh("./karuta events --json --plane root/plane.json >before"), 0);
	assert_int_equal(init_again(), 0);
	assert_true(says(": runs") && says("plane.json: as it was") && !says("written") &&
		    says("h1: was enrolled, unattested"));
	assert_int_equal(sh("./karuta events --json --plane root/plane.json | cmp - before"), 0);
}

/* A host that is updated has run the one and runs the other: a plane that knew one of them would
 * put it into quarantine. */
static void the_plane_knows_both_releases(void **state)
{
	(void)state;
	assert_int_equal(sign(".", 2), 0);
	assert_int_equal(init_again(), 0);
	assert_true(says("has to be ended, and started by this again"));
	assert_int_equal(sh("echo nothing >root/var/lib/karuta/plane/releases/x.manifest"), 0);
	end_service("root", "karuta-plane", SIGTERM);
	assert_int_equal(init_again(), 0);
	assert_true(says(": started") && says("h1: was enrolled, unattested"));
	assert_int_equal(ask("host update h1 --controller"), 0);
	assert_int_equal(
		sh("for i in $(seq 100); do ./karuta host show h1 --plane root/plane.json "
		   ">shown; grep -q 'release:  *2' shown && break; sleep 0.1; done; cat shown"),
		0);
	if (!says("unattested") || !says("release:      2"))
		fail_msg("%s", output);
	assert_int_equal(sh("grep x.manifest root/var/log/karuta/karuta-plane.log"), 0);
	assert_true(says("left out"));
}

static void what_has_ended_is_started(void **state)
{
	(void)state;
	end_service("root", "karuta-plane", SIGKILL);
	end_service("root", "karuta-host", SIGTERM);
	if (init_again() != 0)
		fail_msg("%s", output);
	assert_true(says(": started") && says("h1: was enrolled, unattested"));
}

static void the_plane_understands_the_verbs(void **state)
{
	(void)state;
	assert_int_equal(
		sh("./karuta host add h2 192.0.2.1 --label rack=7 --plane root/plane.json"), 0);
	assert_true(says("karuta-enrol-"));
	assert_int_equal(ask("host show h2"), 0);
	assert_true(says("enrolling") && says("rack=7"));
	assert_int_equal(ask("host remove h2"), 0);
	assert_int_equal(ask("host show h1 --evidence"), 0);
	assert_true(says("karuta events 1"));
	assert_int_equal(ask("host release h1 seen"), 0);
	assert_int_equal(ask("token create ann --role reader --days 7"), 0);
	assert_int_equal(ask("token list"), 0);
	assert_int_equal(sh("./karuta token list --plane root/plane.json | awk '$2 == \"ann\" "
			    "{ print $1 }' | xargs -I{} ./karuta token delete {} --plane "
			    "root/plane.json"),
			 0);
	assert_int_equal(ask("events"), 0);
	assert_true(says("host h2 was removed (admin)") && says("host h1 was released"));
	assert_int_equal(ask("host show none"), 1);
	assert_true(says("there is no host none"));
}

static void no_secret_is_shown(void **state)
{
	(void)state;
	assert_int_equal(sh("cat root/var/log/karuta/*.log"), 0);
	assert_false(says("karuta-enrol-") || says("karuta_"));
}

static void what_is_missing_is_named(void **state)
{
	(void)state;
	assert_int_equal(sh("./karuta init --root other --programs none --no-kvm"), 1);
	assert_true(says("none/karuta-plane") && says("make install"));
	assert_int_equal(sh("KARUTA_PLANE=other/p ./karuta init --root other --programs . --no-kvm "
			    "--listen 127.0.0.1:%d",
			    plane_port),
			 1);
	assert_true(says("somebody else listens there"));
	assert_int_equal(sh("KARUTA_PLANE=other/p ./karuta init --root other --programs . --no-kvm "
			    "--listen 127.0.0.1:%d --host-port %d",
			    plane_port + 1, port),
			 1);
	assert_true(says("this host is not enrolled"));
	end_service("other", "karuta-plane", SIGTERM);
	assert_int_equal(sh("./karuta init --listen nowhere"), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_becomes_plane_and_host),
		cmocka_unit_test(the_second_time_nothing_is_left_to_do),
		cmocka_unit_test(the_plane_knows_both_releases),
		cmocka_unit_test(what_has_ended_is_started),
		cmocka_unit_test(the_plane_understands_the_verbs),
		cmocka_unit_test(no_secret_is_shown),
		cmocka_unit_test(what_is_missing_is_named),
	};

	be_what_is_launched(argc, argv);
	if (geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, begin, end);
}
