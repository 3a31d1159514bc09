/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: who may do what, what is answered, what is left behind. */
#include "call/wrap.h"
#include "serve_harness.h"

static void an_instance_lives_and_ends(void **state)
{
	(void)state;
	assert_int_equal(
		sh("echo '{\"name\": \"web\", \"memory\": \"64M\", \"kernel\": \"kernel\", "
		   "\"cards\": [{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", "
		   "\"key_fd\": 5}]}' >web.json"),
		0);
	MUST("launch web.json keys=5:key");
	assert_string_equal(output, "instance web runs\n");
	assert_int_equal(CALL("operator", "launch web.json keys=5:key"), 1);
	assert_true(says("there is an instance web already"));
	assert_int_equal(CALL("reader", "list --json"), 0);
	assert_true(says("\"name\": \"web\"") && says("\"state\": \"running\""));
	assert_int_equal(CALL("reader", "status web"), 0);
	assert_true(says("key=open sesame"));
	assert_int_equal(sh("printf '{\"kind\": \"volume\", \"name\": \"w\", \"store\": "
			    "\"late.vol\", \"key_fd\": 9}' >w.json"),
			 0);
	MUST("attach web w.json keys=9:key");
	assert_true(says("card w (slot 2) attached"));
	/* What cards have counted is told to who asks for it. */
	MUST("list --json");
	assert_true(says("\"slot\": 2") && !says("write_bytes"));
	MUST("list counters=true --json");
	assert_true(says("write_bytes") && !says("interrupts"));
	MUST("pause web");
	assert_int_equal(CALL("reader", "status web"), 0);
	assert_true(says("web: paused"));
	MUST("resume web");
	assert_int_equal(CALL("operator", "reset web"), 1);
	assert_true(says("the fake does not do that"));
	MUST("update web v");
	assert_true(says("card v (slot 1) goes on"));
	MUST("update web hypervisor=true");
	assert_true(says("instance web goes on after 1.5 ms"));
	assert_int_equal(CALL("operator", "update web"), 1);
	assert_true(says("give either card or hypervisor=true"));
	assert_int_equal(CALL("operator", "update web v hypervisor=true"), 1);
	MUST("resize web v size=2M");
	assert_true(says("card v (slot 1) has 2097152 bytes now"));
	MUST("detach web w");
	assert_int_equal(CALL("operator", "detach web w"), 1);
	MUST("stop web");
	assert_string_equal(output, "powered off by the guest\n");
	assert_int_equal(CALL("reader", "status web"), 0);
	assert_string_equal(output, "web: ended: powered off by the guest\n");
	assert_int_equal(CALL("operator", "pause web"), 1);
	assert_true(says("instance web has ended: powered off by the guest"));
	assert_int_not_equal(sh("pgrep -P %d", daemon_pid), 0);
}

static void what_does_not_start_is_answered_and_gone(void **state)
{
	(void)state;
	assert_int_equal(sh("echo BAD >srv/bad; echo '{\"name\": \"bad\", \"memory\": \"64M\", "
			    "\"kernel\": \"bad\"}' >bad.json"),
			 0);
	assert_int_equal(CALL("operator", "launch bad.json"), 1);
	assert_true(says("not a kernel"));
	assert_int_equal(CALL("reader", "status bad"), 0);
	assert_true(says("bad: ended:"));
	assert_int_not_equal(sh("pgrep -P %d", daemon_pid), 0);
}

static void instances_have_users_of_their_own(void **state)
{
	(void)state;
	launch("a");
	launch("b");
	assert_int_equal(sh("test $(id -u) != 0 || test $(pgrep -a -P %d | grep -o 'user [0-9]*' | "
			    "sort -u | wc -l) = 2",
			    daemon_pid),
			 0);
	kill_one("a");
	assert_int_equal(CALL("reader", "status b"), 0);
	assert_true(says("b: running"));
	kill_one("b");
}

static void there_is_one_socket(void **state)
{
	(void)state;
	launch("one");
	assert_int_equal(sh("ss -Hlnp 2>/dev/null | grep pid=%d,", daemon_pid), 0);
	assert_true(says("127.0.0.1]:") && says("LISTEN"));
	assert_null(strchr(strchr(output, '\n') + 1, '\n'));
	kill_one("one");
}

