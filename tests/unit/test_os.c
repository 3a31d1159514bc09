/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/base.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/loop.h"
#include "os/memfd.h"
#include "os/newfile.h"
#include "os/room.h"
#include "os/sigbus.h"
#include "os/spawn.h"

static void descriptors_travel_with_the_first_byte(void **state)
{
	struct iovec iov = {"x", 1};
	int pair[2], got[2], passed = os_eventfd();
	size_t count;
	char byte;

	(void)state;
	assert_int_equal(os_socket_pair(pair), 0);
	assert_int_equal(os_send(pair[0], &iov, 1, &passed, 1, 0), 1);
	assert_int_equal(os_receive(pair[1], &byte, 1, got, 2, &count, 0), 1);
	assert_int_equal(count, 1);
	os_eventfd_signal(passed);
	assert_int_equal(os_eventfd_drain(got[0]), 1);
	close(got[0]);
	close(passed);
	close(pair[0]);
	close(pair[1]);
}

static void too_many_descriptors_are_closed(void **state)
{
	struct iovec iov = {"x", 1};
	int pair[2], got[1], passed[3], before = dup(0), after;
	size_t count;
	char byte;

	(void)state;
	close(before);
	assert_int_equal(os_socket_pair(pair), 0);
	for (int i = 0; i < 3; i++)
		passed[i] = os_eventfd();
	assert_int_equal(os_send(pair[0], &iov, 1, passed, 3, 0), 1);
	assert_int_equal(os_receive(pair[1], &byte, 1, got, 1, &count, 0), -EMSGSIZE);
	for (int i = 0; i < 3; i++)
		close(passed[i]);
	close(pair[0]);
	close(pair[1]);
	after = dup(0);
	close(after);
	assert_int_equal(after, before); /* the lowest free number is the same: nothing leaked */
}

static void full_eventfd_does_not_block(void **state)
{
	uint64_t limit = UINT64_MAX - 1;
	int fd = os_eventfd();

	(void)state;
	assert_int_equal(write(fd, &limit, sizeof(limit)), sizeof(limit));
	os_eventfd_signal(fd);
	assert_int_equal(os_eventfd_drain(fd), limit);
	assert_int_equal(os_eventfd_drain(fd), 0);
	close(fd);
}

static void shared_eventfd_does_not_block(void **state)
{
	int fd = os_eventfd();

	(void)state;
	assert_int_equal(os_set_nonblocking(fd, false), 0);
	assert_int_equal(os_eventfd_drain_shared(fd), 0);
	os_eventfd_signal(fd);
	assert_int_equal(os_eventfd_drain_shared(fd), 1);
	close(fd);
}

static void wait_ends_at_the_deadline(void **state)
{
	int fd = os_eventfd();
	uint64_t deadline = os_now() + 5 * NS_PER_MS;

	(void)state;
	assert_int_equal(os_wait(fd, POLLIN, deadline), 0);
	assert_true(os_now() >= deadline);
	os_eventfd_signal(fd);
	assert_int_equal(os_wait(fd, POLLIN, 0), POLLIN);
	close(fd);
}

static void memfd_keeps_its_size(void **state)
{
	int fd = os_memfd("test", 8192);
	void *mapping;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 16384), -1);
	assert_int_equal(os_map(fd, 4096, 8192, true, &mapping), -EINVAL);
	assert_int_equal(os_map(fd, UINT64_MAX - 4095, 8192, true, &mapping), -EINVAL);
	assert_int_equal(os_map(fd, 4096, 4096, true, &mapping), 0);
	os_unmap(mapping, 4096);
	close(fd);
}

static void read_only_memfd_cannot_be_written(void **state)
{
	int fd = os_memfd("test", 4096), view = os_memfd_read_only(fd);
	void *mapping;

	(void)state;
	assert_true(view >= 0);
	assert_int_equal(os_map(view, 0, 4096, true, &mapping), -EACCES);
	assert_int_equal(os_map(view, 0, 4096, false, &mapping), 0);
	assert_int_equal(mprotect(mapping, 4096, PROT_READ | PROT_WRITE), -1);
	os_unmap(mapping, 4096);
	close(view);
	close(fd);
}

