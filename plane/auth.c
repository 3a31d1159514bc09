/* SPDX-License-Identifier: Apache-2.0 */
#include "auth.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "name.h"

#define PREFIX	     "karuta_"
#define PREFIX_SIZE  (sizeof(PREFIX) - 1)
#define SECRET_BYTES 32u
#define DIGITS	     (2 * SHA256_DIGEST_LENGTH)
#define KEY_SIZE     (sizeof(AUTH_TOKENS "/") + AUTH_ID_SIZE)
#define UNIT_PREFIX  "plane-"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *const role_names[] = {
	[AUTH_NOBODY] = "nobody",
	[AUTH_READER] = "reader",
	[AUTH_OPERATOR] = "operator",
	[AUTH_ADMIN] = "admin",
};

const char *auth_role_name(enum auth_role role)
{
	return role_names[role];
}

bool auth_role_find(const char *name, enum auth_role *role)
{
	for (enum auth_role at = AUTH_READER; at <= AUTH_ADMIN; at++) {
		if (strcmp(role_names[at], name) == 0) {
			*role = at;
			return true;
		}
	}
	return false;
}

/* ---- tokens ---- */

static void write_hex(const unsigned char *bytes, size_t length, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

/* SHA-256 in digits, and the key that follows from it. */
static void digest_token(const char *token, char digest[DIGITS + 1], char key[KEY_SIZE])
{
	unsigned char bytes[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)token, strlen(token), bytes);
	write_hex(bytes, sizeof(bytes), digest);
	snprintf(key, KEY_SIZE, AUTH_TOKENS "/%.*s", (int)AUTH_ID_SIZE - 1, digest);
}

static bool looks_like_a_token(const char *text)
{
	return strncmp(text, PREFIX, PREFIX_SIZE) == 0 && strlen(text) == AUTH_TOKEN_SIZE - 1 &&
	       strspn(text + PREFIX_SIZE, alphabet) == AUTH_TOKEN_SIZE - 1 - PREFIX_SIZE;
}

struct lookup {
	const char *digest;
	int64_t now;
	struct auth_caller *caller;
	bool same, damaged, expired;
};

/* How long it takes says nothing about the digest that is stored. */
static int look_at(void *context, const struct store_item *item)
{
	struct lookup *lookup = context;
	json_t *token = json_loadb(item->value, item->length, JSON_REJECT_DUPLICATES, NULL);
	const char *name, *role, *digest;
	json_int_t created, expires;

	lookup->damaged =
		json_unpack(token, "{s:s, s:s, s:s, s:I, s:I !}", "name", &name, "role", &role,
			    "sha256", &digest, "created", &created, "expires", &expires) < 0 ||
		!name_is_good(name) || !auth_role_find(role, &lookup->caller->role) ||
		strlen(digest) != DIGITS;
	if (!lookup->damaged) {
		lookup->same = CRYPTO_memcmp(digest, lookup->digest, DIGITS) == 0;
		lookup->expired = expires && expires <= lookup->now;
		snprintf(lookup->caller->name, sizeof(lookup->caller->name), "%s", name);
	}
	json_decref(token);
	return 0;
}

static int refuse(struct auth_caller *caller, struct problem *problem, const char *detail)
{
	*caller = (struct auth_caller){.role = AUTH_NOBODY};
	return problem_set(problem, 401, "unauthenticated", NULL,
			   "show a token that is good: an admin makes one (POST /v1/tokens)", "%s",
			   detail);
}

static int refuse_unread(struct problem *problem)
{
	return problem_set(problem, 503, "store", NULL, "see the plane's log",
			   "the store cannot be read");
}

static int find_token(struct store *store, const char *token, int64_t now,
		      struct auth_caller *caller, struct problem *problem)
{
	char digest[DIGITS + 1], key[KEY_SIZE];
	struct lookup lookup = {.digest = digest, .now = now, .caller = caller};
	struct error error = {0};
	int ret;

	if (!looks_like_a_token(token))
		return refuse(caller, problem, "what was shown is not a token of karuta");
	digest_token(token, digest, key);
	ret = store_get(store, key, look_at, &lookup, &error);
	if (ret < 0 && ret != -ENOENT)
		return refuse_unread(problem);
	if (ret == 0 && lookup.damaged)
		return problem_set(problem, 500, "internal", key, "delete it and make another",
				   "the token is damaged in the store");
	if (ret < 0 || !lookup.same)
		return refuse(caller, problem, "the token is not known");
	return lookup.expired ? refuse(caller, problem, "the token has expired") : 0;
}

static int draw_token(char token[AUTH_TOKEN_SIZE])
{
	unsigned char secret[SECRET_BYTES];
	unsigned bits = 0, held = 0;
	char *at = token + PREFIX_SIZE;

	if (RAND_bytes(secret, sizeof(secret)) != 1)
		return -EIO;
	memcpy(token, PREFIX, PREFIX_SIZE);
	for (size_t i = 0; i < sizeof(secret); i++) {
		bits = (bits << 8 | secret[i]) & 0xffff;
		for (held += 8; held >= 6; held -= 6)
			*at++ = alphabet[bits >> (held - 6) & 63];
	}
	*at++ = alphabet[bits << (6 - held) & 63];
	*at = '\0';
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(&bits, sizeof(bits));
	return 0;
}