#if defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED 0
#endif

/* Over a whole life, programs started included. */
static void it_connects_to_nobody_and_runs_descriptors(void **state)
{
	int real = port;

	(void)state;
	/* Leaks are looked for by tracing, at the end, which strace does already. */
	if (sh("command -v strace") != 0 || IS_SANITIZED)
		skip();
	launch("traced");
	kill_one("traced");
	port = real + 1;
	assert_int_equal(
		sh("strace -f -o trace -e trace=network,process "
		   "./karuta-controller serve --listen 127.0.0.1:%d --ca ca.pem --cert host.pem "
		   "--key host.key --files srv --state state2 --audit audit2 >/dev/null 2>&1 & "
		   "echo "
		   "$! "
		   ">strace.pid",
		   port),
		0);
	wait_daemon();
	launch("traced");
	kill_one("traced");
	port = real;
	assert_int_equal(sh("kill $(pgrep -P $(cat strace.pid)); while kill -0 $(cat strace.pid); "
			    "do sleep 0.1; done 2>/dev/null; grep -c 'accept4(.*= [0-9]' trace"),
			 0);
	assert_int_not_equal(sh("grep -E '(connect|sendto|sendmsg.*sin6?_port)\\(' trace"), 0);
	assert_int_equal(sh("grep -c listen\\( trace; grep -c execve\\( trace; "
			    "grep 'execveat(' trace | grep -vc "
			    "'execveat([0-9]*, \"\", .*AT_EMPTY_PATH'"),
			 1);
	assert_string_equal(output, "1\n1\n0\n");
	/* Once it listens there are no other sockets, and what was started was from descriptors. */
	assert_int_not_equal(sh("sed '1,/listen(/d' trace | grep -E '(socket|bind|execve)\\('"), 0);
	assert_int_equal(sh("sed '1,/listen(/d' trace | grep -c 'execveat('"), 0);
	assert_int_not_equal(sh("grep SIGSYS trace"), 0);
}

/* For good: what it starts has it too. Of the network there is a loop device, which is down. */
static void it_is_confined(void **state)
{
	(void)state;
	launch("jailed");
	assert_int_equal(sh("for i in %d $(pgrep -P %d); do grep -h -e '^Seccomp:.2' -e "
			    "'^NoNewPrivs:.1' /proc/$i/status; done | wc -l",
			    daemon_pid, daemon_pid),
			 0);
	assert_string_equal(output, "4\n");
	if (geteuid() == 0)
		assert_int_equal(sh("test $(wc -l </proc/%d/net/dev) = 3", daemon_pid), 0);
	kill_one("jailed");
}

static void roles_are_kept(void **state)
{
	(void)state;
	launch("r");
	sh("echo '{\"kind\": \"null\"}' >n.json");
	for (const struct control_verb *verb = control_verbs; verb->name; verb++) {
		const char *words = !strcmp(verb->name, "launch")	 ? "web.json"
				    : !strcmp(verb->name, "attach")	 ? "r n.json"
				    : !verb->argument_count		 ? ""
				    : !strcmp(verb->name, "start")	 ? "r"
				    : !strcmp(verb->name, "console")	 ? "r"
				    : !strcmp(verb->name, "audit")	 ? "0"
				    : !strcmp(verb->name, "update-host") ? ""
				    : !strcmp(verb->name, "snapshot")	 ? "r card file"
				    : !strcmp(verb->name, "resize")	 ? "r card size=4096"
				    : !strcmp(verb->name, "make-volume") ? "r size=4096"
				    : !strcmp(verb->name, "grow-volume") ? "r size=4096"
				    : !strcmp(verb->name, "copy-volume") ? "r other"
				    : !strcmp(verb->name, "write-image")
					    ? "r root offset=0 data=key"
				    : !strcmp(verb->name, "finish-image") ? "r digests=key"
				    : strstr(verb->name, "renew")	  ? "host.pem"
				    : verb->argument_count > 1		  ? "r card"
									  : "r";

		if (verb->role == CONTROL_READER)
			continue;
		assert_int_equal(CALL("reader", "%s %s", verb->name, words), 1);
		if (!says(verb->role == CONTROL_ADMIN
				  ? "needs the role admin; reader is reader"
				  : "needs the role operator; reader is reader"))
			fail_msg("%s: %s", verb->name, output);
	}
	/* A host's certificate is for hosts. */
	assert_int_equal(CALL("host", "list"), 1);
	assert_true(says("list needs the role reader; host is host"));
	assert_int_equal(CALL("reader", "start r keys=5:key"), 1);
	assert_true(says("wrapping needs the role operator; reader is reader"));
	assert_int_equal(CALL("operator", "audit"), 1);
	assert_true(says("audit needs the role admin; operator is operator"));
	assert_int_equal(CALL("admin", "status r"), 0);
	assert_true(says("r: running"));
	assert_int_equal(sh("./karuta-controller audit show audit | grep 'reader (reader): kill r: "
			    "Permission denied'"),
			 0);
	kill_one("r");
}

