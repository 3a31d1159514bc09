/* SPDX-License-Identifier: Apache-2.0 */
/* What callers over the network look at a part at a time, and what takes a thread. */
#include "serve_harness.h"

static void a_console_is_shown_from_anywhere(void **state)
{
	(void)state;
	launch("c");
	MUST("console c");
	assert_true(says("memory=67108864 cpus=1") && says("\nhello\n") &&
		    !strncmp(output, "fds: ", 5));
	MUST("console c from=5");
	assert_int_not_equal(strncmp(output, "fds: ", 5), 0);
	assert_true(says("\nhello\n"));
	MUST("console c from=100000");
	assert_true(says("fds: "));
	MUST("console c from=5 --json");
	assert_true(says("\"from\": 5,") && says("\"ended\": false") && says("\"more\": false"));
	assert_int_equal(sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem "
			    "--key operator.key console c --follow >followed & "
			    "for i in $(seq 100); do grep -q hello followed && break; sleep 0.05; "
			    "done; ./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert "
			    "operator.pem --key operator.key stop c; wait $!",
			    port, port),
			 0);
	assert_int_equal(sh("head -c 5 followed && tail -n 2 followed && grep -c hello followed"),
			 0);
	assert_string_equal(output, "fds: hello\nbye\n1\n");
	/* Its last words stay. */
	MUST("console c --json");
	assert_true(says("\"ended\": true"));
	MUST("console c");
	assert_true(says("\nhello\nbye\n"));
	assert_int_equal(CALL("operator", "console nobody"), 1);
	assert_int_equal(CALL("operator", "status c --follow"), 2);
}

static void the_audit_log_is_read_page_by_page(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(CALL("reader", "list"), 0);
	assert_int_equal(CALL("admin", "audit since=2 --json | tail -n 5"), 0);
	assert_true(says("\"last\": 66") && says("\"more\": true"));
	assert_int_equal(
		sh("./karuta-controller audit show audit >shown; "
		   "./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert admin.pem --key "
		   "admin.key audit >called; test $(wc -l <shown) -gt 64 && "
		   "head -n $(wc -l <shown) called | cmp - shown && "
		   "test $(($(wc -l <called) - $(wc -l <shown))) = $(($(wc -l <called) / 64 + 1)) "
		   "&& "
		   "tail -n 1 called | grep 'admin (admin): audit'",
		   port),
		0);
	/* A terminal is not told what to do. */
	assert_int_equal(CALL("operator", "kill $(printf 'a\\033[2Jb')"), 1);
	assert_int_equal(CALL("admin", "audit since=60 | tail -n 3"), 0);
	assert_true(says("kill a?[2Jb: ") && !strchr(output, 033));
	assert_int_equal(CALL("admin", "audit since=1000000 --json"), 0);
	assert_true(says("\"lines\": []") && says("\"more\": false"));
}

/* A file system that shares blocks, if one can be made; "": none. */
static const char *sharing_folder(void)
{
	return sh("mkdir -p srv/shared && truncate -s 400M shared.img && { mkfs.xfs -q shared.img "
		  "|| "
		  "mkfs.btrfs -q shared.img; } && mount -o loop shared.img srv/shared && "
		  "cp srv/good.vol srv/shared/") == 0
		       ? "shared/"
		       : "";
}

