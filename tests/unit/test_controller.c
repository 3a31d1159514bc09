/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile or broken program can do to the controller, what callers of its socket can, and
 * what is left behind.
 */
#include "controller_harness.h"

static void boots_and_powers_off(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"null\", \"slot\": 7}");

	(void)state;
	assert_int_equal(VERB("stop test"), 0);
	assert_true(says("powered off by the guest"));
	assert_int_equal(wait_end(pid), 0);
	assert_int_equal(sh("cat console"), 0);
	assert_true(says("memory=67108864 cpus=1 line=a b\nhello\nbye\n"));
	assert_int_not_equal(sh("ls s"), 0);
}

/* Each program has what the controller's manual lists, and nothing else. */
static void gives_exactly_these_descriptors(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"volume\", \"name\": \"v\", \"store\": "
					      "\"good.vol\", \"key_fd\": 50}");

	(void)state;
	sh("cat console");
	assert_true(says("fds: 0=null 1=null 2=memfd:karuta-words 3=pipe: 4=socket: "
			 "5=memfd:karuta-console 6=kvm 7=kernel 8=memfd:karuta-status \n"));
	VERB("status test");
	assert_true(says(
		"0=null 1=null 2=memfd:karuta-words 3=socket: 4=pipe: 5=memfd:karuta-card-state "
		"6=good.vol 7=memfd:karuta-key 8=memfd:karuta-status key=open sesame"));
	kill_instance(pid);
}

static void tells_why_it_does_not_start(void **state)
{
	static const struct {
		const char *kernel, *cards, *note;
	} cases[] = {
		{"BAD", "", "hypervisor: kernel: not a kernel"},
		{"WORDS", "", "hypervisor: last?words"},
		{"LIAR", "", "hypervisor: its status page is not one"},
		{"ZOMBIE", "", "guest crashed: braaains"},
		{"DEAF", "", "the hypervisor did not carry out \"configure\" within 10 s"},
		{"GOOD",
		 "{\"kind\": \"null\"}, {\"kind\": \"volume\", \"name\": \"v\", \"store\": "
		 "\"fail.vol\", \"key_fd\": 50}",
		 "card v (slot 2): the store is broken"},
		{"GOOD",
		 "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"sleepy.vol\", "
		 "\"key_fd\": 50}",
		 "card v (slot 1): its program did not get ready in time"},
		{"RUDE",
		 "{\"kind\": \"volume\", \"name\": \"m\", \"store\": \"mortal.vol\", "
		 "\"key_fd\": 50}, {\"kind\": \"volume\", \"store\": \"late.vol\", "
		 "\"key_fd\": 52}",
		 "card m (slot 1) failed: ended with exit code 93"},
		{"GOOD",
		 "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"missing.vol\", "
		 "\"key_fd\": 50}",
		 "card v (slot 1): store: open ./missing.vol: No such file or directory"},
		{"GOOD",
		 "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"fifo\", "
		 "\"key_fd\": 50}",
		 "card v (slot 1): store: ./fifo is neither a file nor a block device"},
		{"GOOD",
		 "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", "
		 "\"size\": \"1G\", \"key_fd\": 50}",
		 "holds 1048576 bytes, less than the size asked for (1073741824)"},
		{"GOOD",
		 "{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", "
		 "\"key_fd\": 51}",
		 "i.json: cards[0].key_fd: descriptor 51 is not open"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(wait_end(run(cases[i].kernel, cases[i].cards)), 1);
		sh("cat notes");
		if (!says(cases[i].note))
			fail_msg("expected \"%s\", got: %s", cases[i].note, output);
	}
	assert_int_not_equal(sh("ls s"), 0);
}

static void attach_and_detach_leave_nothing(void **state)
{
	pid_t pid = run_until_running("GOOD", "");
	unsigned before = settled_fds(pid);

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(sh("./karuta-controller attach test kind=volume name=d%u "
				    "store=good.vol key_fd=9 --socket s 9<key",
				    i),
				 0);
		assert_int_equal(sh("./karuta-controller detach test d%u --socket s", i), 0);
	}
	assert_int_equal(settled_fds(pid), before);
	assert_int_not_equal(sh("pgrep -P %d -f karuta-card", pid), 0);
	kill_instance(pid);
}

