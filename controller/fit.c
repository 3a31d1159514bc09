/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base.h"
#include "fit.h"
#include "os/fd.h"
#include "os/memfd.h"
#include "programs.h"
#include "wire/console.h"

/* Opens a file or block device and nothing else: no FIFO can hold the controller up. */
static int open_file(const char *path, int flags, const char *what, struct error *error)
{
	CLEANUP_CLOSE int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, errno, "%s: open %s: %s", what, path, strerror(errno));
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return error_set(error, EINVAL, "%s: %s is neither a file nor a block device", what,
				 path);
	/* io_uring takes O_NONBLOCK for "fail rather than wait for the disk". */
	if (os_set_nonblocking(fd, false) < 0)
		return error_set(error, errno, "%s: %s: %s", what, path, strerror(errno));
	return os_steal_fd(&fd);
}

static int size_of(int fd, uint64_t *size)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	*size = (uint64_t)status.st_size;
	if (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, size) < 0)
		return -errno;
	return 0;
}

struct fitting {
	struct launch launch;
	struct kit *kit;
	int key; /* this process's own, until it was started */
	bool stands_by;
	struct link *commands;
};

/* The size that the specification gives, or all of the store in whole 4 KiB blocks. */
static int fit_size(struct fitting *fitting, const struct card_spec *card, const char *option,
		    struct error *error)
{
	const struct card_value *given = card_spec_value(card, CARD_SIZE);
	const char *path = card_spec_value(card, CARD_STORE)->text;
	uint64_t size = given ? given->number : 0, there = size;
	int ret = fitting->kit->store >= 0 ? size_of(fitting->kit->store, &there) : 0;

	if (ret < 0)
		return error_set(error, -ret, "store %s: %s", path, strerror(-ret));
	if (!given)
		size = align_down(there, 4096);
	if (fitting->kit->size)
		size = fitting->kit->size;
	if (!size)
		return error_set(error, EINVAL,
				 "store %s is empty; make it with `karuta file create`", path);
	if (size > there)
		return error_set(error, EINVAL,
				 "store %s holds %llu bytes, less than the size asked for (%llu)",
				 path, (unsigned long long)there, (unsigned long long)size);
	fitting->kit->size = size;
	launch_option(&fitting->launch, option, "%llu", (unsigned long long)size);
	return 0;
}

/* What of its store is memory that counts as the card's: all of one on tmpfs, or that it makes. */
static uint64_t memory_of(const struct slot *slot)
{
	struct statfs status;

	if (slot->kit.store < 0)
		return slot->kit.size;
	if (fstatfs(slot->kit.store, &status) == 0 && status.f_type == TMPFS_MAGIC)
		return slot->kit.size;
	return 0;
}

static int place_card(const struct machine *machine, const struct slot *slot,
		      struct os_spawn_place *place, struct error *error)
{
	return cgroups_place_card(&machine->cgroups, slot->number, memory_of(slot),
				  machine->hypervisor.pid, place, error);
}

static int make_longer(int store, uint64_t size, struct error *error)
{
	uint64_t there;
	struct stat status;
	int ret = size_of(store, &there);

	if (ret < 0 || fstat(store, &status) < 0)
		return error_set(error, ret ? -ret : errno, "its store: %s",
				 strerror(ret ? -ret : errno));
	if (size <= there)
		return 0;
	if (S_ISBLK(status.st_mode))
		return error_set(error, EINVAL, "its device has only %llu bytes",
				 (unsigned long long)there);
	if (size > INT64_MAX || ftruncate(store, (off_t)size) < 0)
		return error_set(error, size > INT64_MAX ? EFBIG : errno,
				 "its file cannot be made longer: %s",
				 strerror(size > INT64_MAX ? EFBIG : errno));
	return 0;
}

int fit_grow(struct machine *machine, struct slot *slot, uint64_t size, struct error *error)
{
	struct os_spawn_place place;
	struct kit *kit = &slot->kit;
	int ret;

	if (size % 4096)
		return error_set(error, EINVAL, "the size must be a multiple of 4096 bytes");
	if (size < kit->size)
		return error_set(error, ERANGE,
				 "it has %llu bytes and cannot be made smaller: what lies behind "
				 "the new end would be lost",
				 (unsigned long long)kit->size);
	ret = make_longer(kit->store, size, error);
	if (ret < 0)
		return ret;
	kit->size = size;
	ret = place_card(machine, slot, &place, error);
	os_close(&place.cgroup);
	return ret;
}

static void fit_store(struct fitting *fitting, const char *option, const char *path)
{
	if (card_store_is_ram(path))
		launch_option(&fitting->launch, option, "%s", path);
	else
		launch_option(&fitting->launch, option, "fd:%d",
			      launch_give(&fitting->launch, fitting->kit->store));
}

