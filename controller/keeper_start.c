/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "os/fd.h"
#include "os/spawn.h"
#include "programs.h"
#include "state.h"

#define WORDS_MAX	64u
#define PASSED_FILE_MAX (64u << 10)

struct words {
	char *all[WORDS_MAX + 1];
	size_t count;
	bool full;
};

/* Takes the word over. */
static void add(struct words *words, char *word)
{
	if (word && words->count < WORDS_MAX)
		words->all[words->count++] = word;
	else
		words->full = true;
}

static void add_text(struct words *words, const char *option, const char *text)
{
	add(words, strdup(option));
	if (text)
		add(words, strdup(text));
}

static void add_number(struct words *words, const char *option, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	add_text(words, option, text);
}

static void free_words(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->all[i]);
}

/* ---- descriptors that are passed on ---- */

static int number_of(const char *file)
{
	return file && !strncmp(file, "fd:", 3) ? atoi(file + 3) : -1;
}

/* Where the descriptor was, there is memory with all that it gave: every controller can read it. */
static int copy_file(const char *file, struct error *error)
{
	uint8_t bytes[PASSED_FILE_MAX];
	ssize_t length = tls_read_file(file, bytes, sizeof(bytes), error);
	CLEANUP_CLOSE int memory = -1;
	int ret = 0;

	if (length < 0)
		return (int)length;
	memory = memfd_create("karuta-file", MFD_CLOEXEC);
	if (memory < 0)
		ret = -errno;
	if (ret == 0)
		ret = os_pwrite_all(memory, bytes, (size_t)length, 0);
	explicit_bzero(bytes, sizeof(bytes));
	if (ret == 0 && dup2(memory, number_of(file)) < 0)
		ret = -errno;
	return ret < 0 ? error_set(error, -ret, "%s: %s", file, strerror(-ret)) : 0;
}

static void find_passed(struct keeper_start *start, const struct tls_files *files)
{
	const char *const all[] = {files->authority, files->certificate, files->key};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (number_of(all[i]) >= 0)
			start->passed[start->passed_count++] = number_of(all[i]);
	}
}

static int copy_files(const struct tls_files *files, struct error *error)
{
	const char *const all[] = {files->authority, files->certificate, files->key};
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_LEN(all); i++) {
		if (number_of(all[i]) >= 0)
			ret = copy_file(all[i], error);
	}
	return ret;
}

static int free_number(const struct keeper_start *start)
{
	int number = STDERR_FILENO + 1;

	for (size_t i = 0; i < start->passed_count; i++) {
		if (start->passed[i] >= number)
			number = start->passed[i] + 1;
	}
	return number;
}

/* ---- arguments ---- */

/* What the keeper is started with; behind it follow the controller's. */
static void add_keeper(struct words *words, const struct keeper_start *start, int program)
{
	add_text(words, "karuta-keeper", NULL);
	add_number(words, "--program", program);
	add_number(words, "--end", start->end);
	for (size_t i = 0; i < start->passed_count; i++)
		add_number(words, "--pass", start->passed[i]);
}

/* Nothing of the environment is needed then. What was given comes behind, and counts. */
static int add_controller(struct words *words, const struct keeper_start *start, int argc,
			  char **argv, const char *audit, struct error *error)
{
	char folder[PATH_MAX], state[PATH_MAX];
	int ret = programs_folder(folder, sizeof(folder));

	if (ret < 0)
		return error_set(error, -ret, "/proc/self/exe: %s", strerror(-ret));
	if (!programs_state())
		ret = state_default_path(state, sizeof(state), error);
	if (ret < 0)
		return ret;
	add_text(words, "--", NULL);
	add_text(words, "karuta-controller", NULL);
	add_text(words, "serve", NULL);
	add_number(words, "--keeper-fd", start->end);
	add_text(words, "--programs", folder);
	add_text(words, "--state", programs_state() ? programs_state() : state);
	add_text(words, "--audit", audit);
	for (int i = 1; i < argc; i++)
		add_text(words, argv[i], NULL);
	return words->full ? error_set(error, E2BIG, "too many options") : 0;
}