static void hands_the_key_over(void **state)
{
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	assert_int_equal(sh("echo '{\"kind\": \"volume\", \"store\": \"good.vol\", \"key_fd\": 9, "
			    "\"slot\": 5}' >sub/card.json; cp good.vol sub; "
			    "./karuta-controller attach test sub/card.json --socket s 9<key"),
			 0);
	VERB("status test");
	assert_true(says("   5  volume5"));
	assert_true(says("key=open sesame"));
	kill_instance(pid);
}

static void failed_attach_changes_nothing(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"null\", \"slot\": 1}");
	unsigned before = settled_fds(pid);

	(void)state;
	assert_int_equal(sh("./karuta-controller attach test kind=volume name=x store=fail.vol "
			    "key_fd=9 --socket s 9<key"),
			 1);
	assert_true(says("card x (slot 2): the store is broken"));
	assert_int_equal(sh("./karuta-controller attach test kind=null slot=1 name=1 --socket s"),
			 1);
	assert_true(says("slot 1 is taken by card null1"));
	assert_int_equal(sh("./karuta-controller attach test kind=null name=null1 --socket s"), 1);
	assert_true(says("there is a card null1 already"));
	assert_int_equal(sh("./karuta-controller attach test kind=volume name=y slot=1 "
			    "store=good.vol key_fd=9 --socket s 9<key"),
			 1);
	assert_int_equal(sh("./karuta-controller attach test kind=null colour=1 --socket s"), 2);
	assert_int_equal(sh("./karuta-controller detach test nobody --socket s"), 1);
	assert_true(says("there is no card or taken slot nobody"));
	for (unsigned i = 0; i < 100 && count_fds(pid) != before; i++)
		usleep(20000);
	assert_int_equal(settled_fds(pid), before);
	kill_instance(pid);
}

static void stubborn_guest_needs_force(void **state)
{
	pid_t pid = run_until_running("STUBBORN", "{\"kind\": \"null\", \"name\": \"n\"}");

	(void)state;
	assert_int_equal(sh("./karuta-controller detach test n --timeout 1 --socket s"), 1);
	assert_true(says("the guest did not let go of it in time; it still may, or use --force"));
	assert_int_equal(sh("./karuta-controller detach test n --socket s"), 1);
	assert_true(says("the guest was asked already"));
	assert_int_equal(sh("./karuta-controller detach test n --force --socket s"), 0);
	assert_int_equal(sh("./karuta-controller stop test --timeout 1 --socket s"), 1);
	assert_true(says("no answer within 1 s"));
	kill_instance(pid);
}

static void force_overtakes_who_waits(void **state)
{
	pid_t pid = run_until_running("STUBBORN", "{\"kind\": \"null\", \"name\": \"n\"}");

	(void)state;
	assert_int_equal(
		sh("./karuta-controller detach test n --timeout 60 --socket s >first 2>&1 &\n"
		   "for i in $(seq 500); do ./karuta-controller status test --socket s | "
		   "grep -q ejecting && break; sleep 0.02; done\n"
		   "./karuta-controller detach test n --force --socket s; ret=$?\n"
		   "wait; cat first; exit $ret"),
		0);
	assert_true(says("the card is taken out by force"));
	kill_instance(pid);
}

/* An outcome that stands on the page from before is not the new command's. */
static void dying_hypervisor_attaches_nothing(void **state)
{
	pid_t pid = run_until_running("DYING", "");

	(void)state;
	assert_int_equal(sh("./karuta-controller attach test kind=null --socket s"), 1);
	assert_int_equal(wait_end(pid), 1);
}

static void other_peoples_sockets_stay(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/log", folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(sh("./karuta-controller run i.json --socket log </dev/null"), 1);
	assert_true(says("command socket log: "));
	assert_int_equal(sh("rm log"), 0);
}

