/* SPDX-License-Identifier: Apache-2.0 */
/*
 * karuta image build: mmdebstrap makes the tree, mke2fs packs it without mounting, debugfs takes
 * the kernel and the initrd out of the result. Where the caller is not root, the first two run in a
 * user namespace: that is mmdebstrap's own mode, and its --unshare-helper for the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apt_sources.h"
#include "base/base.h"
#include "base/size.h"
#include "child.h"
#include "image.h"
#include "interrupt.h"
#include "os/fd.h"
#include "overlay.h"

#define DEFAULT_SIZE  (2 * GIB)
#define LEAST_SIZE    (512 * MIB)
#define LARGEST_SIZE  (16384 * GIB)
#define ROOM	      (2 * GIB) /* tree and image are both there for a while */
#define MAX_ARGUMENTS 64
#define MAX_MIRRORS   16

/* What a Debian needs to boot to its multi-user target from an NVMe disk. */
#define BASE_PACKAGES                                                                              \
	"systemd-sysv,udev,dbus,kmod,e2fsprogs,zstd,initramfs-tools,linux-image-cloud-amd64"

struct build {
	const struct invocation *call;
	const char *name, *suite;
	uint64_t size;
	struct workshop shop;
	struct progress progress;
	char *tree;	/* where mmdebstrap makes the root file system */
	char *tree_top; /* the folder to remove with it, if it is not in the workshop */
	char *packages, *sources;
	char uuid[37];
	int log;
};

/* ---- arguments ---- */

static bool is_package_list(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789+-.:=~_/,";

	return *text && *text != '-' && *text != '/' && *text != '.' &&
	       strspn(text, allowed) == strlen(text);
}

static int collect_packages(struct build *build, struct error *error)
{
	const char *more;
	size_t at = 0;

	build->packages = strdup(BASE_PACKAGES);
	while (build->packages && (more = options_next(build->call, "include", &at))) {
		char *joined;

		if (!is_package_list(more)) {
			error_set(error, EINVAL, "--include %.100s: not a list of package names",
				  more);
			return CLI_USAGE;
		}
		if (asprintf(&joined, "%s,%s", build->packages, more) < 0)
			joined = NULL;
		free(build->packages);
		build->packages = joined;
	}
	return build->packages ? 0 : error_set(error, ENOMEM, "out of memory");
}

static int parse_size(struct build *build, struct error *error)
{
	const char *text = options_value(build->call, "size");

	build->size = DEFAULT_SIZE;
	if (text && (size_parse(text, &build->size) || build->size < LEAST_SIZE ||
		     build->size > LARGEST_SIZE || build->size % 4096)) {
		error_set(error, EINVAL,
			  "--size %.60s: wanted is a size from 512M to 16T, such as 4G", text);
		return CLI_USAGE;
	}
	return 0;
}

static int parse_suite(struct build *build, struct error *error)
{
	const char *suite = options_value(build->call, "suite");

	if (!suite || (strcmp(suite, "bookworm") && strcmp(suite, "trixie"))) {
		error_set(error, EINVAL, "--suite %.60s: wanted is bookworm or trixie",
			  suite ? suite : "is missing");
		return CLI_USAGE;
	}
	build->suite = suite;
	return 0;
}

static int find_sources(struct build *build, struct error *error)
{
	const char *mirror = options_value(build->call, "mirror");
	struct apt_sources list = {0};
	int result;

	if (mirror) {
		list.at[0] =
			(struct apt_source){strdup(mirror), strdup("stable"), strdup("main"), NULL};
		list.count = 1;
		result = list.at[0].uri && list.at[0].suite && list.at[0].components
				 ? 0
				 : error_set(error, ENOMEM, "out of memory");
	} else {
		result = apt_sources_load(&list, "/etc/apt", error);
	}
	if (!result)
		result = apt_sources_for_suite(&list, build->suite, &build->sources, error);
	apt_sources_free(&list);
	return result;
}

static int make_uuid(struct build *build, struct error *error)
{
	CLEANUP_CLOSE int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || os_read_full(fd, build->uuid, 36) != 36)
		return error_set(error, EIO, "/proc/sys/kernel/random/uuid cannot be read");
	build->uuid[36] = 0;
	return 0;
}

/* ---- 1: what karuta itself puts into the tree ---- */

static int write_system_files(const struct build *build, int tar, struct error *error)
{
	char fstab[160], hostname[80];
	int result;

	snprintf(fstab, sizeof(fstab),
		 "# The root file system grows to the size of its volume at boot.\n"
		 "UUID=%s / ext4 errors=remount-ro,x-systemd.growfs 0 1\n",
		 build->uuid);
	snprintf(hostname, sizeof(hostname), "%s\n", build->name);
	for (char *at = hostname; *at; at++) {
		if (*at == '.' || *at == '_')
			*at = '-';
	}
	result = overlay_add_text(tar, "/etc/fstab", 0644, fstab, error);
	if (!result)
		result = overlay_add_text(tar, "/etc/hostname", 0644, hostname, error);
	/* mmdebstrap leaves there what it took from this machine, and its own options for dpkg. */
	if (!result)
		result = overlay_add_text(tar, "/etc/resolv.conf", 0644, "", error);
	if (!result)
		result =
			overlay_add_text(tar, "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", 0644, "", error);
	/* An empty unit is a masked one: nobody can type on a console that is write-only. */
	if (!result)
		result = overlay_add_text(tar, "/etc/systemd/system/serial-getty@ttyS0.service",
					  0644, "", error);
	return result;
}