/* A descriptor with a position of its own: each process reads the key from its beginning. */
static int fit_key(struct fitting *fitting, const char *option, struct error *error)
{
	if (fitting->kit->key.fd < 0)
		return 0;
	fitting->key = os_memfd_read_only(fitting->kit->key.fd);
	if (fitting->key < 0)
		return error_set(error, -fitting->key, "key: %s", strerror(-fitting->key));
	launch_give_option(&fitting->launch, option, fitting->key);
	return 0;
}

/* Without a burst the card has its own. */
static void fit_rate(struct fitting *fitting, const char *option, const struct card_value *value)
{
	unsigned long long rate = value->number, burst = value->burst;

	if (!value->given)
		return;
	if (burst)
		launch_option(&fitting->launch, option, "%llu:%llu", rate, burst);
	else
		launch_option(&fitting->launch, option, "%llu", rate);
}

static int fit_member(struct fitting *fitting, const struct card_spec *card, size_t index,
		      struct error *error)
{
	const struct card_member *member = &card->kind->members[index];
	const struct card_value *value = &card->values[index];

	switch (member->type) {
	case CARD_STORE:
		if (value->given)
			fit_store(fitting, member->option, value->text);
		return 0;
	case CARD_SIZE:
		return fit_size(fitting, card, member->option, error);
	case CARD_KEY:
		return fit_key(fitting, member->option, error);
	case CARD_NUMBER:
		if (value->given)
			launch_option(&fitting->launch, member->option, "%llu",
				      (unsigned long long)value->number);
		return 0;
	case CARD_RATE:
	case CARD_BYTE_RATE:
		fit_rate(fitting, member->option, value);
		return 0;
	case CARD_LABEL:
		launch_option(&fitting->launch, member->option, "%s", card->name);
		return 0;
	}
	return 0;
}

static int fit_all(struct fitting *fitting, const struct machine *machine, struct slot *slot,
		   struct error *error)
{
	const struct card_spec *card = &slot->card;
	struct link *commands = fitting->commands;
	int ret = link_bus(&slot->bus, error);

	if (ret == 0)
		ret = link_commands(commands, error);
	if (ret < 0)
		return ret;
	launch_give_option(&fitting->launch, "--bus-fd", slot->bus.theirs);
	launch_give_option(&fitting->launch, "--command-fd", commands->theirs);
	launch_give_option(&fitting->launch, "--state-fd", slot->area.fd);
	if (fitting->stands_by)
		launch_option(&fitting->launch, "--stand-by", NULL);
	launch_user(&fitting->launch, machine->users, slot->number);
	for (size_t i = 0; ret == 0 && i < card->kind->member_count; i++)
		ret = fit_member(fitting, card, i, error);
	return ret;
}

static int run(struct machine *machine, struct slot *slot, struct fitting *fitting,
	       struct error *error)
{
	int ret = place_card(machine, slot, &fitting->launch.place, error);

	if (ret < 0)
		return ret;
	if (fitting->stands_by)
		return watch_start_beside(&slot->successor, &slot->watch, &fitting->launch, error);
	if (slot->watch.loop)
		return watch_restart(&slot->watch, &fitting->launch, error);
	return watch_start(&slot->watch, &fitting->launch, STATUS_CARD, machine->loop, error);
}

/* For the first time, again, or beside the one that runs. */
static int start(struct machine *machine, struct slot *slot, bool beside, struct error *error)
{
	struct fitting fitting = {.kit = &slot->kit,
				  .key = -1,
				  .stands_by = beside,
				  .commands = beside ? &slot->next_commands : &slot->commands};
	int ret = launch_begin(&fitting.launch, slot->card.kind->program, slot->kit.program, error);

	if (ret == 0)
		ret = fit_all(&fitting, machine, slot, error);
	if (ret == 0)
		ret = run(machine, slot, &fitting, error);
	os_close(&slot->bus.theirs);
	os_close(&fitting.commands->theirs);
	os_close(&fitting.key);
	launch_free(&fitting.launch);
	return ret;
}

static int open_kit(struct kit *kit, const struct card_spec *card, struct error *error)
{
	const struct card_value *store = card_spec_value(card, CARD_STORE);
	const struct card_value *key = card_spec_value(card, CARD_KEY);

	kit->program = programs_open(card->kind->program, MANIFEST_CARD, error);
	if (kit->program < 0)
		return kit->program;
	if (store && !card_store_is_ram(store->text)) {
		kit->store = open_file(store->text, O_RDWR, "store", error);
		if (kit->store < 0)
			return kit->store;
	}
	return key ? key_keep(&kit->key, (int)key->number, error) : 0;
}

int fit_card(struct machine *machine, struct slot *slot, struct error *error)
{
	int ret = open_kit(&slot->kit, &slot->card, error);

	card_spec_close_key(&slot->card);
	if (ret == 0)
		ret = area_create(&slot->area, "karuta-card-state", AREA_STATE_SIZE, false, error);
	return ret < 0 ? ret : start(machine, slot, false, error);
}

