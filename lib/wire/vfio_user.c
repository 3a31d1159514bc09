/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/cursor.h"
#include "vfio_user.h"

#define PAGE_MASK UINT64_C(4095)

int vfio_user_header_check(const struct vfio_user_header *header, uint32_t max_size)
{
	return header->size < sizeof(*header) || header->size > max_size ? -EBADMSG : 0;
}

int vfio_user_reply_check(const struct vfio_user_header *reply, uint32_t *error)
{
	*error = 0;
	if (reply->flags == VFIO_USER_TYPE_REPLY)
		return 0;
	if (reply->flags != (VFIO_USER_TYPE_REPLY | VFIO_USER_ERROR) ||
	    reply->size != sizeof(*reply) || !reply->error || reply->error > VFIO_USER_MAX_ERROR)
		return -EINVAL;
	*error = reply->error;
	return 0;
}

/* JSON (RFC 8259), as much as VERSION needs: whatever is not understood is still parsed, nothing is
 * kept but numbers and truths, and nesting is bounded. */

#define JSON_DEPTH 8
#define JSON_NAME  24

struct json {
	const char *at, *end;
	bool failed;
};

/* Consumes one value. */
typedef void (*json_member_fn)(struct json *json, const char *name, int depth, void *context);

static void json_fail(struct json *json)
{
	json->failed = true;
	json->at = json->end;
}

/* The next byte, -1 at the end. */
static int json_peek(const struct json *json)
{
	return json->at < json->end ? (unsigned char)*json->at : -1;
}

static bool json_skip_if(struct json *json, char wanted)
{
	if (json_peek(json) != (unsigned char)wanted)
		return false;
	json->at++;
	return true;
}

static void json_blank(struct json *json)
{
	while (json_skip_if(json, ' ') || json_skip_if(json, '\t') || json_skip_if(json, '\n') ||
	       json_skip_if(json, '\r'))
		;
}

static void json_expect(struct json *json, char wanted)
{
	json_blank(json);
	if (!json_skip_if(json, wanted))
		json_fail(json);
	json_blank(json);
}

static bool is_digit(int byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_hex(int byte)
{
	return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static void json_escape(struct json *json)
{
	int kind = json_peek(json);

	if (kind <= 0 || !strchr("\"\\/bfnrtu", kind)) {
		json_fail(json);
		return;
	}
	json->at++;
	for (int i = 0; kind == 'u' && i < 4; i++) {
		if (!is_hex(json_peek(json))) {
			json_fail(json);
			return;
		}
		json->at++;
	}
}

/* A name that is too long for us or has an escape in it becomes "": none of ours. */
static void json_string(struct json *json, char name[JSON_NAME])
{
	size_t length = 0;
	bool plain = true;

	json_blank(json);
	if (!json_skip_if(json, '"'))
		json_fail(json);
	while (!json->failed && !json_skip_if(json, '"')) {
		int byte = json_peek(json);

		if (byte < 0x20) {
			json_fail(json);
			break;
		}
		json->at++;
		if (byte == '\\')
			json_escape(json);
		if (byte == '\\' || length + 1 >= JSON_NAME)
			plain = false;
		else
			name[length++] = (char)byte;
	}
	name[plain && !json->failed ? length : 0] = '\0';
}

static void json_digits(struct json *json)
{
	if (!is_digit(json_peek(json)))
		json_fail(json);
	while (is_digit(json_peek(json)))
		json->at++;
}

/* A number of any form; true with *value when it is a whole number that fits. */
static bool json_number(struct json *json, uint64_t *value)
{
	bool whole = !json_skip_if(json, '-');
	const char *first = json->at;

	json_digits(json);
	if (json->failed || (*first == '0' && json->at - first > 1)) {
		json_fail(json);
		return false;
	}
	*value = 0;
	for (const char *digit = first; digit < json->at; digit++)
		if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*digit - '0'), value))
			whole = false;
	if (json_skip_if(json, '.')) {
		whole = false;
		json_digits(json);
	}
	if (json_skip_if(json, 'e') || json_skip_if(json, 'E')) {
		whole = false;
		if (!json_skip_if(json, '+'))
			json_skip_if(json, '-');
		json_digits(json);
	}
	return whole && !json->failed;
}

static bool json_word(struct json *json, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length))
		return false;
	json->at += length;
	return true;
}

static void json_value(struct json *json, int depth);