/* What was copied is what is executed, whatever becomes of the file. */
static void sealed_copy_stays_what_it_was(void **state)
{
	int file = open("/bin/true", O_RDONLY | O_CLOEXEC), full = open("/dev/zero", O_RDONLY);
	int other = memfd_create("file", MFD_CLOEXEC), copy, program, pidfd, status;
	char *argv[] = {"true", NULL};
	uint64_t size;
	void *mapping;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(write(other, "abc", 3), 3);
	copy = os_copy_sealed(other, "copy", 3, &size);
	assert_true(copy >= 0);
	assert_int_equal(size, 3);
	assert_int_equal(pwrite(other, "x", 1, 0), 1);
	assert_int_equal(pread(copy, &byte, 1, 0), 1);
	assert_int_equal(byte, 'a');
	assert_int_equal(pwrite(copy, "x", 1, 0), -1);
	assert_int_equal(ftruncate(copy, 0), -1);
	assert_int_equal(os_map(copy, 0, 3, true, &mapping), -EPERM);
	assert_int_equal(os_copy_sealed(other, "copy", 2, &size), -EFBIG);
	assert_int_equal(os_copy_sealed(full, "copy", 1 << 20, &size), -EFBIG);
	program = os_copy_sealed(file, "true", 1 << 30, &size);
	assert_true(program >= 0);
	assert_int_equal(os_spawn(program, argv, NULL, 0, true, NULL, &pid, &pidfd), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pidfd);
	close(program);
	close(copy);
	close(other);
	close(full);
	close(file);
}

static void truncated_file_reads_as_zeros(void **state)
{
	int fd = memfd_create("shrinks", MFD_CLOEXEC);
	uint8_t *mapping;
	uint64_t before = os_sigbus_count();

	(void)state;
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(os_map(fd, 0, 8192, true, (void **)&mapping), 0);
	assert_int_equal(os_sigbus_install(), 0);
	assert_int_equal(os_sigbus_guard(mapping, 8192), 0);
	mapping[4096] = 1;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(*(volatile uint8_t *)&mapping[4096], 0);
	assert_int_equal(os_sigbus_count(), before + 1);
	os_sigbus_release(mapping);
	os_unmap(mapping, 8192);
	close(fd);
}

