/* SPDX-License-Identifier: Apache-2.0 */
/* The tutorial card as a controller and a hypervisor see it. */
#include "card_harness.h"

#define BAR	 0u
#define SCRATCH	 0x00u
#define RINGS	 0x08u
#define DOORBELL 0x10u
#define TABLE	 0x1000u
#define PENDING	 0x1800u

static int setup(void **state)
{
	static struct harness harness;

	harness_open(&harness, harness_program("karuta-card-null"));
	*state = &harness;
	return 0;
}

/* Whatever a failed test left behind dies with it. */
static int teardown(void **state)
{
	struct harness *harness = *state;

	if (harness->pid > 0 && harness->pidfd >= 0) {
		kill(harness->pid, SIGKILL);
		waitpid(harness->pid, NULL, 0);
	}
	harness_close(harness);
	return 0;
}

static void run_to_end(struct harness *harness, const char *const *arguments, int code,
		       const char *text)
{
	harness_spawn(harness, arguments, -1);
	assert_int_equal(harness_wait(harness), code);
	assert_non_null(strstr(harness_output(harness), text));
}

static void answers_questions(void **state)
{
	struct harness *harness = *state;

	run_to_end(harness, (const char *[]){"--help", NULL}, 0, "usage: karuta-card-null");
	run_to_end(harness, (const char *[]){"--version", NULL}, 0, "karuta-card-null ");
	run_to_end(harness, (const char *[]){"--state-size", NULL}, 0, "4112\n");
}

static void refuses_a_wrong_command_line(void **state)
{
	struct harness *harness = *state;

	run_to_end(harness, (const char *[]){NULL}, 2, "--listen PATH and --bus-fd N");
	run_to_end(harness, (const char *[]){"--listen", "x", "--bus-fd", "4", NULL}, 2,
		   "--listen PATH and --bus-fd N");
	run_to_end(harness, (const char *[]){"--bus-fd", "77", NULL}, 2, "--bus-fd 77");
	run_to_end(harness, (const char *[]){"--bus-fd", "4x", NULL}, 2, "not a number");
	run_to_end(harness, (const char *[]){"--bus-fd", "-1", NULL}, 2, "not a number");
	run_to_end(harness, (const char *[]){"--bus-fd", "1", NULL}, 2, "--bus-fd 1");
	run_to_end(harness, (const char *[]){"--bus-fd", NULL}, 2, "needs an argument");
	run_to_end(harness, (const char *[]){"--gold", NULL}, 2, "--gold: unknown option");
	run_to_end(harness, (const char *[]){"--bus-fd", "4", "more", NULL}, 2, "more: unexpected");
	run_to_end(harness, (const char *[]){"--user", "0", NULL}, 2, "--user 0");
	run_to_end(harness, (const char *[]){"--bus-fd", "4", NULL}, 1, "not a stream socket");
}

/* The value of a line of /proc/PID/status. */
static uint64_t proc_value(const struct harness *harness, const char *name, int base)
{
	char path[64], text[8192];
	ssize_t length;
	const char *at;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", harness->pid);
	fd = open(path, O_RDONLY);
	length = os_read_full(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(length > 0);
	text[length] = '\0';
	at = strstr(text, name);
	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, base);
}

static void is_ready_only_in_the_sandbox(void **state)
{
	struct harness *harness = *state;
	int socket = harness_launch(harness, NULL);

	harness_wait_state(harness, STATUS_READY);
	assert_int_equal(proc_value(harness, "Seccomp:", 10), 2);
	assert_int_equal(proc_value(harness, "NoNewPrivs:", 10), 1);
	assert_int_equal(proc_value(harness, "CapEff:", 16), 0);
	assert_int_equal(proc_value(harness, "CapPrm:", 16), 0);
	assert_int_equal(proc_value(harness, "CapBnd:", 16), 0);
	assert_int_equal(proc_value(harness, "Threads:", 10), 1);
	if (!geteuid())
		assert_int_equal(proc_value(harness, "Uid:", 10), CARD_USER);
	close(socket);
	assert_int_equal(harness_wait(harness), 0);
}

static void shows_what_it_is(void **state)
{
	struct harness *harness = *state;
	struct vfu_info info;
	struct vfu_region_info region;
	uint32_t vectors;

	harness_start(harness, NULL);
	assert_int_equal(vfu_client_info(harness->client, &info), 0);
	assert_true(info.can_reset);
	assert_int_equal(vfu_client_region(harness->client, BAR, &region), 0);
	assert_int_equal(region.size, 8192);
	assert_int_equal(vfu_client_region(harness->client, VFU_REGION_CONFIG, &region), 0);
	assert_int_equal(region.size, 256);
	assert_int_equal(vfu_client_irq(harness->client, VFU_IRQ_MSIX, &vectors), 0);
	assert_int_equal(vectors, 2);
	assert_int_equal(harness_read(harness, VFU_REGION_CONFIG, PCI_VENDOR_ID, 4), 0x14b52);
}