static void wrong_certificates_are_refused(void **state)
{
	static const char *const none = "echo | timeout 10 openssl s_client -connect 127.0.0.1:%d "
					"-CAfile ca.pem -alpn karuta/1 %s 2>&1 | grep -i alert";

	(void)state;
	assert_int_equal(CALL("stranger", "list"), 3);
	assert_int_equal(CALL("late", "list"), 3);
	assert_int_equal(CALL("nobody", "list"), 3);
	/* None at all, an old version, another protocol. */
	assert_int_equal(sh(none, port, "-ign_eof"), 0);
	assert_true(says("certificate required"));
	assert_int_equal(sh(none, port, "-tls1_2 -cert reader.pem -key reader.key"), 0);
	assert_true(says("protocol version"));
	assert_int_equal(sh("echo | timeout 10 openssl s_client -connect 127.0.0.1:%d -CAfile "
			    "ca.pem -alpn http/1.1 -cert reader.pem -key reader.key 2>&1 | "
			    "grep -i alert",
			    port),
			 0);
	assert_true(says("no application protocol"));
	assert_int_equal(sh("grep -c refused: notes"), 0);
	assert_int_equal(CALL("reader", "list"), 0);
}

/* The other way round: callers do not talk to anybody. */
static void wrong_hosts_are_refused(void **state)
{
	static const char *const certificates[] = {"operator", "bad/host"};
	int real = port;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		pid_t pid;

		port = real + 1;
		assert_int_equal(sh("mv audit elsewhere"), 0);
		daemon_state = "state2";
		pid = start_daemon(certificates[i]);
		daemon_state = "state";
		for (unsigned j = 0; j < 100 && sh("grep -s . notes; ss -Htln | grep :%d", port);
		     j++)
			usleep(50000);
		assert_int_equal(CALL("reader", "list"), 3);
		kill(pid, SIGTERM);
		wait_end(pid);
		assert_int_equal(sh("rm -r audit; mv elsewhere audit"), 0);
		port = real;
	}
	/* By its other name. */
	assert_int_equal(sh("./karuta-controller call localhost:%d --ca ca.pem --cert reader.pem "
			    "--key reader.key list",
			    port),
			 0);
}

#define ID "--id 000102030405060708090a0b0c0d0e0f "

static void a_request_is_carried_out_once(void **state)
{
	static const char id[] = ID;

	(void)state;
	launch("i");
	sh("echo '{\"kind\": \"null\", \"name\": \"n\"}' >n.json");
	MUST("%s attach i n.json", id);
	assert_string_equal(output, "card n (slot 1) attached\n");
	MUST("%s attach i n.json", id);
	assert_string_equal(output, "card n (slot 1) attached\n");
	MUST("detach i n");
	/* Still the same answer, and no card. */
	MUST("%s attach i n.json", id);
	assert_int_equal(CALL("reader", "status i"), 0);
	assert_false(says("attached"));
	/* The identifier is the caller's own, and of one request. */
	assert_int_equal(CALL("operator", "%s kill i", id), 1);
	assert_true(says("its identifier was that of another request before"));
	assert_int_equal(CALL("operator", "--json %s kill i", id), 1);
	assert_true(says("\"code\": 76"));
	assert_int_equal(CALL("other", "%s attach i n.json", id), 0);
	assert_int_equal(CALL("reader", "status i"), 0);
	assert_true(says("attached"));
	kill_one("i");
}

