/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The card frame, by a card of the test's own: the program started with arguments is the card,
 * without any it is the test.
 */
#include "probe_card.h"

static void end_with(struct harness *harness, const char *const *extra, int code, const char *text)
{
	close(harness_launch(harness, extra));
	assert_int_equal(harness_wait(harness), code);
	assert_int_equal(harness_status(harness).state, STATUS_FAILED);
	assert_string_equal(harness_status(harness).text, text);
	assert_non_null(strstr(harness_output(harness), text));
}

static void own_options(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, (const char *[]){"--number", "42", NULL});
	assert_int_equal(harness_read(harness, 0, OPTION, 8), 42);
	harness_kill(harness, SIGKILL);
	harness_wait(harness);
	close(harness_launch(harness, (const char *[]){"--number", "13", NULL}));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "bad luck"));
	harness_spawn(harness, (const char *[]){"--help", NULL}, -1);
	assert_int_equal(harness_wait(harness), 0);
	assert_non_null(strstr(harness_output(harness), "--number N"));
}

static void failures_are_told_on_the_status_page(void **state)
{
	struct harness *harness = *state;

	end_with(harness, (const char *[]){"--fail-open", "disk: gone", NULL}, 1, "disk: gone");
	end_with(harness, (const char *[]){"--fail-start", "broken", NULL}, 1, "it broke");
	end_with(harness, (const char *[]){"--fail-start", "corrupt", NULL}, 2, "state is corrupt");
	/* Nothing of that made the area valid: it still begins from nothing. */
	harness_start(harness, NULL);
	assert_int_equal(harness_read(harness, 0, KEPT, 8), 0);
}

static void expect_killed(struct harness *harness, enum deed deed)
{
	uint64_t value = deed;

	harness_start(harness, NULL);
	vfu_client_post(harness->client, 0, DEED, &value, sizeof(value));
	assert_int_equal(harness_wait(harness), -SIGSYS);
}

static void forbidden_deeds_end_the_card(void **state)
{
	struct harness *harness = *state;

	expect_killed(harness, CALL_GETUID);
	expect_killed(harness, OPEN_FILE);
	expect_killed(harness, MAKE_SOCKET);
	expect_killed(harness, RUN_MEMORY);
	expect_killed(harness, NEW_THREAD);
}

static void allowed_deeds_do_not(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_write(harness, 0, DEED, 8, YIELD);
	harness_write(harness, 0, DEED, 8, ALLOCATE);
	harness_write(harness, 0, DEED, 8, RUN_ONCE);
	harness_write(harness, 0, KEPT, 8, 1);
	assert_int_equal(harness_read(harness, 0, KEPT, 8), 1);
}

static void its_own_bus_error_ends_it(void **state)
{
	struct harness *harness = *state;
	uint64_t value = TOUCH_BEYOND;

	harness_start(harness, NULL);
	vfu_client_post(harness->client, 0, DEED, &value, sizeof(value));
	assert_int_equal(harness_wait(harness), -SIGBUS);
}

static void guest_memory_is_reached(void **state)
{
	struct harness *harness = *state;
	int memory = memfd_create("guest", MFD_CLOEXEC);
	uint64_t mark = UINT64_C(0xc0ffee), quiesced;

	assert_int_equal(ftruncate(memory, 1 << 20), 0);
	assert_int_equal(os_pwrite_all(memory, &mark, 8, 0x5000), 0);
	harness_start(harness, NULL);
	assert_int_equal(vfu_client_dma_map(harness->client, 0x100000, 1 << 20, memory, 0, true),
			 0);
	harness_write(harness, 0, ADDRESS, 8, 0x105000);
	assert_int_equal(harness_read(harness, 0, FETCHED, 8), mark);
	/* A peer that shortens the file hurts itself only. */
	assert_int_equal(ftruncate(memory, 0), 0);
	harness_write(harness, 0, ADDRESS, 8, 0x105000);
	assert_int_equal(harness_read(harness, 0, FETCHED, 8), 0);
	quiesced = harness_read(harness, 0, QUIESCED, 8);
	assert_int_equal(vfu_client_dma_unmap(harness->client, 0x100000, 1 << 20), 0);
	assert_int_equal(harness_read(harness, 0, QUIESCED, 8), quiesced + 1);
	harness_write(harness, 0, ADDRESS, 8, 0x105000);
	assert_int_equal(harness_read(harness, 0, FETCHED, 8), UINT64_MAX);
	close(memory);
}

static void expect_filled(const uint8_t *bytes, uint32_t from, uint32_t to, uint8_t value)
{
	for (uint32_t i = from; i < to; i++)
		assert_int_equal(bytes[i], value);
}