static int write_overlay(const struct build *build, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int tar = -1;
	const char *pair;
	size_t at = 0;
	int result;

	if (asprintf(&path, "%s/overlay.tar", build->shop.path) < 0)
		return error_set(error, ENOMEM, "out of memory");
	tar = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (tar < 0)
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	result = write_system_files(build, tar, error);
	while (!result && (pair = options_next(build->call, "copy", &at)))
		result = overlay_add_file(tar, pair, error);
	return result ? result : overlay_end(tar, error);
}

/* ---- 2: the tree ---- */

static const struct {
	const char *line, *title;
} phases[] = {
	{"I: running apt-get update", "download package lists"},
	{"I: downloading packages", "download packages"},
	{"I: extracting archives", "unpack the base system"},
	{"I: installing essential", "install the base system"},
	{"I: installing remaining", "install the other packages, kernel and initrd"},
	{"I: cleaning package lists", "clean up"},
};

static void show_phase(void *context, const char *line)
{
	struct build *build = context;

	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		if (!strncmp(line, phases[i].line, strlen(phases[i].line)))
			progress_step(&build->progress, phases[i].title, 0);
	}
}

static void keep_drawing(void *context)
{
	struct build *build = context;

	progress_update(&build->progress, 0);
}

/* mmdebstrap splits the words of a hook as a shell does: every unusual byte gets a backslash. */
static char *overlay_hook(const struct build *build)
{
	char *hook = malloc(2 * strlen(build->shop.path) + 64), *to = hook;

	if (!hook)
		return NULL;
	to += sprintf(to, "--customize-hook=tar-in ");
	for (const char *at = build->shop.path; *at; at++) {
		if (!strchr("/._-", *at) && !(*at >= '0' && *at <= '9') &&
		    !((*at | 32) >= 'a' && (*at | 32) <= 'z'))
			*to++ = '\\';
		*to++ = *at;
	}
	sprintf(to, "/overlay.tar /");
	return hook;
}

/* In the workshop; a user namespace needs a place that everybody can reach. */
static int choose_tree(struct build *build, struct error *error)
{
	const char *temporary = getenv("TMPDIR");

	if (geteuid() == 0) {
		if (asprintf(&build->tree, "%s/tree", build->shop.path) < 0)
			return error_set(error, ENOMEM, "out of memory");
		return 0;
	}
	if (asprintf(&build->tree_top, "%s/karuta-XXXXXX",
		     temporary && *temporary ? temporary : "/tmp") < 0 ||
	    !mkdtemp(build->tree_top) || chmod(build->tree_top, 0755) ||
	    asprintf(&build->tree, "%s/tree", build->tree_top) < 0)
		return error_set(error, errno, "a temporary folder: %s", strerror(errno));
	return 0;
}

static size_t split_lines(char *text, const char *lines[MAX_MIRRORS])
{
	size_t count = 0;
	char *rest = text, *line;

	while (count < MAX_MIRRORS && (line = strsep(&rest, "\n"))) {
		if (*line)
			lines[count++] = line;
	}
	return count;
}

static int make_tree(struct build *build, struct error *error)
{
	CLEANUP_FREE char *hook = overlay_hook(build);
	CLEANUP_FREE char *include = NULL;
	const char *mirrors[MAX_MIRRORS];
	size_t mirror_count = split_lines(build->sources, mirrors), count = 0;
	const char *argv[MAX_ARGUMENTS] = {NULL};
	struct child child = {.argv = argv,
			      .log = build->log,
			      .keep = {build->shop.lock},
			      .line = show_phase,
			      .tick = keep_drawing,
			      .context = build};

	if (!hook || asprintf(&include, "--include=%s", build->packages) < 0)
		return error_set(error, ENOMEM, "out of memory");
	argv[count++] = "mmdebstrap";
	argv[count++] = geteuid() == 0 ? "--mode=root" : "--mode=unshare";
	argv[count++] = "--format=directory";
	argv[count++] = "--variant=minbase";
	argv[count++] = "--dpkgopt=force-unsafe-io"; /* a build that is cut short is thrown away */
	argv[count++] = include;
	argv[count++] = hook;
	argv[count++] = build->suite;
	argv[count++] = build->tree;
	for (size_t i = 0; i < mirror_count; i++)
		argv[count++] = mirrors[i];
	progress_step(&build->progress, "prepare", 0);
	return child_run(&child, error);
}

/* ---- 3: the disk ---- */