/* Who lost its connection sends the request again, and both hear of the one outcome. */
static void a_request_under_way_is_joined(void **state)
{
	static const char id[] = "--id ff0102030405060708090a0b0c0d0e0f";

	(void)state;
	sh("echo '{\"name\": \"s\", \"memory\": \"64M\", \"kernel\": \"stubborn\"}' >s.json");
	MUST("launch s.json");
	assert_int_equal(sh("for i in 1 2 3; do ./karuta-controller call 127.0.0.1:%d --ca ca.pem "
			    "--cert operator.pem --key operator.key stop s %s >joined$i & done; "
			    "for i in $(seq 200); do test $(./karuta-controller audit show audit | "
			    "grep -c -e 'stop s: accepted' -e 'stop s: sent again') = 3 && break; "
			    "sleep 0.05; done; "
			    "./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert admin.pem "
			    "--key admin.key kill s; wait; cat joined*",
			    port, id, port),
			 0);
	assert_string_equal(output, "killed\nkilled\nkilled\nkilled\n");
	assert_int_equal(sh("./karuta-controller audit show audit | grep -c 'stop s: accepted'"),
			 0);
	assert_string_equal(output, "1\n");
}

static void files_are_those_of_one_folder(void **state)
{
	static const char *const kernels[] = {"/etc/passwd",   "../key", "../../etc/passwd",
					      "sub/../../key", "..",	 "/"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		sh("echo '{\"name\": \"f\", \"memory\": \"64M\", \"kernel\": \"%s\"}' >f.json",
		   kernels[i]);
		assert_int_equal(CALL("operator", "launch f.json"), 1);
		if (!says(": is not in "))
			fail_msg("%s: %s", kernels[i], output);
	}
	launch("f");
	sh("echo '{\"kind\": \"volume\", \"store\": \"../audit/head\", \"key_fd\": 3}' >c.json");
	assert_int_equal(CALL("operator", "attach f c.json keys=3:key"), 1);
	assert_true(says("/srv/../audit/head: is not in "));
	kill_one("f");
}

/* Neither can a guest be given the log to write, whoever starts the controller like that. */
static void the_audit_log_is_no_file_of_callers(void **state)
{
	(void)state;
	assert_int_equal(sh("./karuta-controller serve --listen 127.0.0.1:1 --ca ca.pem --cert "
			    "host.pem --key host.key --state state2 --files srv --audit srv/audit"),
			 1);
	assert_true(says("must not be in "));
	sh("rm -r srv/audit");
}

static void keys_are_given_as_asked_for(void **state)
{
	unsigned before;

	(void)state;
	launch("k");
	sh("echo '{\"kind\": \"volume\", \"store\": \"good.vol\", \"key_fd\": 3}' >c.json; "
	   "echo '{\"kind\": \"volume\", \"store\": \"good.vol\", \"key_fd\": 300, \"name\": "
	   "\"x\"}' >d.json");
	before = settled_fds(daemon_pid);
	assert_int_equal(CALL("operator", "attach k c.json"), 1);
	assert_true(says("key_fd: no key 3 came with the request"));
	assert_int_equal(CALL("operator", "attach k c.json keys=3:key keys=4:key"), 1);
	assert_true(says("keys: 2 came, 1 are asked for"));
	/* A number that is a descriptor of the daemon's. */
	assert_int_equal(CALL("operator", "attach k d.json keys=3:key"), 1);
	assert_int_equal(settled_fds(daemon_pid), before);
	kill_one("k");
}

/* Is this text anywhere in the memory of the process, but in mappings of this name? */
static bool memory_has(pid_t pid, const char *text, const char *but)
{
	CLEANUP_FREE char *bytes = malloc(1 << 20);
	char path[64], line[512];
	bool found = false;
	FILE *maps;
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	assert_true(memory >= 0 && maps && bytes);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long at, end;

		assert_int_equal(sscanf(line, "%lx-%lx", &at, &end), 2);
		/* The sanitizers' shadow has no end. */
		if (end - at > GIB || (but && strstr(line, but)))
			continue;
		while (at < end) {
			size_t part = min_u64(end - at, 1 << 20);
			ssize_t got = pread(memory, bytes, part, (off_t)at);

			if (got <= 0)
				break;
			found |= memmem(bytes, (size_t)got, text, strlen(text)) != NULL;
			at += (size_t)got;
		}
	}
	fclose(maps);
	close(memory);
	return found;
}