static void dead_card_is_reported_and_replaced(void **state)
{
	pid_t pid = run_until_running("STRICT", "{\"kind\": \"null\", \"name\": \"n\"}");

	(void)state;
	assert_int_equal(sh("pkill -KILL -P %d -f karuta-card", pid), 0);
	for (unsigned i = 0; i < 100; i++) {
		VERB("status test");
		if (says("failed"))
			break;
		usleep(20000);
	}
	assert_true(says("killed by signal 9"));
	assert_int_equal(sh("./karuta-controller detach test n --socket s"), 0);
	assert_int_equal(sh("./karuta-controller attach test kind=null name=n --socket s"), 0);
	assert_int_equal(VERB("stop test"), 0);
	assert_int_equal(wait_end(pid), 0);
}
static void clingy_card_is_ended(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"volume\", \"name\": \"v\", \"store\": "
					      "\"clingy.vol\", \"key_fd\": 50}");

	(void)state;
	assert_int_equal(sh("./karuta-controller detach test v --socket s"), 0);
	assert_int_equal(VERB("stop test"), 0);
	assert_int_equal(wait_end(pid), 0);
}

static void simple_verbs(void **state)
{
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	assert_int_equal(VERB("pause test"), 0);
	VERB("status test");
	assert_true(says(": paused"));
	assert_int_equal(VERB("resume test"), 0);
	wait_running();
	assert_int_equal(VERB("reset test"), 1);
	assert_true(says("instance test: the fake does not do that"));
	assert_int_equal(VERB("status test --json"), 0);
	assert_true(says("\"counters\""));
	kill_instance(pid);
	assert_int_equal(VERB("status test"), 1);
	assert_true(says("no instance test runs here"));
}

static void signals_stop_and_kill(void **state)
{
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	kill(pid, SIGTERM);
	assert_int_equal(wait_end(pid), 0);
	pid = run_until_running("STUBBORN", "");
	kill(pid, SIGTERM);
	sh("until grep -q 'once more' notes; do sleep 0.05; done");
	kill(pid, SIGINT);
	assert_int_equal(wait_end(pid), 128 + SIGINT);
}

static void children_die_with_it_and_the_name_is_free(void **state)
{
	pid_t pid = run_until_running("STUBBORN", "{\"kind\": \"null\"}");

	(void)state;
	assert_int_equal(sh("./karuta-controller run i.json --socket s"), 1);
	assert_true(says("an instance of this name runs already"));
	sh("pgrep -P %d >children", pid);
	kill(pid, SIGKILL);
	assert_int_equal(wait_end(pid), -SIGKILL);
	assert_int_equal(
		sh("for i in $(seq 100); do kill -0 $(cat children) 2>/dev/null || exit 0; "
		   "sleep 0.05; done; exit 1"),
		0);
	assert_int_equal(sh("ls s"), 0);
	pid = run_until_running("GOOD", "");
	kill_instance(pid);
}

static int connect_here(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = SECONDS};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* One raw request; the answer is in `output`. */
static void raw(const char *text, size_t length)
{
	CLEANUP_CLOSE int fd = connect_here();
	ssize_t got;

	assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), length);
	got = os_read_full(fd, output, sizeof(output) - 1);
	output[got < 0 ? 0 : got] = '\0';
}

static void answers_hostile_callers(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"\n", "not JSON"},
		{"[]\n", "must be one JSON object"},
		{"{}\n", "request: verb: missing"},
		{"{\"verb\": 5}\n", "request: verb: must be a text in quotes"},
		{"{\"verb\": \"exec\"}\n", "request: verb: there is no such verb"},
		{"{\"verb\": \"status\", \"x\": 1}\n", "request: x: unknown member"},
		{"{\"verb\": \"attach\"}\n", "request: card: must be an object"},
		{"{\"verb\": \"attach\", \"card\": {\"kind\": \"volume\", \"store\": \"rel\", "
		 "\"key_fd\": 3}}\n",
		 "request: card.store: must be an absolute path"},
		{"{\"verb\": \"attach\", \"card\": {\"kind\": \"volume\", \"store\": "
		 "\"/dev/null\", "
		 "\"key_fd\": 3}}\n",
		 "request: card.key_fd: no descriptor came with the request"},
		{"{\"verb\": \"detach\", \"card\": \"n\", \"force\": 1}\n",
		 "request: force: must be true or false"},
		{"{\"verb\": \"detach\", \"card\": \"n\", \"timeout\": 0}\n",
		 "request: timeout: must be 1 to 3600"},
	};
	static char long_line[70000];
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		raw(cases[i].request, strlen(cases[i].request));
		if (!says(cases[i].answer) || !says("\"code\":22"))
			fail_msg("%s got: %s", cases[i].request, output);
	}
	memset(long_line, ' ', sizeof(long_line));
	raw(long_line, 65536);
	assert_true(says("a request is one line of at most 64 KiB"));
	kill_instance(pid);
}

