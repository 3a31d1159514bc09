/* SPDX-License-Identifier: Apache-2.0 */
/* Images, volumes that begin as one, and copies of volumes: with the program that encrypts, and
 * with stand-ins for it that do what it must not. */
#include <poll.h>
#include <sys/stat.h>

#include "serve_harness.h"
#include "store/crypt.h"

#define DATA   UINT64_C(1048576)
#define ROOT   UINT64_C(4194304)
#define VOLUME UINT64_C(8388608)

/* In the folder: boot and root, an image's parts; root has a hole in the middle and one at its end.
 * vkey: a volume's key. */
static int make_images_host(void **state)
{
	if (make_host(state) != 0)
		return -1;
	return sh("head -c 200000 /dev/urandom >boot && head -c 64 /dev/urandom >vkey && "
		  "head -c %llu /dev/urandom >root && truncate -s 3M root && "
		  "head -c 5000 /dev/urandom >>root && truncate -s %llu root",
		  (unsigned long long)DATA, (unsigned long long)ROOT);
}

static void send_piece(struct guest *guest, const char *image, const char *part, uint64_t offset,
		       const uint8_t *bytes, size_t length)
{
	static uint8_t frame[CONTROL_REQUEST_MAX];
	struct control_request request = {.verb = control_verb_find("write-image", 11)};
	const struct control_value values[] = {
		{.given = true, .text = (const char *)bytes, .length = length},
		{.given = true, .text = part, .length = strlen(part)},
		{.given = true, .text = image, .length = strlen(image)},
		{.given = true, .number = offset},
	};
	ssize_t size;

	memcpy(request.values, values, sizeof(values));
	size = control_request_encode(&request, frame, sizeof(frame));
	assert_true(size > 0);
	say_frame(guest, frame, (size_t)size);
	if (hear(guest) != 0)
		fail_msg("%s", output);
}

/* One part, in pieces; those of zeros are not sent. */
static void send_part(const char *image, const char *part, const char *file)
{
	static uint8_t bytes[CONTROL_DATA_MAX];
	struct guest guest = connect_as("operator");
	char path[256];
	CLEANUP_CLOSE int fd = -1;
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (uint64_t at = 0; (got = read(fd, bytes, sizeof(bytes))) > 0; at += (uint64_t)got) {
		if (bytes[0] || memcmp(bytes, bytes + 1, (size_t)got - 1) != 0)
			send_piece(&guest, image, part, at, bytes, (size_t)got);
	}
	leave(&guest);
}

/* Into the file "digests". */
static void write_digests(void)
{
	assert_int_equal(sh("one() { printf '\"%%s\": {\"size\": %%d, \"sha384\": \"%%s\"}' $1 "
			    "$(stat -c %%s $2) $(sha384sum <$2 | cut -d ' ' -f 1); }; "
			    "echo \"{$(one kernel boot), $(one root root)}\" >digests"),
			 0);
}

static void make_image(const char *image)
{
	send_part(image, "kernel", "boot");
	send_part(image, "root", "root");
	write_digests();
	MUST("finish-image %s digests=digests", image);
	assert_true(says("is finished"));
}

static void an_image_is_written_finished_and_deleted(void **state)
{
	(void)state;
	send_part("debian-12", "kernel", "boot");
	send_part("debian-12", "root", "root");
	assert_int_equal(CALL("reader", "images --json"), 0);
	assert_true(says("\"image\": \"debian-12\"") && says("\"finished\": false") &&
		    says("\"kernel\": 200000"));
	write_digests();
	MUST("finish-image debian-12 digests=digests");
	assert_int_equal(sh("cmp boot srv/images/debian-12/kernel && "
			    "cmp root srv/images/debian-12/root && ls -A srv/images && "
			    "test $(stat -c %%b srv/images/debian-12/root) -lt 2600"),
			 0);
	assert_string_equal(output, "debian-12\n");
	assert_int_equal(CALL("reader", "images --json"), 0);
	assert_true(says("\"finished\": true") && says("\"root\": 4194304"));
	/* Again is as good; another one is not. */
	MUST("finish-image debian-12 digests=digests");
	assert_true(says("was finished already"));
	sh("sed s/200000/200001/ digests >other");
	assert_int_equal(CALL("operator", "finish-image debian-12 digests=other"), 1);
	assert_true(says("is finished, and another one"));
	assert_int_equal(CALL("operator", "write-image debian-12 root offset=0 data=key"), 1);
	assert_true(says("is finished; delete it first"));
	MUST("delete-image debian-12");
	assert_int_equal(CALL("operator", "delete-image debian-12"), 1);
	assert_true(says("there is no image debian-12"));
	assert_int_equal(sh("ls -A srv/images"), 0);
	assert_string_equal(output, "");
}