/* The card fails before it has read the key, so that it cannot tell it on its status page. Many
 * times over, so that what is freed is not all written over by the next who needs memory. */
static void keys_are_left_nowhere(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	launch("m");
	sh("echo '{\"kind\": \"volume\", \"name\": \"findme\", \"store\": \"fail.vol\", "
	   "\"key_fd\": 3}' >c.json; yes zebra%%s | sed s/%%s/crossing/ | head -c 4000 >rare");
	assert_int_equal(CALL("operator", "attach m c.json keys=3:rare"), 1);
	assert_true(says("the store is broken"));
	assert_true(memory_has(daemon_pid, "findme", NULL));
	assert_false(memory_has(daemon_pid, "zebracrossing", NULL));
	assert_int_not_equal(sh("grep -r zebracrossing audit notes"), 0);
	kill_one("m");
}

/* AddressSanitizer has an mlock(2) of its own, which does nothing. */
#define LOCKED "lo"
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#undef LOCKED
#define LOCKED "dd"
#endif
#endif

/* While the instance is to run the controller has it in one place, that it cannot read, and of its
 * programs none but the card: the fake reads 40 bytes of its key. */
static void keys_are_in_one_place(void **state)
{
	char marker[33], *next, *rest;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(sh("head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'"), 0);
	snprintf(marker, sizeof(marker), "%.32s", output);
	assert_int_equal(
		sh("printf '%%040d%s' 0 >marked; echo '{\"name\": \"keyed\", \"memory\": \"64M\", "
		   "\"kernel\": \"kernel\", \"cards\": [{\"kind\": \"volume\", \"store\": "
		   "\"good.vol\", \"key_fd\": 5}]}' >keyed.json",
		   marker),
		0);
	MUST("launch keyed.json keys=5:marked");
	assert_false(memory_has(daemon_pid, marker, "/memfd:karuta-key"));
	assert_true(memory_has(daemon_pid, marker, NULL));
	assert_false(memory_has(keeper_pid, marker, NULL));
	assert_int_equal(sh("grep -A30 memfd:karuta-key /proc/%d/smaps | grep VmFlags | head -n1 | "
			    "grep -w '" LOCKED "' | grep -w dd && "
			    "grep memfd:karuta-key /proc/%d/maps | grep -- '---s'",
			    daemon_pid, daemon_pid),
			 0);
	assert_int_equal(sh("pgrep -P %d", daemon_pid), 0);
	for (char *at = strtok_r(output, "\n", &rest); at; at = next) {
		next = strtok_r(NULL, "\n", &rest);
		assert_false(memory_has(atoi(at), marker, NULL));
	}
	assert_int_not_equal(sh("grep -r %s . --exclude=marked", marker), 0);
	kill_one("keyed");
	assert_false(memory_has(daemon_pid, marker, NULL));
}

/* The host's public key, as `call` asks for it. */
static void ask_wrapping(uint8_t public[WRAP_PUBLIC_SIZE])
{
	MUST("wrapping");
	assert_int_equal(strlen(output), 2 * WRAP_PUBLIC_SIZE + 1);
	for (size_t i = 0; i < WRAP_PUBLIC_SIZE; i++)
		assert_int_equal(sscanf(output + 2 * i, "%2hhx", &public[i]), 1);
}

#define ATTACH(name)                                                                               \
	"{\"kind\":\"volume\",\"store\":\"good.vol\",\"key_fd\":5,\"name\":\"" name "\"}"

/* What comes of an attach of `card` by this caller, with this for a key. */
static int send_key(const char *caller, uint8_t id, const char *card, const void *key,
		    size_t length)
{
	static uint8_t frame[CONTROL_REQUEST_MAX];
	struct control_request request = {
		.verb = control_verb_find("attach", 6),
		.id = {0xee, id},
		.values = {{true, 0, card, strlen(card)}, {.given = true}, {true, 0, "raw", 3}},
		.key_count = 1,
		.keys = {{5, key, length}}};
	struct guest guest = connect_as(caller);
	ssize_t size = control_request_encode(&request, frame, sizeof(frame));
	int code;

	assert_true(size > 0);
	say_frame(&guest, frame, (size_t)size);
	code = hear(&guest);
	leave(&guest);
	return code;
}