static void who_says_no_more_is_answered(void **state)
{
	static const char request[] = "{\"verb\": \"pause\"}\n";
	pid_t pid = run_until_running("GOOD", "");
	int fd = connect_here();

	(void)state;
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(os_read_full(fd, output, 64) > 0);
	assert_memory_equal(output, "{\"code\":0", 9);
	close(fd);
	kill_instance(pid);
}

static void half_requests_hold_nobody_up(void **state)
{
	int fds[20];
	pid_t pid = run_until_running("GOOD", "");
	unsigned before = settled_fds(pid);
	char byte;

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		fds[i] = connect_here();
		assert_int_equal(send(fds[i], "{\"verb\"", 7, 0), 7);
	}
	assert_int_equal(VERB("status test"), 0);
	fds[15] = connect_here();
	for (unsigned i = 0; i < 100 && count_fds(pid) < before + 16; i++)
		usleep(20000);
	assert_int_equal(VERB("status test"), 1);
	assert_true(says("too many callers at once"));
	/* Their time is over after five seconds. */
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(recv(fds[i], &byte, 1, 0), 0);
		close(fds[i]);
	}
	assert_int_equal(VERB("status test"), 0);
	for (unsigned i = 0; i < 100 && count_fds(pid) != before; i++)
		usleep(20000);
	assert_int_equal(settled_fds(pid), before);
	kill_instance(pid);
}

/* A follower that does not read, beside one that does. */
static void console_is_followed(void **state)
{
	static const char request[] = "{\"verb\": \"console\"}\n";
	pid_t pid = run_until_running("LOUD", "");
	int idle = connect_here();

	(void)state;
	assert_int_equal(send(idle, request, strlen(request), 0), strlen(request));
	assert_int_equal(
		sh("timeout 20 ./karuta-controller console test --socket s | head -c 20000 "
		   "| tail -c 42 | grep -c 0123456789"),
		0);
	assert_int_equal(VERB("status test"), 0);
	close(idle);
	assert_int_equal(VERB("stop test"), 0);
	assert_int_equal(wait_end(pid), 0);
	assert_int_equal(sh("tail -n 1 console"), 0);
	assert_string_equal(output, "bye\n");
}

static void passes_limits_on(void **state)
{
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	assert_int_equal(sh("./karuta-controller attach test kind=local name=l store=good.vol "
			    "iops=500:2000 bandwidth=1M --socket s"),
			 0);
	assert_int_equal(sh("pgrep -a -P %d -f karuta-card-local", pid), 0);
	assert_true(says("--size 1048576 --iops 500:2000 --bandwidth 1048576 --serial l "));
	kill_instance(pid);
}