static void registers_keep_what_is_written(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_write(harness, BAR, SCRATCH, 8, UINT64_C(0x1122334455667788));
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), UINT64_C(0x1122334455667788));
	harness_write(harness, BAR, SCRATCH + 2, 1, 0xaa);
	assert_int_equal(harness_read(harness, BAR, SCRATCH + 1, 4), 0x4455aa77);
	harness_write(harness, BAR, SCRATCH + 6, 4, 0);
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), UINT64_C(0x1122334455aa7788));
	assert_int_equal(harness_read(harness, BAR, 0x800, 8), 0);
}

static void table_and_pending_bits_are_the_hosts(void **state)
{
	struct harness *harness = *state;
	uint8_t bytes[0x1900];

	harness_start(harness, NULL);
	harness_write(harness, BAR, TABLE, 8, ~UINT64_C(0));
	harness_write(harness, BAR, PENDING, 8, ~UINT64_C(0));
	harness_write(harness, BAR, SCRATCH, 8, 5);
	memset(bytes, 0xee, sizeof(bytes));
	assert_int_equal(vfu_client_read(harness->client, BAR, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[0], 5);
	for (size_t i = 1; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
}

static struct vfu_client_io_fd find_doorbell(struct harness *harness)
{
	struct vfu_client_io_fd io_fds[VFU_CLIENT_IO_FDS];

	assert_int_equal(vfu_client_io_fds(harness->client, BAR, io_fds), 1);
	assert_int_equal(io_fds[0].offset, DOORBELL);
	assert_true(io_fds[0].fd >= 0);
	return io_fds[0];
}

static void wait_interrupt(int fd)
{
	assert_int_equal(os_wait(fd, POLLIN, os_now() + PATIENCE_MS * NS_PER_MS), POLLIN);
	assert_true(os_eventfd_drain(fd) > 0);
}

static void doorbell_raises_the_interrupt(void **state)
{
	struct harness *harness = *state;
	struct vfu_client_io_fd doorbell;
	int interrupt = os_eventfd();

	harness_start(harness, NULL);
	harness_master(harness, true);
	doorbell = find_doorbell(harness);
	assert_int_equal(vfu_client_bind_irqs(harness->client, VFU_IRQ_MSIX, 0, &interrupt, 1), 0);
	os_eventfd_signal(doorbell.fd);
	wait_interrupt(interrupt);
	assert_int_equal(harness_read(harness, BAR, RINGS, 8), 1);
	harness_write(harness, BAR, DOORBELL, 4, 1);
	wait_interrupt(interrupt);
	assert_int_equal(harness_read(harness, BAR, RINGS, 8), 2);
	assert_int_equal(harness_status(harness).counters[STATUS_CARD_INTERRUPTS], 2);
	close(doorbell.fd);
	close(interrupt);
}

static void interrupts_wait_for_nobody(void **state)
{
	struct harness *harness = *state;
	int interrupt = os_eventfd();

	harness_start(harness, NULL);
	harness_write(harness, BAR, DOORBELL, 4, 1);
	harness_master(harness, true);
	harness_write(harness, BAR, DOORBELL, 4, 1);
	harness_master(harness, false);
	assert_int_equal(vfu_client_bind_irqs(harness->client, VFU_IRQ_MSIX, 0, &interrupt, 1), 0);
	harness_write(harness, BAR, DOORBELL, 4, 1);
	assert_int_equal(harness_read(harness, BAR, RINGS, 8), 3);
	assert_int_equal(os_eventfd_drain(interrupt), 0);
	close(interrupt);
}

static void both_resets_clear_it(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_write(harness, BAR, SCRATCH, 8, 7);
	harness_master(harness, true);
	assert_int_equal(vfu_client_reset(harness->client), 0);
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), 0);
	assert_int_equal(harness_read(harness, VFU_REGION_CONFIG, PCI_COMMAND, 2), 0);
	harness_write(harness, BAR, SCRATCH, 8, 7);
	harness_write(harness, VFU_REGION_CONFIG, 0x58, 2, 0x8000);
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), 0);
	assert_int_equal(harness_status(harness).counters[STATUS_CARD_RESETS], 2);
}

