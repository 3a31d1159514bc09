/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>

#include "psk.h"

int enrol_link_open(struct enrol_link *link, SSL_CTX *context, int fd, bool server)
{
	memset(link, 0, sizeof(*link));
	link->ssl = SSL_new(context);
	if (!link->ssl || SSL_set_fd(link->ssl, fd) != 1) {
		enrol_link_close(link);
		return -ENOMEM;
	}
	if (server)
		SSL_set_accept_state(link->ssl);
	else
		SSL_set_connect_state(link->ssl);
	link->events = server ? EPOLLIN : EPOLLOUT;
	return 0;
}

void enrol_link_close(struct enrol_link *link)
{
	if (link->ssl && SSL_is_init_finished(link->ssl))
		SSL_shutdown(link->ssl);
	SSL_free(link->ssl);
	ERR_clear_error();
	OPENSSL_cleanse(link, sizeof(*link));
}

/* After a call that did not succeed. */
static int wait_or_fail(struct enrol_link *link, int ret, int failure)
{
	switch (SSL_get_error(link->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		link->events = EPOLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		link->events = EPOLLOUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
	case SSL_ERROR_SYSCALL:
		return -ECONNRESET;
	default:
		return -failure;
	}
}

int enrol_link_handshake(struct enrol_link *link)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(link->ssl);
	if (ret == 1)
		return 1;
	ret = wait_or_fail(link, ret, EPROTO);
	return ret == -EPROTO && enrol_is_wrong_token() ? -EKEYREJECTED : ret;
}

static int receive_until(struct enrol_link *link, size_t length)
{
	while (link->in_have < length) {
		size_t got = 0;
		int ret;

		ERR_clear_error();
		ret = SSL_read_ex(link->ssl, link->in + link->in_have, length - link->in_have,
				  &got);
		if (ret != 1)
			return wait_or_fail(link, ret, EPROTO);
		link->in_have += got;
	}
	return 1;
}

int enrol_link_receive(struct enrol_link *link)
{
	int ret = receive_until(link, CONTROL_HEAD_SIZE);

	if (ret == 1 && !link->in_length) {
		ssize_t length = control_length(link->in, ENROL_FRAME_MAX);

		if (length < 0)
			return (int)length;
		link->in_length = (size_t)length;
	}
	return ret == 1 ? receive_until(link, CONTROL_HEAD_SIZE + link->in_length) : ret;
}

void enrol_link_next(struct enrol_link *link)
{
	OPENSSL_cleanse(link->in, sizeof(link->in));
	link->in_have = link->in_length = 0;
	link->events = EPOLLIN;
}

void enrol_link_begin(struct enrol_link *link, size_t length)
{
	control_put_length(link->out, length);
	link->out_length = CONTROL_HEAD_SIZE + length;
	link->out_done = 0;
	link->events = EPOLLOUT;
}

int enrol_link_send(struct enrol_link *link)
{
	while (link->out_done < link->out_length) {
		size_t done = 0;
		int ret;

		ERR_clear_error();
		ret = SSL_write_ex(link->ssl, link->out + link->out_done,
				   link->out_length - link->out_done, &done);
		if (ret != 1)
			return wait_or_fail(link, ret, EPROTO);
		link->out_done += done;
	}
	link->events = EPOLLIN;
	return 1;
}
