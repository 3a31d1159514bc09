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
		cmocka_unit_test(the_audit_log_is_read_page_by_page),
	};

	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_host, end_sharing_host);
}
