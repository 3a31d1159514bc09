/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The card frame, by a card of the test's own: the program started with arguments is the card,
 * without any it is the test.
 */
#include "card_harness.h"

#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "mem/mem.h"

/* ---- the card ---- */

enum probe_register {
	DEED = 0x00,   /* write: do it, see below */
	WORKED = 0x08, /* how often work() ran */
	QUIESCED = 0x10,
	MASTERED = 0x18, /* how often bus mastering was switched on */
	OPTION = 0x20,	 /* what --number said */
	KEPT = 0x28,	 /* in the state area */
	ADDRESS = 0x30,	 /* write: read 8 bytes of guest memory there */
	FETCHED = 0x38,	 /* the bytes, or all ones */
	STRAY = 0x40,	 /* how many bytes were written to no register */
};

#define TABLE	 0x1000u
#define PENDING	 0x1800u
#define NOTHING	 0xa5u /* what the rest of the BAR reads as */
#define BAR_SIZE 8192u

enum deed {
	CALL_GETUID = 1,
	OPEN_FILE,
	MAKE_SOCKET,
	RUN_MEMORY,
	NEW_THREAD,
	YIELD, /* its own line of system calls */
	ALLOCATE,
	RUN_ONCE,
	TOUCH_BEYOND,
};

struct probe {
	uint64_t worked, quiesced, mastered, option, stray, fetched;
	const char *fail_open, *fail_start;
	volatile uint8_t *beyond;
};

struct probe_state {
	uint64_t kept;
	uint64_t added; /* in version 3 */
};

static const struct pci_identity probe_identity = {
	.vendor = KARUTA_PCI_VENDOR,
	.device = 0x7777,
	.class_code = 0xff0000,
	.bars = {{.size = BAR_SIZE}},
	.msix_vectors = 3,
	.msix_table_offset = TABLE,
	.msix_pending_offset = PENDING,
};

static const struct card_option probe_options[] = {
	{"number", "N", "shown in a register"},
	{"fail-open", "TEXT", "what open() says"},
	{"fail-start", "HOW", "corrupt or broken"},
};

static const struct jail_syscall probe_calls[] = {
	{SCMP_SYS(sched_yield), "to see that a card has its own lines", {{0}}},
};

static int probe_option(struct card *card, const char *name, const char *argument,
			struct error *error)
{
	struct probe *probe = card_device(card);

	if (!strcmp(name, "number"))
		probe->option = strtoull(argument, NULL, 10);
	else if (!strcmp(name, "fail-open"))
		probe->fail_open = argument;
	else
		probe->fail_start = argument;
	return probe->option == 13 ? error_set(error, EINVAL, "--number 13: brings bad luck") : 0;
}

/* A page of a file that ends before it: its own SIGBUS, which nothing guards. */
static int probe_open(struct card *card, struct error *error)
{
	struct probe *probe = card_device(card);
	int fd = memfd_create("beyond", MFD_CLOEXEC);

	if (probe->fail_open)
		return error_set(error, EIO, "%s", probe->fail_open);
	probe->beyond = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return 0;
}

static int probe_start(struct card *card, bool fresh, struct error *error)
{
	const struct probe *probe = card_device(card);

	(void)fresh;
	if (!probe->fail_start)
		return 0;
	return strcmp(probe->fail_start, "corrupt") ? error_set(error, EIO, "it broke")
						    : error_set(error, EPROTO, "state is corrupt");
}