int auth_make_token(const struct auth_token *wanted, int64_t now, char token[AUTH_TOKEN_SIZE],
		    char id[AUTH_ID_SIZE], char value[AUTH_VALUE_SIZE], struct error *error)
{
	char digest[DIGITS + 1], key[KEY_SIZE];

	if (!name_is_good(wanted->name))
		return error_set(error, EINVAL,
				 "a token's name is made of letters, digits, '-', "
				 "'_', '.', '@', and begins with a letter or digit");
	if (wanted->role == AUTH_NOBODY || (wanted->expires && wanted->expires <= now))
		return error_set(error, EINVAL, "%s: a token has a role and an end that comes",
				 wanted->name);
	if (draw_token(token) < 0)
		return error_set(error, EIO, "no random bytes");
	digest_token(token, digest, key);
	memcpy(id, digest, AUTH_ID_SIZE - 1);
	id[AUTH_ID_SIZE - 1] = '\0';
	snprintf(value, AUTH_VALUE_SIZE,
		 "{\"name\":\"%s\",\"role\":\"%s\",\"sha256\":\"%s\",\"created\":%lld,"
		 "\"expires\":%lld}",
		 wanted->name, role_names[wanted->role], digest, (long long)now,
		 (long long)wanted->expires);
	return 0;
}

int auth_create_token(struct store *store, const char *name, enum auth_role role, int64_t now,
		      int64_t expires, char token[AUTH_TOKEN_SIZE], char id[AUTH_ID_SIZE],
		      struct error *error)
{
	const struct auth_token wanted = {.name = name, .role = role, .expires = expires};
	char key[KEY_SIZE], value[AUTH_VALUE_SIZE];
	struct store_change change = {.key = key, .value = value, .expected = 0};
	uint64_t revision;
	int ret = auth_make_token(&wanted, now, token, id, value, error);

	if (ret < 0)
		return ret;
	snprintf(key, sizeof(key), AUTH_TOKENS "/%s", id);
	return store_commit(store, &change, 1, &revision, error);
}

/* ---- certificates ---- */

/* What the plane has written down when it made it. */
struct issued {
	char name[AUTH_NAME_SIZE];
	char role[AUTH_NAME_SIZE];
};

static int take_issued(void *context, const struct store_item *item)
{
	struct issued *issued = context;
	json_t *doc = json_loadb(item->value, item->length, JSON_REJECT_DUPLICATES, NULL);
	const char *name = "", *role = "";

	json_unpack(doc, "{s:s, s:s}", "name", &name, "role", &role);
	snprintf(issued->name, sizeof(issued->name), "%s", name);
	snprintf(issued->role, sizeof(issued->role), "%s", role);
	json_decref(doc);
	return 0;
}

static int refuse_certificate(struct auth_caller *caller, struct problem *problem,
			      const char *object, const char *detail)
{
	*caller = (struct auth_caller){.role = AUTH_NOBODY};
	return problem_set(problem, 401, "unauthenticated", object,
			   "show one that is good: an admin makes it (POST /v1/certificates)", "%s",
			   detail);
}

static int find_certificate(struct store *store, const struct http_certificate *certificate,
			    struct auth_caller *caller, struct problem *problem)
{
	const char *role = certificate->unit + strlen(UNIT_PREFIX);
	char key[sizeof(AUTH_CERTIFICATES) + HTTP_SERIAL_SIZE];
	struct issued issued = {0};
	struct error error = {0};
	int ret;

	snprintf(key, sizeof(key), AUTH_CERTIFICATES "/%s", certificate->serial);
	ret = store_get(store, key, take_issued, &issued, &error);
	if (ret < 0 && ret != -ENOENT)
		return refuse_unread(problem);
	if (ret < 0)
		return refuse_certificate(caller, problem, key, "the certificate was taken back");
	if (strcmp(issued.name, certificate->name) != 0 || strcmp(issued.role, role) != 0 ||
	    !auth_role_find(role, &caller->role))
		return refuse_certificate(caller, problem, key,
					  "the certificate is not what the plane has written down");
	return 0;
}

/* ---- who asks ---- */

/* RFC 9110, 11.4: the scheme in letters of any kind, spaces, what is shown. */
static const char *bearer(const char *authorization)
{
	if (strncasecmp(authorization, "Bearer ", 7) != 0)
		return "";
	authorization += 7;
	return authorization + strspn(authorization, " ");
}

int auth_find_caller(struct store *store, const struct http_exchange *exchange, int64_t now,
		     struct auth_caller *caller, struct problem *problem)
{
	const char *authorization = http_header(exchange, "Authorization");
	const struct http_certificate *certificate = &exchange->certificate;

	*caller = (struct auth_caller){.role = AUTH_NOBODY};
	if (authorization)
		return find_token(store, bearer(authorization), now, caller, problem);
	if (certificate->shown && name_is_good(certificate->name)) {
		snprintf(caller->name, sizeof(caller->name), "%s", certificate->name);
		if (!strncmp(certificate->unit, UNIT_PREFIX, strlen(UNIT_PREFIX)))
			return find_certificate(store, certificate, caller, problem);
	}
	return 0;
}
