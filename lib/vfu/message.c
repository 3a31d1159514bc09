/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/base.h"
#include "message.h"
#include "os/fd.h"

#define HEADER ((uint32_t)sizeof(struct vfio_user_header))

int vfu_reader_init(struct vfu_reader *reader, uint32_t largest, size_t fd_limit)
{
	*reader = (struct vfu_reader){.capacity = largest, .fd_limit = fd_limit};
	reader->bytes = malloc(largest);
	return reader->bytes ? 0 : -ENOMEM;
}

void vfu_reader_free(struct vfu_reader *reader)
{
	vfu_reader_next(reader);
	free(reader->bytes);
	reader->bytes = NULL;
}

static struct vfio_user_header reader_header(const struct vfu_reader *reader)
{
	struct vfio_user_header header;

	memcpy(&header, reader->bytes, sizeof(header));
	return header;
}

struct vfu_message vfu_reader_message(struct vfu_reader *reader)
{
	return (struct vfu_message){
		.header = reader_header(reader),
		.body = reader->bytes + HEADER,
		.length = reader->have - HEADER,
		.fds = reader->fds,
		.fd_count = reader->fd_count,
		.refused_fds = reader->refused_fds,
	};
}

void vfu_reader_next(struct vfu_reader *reader)
{
	for (size_t i = 0; i < reader->fd_count; i++)
		os_close(&reader->fds[i]);
	reader->fd_count = 0;
	reader->refused_fds = false;
	reader->have = 0;
}

static bool reader_wants(const struct vfu_reader *reader, int fd)
{
	struct stat status;

	if (reader->fd_count >= reader->fd_limit)
		return false;
	return !reader->refuse_sockets || (!fstat(fd, &status) && !S_ISSOCK(status.st_mode));
}

static void reader_keep_fds(struct vfu_reader *reader, int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (reader_wants(reader, fds[i])) {
			reader->fds[reader->fd_count++] = fds[i];
		} else {
			os_close(&fds[i]);
			reader->refused_fds = true;
		}
	}
}

/* Reads towards `target` bytes: 1 there, 0 not yet, -EPIPE. All descriptors that the kernel can
 * pass are taken, since refusing them would lose the bytes as well. */
static int reader_fill(struct vfu_reader *reader, int socket, uint32_t target)
{
	while (reader->have < target) {
		int fds[OS_MAX_FDS];
		size_t count;
		ssize_t done =
			os_receive(socket, reader->bytes + reader->have, target - reader->have, fds,
				   ARRAY_LEN(fds), &count, MSG_DONTWAIT);

		if (done == -EAGAIN)
			return 0;
		if (done <= 0)
			return -EPIPE;
		reader_keep_fds(reader, fds, count);
		reader->have += (uint32_t)done;
	}
	return 1;
}

int vfu_reader_step(struct vfu_reader *reader, int socket)
{
	struct vfio_user_header header;
	int ret = reader_fill(reader, socket, HEADER);

	if (ret <= 0)
		return ret;
	header = reader_header(reader);
	ret = vfio_user_header_check(&header, reader->capacity);
	return ret ? ret : reader_fill(reader, socket, header.size);
}

int vfu_writer_init(struct vfu_writer *writer, uint32_t largest)
{
	*writer = (struct vfu_writer){.capacity = largest};
	writer->bytes = malloc(largest);
	return writer->bytes ? 0 : -ENOMEM;
}

void vfu_writer_free(struct vfu_writer *writer)
{
	free(writer->bytes);
	writer->bytes = NULL;
	vfu_writer_drop(writer);
}

uint8_t *vfu_writer_body(struct vfu_writer *writer)
{
	return writer->bytes + HEADER;
}

void vfu_writer_finish(struct vfu_writer *writer, struct vfio_user_header header, uint32_t length)
{
	header.size = HEADER + length;
	memcpy(writer->bytes, &header, sizeof(header));
	writer->start = 0;
	writer->end = header.size;
}

bool vfu_writer_is_pending(const struct vfu_writer *writer)
{
	return writer->start < writer->end;
}

void vfu_writer_drop(struct vfu_writer *writer)
{
	writer->start = 0;
	writer->end = 0;
	writer->fd_count = 0;
}

int vfu_writer_flush(struct vfu_writer *writer, int socket)
{
	while (vfu_writer_is_pending(writer)) {
		struct iovec iov = {.iov_base = writer->bytes + writer->start,
				    .iov_len = writer->end - writer->start};
		ssize_t done =
			os_send(socket, &iov, 1, writer->fds, writer->fd_count, MSG_DONTWAIT);

		if (done == -EAGAIN)
			return -EAGAIN;
		if (done < 0)
			return -EPIPE;
		writer->fd_count = 0; /* they went with the first byte */
		writer->start += (uint32_t)done;
	}
	vfu_writer_drop(writer);
	return 0;
}