/* The image is handed over by descriptor: the user namespace's root may not walk to its path. */
static int run_mke2fs(struct build *build, int image, struct error *error)
{
	char target[32], uuid[48];
	const char *argv[] = {"mmdebstrap",
			      "--unshare-helper",
			      "mke2fs",
			      "-q",
			      "-F",
			      "-t",
			      "ext4",
			      "-b",
			      "4096",
			      "-U",
			      uuid,
			      "-E",
			      "assume_storage_prezeroed=1",
			      "-d",
			      build->tree,
			      target,
			      NULL};
	struct child child = {.argv = geteuid() == 0 ? argv + 2 : argv,
			      .log = build->log,
			      .keep = {build->shop.lock, image},
			      .tick = keep_drawing,
			      .context = build};
	int result;

	snprintf(target, sizeof(target), "/proc/self/fd/%d", image);
	snprintf(uuid, sizeof(uuid), "%s", build->uuid);
	progress_step(&build->progress, "make the file system", 0);
	result = child_run(&child, error);
	if (result == -ECHILD)
		error_set(error, ECHILD,
			  "the system does not fit into the image, or mke2fs failed otherwise (see "
			  "above); give a larger --size");
	return result;
}

static int make_disk(struct build *build, struct error *error)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int image = -1;
	mode_t while_made = geteuid() == 0 ? 0644 : 0666;
	int result;

	if (asprintf(&path, "%s/root.img", build->shop.path) < 0)
		return error_set(error, ENOMEM, "out of memory");
	image = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (image < 0 || ftruncate(image, (off_t)build->size) || fchmod(image, while_made))
		return error_set(error, errno, "%.150s: %s", path, strerror(errno));
	result = run_mke2fs(build, image, error);
	if (!result && fchmod(image, 0644))
		result = error_set(error, errno, "%.150s: %s", path, strerror(errno));
	return result;
}

/* Not to be interrupted, and not to be followed by complaints. */
static void remove_tree(struct build *build)
{
	const char *argv[] = {"mmdebstrap", "--unshare-helper", "rm", "-rf", build->tree, NULL};
	struct child child = {.argv = argv, .log = build->log, .stubborn = true};
	struct error ignored = {0};

	if (!build->tree)
		return;
	if (geteuid() == 0)
		(void)home_remove_tree(build->tree);
	else
		(void)child_run(&child, &ignored);
	if (build->tree_top)
		(void)home_remove_tree(build->tree_top);
}

/* ---- 4: kernel and initrd, facts ---- */

static int finish(struct build *build, struct error *error)
{
	struct boot_place place = {
		.folder = build->shop.path, .image = "root.img", .log = build->log};
	struct boot_names names;
	struct image_facts facts = {.name = build->name,
				    .origin = "built",
				    .suite = build->suite,
				    .packages = build->packages,
				    .size = build->size,
				    .sector = 4096,
				    .uuid = build->uuid,
				    .boot = &names};
	CLEANUP_FREE char *overlay = NULL;
	int result;

	progress_step(&build->progress, "take out kernel and initrd", 0);
	result = boot_files_extract(&place, "/boot", &names, error);
	if (result)
		return result;
	if (asprintf(&overlay, "%s/overlay.tar", build->shop.path) >= 0)
		unlink(overlay);
	result = image_write_facts(&build->shop, &facts, &build->progress, error);
	if (result)
		return result;
	return workshop_publish(&build->shop, build->name, error);
}

static int open_log(struct build *build, struct error *error)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/log", build->shop.path) < 0)
		return error_set(error, ENOMEM, "out of memory");
	build->log = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return build->log < 0 ? error_set(error, errno, "%.150s: %s", path, strerror(errno)) : 0;
}

static int make_image(struct build *build, struct error *error)
{
	int result = workshop_open(&build->shop, ROOM, error);

	result = result ? result : open_log(build, error);
	result = result ? result : write_overlay(build, error);
	result = result ? result : choose_tree(build, error);
	result = result ? result : make_tree(build, error);
	result = result ? result : make_disk(build, error);
	remove_tree(build);
	result = result ? result : finish(build, error);
	if (result)
		progress_abandon(&build->progress);
	else
		progress_end(&build->progress);
	workshop_close(&build->shop);
	os_close(&build->log);
	return result;
}

static int check_arguments(struct build *build, struct error *error)
{
	int result = parse_suite(build, error);

	if (!result && geteuid() && access("/usr/bin/newuidmap", X_OK))
		result = error_set(
			error, ENOENT,
			"image %.60s: a build without root's rights needs a user namespace; "
			"apt-get install uidmap, or use sudo",
			build->name);
	result = result ? result : parse_size(build, error);
	result = result ? result : collect_packages(build, error);
	result = result ? result : image_check_free(build->name, error);
	result = result ? result : find_sources(build, error);
	return result ? result : make_uuid(build, error);
}

int image_build(const struct invocation *call, struct error *error)
{
	struct build build = {
		.call = call, .name = call->operands[0], .shop = {.lock = -1}, .log = -1};
	int result = check_arguments(&build, error);

	if (!result)
		result = make_image(&build, error);
	if (!result)
		printf("image %s is ready; next: karuta file create FILE --from-image %s "
		       "--key-fd N\n",
		       build.name, build.name);
	free(build.tree);
	free(build.tree_top);
	free(build.packages);
	free(build.sources);
	return result;
}