static size_t wrap_for(const char *caller, uint8_t id, const char *card, uint8_t *wrapped)
{
	struct control_request request = {
		.verb = control_verb_find("attach", 6),
		.id = {0xee, id},
		.values = {{true, 0, card, strlen(card)}, {.given = true}, {true, 0, "raw", 3}},
		.key_count = 1,
		.keys = {{.number = 5, .bytes = wrapped}}};
	struct wrap_context context = {.caller = caller, .number = 5};
	uint8_t public[WRAP_PUBLIC_SIZE];

	ask_wrapping(public);
	assert_int_equal(wrap_digest(&request, context.request), 0);
	return (size_t)wrap_close(public, &context, "open sesame", 11, wrapped);
}

static void keys_come_wrapped_for_one_card(void **state)
{
	uint8_t wrapped[64 + CONTROL_WRAP_SIZE];
	size_t length;

	(void)state;
	launch("raw");
	assert_int_equal(send_key("operator", 1, ATTACH("a"), "open sesame", 11), EINVAL);
	assert_string_equal(output, "key 5: is not wrapped; wrap it with what the verb wrapping "
				    "tells");
	length = wrap_for("operator", 2, ATTACH("a"), wrapped);
	/* By another caller, in another request, for another card. */
	assert_int_equal(send_key("other", 2, ATTACH("a"), wrapped, length), EKEYREJECTED);
	assert_int_equal(send_key("operator", 3, ATTACH("a"), wrapped, length), EKEYREJECTED);
	assert_int_equal(send_key("admin", 2, ATTACH("b"), wrapped, length), EKEYREJECTED);
	assert_int_equal(send_key("operator", 2, ATTACH("a"), wrapped, length), 0);
	assert_string_equal(output, "card a (slot 1) attached");
	assert_int_equal(CALL("reader", "status raw"), 0);
	assert_true(says("key=open sesame"));
	/* Sent again, wrapped again: the same request. */
	length = wrap_for("operator", 2, ATTACH("a"), wrapped);
	assert_int_equal(send_key("operator", 2, ATTACH("a"), wrapped, length), 0);
	assert_string_equal(output, "card a (slot 1) attached");
	assert_int_not_equal(sh("grep -r sesame audit notes"), 0);
	kill_one("raw");
}

static void no_command_without_its_line_here_either(void **state)
{
	(void)state;
	launch("d");
	assert_int_equal(
		sh("prlimit --fsize=$(($(cat audit/*.log | wc -c) + 8)):unlimited --pid %d",
		   daemon_pid),
		0);
	assert_int_equal(CALL("operator", "pause d"), 1);
	assert_true(says("the audit log cannot be written"));
	assert_int_equal(CALL("operator", "launch web.json"), 1);
	assert_int_equal(CALL("reader", "list"), 1);
	assert_int_equal(sh("prlimit --fsize=unlimited --pid %d", daemon_pid), 0);
	assert_int_equal(CALL("reader", "status d"), 0);
	assert_true(says("d: running"));
	kill_one("d");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instance_lives_and_ends),
		cmocka_unit_test(what_does_not_start_is_answered_and_gone),
		cmocka_unit_test(instances_have_users_of_their_own),
		cmocka_unit_test(there_is_one_socket),
		cmocka_unit_test(it_connects_to_nobody_and_runs_descriptors),
		cmocka_unit_test(it_is_confined),
		cmocka_unit_test(roles_are_kept),
		cmocka_unit_test(wrong_certificates_are_refused),
		cmocka_unit_test(wrong_hosts_are_refused),
		cmocka_unit_test(a_request_is_carried_out_once),
		cmocka_unit_test(a_request_under_way_is_joined),
		cmocka_unit_test(files_are_those_of_one_folder),
		cmocka_unit_test(the_audit_log_is_no_file_of_callers),
		cmocka_unit_test(keys_are_given_as_asked_for),
		cmocka_unit_test(keys_are_left_nowhere),
		cmocka_unit_test(keys_are_in_one_place),
		cmocka_unit_test(keys_come_wrapped_for_one_card),
		cmocka_unit_test(no_command_without_its_line_here_either),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_host);
}