static void allocate(void)
{
	volatile uint8_t *small[256];
	uint8_t *big = malloc(1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		small[i] = calloc(1, 3000);
	big = realloc(big, 8 << 20);
	if (big)
		memset(big, 1, 8 << 20);
	free(big);
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		free((void *)small[i]);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void run_once(void)
{
}

static void do_deed(struct probe *probe, uint64_t deed)
{
	switch (deed) {
	case CALL_GETUID:
		syscall(SYS_getuid);
		break;
	case OPEN_FILE:
		open("/", O_RDONLY);
		break;
	case MAKE_SOCKET:
		socket(AF_INET, SOCK_STREAM, 0);
		break;
	case RUN_MEMORY:
		mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case NEW_THREAD:
		syscall(SYS_clone, CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL);
		break;
	case YIELD:
		sched_yield();
		break;
	case ALLOCATE:
		allocate();
		break;
	case RUN_ONCE:
		pthread_once(&once, run_once);
		break;
	case TOUCH_BEYOND:
		(void)*probe->beyond;
		break;
	default:
		break;
	}
}

static void probe_read(struct card *card, unsigned bar, uint64_t offset, void *to, uint32_t length)
{
	const struct probe *probe = card_device(card);
	const struct probe_state *state = card_state(card);
	const uint64_t registers[] = {
		[WORKED / 8] = probe->worked,	  [QUIESCED / 8] = probe->quiesced,
		[MASTERED / 8] = probe->mastered, [OPTION / 8] = probe->option,
		[KEPT / 8] = state->kept,	  [FETCHED / 8] = probe->fetched,
		[STRAY / 8] = probe->stray,
	};

	(void)bar;
	memset(to, NOTHING, length);
	if (offset < sizeof(registers))
		memcpy(to, (const uint8_t *)registers + offset,
		       min_u64(length, sizeof(registers) - offset));
}

static void probe_write(struct card *card, unsigned bar, uint64_t offset, const void *from,
			uint32_t length)
{
	struct probe *probe = card_device(card);
	struct probe_state *state = card_state(card);
	uint64_t value = 0;

	(void)bar;
	memcpy(&value, from, length < 8 ? length : 8);
	if (offset > STRAY)
		probe->stray += length;
	else if (offset == KEPT)
		state->kept = value;
	else if (offset == DEED)
		do_deed(probe, value);
	else if (offset == ADDRESS &&
		 mem_read(card_memory(card), value, &probe->fetched, sizeof(probe->fetched)))
		probe->fetched = UINT64_MAX;
}

static bool probe_work(struct card *card)
{
	struct probe *probe = card_device(card);

	probe->worked++;
	return false;
}

static void probe_quiesce(struct card *card)
{
	struct probe *probe = card_device(card);

	probe->quiesced++;
}

static void probe_master(struct card *card, bool on)
{
	struct probe *probe = card_device(card);

	probe->mastered += on;
}

static void probe_reset(struct card *card)
{
	struct probe_state *state = card_state(card);

	state->kept = 0;
}

static const struct card_ops probe_ops = {
	.name = "probe",
	.summary = "for the tests of the frame",
	.identity = &probe_identity,
	.state_version = 3,
	.readable_from = 3,
	.state_size = sizeof(struct probe_state),
	.older_size = sizeof(struct probe_state) - 8,
	.device_size = sizeof(struct probe),
	.options = probe_options,
	.option_count = ARRAY_LEN(probe_options),
	.system_calls = probe_calls,
	.system_call_count = ARRAY_LEN(probe_calls),
	.option = probe_option,
	.open = probe_open,
	.start = probe_start,
	.bar_read = probe_read,
	.bar_write = probe_write,
	.work = probe_work,
	.quiesce = probe_quiesce,
	.master = probe_master,
	.reset = probe_reset,
};

/* ---- the tests ---- */

static int setup(void **state)
{
	static struct harness harness;

	harness_open(&harness, harness_program(NULL));
	*state = &harness;
	return 0;
}

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
static void wait_worked(struct harness *harness)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (harness_read(harness, 0, WORKED, 8))
			return;
		usleep(1000);
	}
	fail_msg("work() was never called");
}

static void work_runs_while_there_is_a_client(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	wait_worked(harness);
}

/* Who takes a running device over has to give it its memory back before it goes on. */
static void work_is_held_after_a_restart(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	harness_master(harness, true);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
	harness_kill(harness, SIGKILL);
	harness_wait(harness);
	harness_start(harness, NULL);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(harness_read(harness, 0, WORKED, 8), 0);
	harness_master(harness, true);
	wait_worked(harness);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
}

/* The page outlives the process. */
static void counters_go_on_from_what_is_there(void **state)
{
	struct harness *harness = *state;

	harness_start(harness, NULL);
	status_count(harness->status, STATUS_CARD_CLIENTS, 5);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	assert_int_equal(harness_status(harness).counters[STATUS_CARD_CLIENTS], 6);
}