/* Every second page: each splits the mapping in two, until no process may have more mappings. */
static void truncation_cannot_use_up_the_mappings(void **state)
{
	const uint64_t size = 80000 * 4096ul;
	int fd = memfd_create("shrinks", MFD_CLOEXEC);
	uint8_t *mapping;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(os_map(fd, 0, size, true, (void **)&mapping), 0);
	assert_int_equal(os_sigbus_install(), 0);
	assert_int_equal(os_sigbus_guard(mapping, size), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	for (uint64_t at = 0; at < size; at += 8192)
		assert_int_equal(*(volatile uint8_t *)&mapping[at], 0);
	os_sigbus_release(mapping);
	os_unmap(mapping, size);
	close(fd);
}

/* The handler is told of broken memory by a signal that the test sends itself. */
static void broken_memory_ends_the_program(void **state)
{
	int fd = os_memfd("breaks", 4096), status;
	siginfo_t info = {.si_signo = SIGBUS, .si_code = BUS_MCEERR_AR};
	void *mapping;
	pid_t child;

	(void)state;
	assert_int_equal(os_map(fd, 0, 4096, true, &mapping), 0);
	info.si_addr = mapping;
	child = fork();
	if (!child) {
		os_sigbus_install();
		os_sigbus_guard(mapping, 4096);
		/* The second one stands for the access that is done again. */
		for (int i = 0; i < 2; i++)
			syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	os_unmap(mapping, 4096);
	close(fd);
}

static bool is_mapped(void *address)
{
	unsigned char resident;

	return !mincore(address, 4096, &resident);
}

/* Where the machine has huge pages set aside (vm.nr_hugepages). QEMU's windows begin and end in the
 * middle of them. */
static void parts_of_huge_pages_are_mapped(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	uint8_t *whole = NULL, *part;

	(void)state;
	if (fd < 0 || ftruncate(fd, 4 * MIB) < 0 ||
	    os_map(fd, 0, 4 * MIB, true, (void **)&whole) < 0) {
		os_close(&fd);
		skip();
	}
	assert_int_equal(os_map(fd, MIB, 2 * MIB, true, (void **)&part), 0);
	whole[MIB] = 1;
	whole[3 * MIB - 1] = 2;
	assert_int_equal(part[0], 1);
	assert_int_equal(part[2 * MIB - 1], 2);
	os_unmap(part, 2 * MIB);
	assert_false(is_mapped(part - MIB));
	assert_false(is_mapped(part));
	assert_false(is_mapped(part + 3 * MIB - 4096));
	os_unmap(whole, 4 * MIB);
	close(fd);
}

static void huge_pages_are_replaced_and_unmapped_whole(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	uint8_t *mapping = NULL;

	(void)state;
	if (fd < 0 || ftruncate(fd, 4 * MIB) < 0 ||
	    os_map(fd, 0, 2 * MIB + 4096, true, (void **)&mapping) < 0) {
		os_close(&fd);
		skip();
	}
	assert_int_equal(os_sigbus_install(), 0);
	assert_int_equal(os_sigbus_guard(mapping, 2 * MIB + 4096), 0);
	mapping[4096] = 1;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(*(volatile uint8_t *)&mapping[4096], 0);
	os_sigbus_release(mapping);
	os_unmap(mapping, 2 * MIB + 4096);
	assert_false(is_mapped(mapping));
	assert_false(is_mapped(mapping + 4 * MIB - 4096));
	close(fd);
}

struct pair_of_sources {
	struct os_loop *loop;
	int a, b, calls;
};

/* Whichever is called first removes the other. */
static void remove_other(void *context, int fd, uint32_t events)
{
	struct pair_of_sources *pair = context;

	(void)events;
	pair->calls++;
	os_loop_remove(pair->loop, fd == pair->a ? pair->b : pair->a);
}

static void removed_source_is_not_called(void **state)
{
	struct pair_of_sources pair = {.a = os_eventfd(), .b = os_eventfd()};

	(void)state;
	assert_int_equal(os_loop_create(&pair.loop), 0);
	assert_int_equal(os_loop_add(pair.loop, pair.a, EPOLLIN, remove_other, &pair), 0);
	assert_int_equal(os_loop_add(pair.loop, pair.b, EPOLLIN, remove_other, &pair), 0);
	assert_int_equal(os_loop_add(pair.loop, pair.b, EPOLLIN, remove_other, &pair), -EEXIST);
	os_eventfd_signal(pair.a);
	os_eventfd_signal(pair.b);
	assert_int_equal(os_loop_once(pair.loop, 0), 1);
	assert_int_equal(pair.calls, 1);
	os_loop_destroy(pair.loop);
	close(pair.a);
	close(pair.b);
}

/* A shell's descriptors, listed by a child of its own while it waits: 0 1 2, and the pipe that it
 * was given as 7. */
static void spawned_program_has_only_its_descriptors(void **state)
{
	int program = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	int stray = dup(0), pair[2], pidfd, status;
	char *argv[] = {"sh", "-c", "(exec ls /proc/$$/fd >&7); [ -z \"$HOME\" ]", NULL};
	char text[128] = "";
	pid_t pid;

	(void)state;
	assert_int_equal(os_pipe(pair), 0);
	assert_int_equal(os_spawn(program, argv, &(struct os_spawn_fd){pair[1], 7}, 1, true, NULL,
				  &pid, &pidfd),
			 0);
	close(pair[1]);
	assert_true(os_read_full(pair[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "0\n1\n2\n7\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pidfd);
	close(pair[0]);
	close(program);
	close(stray);
}

static void spawn_tells_why_it_failed(void **state)
{
	int program = os_memfd("not a program", 4096), pidfd;
	char *argv[] = {"x", NULL};
	pid_t pid;

	(void)state;
	assert_int_equal(os_spawn(program, argv, NULL, 0, false, NULL, &pid, &pidfd), -ENOEXEC);
	close(program);
}

/* What a shell says that was started there. */
static const char *ask(const char *script, const struct os_spawn_place *place)
{
	static char text[512];
	int program = open("/bin/sh", O_RDONLY | O_CLOEXEC), pair[2], pidfd, status;
	char *argv[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
	struct os_spawn_fd fds[] = {{0, 1}};
	ssize_t length;
	pid_t pid;

	assert_int_equal(os_pipe(pair), 0);
	fds[0].from = pair[1];
	assert_int_equal(os_spawn(program, argv, fds, 1, true, place, &pid, &pidfd), 0);
	close(pair[1]);
	length = os_read_full(pair[0], text, sizeof(text) - 1);
	assert_true(length >= 0);
	text[length] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pidfd);
	close(pair[0]);
	close(program);
	return text;
}

static void spawned_program_is_born_in_its_cgroup(void **state)
{
	CLEANUP_CLOSE int root = os_cgroup_root();
	struct os_spawn_place place = {.cgroup = -1};
	char name[32], wanted[64];

	(void)state;
	snprintf(name, sizeof(name), "karuta-test-%d", getpid());
	if (root >= 0)
		place.cgroup = os_cgroup_make(root, name);
	if (place.cgroup < 0)
		skip();
	snprintf(wanted, sizeof(wanted), "/%s\n", name);
	assert_non_null(strstr(ask("cat /proc/$$/cgroup", &place), wanted));
	close(place.cgroup);
	assert_int_equal(os_cgroup_remove(root, name), 0);
}

static void spawned_program_may_use_all_processors(void **state)
{
	static const char script[] = "exec grep Cpus_allowed_list /proc/self/status";
	struct os_spawn_place place = {.cgroup = -1};
	char before[64], one[64], all[64];
	cpu_set_t was, first;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(was), &was), 0);
	if (CPU_COUNT(&was) < 2)
		skip();
	CPU_ZERO(&first);
	for (size_t cpu = 0; !CPU_COUNT(&first); cpu++) {
		if (CPU_ISSET(cpu, &was))
			CPU_SET(cpu, &first);
	}
	snprintf(before, sizeof(before), "%s", ask(script, NULL));
	sched_setaffinity(0, sizeof(first), &first);
	snprintf(one, sizeof(one), "%s", ask(script, &place));
	place.any_cpu = true;
	snprintf(all, sizeof(all), "%s", ask(script, &place));
	sched_setaffinity(0, sizeof(was), &was);
	assert_string_not_equal(one, before);
	assert_string_equal(all, before);
}

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

#if defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED 0
#endif

static void spawned_program_shares_no_pages_that_are_alike(void **state)
{
	static const char script[] = "exec grep ksm_merge_any /proc/self/ksm_stat";
	char text[64];

	(void)state;
	/* Linux 6.4 has it, 6.16 tells. All of a sanitizer's terabytes would be gone through. */
	if (IS_SANITIZED || prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) < 0)
		skip();
	snprintf(text, sizeof(text), "%s", ask(script, NULL));
	prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	if (!text[0])
		skip();
	assert_string_equal(text, "ksm_merge_any: no\n");
}

/* A kernel or processor without core scheduling, a process that has ended: it starts all the same.
 */
static void spawned_program_starts_without_core_scheduling(void **state)
{
	struct os_spawn_place place = {.cgroup = -1, .core_group = OS_SPAWN_ALONE};

	(void)state;
	assert_string_equal(ask("echo here", &place), "here\n");
	place.core_group = 0x3fffff;
	assert_string_equal(ask("echo here", &place), "here\n");
}

static void new_file_has_a_name_at_its_end_only(void **state)
{
	char folder[] = "/tmp/karuta-newfile-XXXXXX", path[64];
	struct os_newfile file, other;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x", folder);
	assert_int_equal(os_newfile_open(&file, path), 0);
	assert_int_equal(os_write_all(file.fd, "x", 1), 0);
	assert_int_equal(access(path, F_OK), -1);
	os_newfile_close(&file);
	assert_int_equal(access(path, F_OK), -1);
	/* Two at once: one of them gets the name. */
	assert_int_equal(os_newfile_open(&file, path), 0);
	assert_int_equal(os_newfile_open(&other, path), 0);
	assert_int_equal(os_newfile_publish(&file), 0);
	assert_int_equal(os_newfile_publish(&other), -EEXIST);
	os_newfile_close(&file);
	os_newfile_close(&other);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(os_newfile_open(&file, path), -EEXIST);
	os_newfile_close(&file);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0); /* nothing else is left */
	assert_int_equal(os_newfile_open(&file, path), -ENOENT);
	os_newfile_close(&file);
}

/* One kernel file of a cgroup. */
static void write_file(int folder, const char *name, const char *text)
{
	CLEANUP_CLOSE int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(os_write_all(file, text, strlen(text)), 0);
}

static void room_is_what_the_narrowest_cgroup_leaves(void **state)
{
	char folder[] = "/tmp/karuta-room-XXXXXX";
	CLEANUP_CLOSE int root = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY) : -1;
	CLEANUP_CLOSE int outer = os_cgroup_make(root, "a"), inner = os_cgroup_make(outer, "b");
	static const char *const files[] = {"memory.max", "memory.current", "memory.stat"};

	(void)state;
	assert_true(os_room_below(root, "/a/b") == UINT64_MAX);
	write_file(inner, "memory.max", "max\n");
	write_file(inner, "memory.current", "700\n");
	assert_true(os_room_below(root, "/a/b") == UINT64_MAX);
	write_file(outer, "memory.max", "1000\n");
	write_file(outer, "memory.current", "900\n");
	assert_int_equal(os_room_below(root, "/a/b"), 100);
	/* The page cache can be given back, shared memory cannot. */
	write_file(outer, "memory.stat", "anon 1\nfile 300\nfile_mapped 7\nshmem 100\n");
	assert_int_equal(os_room_below(root, "/a/b"), 300);
	write_file(inner, "memory.max", "650\n");
	write_file(inner, "memory.stat", "anon 1\nfile 0\nshmem 0\n");
	assert_int_equal(os_room_below(root, "/a/b"), 0);
	assert_true(os_room_below(root, "/") == UINT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		unlinkat(inner, files[i], 0);
		unlinkat(outer, files[i], 0);
	}
	assert_int_equal(os_cgroup_remove(outer, "b"), 0);
	assert_int_equal(os_cgroup_remove(root, "a"), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void room_of_the_host_can_be_read_again(void **state)
{
	CLEANUP_CLOSE int room = os_room_open();

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_in_range(os_room_of_host(room), 1, UINT64_MAX - 1);
	assert_true(os_room_of_host(-1) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_travel_with_the_first_byte),
		cmocka_unit_test(too_many_descriptors_are_closed),
		cmocka_unit_test(full_eventfd_does_not_block),
		cmocka_unit_test(shared_eventfd_does_not_block),
		cmocka_unit_test(new_file_has_a_name_at_its_end_only),
		cmocka_unit_test(wait_ends_at_the_deadline),
		cmocka_unit_test(memfd_keeps_its_size),
		cmocka_unit_test(read_only_memfd_cannot_be_written),
		cmocka_unit_test(sealed_copy_stays_what_it_was),
		cmocka_unit_test(truncated_file_reads_as_zeros),
		cmocka_unit_test(truncation_cannot_use_up_the_mappings),
		cmocka_unit_test(broken_memory_ends_the_program),
		cmocka_unit_test(parts_of_huge_pages_are_mapped),
		cmocka_unit_test(huge_pages_are_replaced_and_unmapped_whole),
		cmocka_unit_test(removed_source_is_not_called),
		cmocka_unit_test(spawned_program_has_only_its_descriptors),
		cmocka_unit_test(spawn_tells_why_it_failed),
		cmocka_unit_test(spawned_program_is_born_in_its_cgroup),
		cmocka_unit_test(room_is_what_the_narrowest_cgroup_leaves),
		cmocka_unit_test(room_of_the_host_can_be_read_again),
		cmocka_unit_test(spawned_program_may_use_all_processors),
		cmocka_unit_test(spawned_program_shares_no_pages_that_are_alike),
		cmocka_unit_test(spawned_program_starts_without_core_scheduling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