int fit_card_again(struct machine *machine, struct slot *slot, struct error *error)
{
	link_close(&slot->bus);
	link_close(&slot->commands);
	return start(machine, slot, false, error);
}

int fit_successor(struct machine *machine, struct slot *slot, struct error *error)
{
	return start(machine, slot, true, error);
}

/* Descriptors that the hypervisor keeps and the controller does not. */
struct machine_files {
	int kvm, kernel, initrd;
};

static int open_kvm(int *kvm, struct error *error)
{
	*kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (*kvm < 0)
		return error_set(error, errno,
				 "open /dev/kvm: %s; karuta needs a processor with "
				 "virtualization, its kernel module, and the right to use it",
				 strerror(errno));
	return 0;
}

static int open_files(const struct instance *instance, struct machine_files *files,
		      struct error *error)
{
	int ret = open_kvm(&files->kvm, error);

	if (ret < 0)
		return ret;
	files->kernel = open_file(instance->kernel, O_RDONLY, "kernel", error);
	if (files->kernel < 0)
		return files->kernel;
	if (instance->initrd)
		files->initrd = open_file(instance->initrd, O_RDONLY, "initrd", error);
	return instance->initrd && files->initrd < 0 ? files->initrd : 0;
}

static int make_channels(struct link *commands, struct link *descriptors, struct error *error)
{
	int ret = link_commands(commands, error);

	return ret == 0 ? link_descriptors(descriptors, error) : ret;
}

/* What both the first of an instance and one that goes on in its place have. */
static void give_common(const struct machine *machine, const struct link *commands,
			const struct link *descriptors, int kvm, struct launch *launch)
{
	launch_give_option(launch, "--command-fd", commands->theirs);
	launch_give_option(launch, "--descriptor-fd", descriptors->theirs);
	launch_give_option(launch, "--console-fd", machine->console.fd);
	launch_give_option(launch, "--kvm-fd", kvm);
	launch_user(launch, machine->users, 0);
}

static void give_all(struct machine *machine, const struct machine_files *files,
		     struct launch *launch)
{
	give_common(machine, &machine->commands, &machine->descriptors, files->kvm, launch);
	launch_give_option(launch, "--kernel-fd", files->kernel);
	if (files->initrd >= 0)
		launch_give_option(launch, "--initrd-fd", files->initrd);
}

int fit_hypervisor(struct machine *machine, struct error *error)
{
	struct machine_files files = {-1, -1, -1};
	struct launch launch;
	int ret = launch_open(&launch, "karuta-hypervisor", MANIFEST_HYPERVISOR, error);

	if (ret == 0)
		ret = open_files(machine->instance, &files, error);
	if (ret == 0)
		ret = make_channels(&machine->commands, &machine->descriptors, error);
	if (ret == 0)
		ret = area_create(&machine->console, "karuta-console", CONSOLE_SIZE, true, error);
	if (ret == 0) {
		give_all(machine, &files, &launch);
		ret = cgroups_place_hypervisor(&machine->cgroups, machine->instance,
					       machine->hypervisor.pid, &launch.place, error);
	}
	if (ret == 0)
		ret = watch_start(&machine->hypervisor, &launch, STATUS_HYPERVISOR, machine->loop,
				  error);
	os_close(&machine->commands.theirs);
	os_close(&machine->descriptors.theirs);
	os_close(&files.kvm);
	os_close(&files.kernel);
	os_close(&files.initrd);
	machine->program = os_steal_fd(&launch.file);
	launch_free(&launch);
	return ret;
}

/* Kernel and initrd it gets from the one that runs, which has them open: under their names there
 * may be others by now. */
int fit_hypervisor_beside(struct machine *machine, int program, struct error *error)
{
	struct upgrade *upgrade = &machine->upgrade;
	CLEANUP_CLOSE int kvm = -1;
	struct launch launch;
	int ret = launch_begin(&launch, "karuta-hypervisor", program, error);

	if (ret == 0)
		ret = open_kvm(&kvm, error);
	if (ret == 0)
		ret = make_channels(&upgrade->commands, &upgrade->descriptors, error);
	if (ret == 0)
		ret = link_between(&upgrade->between, error);
	if (ret == 0)
		ret = cgroups_place_hypervisor(&machine->cgroups, machine->instance,
					       machine->hypervisor.pid, &launch.place, error);
	if (ret == 0) {
		give_common(machine, &upgrade->commands, &upgrade->descriptors, kvm, &launch);
		launch_give_option(&launch, "--take-over-fd", upgrade->between.theirs);
		ret = watch_start_beside(&upgrade->other, &machine->hypervisor, &launch, error);
	}
	os_close(&upgrade->commands.theirs);
	os_close(&upgrade->descriptors.theirs);
	os_close(&upgrade->between.theirs);
	launch_free(&launch);
	return ret;
}
