/* SPDX-License-Identifier: Apache-2.0 */
#include "renewal.h"

#include <errno.h>

/* Who was given a descriptor has nothing to write to. */
static int must_be_files(const struct renewal *renewal, struct error *error)
{
	if (identity_is_file(renewal->files->certificate) && identity_is_file(renewal->files->key))
		return 0;
	return error_set(error, EOPNOTSUPP,
			 "this host was given its certificate or its key as a descriptor, and "
			 "cannot replace it");
}

int renewal_open(struct renewal *renewal, const struct tls_files *files, struct error *error)
{
	struct error other = {0};

	renewal->files = files;
	/* Whether that has helped is seen when they are used. */
	if (must_be_files(renewal, &other) == 0)
		identity_mend(files->key, files->certificate, &other);
	renewal->tls = tls_context(files, true, error);
	return renewal->tls ? 0 : -EINVAL;
}

int renewal_request(struct renewal *renewal, const char **request, struct error *error)
{
	char name[TLS_NAME_MAX + 1];
	int ret = must_be_files(renewal, error);

	if (ret == 0)
		ret = tls_context_name(renewal->tls, name, error);
	if (ret == 0 && !renewal->key)
		ret = identity_make(name, &renewal->key, renewal->request, error);
	*request = renewal->request;
	return ret;
}

static int use(struct renewal *renewal, const struct identity *identity, struct error *error)
{
	SSL_CTX *tls = tls_context_again(renewal->tls, identity->certificate, identity->key, error);
	int ret = tls ? identity_write_next(identity, renewal->files->key,
					    renewal->files->certificate, error)
		      : -ENOMEM;

	if (ret < 0) {
		SSL_CTX_free(tls);
		return ret;
	}
	/* Connections hold what they were made with. */
	SSL_CTX_free(renewal->tls);
	renewal->tls = tls;
	return 0;
}

int renewal_install(struct renewal *renewal, const struct control_value *certificate,
		    struct error *error)
{
	char name[TLS_NAME_MAX + 1];
	struct identity identity;
	int ret;

	if (!renewal->key)
		return error_set(error, EINVAL, "no certificate was asked for");
	ret = tls_context_name(renewal->tls, name, error);
	if (ret < 0)
		return ret;
	ret = identity_read_next(&identity, renewal->key, name, certificate,
				 SSL_CTX_get_cert_store(renewal->tls), error);
	if (ret == 0)
		ret = use(renewal, &identity, error);
	identity_free(&identity);
	if (ret < 0)
		return ret;
	EVP_PKEY_free(renewal->key);
	renewal->key = NULL;
	return 0;
}

void renewal_close(struct renewal *renewal)
{
	SSL_CTX_free(renewal->tls);
	EVP_PKEY_free(renewal->key);
	*renewal = (struct renewal){0};
}