/* The header: frame.h. */
struct area_header {
	uint64_t magic;
	uint32_t frame_version, readable_from;
	uint32_t size, state_version;
};

static struct area_header *left_by_another(struct harness *harness, uint32_t version, int more)
{
	struct area_header *header = (struct area_header *)harness->state;

	memset(harness->state, 0, CARD_STATE_AREA_SIZE);
	harness_start(harness, NULL);
	harness_disconnect(harness);
	assert_int_equal(harness_wait(harness), 0);
	header->state_version = version;
	header->size = (uint32_t)((int)header->size + more);
	return header;
}

static void expect_refused(struct harness *harness)
{
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 2);
	assert_non_null(strstr(harness_output(harness), "this program has 2.3 of"));
}

static void goes_on_from_one_version_older(void **state)
{
	struct harness *harness = *state;
	struct area_header *header = left_by_another(harness, 2, -8);
	uint8_t *added = harness->state + header->size;

	added[0] = 0xaa; /* nobody's: before that version it was behind the end */
	harness_start(harness, NULL);
	assert_int_equal(header->state_version, 3);
	assert_int_equal(header->size, CARD_STATE_OFFSET + sizeof(struct probe_state));
	assert_int_equal(added[0], 0);
}

static void goes_on_from_one_version_newer(void **state)
{
	struct harness *harness = *state;
	struct area_header *header = left_by_another(harness, 4, 16);

	harness_start(harness, NULL);
	assert_int_equal(header->state_version, 3);
	assert_int_equal(header->size, CARD_STATE_OFFSET + sizeof(struct probe_state));
}

static void newer_version_that_says_so_is_refused(void **state)
{
	left_by_another(*state, 4, 16)->readable_from = 4;
	expect_refused(*state);
}

static void version_further_away_is_refused(void **state)
{
	left_by_another(*state, 1, -8);
	expect_refused(*state);
	left_by_another(*state, 5, 0)->readable_from = 3;
	expect_refused(*state);
}

static void wrong_size_is_refused(void **state)
{
	left_by_another(*state, 3, -8);
	expect_refused(*state);
	left_by_another(*state, 2, 0);
	expect_refused(*state);
	left_by_another(*state, 4, -8);
	expect_refused(*state);
}

/* ---- standing by ---- */

static void goes_on_when_it_is_told_to(void **state)
{
	struct harness *harness = *state;
	pid_t first;
	int socket;

	harness_start(harness, NULL);
	harness_master(harness, true);
	first = harness->pid;
	socket = harness_launch_beside(harness);
	assert_int_equal(harness_status(harness).state, STATUS_READY); /* of the first */
	harness_disconnect(harness);
	assert_int_equal(waitpid(first, NULL, 0), first);
	harness_wait_state(harness, STATUS_READY);
	assert_false(harness_status(harness).standing_by);
	harness_connect(harness, socket);
	assert_int_equal(harness_read(harness, 0, MASTERED, 8), 1);
}

static void goes_on_when_the_other_is_killed(void **state)
{
	struct harness *harness = *state;
	pid_t first;

	harness_start(harness, NULL);
	first = harness->pid;
	close(harness_launch_beside(harness));
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(harness_wait(harness), 0); /* its link is closed */
	assert_int_equal(waitpid(first, NULL, 0), first);
}

static void one_process_at_a_time_has_the_area(void **state)
{
	struct harness *harness = *state;
	pid_t first;

	harness_start(harness, NULL);
	first = harness->pid;
	close(harness_launch(harness, NULL));
	assert_int_equal(harness_wait(harness), 1);
	assert_non_null(strstr(harness_output(harness), "state area: another process has it"));
	harness_disconnect(harness);
	assert_int_equal(waitpid(first, NULL, 0), first);
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
		cmocka_unit_test_setup_teardown(work_is_held_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_go_on_from_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_from_one_version_older, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_from_one_version_newer, setup, teardown),
		cmocka_unit_test_setup_teardown(newer_version_that_says_so_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(version_further_away_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_size_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_when_it_is_told_to, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_when_the_other_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(one_process_at_a_time_has_the_area, setup,
						teardown),
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