static void every_command_is_in_the_audit_log(void **state)
{
	pid_t pid;

	(void)state;
	sh("rm -r audit");
	pid = run_until_running("GOOD", "");
	assert_int_equal(sh("./karuta-controller attach test kind=volume name=x store=fail.vol "
			    "key_fd=9 --socket s 9<key"),
			 1);
	assert_int_equal(VERB("detach test nothere"), 1);
	raw("{\"verb\": \"pray\"}\n", 17);
	raw("nonsense\n", 9);
	assert_int_equal(VERB("attach test kind=null name=n"), 0);
	assert_int_equal(VERB("stop test"), 0);
	assert_int_equal(wait_end(pid), 0);
	assert_int_equal(sh("./karuta-controller audit verify audit"), 0);
	assert_true(says(" are as they were written"));
	assert_int_equal(sh("./karuta-controller audit show --json audit | jq -r '.[] | "
			    "select(.verb != \"status\") | [.caller // \"-\", .verb // \"-\", "
			    ".object // \"-\", .code, .text] | @tsv' | "
			    "sed -E 's/uid [0-9]+ pid [0-9]+/U/; s/\\t/|/g'"),
			 0);
	assert_string_equal(
		output, "U|run|test|0|accepted\n"
			"U|attach|test/x|0|accepted\n"
			"-|-|-|5|card x (slot 1): the store is broken\n"
			"U|detach|test/nothere|0|accepted\n"
			"-|-|-|2|there is no card or taken slot nothere\n"
			"U|pray|test|22|request: verb: there is no such verb\n"
			"U||test|22|request:1:8: not JSON: '[' or '{' expected near 'nonsense'\n"
			"U|attach|test/n|0|accepted\n"
			"-|-|-|0|card n (slot 1) attached\n"
			"U|stop|test|0|accepted\n"
			"-|-|-|0|powered off by the guest\n"
			"-|-|-|0|powered off by the guest\n");
	assert_int_not_equal(sh("grep -r sesame audit"), 0);
	sh("sed -i 's/nothere/nowhere/' audit/*.log");
	assert_int_equal(sh("./karuta-controller audit verify audit"), 1);
	assert_true(says("was changed"));
	sh("rm -r audit");
}

/* A log that cannot grow, as on a full disk. */
static void no_command_without_its_line(void **state)
{
	pid_t pid = run_until_running("GOOD", "");

	(void)state;
	assert_int_equal(
		sh("prlimit --fsize=$(($(cat audit/*.log | wc -c) + 8)):unlimited --pid %d", pid),
		0);
	assert_int_equal(VERB("pause test"), 1);
	assert_true(says("instance test: the audit log cannot be written: File too large"));
	assert_int_equal(VERB("status test"), 1);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(sh("prlimit --fsize=unlimited --pid %d", pid), 0);
	assert_int_equal(VERB("status test"), 0);
	assert_true(says("test: running"));
	kill_instance(pid);
	assert_int_equal(sh("./karuta-controller audit verify audit"), 0);
}

static void a_card_that_writes_garbage_over_its_page_is_told_of(void **state)
{
	pid_t pid = run_until_running("GOOD", "{\"kind\": \"volume\", \"name\": \"v\", \"store\": "
					      "\"garbled.vol\", \"key_fd\": 50}");

	(void)state;
	assert_int_equal(VERB("status test"), 0);
	assert_false(says("COMPROMISED"));
	VERB("resize test v 2M");
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		assert_int_equal(VERB("status test"), 0);
		if (says("event 1 "))
			break;
		usleep(50000);
	}
	assert_true(says("test: COMPROMISED; ") && says("test/v, pid ") && says("page a5a5a5"));
	kill_instance(pid);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boots_and_powers_off),
		cmocka_unit_test(gives_exactly_these_descriptors),
		cmocka_unit_test(tells_why_it_does_not_start),
		cmocka_unit_test(attach_and_detach_leave_nothing),
		cmocka_unit_test(hands_the_key_over),
		cmocka_unit_test(passes_limits_on),
		cmocka_unit_test(failed_attach_changes_nothing),
		cmocka_unit_test(stubborn_guest_needs_force),
		cmocka_unit_test(force_overtakes_who_waits),
		cmocka_unit_test(dying_hypervisor_attaches_nothing),
		cmocka_unit_test(other_peoples_sockets_stay),
		cmocka_unit_test(dead_card_is_reported_and_replaced),
		cmocka_unit_test(clingy_card_is_ended),
		cmocka_unit_test(simple_verbs),
		cmocka_unit_test(signals_stop_and_kill),
		cmocka_unit_test(children_die_with_it_and_the_name_is_free),
		cmocka_unit_test(answers_hostile_callers),
		cmocka_unit_test(who_says_no_more_is_answered),
		cmocka_unit_test(half_requests_hold_nobody_up),
		cmocka_unit_test(console_is_followed),
		cmocka_unit_test(every_command_is_in_the_audit_log),
		cmocka_unit_test(no_command_without_its_line),
		cmocka_unit_test(a_card_that_writes_garbage_over_its_page_is_told_of),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