static void json_object(struct json *json, int depth, json_member_fn member, void *context)
{
	char name[JSON_NAME];

	if (depth >= JSON_DEPTH) {
		json_fail(json);
		return;
	}
	json_expect(json, '{');
	if (json_skip_if(json, '}'))
		return;
	do {
		json_string(json, name);
		json_expect(json, ':');
		if (!json->failed)
			member(json, name, depth + 1, context);
		json_blank(json);
	} while (!json->failed && json_skip_if(json, ','));
	if (!json_skip_if(json, '}'))
		json_fail(json);
}

static void json_array(struct json *json, int depth)
{
	if (depth >= JSON_DEPTH) {
		json_fail(json);
		return;
	}
	json_expect(json, '[');
	if (json_skip_if(json, ']'))
		return;
	do {
		json_value(json, depth + 1);
		json_blank(json);
	} while (!json->failed && json_skip_if(json, ','));
	if (!json_skip_if(json, ']'))
		json_fail(json);
}

static void json_skip_member(struct json *json, const char *name, int depth, void *context)
{
	(void)name;
	(void)context;
	json_value(json, depth);
}

/* Any value, not kept. */
static void json_value(struct json *json, int depth)
{
	char name[JSON_NAME];
	uint64_t number;

	json_blank(json);
	switch (json_peek(json)) {
	case '{':
		json_object(json, depth, json_skip_member, NULL);
		break;
	case '[':
		json_array(json, depth);
		break;
	case '"':
		json_string(json, name);
		break;
	case 't':
	case 'f':
	case 'n':
		if (!json_word(json, "true") && !json_word(json, "false") &&
		    !json_word(json, "null"))
			json_fail(json);
		break;
	default:
		json_number(json, &number);
	}
}

static void json_bool(struct json *json, bool *value)
{
	*value = json_word(json, "true");
	if (!*value && !json_word(json, "false"))
		json_fail(json);
}

static void twin_member(struct json *json, const char *name, int depth, void *context)
{
	if (!strcmp(name, "supported"))
		json_bool(json, context);
	else
		json_value(json, depth);
}

static const struct {
	const char *name;
	size_t at;
	uint64_t absent;
} number_members[] = {
	{"max_msg_fds", offsetof(struct vfio_user_capabilities, max_msg_fds), 1},
	{"max_data_xfer_size", offsetof(struct vfio_user_capabilities, max_data_xfer_size),
	 VFIO_USER_MAX_DATA},
	{"max_dma_maps", offsetof(struct vfio_user_capabilities, max_dma_maps),
	 VFIO_USER_DEFAULT_DMA_MAPS},
	{"pgsizes", offsetof(struct vfio_user_capabilities, pgsizes), VFIO_USER_DEFAULT_PAGE_SIZES},
};

static uint64_t *number_member(struct vfio_user_capabilities *capabilities, size_t i)
{
	return (uint64_t *)(void *)((char *)capabilities + number_members[i].at);
}

static void capability_member(struct json *json, const char *name, int depth, void *context)
{
	struct vfio_user_capabilities *capabilities = context;

	for (size_t i = 0; i < ARRAY_LEN(number_members); i++) {
		if (strcmp(name, number_members[i].name))
			continue;
		if (!json_number(json, number_member(capabilities, i)))
			json_fail(json);
		return;
	}
	if (!strcmp(name, "write_multiple"))
		json_bool(json, &capabilities->write_multiple);
	else if (!strcmp(name, "twin_socket"))
		json_object(json, depth, twin_member, &capabilities->twin_socket);
	else
		json_value(json, depth);
}

static void top_member(struct json *json, const char *name, int depth, void *context)
{
	if (!strcmp(name, "capabilities"))
		json_object(json, depth, capability_member, context);
	else
		json_value(json, depth);
}

int vfio_user_capabilities_parse(const char *text, size_t length,
				 struct vfio_user_capabilities *capabilities)
{
	struct json json = {.at = text, .end = text + length};

	vfio_user_capabilities_default(capabilities);
	json_object(&json, 0, top_member, capabilities);
	json_blank(&json);
	return json.failed || json.at != json.end ? -EINVAL : 0;
}

void vfio_user_capabilities_default(struct vfio_user_capabilities *capabilities)
{
	memset(capabilities, 0, sizeof(*capabilities));
	for (size_t i = 0; i < ARRAY_LEN(number_members); i++)
		*number_member(capabilities, i) = number_members[i].absent;
}

int vfio_user_version_decode(const void *body, size_t length, struct vfio_user_version *version,
			     struct vfio_user_capabilities *capabilities)
{
	struct cursor cursor = cursor_make(body, length);