static void a_part_that_differs_is_named(void **state)
{
	(void)state;
	send_part("bad", "kernel", "boot");
	write_digests();
	assert_int_equal(CALL("operator", "finish-image bad digests=digests"), 1);
	assert_true(says("image bad: root: its SHA-384 is "));
	send_part("bad", "root", "root");
	MUST("write-image bad root offset=5000 data=key");
	assert_int_equal(CALL("operator", "finish-image bad digests=digests"), 1);
	assert_true(says("image bad: root: its SHA-384 is "));
	/* It can be mended. */
	send_part("bad", "root", "root");
	MUST("write-image bad kernel offset=199999 data=key");
	assert_int_equal(CALL("operator", "finish-image bad digests=digests"), 1);
	assert_true(says("image bad: kernel: has more than 200000 bytes"));
	MUST("delete-image bad");
	make_image("bad");
	MUST("delete-image bad");
	send_part("bad", "kernel", "boot");
	send_part("bad", "initrd", "boot");
	assert_int_equal(CALL("operator", "finish-image bad digests=digests"), 1);
	assert_true(says("initrd: was written, and has no digest"));
	MUST("delete-image bad");
	assert_int_equal(CALL("operator", "finish-image bad digests=digests"), 1);
	assert_true(says("nothing of it was written"));
}

static void what_is_no_image_is_refused(void **state)
{
	static const char *const names[] = {"../up", "a/b", ".hidden", "Big", "-x", "''", "a.b"};
	static const char *const digests[] = {
		"[]",
		"{}",
		"{\"kernel\": 1, \"root\": 1}",
		"{\"kernel\": {\"size\": 0, \"sha384\": \"00\"}, \"root\": {}}",
		"{\"kernel\": {\"size\": 5, \"sha384\": \"00\"}, \"root\": {}}",
		"{\"kernel\": {\"size\": 2000000000, \"sha384\": \"00\"}}",
		"{\"swap\": {}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(
			CALL("operator", "write-image image=%s root offset=0 data=key", names[i]),
			1);
		assert_true(says("image: must be 1 to 63 small letters"));
	}
	assert_int_equal(CALL("operator", "delete-image ../images"), 1);
	assert_true(says("image: must be 1 to 63 small letters"));
	assert_int_equal(CALL("operator", "finish-image ../up digests=key"), 1);
	assert_true(says("image: must be 1 to 63 small letters"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=../up keys=3:vkey"), 1);
	assert_true(says("image: must be 1 to 63 small letters"));
	assert_int_equal(CALL("operator", "write-image i part=swap offset=0 data=key"), 1);
	assert_true(says("part: must be kernel, initrd or root"));
	assert_int_equal(CALL("operator", "write-image i root offset=256G data=key"), 1);
	assert_true(says("image i: root: has at most 274877906944 bytes"));
	assert_int_equal(
		CALL("operator", "write-image i kernel offset=9223372036854775807 data=key"), 1);
	assert_true(says("image i: kernel: has at most "));
	assert_int_equal(sh("head -c 131073 /dev/zero >big"), 0);
	assert_int_equal(CALL("operator", "write-image i kernel offset=0 data=big"), 2);
	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		sh("echo '%s' >other", digests[i]);
		assert_int_equal(CALL("operator", "finish-image i digests=other"), 1);
		assert_true(says("digests: "));
	}
	assert_int_equal(sh("ls -A srv/images"), 0);
	assert_string_equal(output, "");
	/* The folder's own are nobody's to change as volumes. */
	assert_int_equal(CALL("operator", "make-volume images/x size=8192"), 1);
	assert_true(says("images/x: is of images, not of volumes"));
	assert_int_equal(CALL("operator", "make-volume .//images/x size=8192"), 1);
	assert_true(says("is of images, not of volumes"));
	assert_int_equal(CALL("operator", "delete-volume images"), 1);
	assert_int_equal(CALL("operator", "copy-volume new.vol images/x"), 1);
	assert_true(says("is of images, not of volumes"));
}