static int become(const struct words *words, int keeper, int controller, struct error *error)
{
	char *const environment[] = {NULL};

	fcntl(controller, F_SETFD, 0);
	syscall(SYS_execveat, keeper, "", words->all, environment, AT_EMPTY_PATH);
	return error_set(error, errno, "start karuta-keeper: %s", strerror(errno));
}

int keeper_become(int argc, char **argv, const struct tls_files *files, const char *audit,
		  struct error *error)
{
	CLEANUP_CLOSE int keeper = -1;
	CLEANUP_CLOSE int controller = -1;
	struct keeper_start start = {0};
	struct words words = {0};
	int ret = copy_files(files, error);

	if (ret < 0)
		return ret;
	find_passed(&start, files);
	start.end = free_number(&start);
	keeper = programs_open_own("karuta-keeper", error);
	if (keeper < 0)
		return keeper;
	controller = programs_open_own("karuta-controller", error);
	if (controller < 0)
		return controller;
	add_keeper(&words, &start, controller);
	ret = add_controller(&words, &start, argc, argv, audit, error);
	if (ret == 0)
		ret = become(&words, keeper, controller, error);
	free_words(&words);
	return ret;
}

/* ---- again ---- */

int keeper_remember_start(struct keeper_start *start, int end, char **argv,
			  const struct tls_files *files, struct error *error)
{
	*start = (struct keeper_start){.arguments = argv, .end = end, .program = end + 1};
	fcntl(end, F_SETFD, FD_CLOEXEC);
	fcntl(end + 1, F_SETFD, FD_CLOEXEC);
	find_passed(start, files);
	for (size_t i = 0; i < start->passed_count; i++) {
		start->copies[i] = fcntl(start->passed[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (start->copies[i] < 0)
			return error_set(error, errno, "fd:%d: %s", start->passed[i],
					 strerror(errno));
	}
	return 0;
}

/* Numbers that nobody else has there. */
struct numbers {
	int program, socket;
};

static int spawn(const struct keeper_start *start, int program, int theirs,
		 const struct numbers *numbers, char *const *words, pid_t *pid)
{
	struct os_spawn_fd fds[KEEPER_PASSED_MAX + 5] = {{0, 0}, {1, 1}, {2, 2}};
	CLEANUP_CLOSE int pidfd = -1;
	size_t count = 3;

	for (size_t i = 0; i < start->passed_count; i++)
		fds[count++] = (struct os_spawn_fd){start->copies[i], start->passed[i]};
	fds[count++] = (struct os_spawn_fd){program, numbers->program};
	fds[count++] = (struct os_spawn_fd){theirs, numbers->socket};
	return os_spawn(start->program, words, fds, count, false, NULL, pid, &pidfd);
}

static void add_own(struct words *words, const struct keeper_start *start,
		    const struct numbers *numbers)
{
	add_keeper(words, start, numbers->program);
	add_number(words, "--socket", numbers->socket);
	add_number(words, "--controller", getpid());
	add_text(words, "--", NULL);
	add_text(words, "karuta-controller", NULL);
	for (size_t i = 0; start->arguments[i]; i++)
		add_text(words, start->arguments[i], NULL);
}

int keeper_again(const struct keeper_start *start, int *socket, pid_t *pid, struct error *error)
{
	struct numbers numbers = {free_number(start), free_number(start) + 1};
	CLEANUP_CLOSE int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CLEANUP_CLOSE int theirs = -1;
	struct words words = {0};
	int pair[2], ret = os_packet_pair(pair);

	if (ret < 0)
		return error_set(error, -ret, "%s", strerror(-ret));
	*socket = pair[0];
	theirs = pair[1];
	add_own(&words, start, &numbers);
	ret = words.full ? -E2BIG : spawn(start, program, theirs, &numbers, words.all, pid);
	free_words(&words);
	if (ret == 0)
		return 0;
	os_close(socket);
	return error_set(error, -ret, "start karuta-keeper: %s", strerror(-ret));
}