	vfio_user_capabilities_default(capabilities);
	version->major = cursor_u16(&cursor);
	version->minor = cursor_u16(&cursor);
	if (cursor.failed || version->major != VFIO_USER_MAJOR)
		return -EINVAL;
	if (!cursor.left)
		return 0;
	if (cursor.at[cursor.left - 1] != '\0')
		return -EINVAL;
	return vfio_user_capabilities_parse((const char *)cursor.at, cursor.left - 1, capabilities);
}

int vfio_user_version_encode(void *body, size_t room, struct vfio_user_version version,
			     const struct vfio_user_capabilities *capabilities)
{
	struct writer writer = writer_make(body, room);
	struct vfio_user_capabilities ours = *capabilities;
	char member[64];
	const char *comma = "";

	writer_put(&writer, &version, sizeof(version));
	writer_put(&writer, "{\"capabilities\":{", 17);
	for (size_t i = 0; i < ARRAY_LEN(number_members); i++) {
		uint64_t value = *number_member(&ours, i);
		int length;

		if (value == number_members[i].absent)
			continue;
		length = snprintf(member, sizeof(member), "%s\"%s\":%llu", comma,
				  number_members[i].name, (unsigned long long)value);
		writer_put(&writer, member, (size_t)length);
		comma = ",";
	}
	writer_put(&writer, "}}", 3);
	return writer.failed ? -ENOSPC : (int)(room - writer.left);
}

int vfio_user_dma_map_check(const struct vfio_user_dma_map *map, size_t fd_count)
{
	const uint32_t access = VFIO_USER_MAP_READ | VFIO_USER_MAP_WRITE;
	const uint32_t mode = VFIO_USER_MAP_MMAP | VFIO_USER_MAP_FILE;

	if (map->argsz < sizeof(*map) || map->flags & ~(access | mode) || !(map->flags & access))
		return -EINVAL;
	if (fd_count > 1 || (map->flags & mode) == mode || (map->flags & mode && !fd_count))
		return -EINVAL;
	if (!map->size || range_wraps(map->address, map->size))
		return -EINVAL;
	if (fd_count && (map->offset & PAGE_MASK || range_wraps(map->offset, map->size)))
		return -EINVAL;
	return map->flags & VFIO_USER_MAP_FILE ? -EOPNOTSUPP : 0;
}

int vfio_user_dma_unmap_check(const struct vfio_user_dma_unmap *unmap)
{
	if (unmap->argsz < sizeof(*unmap) || unmap->flags & ~VFIO_USER_UNMAP_ALL)
		return -EINVAL;
	if (unmap->flags & VFIO_USER_UNMAP_ALL && (unmap->address || unmap->size))
		return -EINVAL;
	return 0;
}

/* Which bytes and descriptors the kind of data wants. */
static int set_irqs_data_check(const struct vfio_user_set_irqs *set, size_t data_length,
			       size_t fd_count)
{
	if (set->flags & VFIO_USER_SET_FD) {
		if (!(set->flags & VFIO_USER_SET_TRIGGER) || (fd_count && fd_count != set->count))
			return -EINVAL;
	} else if (fd_count) {
		return -EINVAL;
	}
	return data_length == (set->flags & VFIO_USER_SET_BOOL ? set->count : 0) ? 0 : -EINVAL;
}

int vfio_user_set_irqs_check(const struct vfio_user_set_irqs *set, uint32_t vectors,
			     size_t data_length, size_t fd_count)
{
	uint32_t data = set->flags & 0x07;
	uint32_t action = set->flags & 0x38;

	if (set->flags & ~0x3fu || !is_power_of_two(data) || !is_power_of_two(action))
		return -EINVAL;
	if (set->argsz < sizeof(*set) || set->argsz - sizeof(*set) != data_length)
		return -EINVAL;
	if (set->start >= vectors || set->count > vectors - set->start)
		return -EINVAL;
	/* Nothing at all means "disable the index", and only this way. */
	if (!set->count &&
	    (set->start || set->flags != (VFIO_USER_SET_NONE | VFIO_USER_SET_TRIGGER)))
		return -EINVAL;
	if (action != VFIO_USER_SET_TRIGGER &&
	    (set->index == VFIO_USER_IRQ_INDEX_ERR || set->index == VFIO_USER_IRQ_INDEX_REQ))
		return -EINVAL;
	return set_irqs_data_check(set, data_length, fd_count);
}

size_t vfio_user_region_info_size(size_t area_count)
{
	return sizeof(struct vfio_user_region_info) + sizeof(struct vfio_user_sparse_mmap) +
	       area_count * sizeof(struct vfio_user_area);
}

