/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state area outlives the process. Who finds one takes it for hostile: all of the header is
 * checked here, the device's part by the card's start(). A new area becomes valid by its last
 * store, so that a process may die at any instant before it and the next begins anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "frame.h"
#include "os/fd.h"
#include "os/memfd.h"

size_t card_state_needed(const struct card_ops *ops)
{
	return CARD_STATE_OFFSET + ops->state_size;
}

/* A file that somebody can still shrink would make every access a possible SIGBUS. */
static int check_file(const struct card *card, struct error *error)
{
	int fd = card->settings.state_fd;
	size_t needed = card_state_needed(card->ops);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat file;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return error_set(
			error, EPROTO,
			"state area: descriptor %d is not a memfd sealed against shrinking", fd);
	if (fstat(fd, &file) < 0 || file.st_size < 0 || (size_t)file.st_size < needed)
		return error_set(error, EPROTO,
				 "state area: descriptor %d is smaller than the %zu bytes needed",
				 fd, needed);
	return 0;
}

int card_state_map(struct card *card, struct error *error)
{
	size_t needed = card_state_needed(card->ops);
	int fd = card->settings.state_fd;
	void *mapping;
	int err;

	if (card->ops->state_size > CARD_STATE_MAX)
		return error_set(error, EINVAL, "state area: the device's state is too big");
	err = fd < 0 ? 0 : check_file(card, error);
	if (err)
		return err;
	if (fd < 0)
		fd = os_memfd("state", needed);
	card->settings.state_fd = fd;
	err = fd < 0 ? fd : os_map(fd, 0, needed, true, &mapping);
	if (err)
		return error_set(error, -err, "state area: %s", strerror(-err));
	card->area = mapping;
	return 0;
}

/*
 * A lock of the process, not of the open file, which all processes of a card share. The kernel
 * gives it free when a process dies, after its memory is gone.
 */
static int set_lock(const struct card *card, int command, short type)
{
	struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
	int ret;

	do
		ret = fcntl(card->settings.state_fd, command, &whole);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int card_state_lock(struct card *card, struct error *error)
{
	int err = set_lock(card, card->settings.stand_by ? F_SETLKW : F_SETLK, F_WRLCK);

	if (!err)
		return 0;
	return error_set(error, -err, "state area: %s",
			 err == -EAGAIN || err == -EACCES ? "another process has it"
							  : strerror(-err));
}

void card_state_unlock(struct card *card)
{
	if (card->area)
		set_lock(card, F_SETLK, F_UNLCK);
}

static bool is_all_zeros(const struct card *card)
{
	const uint8_t *bytes = (const uint8_t *)card->area;
	size_t size = card_state_needed(card->ops);

	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static uint64_t format_of(const struct card_ops *ops)
{
	return (uint64_t)ops->state_version << 32 | card_state_needed(ops);
}

/* `magic` first: an area that is neither marked nor empty would be refused for ever. */
static int begin_anew(struct card *card, struct error *error)
{
	struct card_area *area = card->area;

	atomic_store(&area->magic, CARD_STATE_SETUP);
	memset((uint8_t *)area + sizeof(area->magic), 0,
	       card_state_needed(card->ops) - sizeof(area->magic));
	area->frame_version = CARD_FRAME_VERSION;
	strncpy(area->card, card->ops->name, sizeof(area->card) - 1);
	if (pci_config_init(&area->config, card->ops->identity))
		return error_set(error, EINVAL, "%s: its PCI identity contradicts itself",
				 card->ops->name);
	return 0;
}

/* One version to either side: see card_ops. */
static bool can_go_on(const struct card *card)
{
	const struct card_ops *ops = card->ops;
	uint64_t format = atomic_load(&card->area->format);
	uint32_t version = (uint32_t)(format >> 32), size = (uint32_t)format;

	if (version == ops->state_version)
		return size == card_state_needed(ops);
	if (version + 1 == ops->state_version)
		return ops->older_size && size == CARD_STATE_OFFSET + ops->older_size;
	return version == ops->state_version + 1 && size >= card_state_needed(ops) &&
	       card->area->readable_from <= ops->state_version;
}

/* The text names what differs and, where an honest cause is likely, the remedy. */
int card_state_check_version(const struct card *card, struct error *error)
{
	const struct card_area *area = card->area;
	const struct card_ops *ops = card->ops;
	char name[sizeof(area->card)] = {0};

	if (area->magic != CARD_STATE_COMPLETE)
		return error_set(error, EPROTO,
				 "state area: refused: it is neither empty nor a card's");
	strncpy(name, ops->name, sizeof(name) - 1);
	if (memcmp(name, area->card, sizeof(name)))
		return error_set(error, EPROTO, "state area: refused: it is not of a %s card",
				 ops->name);
	if (area->frame_version != CARD_FRAME_VERSION || !can_go_on(card))
		return error_set(error, EPROTO,
				 "state area: refused: version %u.%u of %u bytes, this program has "
				 "%u.%u of %zu; start the version that made it, or give a new area",
				 area->frame_version, (unsigned)(area->format >> 32),
				 (unsigned)area->format, CARD_FRAME_VERSION, ops->state_version,
				 card_state_needed(ops));
	return 0;
}

static int check(const struct card *card, struct error *error)
{
	int err = card_state_check_version(card, error);

	if (!err && pci_config_check(&card->area->config, card->ops->identity))
		err = error_set(error, EPROTO,
				"state area: refused: its PCI configuration space is corrupt");
	return err;
}

/* What an older version had not is zeros; what a newer one had is passed over. The older one does
 * not look there: until card_state_complete() the area is still its own. */
static void add_what_is_new(struct card *card)
{
	const struct card_ops *ops = card->ops;
	uint32_t version = (uint32_t)(atomic_load(&card->area->format) >> 32);

	if (version < ops->state_version)
		memset((uint8_t *)card_state(card) + ops->older_size, 0,
		       ops->state_size - ops->older_size);
}

int card_state_begin(struct card *card, bool *fresh, struct error *error)
{
	uint64_t magic = atomic_load(&card->area->magic);
	int err;

	*fresh = magic == CARD_STATE_SETUP || (!magic && is_all_zeros(card));
	if (*fresh)
		return begin_anew(card, error);
	err = check(card, error);
	if (!err)
		add_what_is_new(card);
	return err;
}

/* Of an area that another version left, `format` is the store that makes it ours. */
void card_state_complete(struct card *card)
{
	struct card_area *area = card->area;

	area->readable_from = card->ops->readable_from;
	atomic_store(&area->format, format_of(card->ops));
	atomic_store(&area->magic, CARD_STATE_COMPLETE);
}

void *card_state(struct card *card)
{
	return (uint8_t *)card->area + CARD_STATE_OFFSET;
}