/* Three vectors of 16 bytes, and 8 bytes of pending bits. */
static void the_hosts_part_of_a_bar_is_kept_from_the_card(void **state)
{
	struct harness *harness = *state;
	uint8_t bytes[BAR_SIZE] = {0};

	harness_start(harness, NULL);
	assert_int_equal(vfu_client_read(harness->client, 0, 0, bytes, sizeof(bytes)), 0);
	expect_filled(bytes, STRAY + 8, TABLE, NOTHING);
	expect_filled(bytes, TABLE, TABLE + 48, 0);
	expect_filled(bytes, TABLE + 48, PENDING, NOTHING);
	expect_filled(bytes, PENDING, PENDING + 8, 0);
	expect_filled(bytes, PENDING + 8, BAR_SIZE, NOTHING);
	/* From 5 bytes before the table to 7 bytes behind it. */
	assert_int_equal(vfu_client_write(harness->client, 0, TABLE - 5, bytes, 5 + 48 + 7), 0);
	assert_int_equal(harness_read(harness, 0, STRAY, 8), 12);
	assert_int_equal(vfu_client_write(harness->client, 0, TABLE + 3, bytes, 45), 0);
	assert_int_equal(vfu_client_write(harness->client, 0, PENDING, bytes, 8), 0);
	assert_int_equal(harness_read(harness, 0, STRAY, 8), 12);
}

/* A turn of the loop serves many messages when they come fast: work() follows, after some. */
static void work_runs_while_there_is_a_client(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	wait_worked(harness);
}

/* ---- listening ---- */

static char folder[64], path[96];

static int connect_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void listen_start(struct harness *harness)
{
	harness_spawn(
		harness,
		(const char *[]){"--listen", path, "--state-fd", "4", "--status-fd", "5", NULL},
		-1);
	harness_wait_state(harness, STATUS_READY);
}

static int listen_setup(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/test_card_frame.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/probe.sock", folder);
	return setup(state);
}

static int listen_teardown(void **state)
{
	unlink(path);
	rmdir(folder);
	return teardown(state);
}

static void clients_one_after_the_other(void **state)
{
	struct harness *harness = *state;
	char line[128];
	struct stat file;

	listen_start(harness);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	for (unsigned i = 0; i < 3; i++) {
		harness_connect(harness, connect_socket());
		/* The next client is another machine: it finds the device as after power on. */
		assert_int_equal(harness_read(harness, 0, KEPT, 8), 0);
		assert_int_equal(harness_read(harness, VFU_REGION_CONFIG, PCI_COMMAND, 2), 0);
		harness_write(harness, 0, KEPT, 8, 9);
		harness_master(harness, true);
		harness_disconnect(harness);
	}
	harness_kill(harness, SIGTERM);
	assert_int_equal(harness_wait(harness), 0);
	snprintf(line, sizeof(line), "ready: listening on %s\n", path);
	assert_string_equal(harness_output(harness), line);
	assert_int_equal(harness_status(harness).counters[STATUS_CARD_CLIENTS], 3);
}

static void restart_on_a_socket_is_a_power_cycle(void **state)
{
	struct harness *harness = *state;

	listen_start(harness);
	harness_connect(harness, connect_socket());
	harness_write(harness, 0, KEPT, 8, 9);
	harness_kill(harness, SIGKILL);
	harness_wait(harness);
	/* The socket's file is still there: the next start replaces it. */
	memset(harness->status, 0, STATUS_PAGE_SIZE);
	listen_start(harness);
	harness_connect(harness, connect_socket());
	assert_int_equal(harness_read(harness, 0, KEPT, 8), 0);
	/* Nothing is held: there is nothing to go on with. */
	wait_worked(harness);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
	struct harness *harness = *state;

	harness_spawn(harness, (const char *[]){"--listen", "/nowhere/at/all", NULL}, -1);
	assert_int_equal(harness_wait(harness), 1);
	assert_non_null(strstr(harness_output(harness), "/nowhere/at/all"));
}

static void no_memory_is_shared_with_one_client_after_the_other(void **state)
{
	struct harness *harness = *state;

	harness_spawn(harness, (const char *[]){"--listen", path, "--poll", NULL}, -1);
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "--poll needs --bus-fd"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(own_options, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_are_told_on_the_status_page, setup,
						teardown),
		cmocka_unit_test_setup_teardown(forbidden_deeds_end_the_card, setup, teardown),
		cmocka_unit_test_setup_teardown(allowed_deeds_do_not, setup, teardown),
		cmocka_unit_test_setup_teardown(its_own_bus_error_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_memory_is_reached, setup, teardown),
		cmocka_unit_test_setup_teardown(the_hosts_part_of_a_bar_is_kept_from_the_card,
						setup, teardown),
		cmocka_unit_test_setup_teardown(work_runs_while_there_is_a_client, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_one_after_the_other, listen_setup,
						listen_teardown),
		cmocka_unit_test_setup_teardown(restart_on_a_socket_is_a_power_cycle, listen_setup,
						listen_teardown),
		cmocka_unit_test_setup_teardown(a_path_that_cannot_be_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_is_shared_with_one_client_after_the_other,
						setup, teardown),
	};

	if (argc > 1)
		return card_main(&probe_ops, argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