void vfio_user_sparse_mmap_encode(void *after_info, const struct vfio_user_area *areas,
				  size_t area_count)
{
	struct vfio_user_sparse_mmap sparse = {
		.id = VFIO_USER_CAP_SPARSE_MMAP, .version = 1, .area_count = (uint32_t)area_count};

	memcpy(after_info, &sparse, sizeof(sparse));
	memcpy((uint8_t *)after_info + sizeof(sparse), areas, area_count * sizeof(*areas));
}

static bool area_is_good(const struct vfio_user_area *area,
			 const struct vfio_user_region_info *info)
{
	return area->size && !((area->offset | area->size | info->offset) & PAGE_MASK) &&
	       range_within(area->offset, area->size, info->size) &&
	       !range_wraps(info->offset, info->size);
}

/* The capability's areas, `cursor` behind its head. */
static int areas_decode(struct cursor *cursor, const struct vfio_user_region_info *info,
			uint32_t count, struct vfio_user_area *areas, size_t max_areas)
{
	if (count > max_areas)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		cursor_copy(cursor, &areas[i], sizeof(areas[i]));
		if (cursor->failed || !area_is_good(&areas[i], info))
			return -EINVAL;
	}
	return (int)count;
}

/* Follows the chain of capabilities; it only goes forward, so it ends. */
static int capabilities_decode(const uint8_t *body, size_t length,
			       const struct vfio_user_region_info *info,
			       struct vfio_user_area *areas, size_t max_areas, int *area_count)
{
	size_t at = info->cap_offset;
	size_t lowest = sizeof(*info);

	while (at) {
		struct vfio_user_sparse_mmap sparse = {0};
		struct cursor cursor;

		if (at < lowest || at > length || at % 8)
			return -EINVAL;
		cursor = cursor_make(body + at, length - at);
		cursor_copy(&cursor, &sparse, offsetof(struct vfio_user_sparse_mmap, area_count));
		if (cursor.failed)
			return -EINVAL;
		if (sparse.id == VFIO_USER_CAP_SPARSE_MMAP) {
			sparse.area_count = cursor_u32(&cursor);
			cursor_u32(&cursor);
			*area_count =
				areas_decode(&cursor, info, sparse.area_count, areas, max_areas);
			if (*area_count < 0)
				return -EINVAL;
		}
		lowest = at + 8;
		at = sparse.next;
	}
	return 0;
}

int vfio_user_region_info_decode(const void *body, size_t length,
				 struct vfio_user_region_info *info, struct vfio_user_area *areas,
				 size_t max_areas, int *area_count)
{
	struct cursor cursor = cursor_make(body, length);

	*area_count = -1;
	cursor_copy(&cursor, info, sizeof(*info));
	if (cursor.failed || info->argsz < sizeof(*info))
		return -EINVAL;
	if (!(info->flags & VFIO_USER_REGION_CAPS))
		return cursor.left ? -EINVAL : 0;
	if (info->argsz != length || !info->cap_offset)
		return -EINVAL;
	return capabilities_decode(body, length, info, areas, max_areas, area_count);
}

static struct vfio_user_io_fd io_fd_decode(struct cursor *cursor, size_t stride)
{
	struct vfio_user_io_fd entry;

	if (stride != VFIO_USER_IO_FD_LONG) {
		cursor_copy(cursor, &entry, sizeof(entry));
		return entry;
	}
	cursor_copy(cursor, &entry, offsetof(struct vfio_user_io_fd, match_value));
	cursor_u64(cursor);
	entry.match_value = cursor_u64(cursor);
	return entry;
}

int vfio_user_io_fds_decode(const void *body, size_t length, size_t fd_count,
			    struct vfio_user_io_fd *entries, size_t max_entries)
{
	struct cursor cursor = cursor_make(body, length);
	struct vfio_user_io_fds head;
	size_t stride;

	cursor_copy(&cursor, &head, sizeof(head));
	if (cursor.failed || head.argsz < sizeof(head))
		return -EINVAL;
	if (!cursor.left) /* none, or more than we had room for */
		return fd_count ? -EINVAL : 0;
	if (head.argsz != length || !head.count || head.count > max_entries ||
	    cursor.left % head.count)
		return -EINVAL;
	stride = cursor.left / head.count;
	if (stride != sizeof(*entries) && stride != VFIO_USER_IO_FD_LONG)
		return -EINVAL;
	for (size_t i = 0; i < head.count; i++) {
		entries[i] = io_fd_decode(&cursor, stride);
		if (entries[i].fd_index >= fd_count)
			return -EINVAL;
	}
	return (int)head.count;
}