/* Is it what root is, and a hole where that has none? */
static void compare_volume(const char *volume)
{
	static uint8_t key[STORE_KEY_SIZE], plain[STORE_BLOCK], stored[STORE_BLOCK];
	struct store_cipher *cipher;
	struct error error = {0};
	char path[256];
	CLEANUP_CLOSE int root = -1;
	CLEANUP_CLOSE int file = -1;
	struct stat status;

	snprintf(path, sizeof(path), "%s/vkey", folder);
	root = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(os_pread_all(root, key, sizeof(key), 0), 0);
	os_close(&root);
	assert_int_equal(store_cipher_create(&cipher, key, &error), 0);
	snprintf(path, sizeof(path), "%s/root", folder);
	root = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/srv/%s", folder, volume);
	file = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(file, &status), 0);
	assert_int_equal(status.st_size, VOLUME);
	assert_true((uint64_t)status.st_blocks * 512 < DATA + 64 * STORE_BLOCK);
	for (uint64_t at = 0; at < VOLUME; at += STORE_BLOCK) {
		memset(plain, 0, sizeof(plain));
		if (at < ROOT)
			assert_int_equal(os_pread_all(root, plain, sizeof(plain), at), 0);
		assert_int_equal(os_pread_all(file, stored, sizeof(stored), at), 0);
		assert_int_equal(store_block_is_zero(stored), store_block_is_zero(plain));
		if (store_block_is_zero(stored))
			continue;
		assert_memory_not_equal(stored, plain, sizeof(plain));
		assert_int_equal(store_cipher_decrypt(cipher, at / STORE_BLOCK, stored, stored), 0);
		assert_memory_equal(stored, plain, sizeof(plain));
	}
	store_cipher_destroy(cipher);
}

static void a_volume_begins_as_an_image(void **state)
{
	(void)state;
	make_image("web");
	MUST("make-volume web.vol size=8M image=web keys=3:vkey");
	assert_true(says("web.vol is there"));
	compare_volume("web.vol");
	assert_int_equal(CALL("operator", "make-volume web.vol size=8M image=web keys=3:vkey"), 1);
	assert_true(says("web.vol: File exists"));
	assert_int_equal(sh("stat -c %%a srv/web.vol"), 0);
	assert_string_equal(output, "600\n");
	/* It is what a card takes: several at once, of one image. */
	assert_int_equal(
		sh("for i in 1 2 3 4; do ./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert "
		   "operator.pem --key operator.key make-volume v$i.vol size=8M image=web "
		   "keys=3:vkey & done; wait; cd srv && for i in 1 2 3 4; do "
		   "cmp web.vol v$i.vol || exit 1; done && rm v?.vol web.vol",
		   port),
		0);
	MUST("delete-image web");
}

