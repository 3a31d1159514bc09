/* SPDX-License-Identifier: Apache-2.0 */
#include "revoked.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "call/tls.h"

#define LISTS_MAX (1u << 20) /* bytes of the file */

static bool is_as_seen(const struct stat *seen, const struct stat *now)
{
	return seen->st_ino == now->st_ino && seen->st_dev == now->st_dev &&
	       seen->st_size == now->st_size && seen->st_mtim.tv_sec == now->st_mtim.tv_sec &&
	       seen->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

/* Another one with the same authority: from a store nothing can be taken out. */
static X509_STORE *copy_store(X509_STORE *store)
{
	STACK_OF(X509) *certificates = X509_STORE_get1_all_certs(store);
	X509_STORE *copy = certificates ? X509_STORE_new() : NULL;

	for (int i = 0; copy && i < sk_X509_num(certificates); i++) {
		if (X509_STORE_add_cert(copy, sk_X509_value(certificates, i)) == 1)
			continue;
		X509_STORE_free(copy);
		copy = NULL;
	}
	sk_X509_pop_free(certificates, X509_free);
	return copy;
}

/* How many. */
static int add_lists(X509_STORE *store, const void *bytes, size_t length)
{
	BIO *bio = BIO_new_mem_buf(bytes, (int)length);
	X509_CRL *list;
	int count = 0;

	while (bio && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
		count += X509_STORE_add_crl(store, list) == 1;
		X509_CRL_free(list);
	}
	BIO_free(bio);
	ERR_clear_error();
	return count;
}

static int read_lists(const char *file, SSL_CTX *context, struct error *error)
{
	CLEANUP_FREE uint8_t *bytes = malloc(LISTS_MAX);
	ssize_t length = bytes ? tls_read_file(file, bytes, LISTS_MAX, error)
			       : error_set(error, ENOMEM, "out of memory");
	X509_STORE *store;

	if (length < 0)
		return (int)length;
	store = copy_store(SSL_CTX_get_cert_store(context));
	if (!store || !add_lists(store, bytes, (size_t)length) ||
	    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1) {
		X509_STORE_free(store);
		return error_set(error, EINVAL, "%s: no lists of revoked certificates, in PEM",
				 file);
	}
	SSL_CTX_set_cert_store(context, store);
	return 0;
}

int revoked_look(struct revoked *revoked, SSL_CTX *context, struct error *error)
{
	struct stat now;
	int ret;

	if (!revoked->file)
		return 0;
	if (stat(revoked->file, &now) < 0)
		return error_set(error, errno, "%s: %s", revoked->file, strerror(errno));
	if (is_as_seen(&revoked->seen, &now))
		return 0;
	ret = read_lists(revoked->file, context, error);
	if (ret < 0)
		return ret;
	revoked->seen = now;
	return 1;
}
