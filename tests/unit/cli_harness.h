/* SPDX-License-Identifier: Apache-2.0 */
/* `karuta`, as it is called from a shell, with a plane that says what it was told: all in a folder
 * of their own. */
#ifndef KARUTA_TEST_CLI_HARNESS_H
#define KARUTA_TEST_CLI_HARNESS_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "cli.h"
#include "fake_plane.h"

#define WORDS 24

static char folder[] = "/tmp/karuta-cli-XXXXXX";
static struct fake_plane plane;
static char out[65536], err[65536], requests[65536];

static inline void read_all(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t length = file ? fread(text, 1, size - 1, file) : 0;

	text[length] = '\0';
	if (file)
		fclose(file);
}

static inline void write_all(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
}

static inline void redirect(const char *path, int flags, int to)
{
	int file = open(path, flags, 0600);

	if (file < 0 || dup2(file, to) < 0)
		_exit(99);
	close(file);
}

/* The words of a command line, separated by blanks; the exit status. */
static inline int karuta(const char *line)
{
	char copy[1024], *argv[WORDS] = {(char *)"karuta"}, *rest = copy;
	int argc = 1, status;
	pid_t child;

	snprintf(copy, sizeof(copy), "%s", line);
	while (argc < WORDS - 1 && (argv[argc] = strtok_r(rest, " ", &rest)))
		argc++;
	fflush(NULL);
	child = fork();
	if (!child) {
		redirect("in", O_RDONLY | O_CREAT, 0);
		redirect("out", O_WRONLY | O_CREAT | O_TRUNC, 1);
		redirect("err", O_WRONLY | O_CREAT | O_TRUNC, 2);
		exit(cli_run(argc, argv));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	read_all("out", out, sizeof(out));
	read_all("err", err, sizeof(err));
	read_all("requests", requests, sizeof(requests));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline void begin(const struct fake_answer *answers)
{
	char text[512];

	unlink("requests");
	fake_plane_start(&plane, answers);
	snprintf(text, sizeof(text),
		 "{\"url\": \"https://127.0.0.1:%u\", \"ca\": \"ca.pem\", \"token\": "
		 "\"karuta_abc\"}",
		 plane.port);
	write_all("plane.json", text);
}

static inline int end(void **state)
{
	(void)state;
	fake_plane_stop(&plane);
	return 0;
}

static inline bool has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("'%s' is not in:\n%s\n(standard error: %s)\n", part, text, err);
	return strstr(text, part) != NULL;
}

/* How often `part` is in what was asked. */
static inline unsigned times(const char *part)
{
	unsigned count = 0;

	for (const char *at = requests; (at = strstr(at, part)); at++)
		count++;
	return count;
}

static inline int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder) || chdir(folder))
		return -1;
	setenv("KARUTA_PLANE", "plane.json", 1);
	return system("CA=other sh " KARUTA_CERTIFICATES " x:host && mv ca.pem other-ca.pem && "
		      "rm ca.key && sh " KARUTA_CERTIFICATES " plane:host me:admin");
}

static inline int tear_down(void **state)
{
	char line[64];

	(void)state;
	snprintf(line, sizeof(line), "rm -r %s", folder);
	return chdir("/") || system(line);
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

#endif