static void a_volume_of_an_image_takes_one_key(void **state)
{
	(void)state;
	make_image("web");
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=web"), 1);
	assert_true(says("keys: a volume of an image takes one key, number 3"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=web keys=4:vkey"), 1);
	assert_true(says("keys: a volume of an image takes one key, number 3"));
	assert_int_equal(
		CALL("operator", "make-volume n.vol size=8M image=web keys=3:vkey keys=4:vkey"), 1);
	assert_true(says("keys: a volume of an image takes one key, number 3"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=web keys=3:key"), 1);
	assert_true(says("n.vol: karuta-fill: key: too short"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M keys=3:vkey"), 1);
	assert_true(says("keys: an empty volume needs none yet"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=2M image=web keys=3:vkey"), 1);
	assert_true(says("size: the image has 4194304 bytes"));
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=no keys=3:vkey"), 1);
	assert_true(says("there is no finished image no"));
	send_part("half", "root", "root");
	assert_int_equal(CALL("operator", "make-volume n.vol size=8M image=half keys=3:vkey"), 1);
	assert_true(says("there is no finished image half"));
	MUST("delete-image half");
	MUST("delete-image web");
	assert_int_equal(sh("ls -A srv | grep ^n.vol"), 1);
}

/* It may not write that much; what is said goes to a pipe, as it may. */
static void a_full_disk_is_told(void **state)
{
	(void)state;
	assert_int_equal(sh("truncate -s 8M full.vol; ulimit -f 100; ./karuta-fill --image 3 "
			    "--volume 4 --key 5 3<root 4<>full.vol 5<vkey"),
			 1);
	assert_string_equal(output, "karuta-fill: File too large\n");
	assert_int_equal(sh("./karuta-fill --image 3 --volume 4 --key 5 3<root 4</dev/null "
			    "5<vkey"),
			 1);
	assert_string_equal(output, "karuta-fill: image or volume: is not a file\n");
	assert_int_equal(sh("rm full.vol; ./karuta-fill --image 3"), 2);
}

/* ---- stand-ins ---- */

/* In the place of karuta-fill; what it does is in the file "be" of where it is started. */
static void fake_fill(void)
{
	char what[16] = "";
	int file = open("be", O_RDONLY | O_CLOEXEC);

	if (file < 0 || read(file, what, sizeof(what) - 1) < 0)
		_exit(90);
	if (!strncmp(what, "naughty", 7))
		socket(AF_INET, SOCK_STREAM, 0);
	if (!strncmp(what, "fail", 4)) {
		dprintf(STDERR_FILENO, "no\033 luck\n");
		_exit(1);
	}
	for (;;)
		poll(NULL, 0, -1);
}

static void install_fake(const char *what)
{
	assert_int_equal(sh("cp karuta-hypervisor karuta-fill && echo %s >be", what), 0);
	assert_int_equal(sign(".", 1), 0);
}

static void put_back(void)
{
	assert_int_equal(sh("cp %s/karuta-fill .", programs), 0);
	assert_int_equal(sign(".", 1), 0);
}

static void await_fill(bool there)
{
	for (unsigned i = 0; i < SECONDS * 50; i++) {
		if ((sh("pgrep -f '^karuta-fill --image' -s 0 || pgrep -P %d,%d -f ^karuta-fill",
			daemon_pid, keeper_pid) == 0) == there)
			return;
		usleep(20000);
	}
	fail_msg("karuta-fill is%s there", there ? " not" : "");
}

/* In the background; its words are in the file "said" then. */
static void begin_volume(void)
{
	assert_int_equal(sh("{ ./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert "
			    "operator.pem --key operator.key make-volume half.vol size=8M "
			    "image=web keys=3:vkey; echo code $?; } >said 2>&1 &",
			    port),
			 0);
	await_fill(true);
}

static void await_said(const char *text)
{
	for (unsigned i = 0; i < SECONDS * 20; i++) {
		if (sh("cat said") == 0 && says("code 1"))
			break;
		usleep(50000);
	}
	if (!says(text))
		fail_msg("not \"%s\": %s", text, output);
}

static void a_program_that_ends_early_leaves_nothing(void **state)
{
	(void)state;
	make_image("web");
	install_fake("stay");
	begin_volume();
	assert_int_equal(sh("kill -9 $(pgrep -P %d -f ^karuta-fill)", daemon_pid), 0);
	await_said("half.vol: karuta-fill ended by signal 9");
	install_fake("fail");
	assert_int_equal(CALL("operator", "make-volume half.vol size=8M image=web keys=3:vkey"), 1);
	assert_true(says("half.vol: no? luck"));
	install_fake("naughty");
	assert_int_equal(CALL("operator", "make-volume half.vol size=8M image=web keys=3:vkey"), 1);
	assert_true(says("half.vol: karuta-fill ended by signal 31"));
	assert_int_equal(CALL("reader", "events --json"), 0);
	assert_true(says("\"program\": \"fill\""));
	assert_int_equal(sh("ls -A srv | grep -e half -e karuta-"), 1);
	put_back();
	MUST("make-volume half.vol size=8M image=web keys=3:vkey");
	compare_volume("half.vol");
	assert_int_equal(sh("rm srv/half.vol"), 0);
	MUST("delete-image web");
}

static void a_controller_that_dies_leaves_nothing(void **state)
{
	pid_t before = daemon_pid;

	(void)state;
	make_image("web");
	install_fake("stay");
	begin_volume();
	kill(daemon_pid, SIGKILL);
	do
		wait_daemon();
	while (daemon_pid == before || !daemon_pid);
	await_said("the controller was started again meanwhile");
	await_fill(false);
	assert_int_equal(sh("ls -A srv | grep -e half -e karuta-"), 1);
	put_back();
	MUST("make-volume half.vol size=8M image=web keys=3:vkey");
	compare_volume("half.vol");
	assert_int_equal(sh("rm srv/half.vol"), 0);
	MUST("delete-image web");
}

static void only_so_many_are_made_at_once(void **state)
{
	(void)state;
	make_image("web");
	install_fake("stay");
	begin_volume();
	for (unsigned i = 0; i < 3; i++)
		sh("./karuta-controller call 127.0.0.1:%d --ca ca.pem --cert operator.pem --key "
		   "operator.key make-volume w%u.vol size=8M image=web keys=3:vkey >/dev/null 2>&1 "
		   "&",
		   port, i);
	for (unsigned i = 0; i < SECONDS * 50; i++) {
		sh("pgrep -c -P %d -f ^karuta-fill", daemon_pid);
		if (atoi(output) == 4)
			break;
		usleep(20000);
	}
	assert_int_equal(CALL("operator", "make-volume x.vol size=8M image=web keys=3:vkey"), 1);
	assert_true(says("4 images or volumes are being made already"));
	MUST("make-volume x.vol size=8192");
	assert_int_equal(sh("kill -9 $(pgrep -P %d -f ^karuta-fill); rm srv/x.vol", daemon_pid), 0);
	await_said("ended by signal 9");
	put_back();
	MUST("delete-image web");
}

/* As a card of some other program has it. */
static int lock_as_a_card(const char *name)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[256];
	int file;

	snprintf(path, sizeof(path), "%s/srv/%s", folder, name);
	file = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(file, F_OFD_SETLK, &whole), 0);
	return file;
}

static void a_volume_at_rest_is_copied(void **state)
{
	int locked;

	(void)state;
	assert_int_equal(sh("cp root srv/a.vol"), 0);
	locked = lock_as_a_card("a.vol");
	assert_int_equal(CALL("operator", "copy-volume b.vol a.vol"), 1);
	assert_true(says("a.vol: Device or resource busy"));
	os_close(&locked);
	MUST("copy-volume b.vol a.vol");
	assert_int_equal(sh("cmp srv/a.vol srv/b.vol && test $(stat -c %%b srv/b.vol) -lt 2600"),
			 0);
	assert_int_equal(CALL("operator", "copy-volume b.vol a.vol"), 1);
	assert_true(says("b.vol: File exists"));
	assert_int_equal(CALL("operator", "copy-volume c.vol none.vol"), 1);
	assert_true(says("none.vol: No such file"));
	assert_int_equal(CALL("operator", "copy-volume c.vol ../ca.pem"), 1);
	assert_true(says("is not in "));
	assert_int_equal(sh("ln -s ../ca.pem srv/link"), 0);
	assert_int_equal(CALL("operator", "copy-volume c.vol link"), 1);
	assert_true(says("link: is not a file"));
	/* One that an instance has is not at rest. */
	write_spec("busy", "GOOD",
		   ", \"cards\": [{\"kind\": \"volume\", \"store\": \"good.vol\", \"key_fd\": 5}]");
	MUST("launch busy.json keys=5:key");
	assert_int_equal(CALL("operator", "copy-volume c.vol good.vol"), 1);
	assert_true(says("instance busy has it"));
	kill_one("busy");
	assert_int_equal(sh("rm srv/link srv/a.vol srv/b.vol; ls -A srv | grep ^c.vol"), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_is_written_finished_and_deleted),
		cmocka_unit_test(a_part_that_differs_is_named),
		cmocka_unit_test(what_is_no_image_is_refused),
		cmocka_unit_test(a_volume_begins_as_an_image),
		cmocka_unit_test(a_volume_of_an_image_takes_one_key),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(a_program_that_ends_early_leaves_nothing),
		cmocka_unit_test(a_controller_that_dies_leaves_nothing),
		cmocka_unit_test(only_so_many_are_made_at_once),
		cmocka_unit_test(a_volume_at_rest_is_copied),
	};

	if (is_called(argv[0], "karuta-fill"))
		fake_fill();
	be_what_is_launched(argc, argv);
	return cmocka_run_group_tests(tests, make_images_host, end_host);
}