static void a_snapshot_is_a_file_of_the_folder(void **state)
{
	const char *where = sharing_folder();

	(void)state;
	assert_int_equal(sh("echo '{\"name\": \"snap\", \"memory\": \"64M\", \"kernel\": "
			    "\"kernel\", \"cards\": [{\"kind\": \"volume\", \"name\": \"v\", "
			    "\"store\": \"%sgood.vol\", \"key_fd\": 5}]}' >snap.json",
			    where),
			 0);
	MUST("launch snap.json keys=5:key");
	assert_int_equal(CALL("operator", "snapshot snap v /etc/copy"), 1);
	assert_true(says("/etc/copy: is not in "));
	assert_int_equal(CALL("operator", "snapshot snap v ../copy"), 1);
	assert_true(says("/srv/../copy: is not in "));
	assert_int_equal(CALL("operator", "snapshot snap v %sgood.vol", where), 1);
	assert_true(says("good.vol: File exists"));
	assert_int_equal(CALL("operator", "snapshot snap v none/copy"), 1);
	assert_int_equal(CALL("operator", "snapshot snap nobody copy"), 1);
	assert_true(says("there is no card or taken slot nobody"));
	if (where[0]) {
		static const char id[] = "--id 5a5a02030405060708090a0b0c0d0e0f ";

		MUST("%s snapshot snap v %scopy", id, where);
		assert_true(says("its snapshot is whole"));
		assert_int_equal(
			sh("cmp srv/shared/good.vol srv/shared/copy && rm srv/shared/copy"), 0);
		MUST("%s snapshot snap v %scopy", id, where);
		assert_true(says("its snapshot is whole"));
	} else {
		assert_int_equal(CALL("operator", "snapshot snap v copy"), 1);
		assert_true(says("cannot share blocks"));
	}
	/* The card goes on, and nothing is left. */
	assert_int_equal(CALL("reader", "status snap"), 0);
	assert_true(says("thawed"));
	assert_int_equal(sh("ls -A srv srv/shared | grep copy"), 1);
	kill_one("snap");
}

/* In this order, and none before the one that came before it. */
static void check_steps(void)
{
	static const char *const parts[] = {"controller", "card", "controller", "hypervisor"};
	const char *at = output;
	long before = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char part[40];
		long us;

		snprintf(part, sizeof(part), "\"part\": \"%s\"", parts[i]);
		at = strstr(at, "\"us\": ");
		assert_non_null(at);
		us = atol(at + strlen("\"us\": "));
		assert_true(us >= before && us < SECONDS * 1000000l);
		before = us;
		at = strstr(at, "\"part\": ");
		assert_non_null(at);
		assert_int_equal(strncmp(at, part, strlen(part)), 0);
	}
}

static void a_card_tells_how_it_came(void **state)
{
	static const char again[] = "--id 00112233445566778899aabbccddeeff";

	(void)state;
	launch("t");
	sh("echo '{\"kind\": \"null\", \"name\": \"n\"}' >n.json");
	MUST("attach t n.json %s --json", again);
	assert_true(says("card n (slot 1) attached"));
	sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem --key "
	   "operator.key attach t n.json %s --json | jq '.result.steps[] | {us, part}'",
	   port, again);
	check_steps();
	sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert reader.pem --key reader.key "
	   "status t --json | jq '.result.cards[0].steps[] | {us, part}'",
	   port);
	check_steps();
	/* Those of a launch were not asked for, and other answers have none. */
	MUST("detach t n --json");
	assert_false(says("steps"));
	MUST("attach t n.json");
	assert_string_equal(output, "card n (slot 1) attached\n");
	/* What the guest does with it comes later. */
	sh("echo '{\"kind\": \"volume\", \"name\": \"v\", \"store\": \"good.vol\", "
	   "\"key_fd\": 5}' >v.json");
	MUST("attach t v.json keys=5:key --json");
	assert_false(says("the guest has taken it"));
	MUST("resize t v size=2M");
	assert_int_equal(CALL("reader", "status t --json"), 0);
	assert_true(says("the guest has taken it"));
	kill_one("t");
}

static int end_sharing_host(void **state)
{
	/* The instance that uses it may be there still. */
	sh("umount -l srv/shared");
	return end_host(state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_console_is_shown_from_anywhere),
		cmocka_unit_test(a_snapshot_is_a_file_of_the_folder),
		cmocka_unit_test(a_card_tells_how_it_came),
		cmocka_unit_test(the_audit_log_is_read_page_by_page),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_sharing_host);
}