static void forbidden_write_is_a_security_event(void **state)
{
	struct harness *harness = *state;
	struct status_view view;

	harness_start(harness, NULL);
	harness_write(harness, VFU_REGION_CONFIG, PCI_VENDOR_ID, 2, 0x8086);
	assert_int_equal(harness_read(harness, VFU_REGION_CONFIG, PCI_VENDOR_ID, 2), 0x4b52);
	view = harness_status(harness);
	assert_int_equal(view.counters[STATUS_CARD_SECURITY_EVENTS], 1);
	assert_non_null(strstr(view.text, "read-only configuration register 0x00"));
	assert_int_equal(view.state, STATUS_READY);
}

static void state_outlives_the_process(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_master(harness, true);
	harness_write(harness, BAR, SCRATCH, 8, 0xfeed);
	harness_write(harness, BAR, DOORBELL, 4, 1);
	harness_kill(harness, SIGKILL);
	assert_int_equal(harness_wait(harness), -SIGKILL);
	harness_start(harness, NULL);
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), 0xfeed);
	assert_int_equal(harness_read(harness, BAR, RINGS, 8), 1);
	assert_int_equal(harness_read(harness, VFU_REGION_CONFIG, PCI_COMMAND, 2), 6);
	/* It may have been rung while nobody listened. */
	harness_master(harness, true);
	harness_master(harness, true);
	assert_int_equal(harness_read(harness, BAR, RINGS, 8), 2);
}

static void ends_when_the_client_leaves(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	assert_int_equal(harness_status(harness).state, STATUS_ENDED);
	assert_string_equal(harness_output(harness), "");
}

static void ends_at_sigterm(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_kill(harness, SIGTERM);
	assert_int_equal(harness_wait(harness), 0);
	assert_int_equal(harness_status(harness).state, STATUS_ENDED);
}

/* What stands in the state area by card/frame.h, and what must not be believed. */
static void refuses_a_spoilt_state_area(void **state)
{
	static const struct {
		unsigned offset;
		const char *text;
	} spoils[] = {
		{0, "neither empty nor a card's"},
		{8, "version"},
		{16, "version"}, /* size */
		{20, "version"},
		{24, "not of a null card"},
		{39, "not of a null card"},
		{40, "configuration space"},	   /* vendor id */
		{40 + 256, "configuration space"}, /* a mask */
		{40 + 512, "configuration space"}, /* a capability's place */
	};
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	for (size_t i = 0; i < ARRAY_LEN(spoils); i++) {
		harness->state[spoils[i].offset] ^= 0x40;
		close(harness_launch(harness, NULL));
		assert_int_equal(harness_wait(harness), 2);
		assert_int_equal(harness_status(harness).state, STATUS_FAILED);
		assert_non_null(strstr(harness_status(harness).text, "state area: refused"));
		assert_non_null(strstr(harness_output(harness), spoils[i].text));
		harness->state[spoils[i].offset] ^= 0x40;
	}
	harness_start(harness, NULL);
}

static void refuses_an_area_of_something_else(void **state)
{
	struct harness *harness = *state;

	harness->state[CARD_STATE_OFFSET + 3] = 1;
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "neither empty"));
}

/* A process that died while it made the area had served nobody. */
static void begins_anew_what_was_never_finished(void **state)
{
	struct harness *harness = *state;

	memcpy(harness->state, "KARSETUP", 8);
	memset(harness->state + CARD_STATE_OFFSET, 0x77, 8);
	harness_start(harness, NULL);
	assert_int_equal(harness_read(harness, BAR, SCRATCH, 8), 0);
	assert_memory_equal(harness->state, "KARSTATE", 8);
}

static void refuses_areas_that_could_shrink(void **state)
{
	struct harness *harness = *state;
	int sealed = harness->state_fd;

	harness->state_fd = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(harness->state_fd, CARD_STATE_AREA_SIZE), 0);
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "not a memfd sealed"));
	close(harness->state_fd);
	harness->state_fd = os_memfd("small", 4096);
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "smaller than the 4112 bytes"));
	close(harness->state_fd);
	harness->state_fd = sealed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_questions, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_wrong_command_line, setup, teardown),
		cmocka_unit_test_setup_teardown(is_ready_only_in_the_sandbox, setup, teardown),
		cmocka_unit_test_setup_teardown(shows_what_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_keep_what_is_written, setup, teardown),
		cmocka_unit_test_setup_teardown(table_and_pending_bits_are_the_hosts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(doorbell_raises_the_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupts_wait_for_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(both_resets_clear_it, setup, teardown),
		cmocka_unit_test_setup_teardown(forbidden_write_is_a_security_event, setup,
						teardown),
		cmocka_unit_test_setup_teardown(state_outlives_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_when_the_client_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_at_sigterm, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_spoilt_state_area, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_an_area_of_something_else, setup, teardown),
		cmocka_unit_test_setup_teardown(begins_anew_what_was_never_finished, setup,
						teardown),
		cmocka_unit_test_setup_teardown(refuses_areas_that_could_shrink, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
