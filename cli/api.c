/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api_private.h"
#include "base/base.h"
#include "cli.h"
#include "interrupt.h"

#define KEY_BYTES 16u

/* ---- the connection ---- */

int api_open_with(struct api **api, const struct plane_config *config, struct error *error)
{
	struct api *made = calloc(1, sizeof(*made));

	if (!made || curl_global_init(CURL_GLOBAL_DEFAULT) || !(made->curl = curl_easy_init())) {
		free(made);
		return error_set(error, ENOMEM, "out of memory");
	}
	made->config = config;
	*api = made;
	return 0;
}

int api_open(struct api **api, const char *chosen, struct error *error)
{
	struct plane_config config;
	int result = config_load(&config, chosen, error);

	if (!result)
		result = api_open_with(api, NULL, error);
	if (result) {
		config_free(&config);
		return result;
	}
	(*api)->own = config;
	(*api)->config = &(*api)->own;
	return 0;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	curl_easy_cleanup(api->curl);
	curl_global_cleanup();
	config_free(&api->own);
	free(api->body.text);
	free(api);
}

/* ---- what a request is made of ---- */

int api_body_add(struct api_body *body, const char *bytes, size_t length)
{
	if (length > API_ANSWER_MAX - body->length)
		return -EMSGSIZE;
	if (body->length + length > body->room) {
		size_t room = body->room ? body->room : 4096;
		char *text;

		while (room < body->length + length)
			room *= 2;
		text = realloc(body->text, room);
		if (!text)
			return -ENOMEM;
		body->text = text;
		body->room = room;
	}
	memcpy(body->text + body->length, bytes, length);
	body->length += length;
	return 0;
}

/* Less than `count` ends the transfer with CURLE_WRITE_ERROR. */
static size_t take_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct api *api = context;

	(void)size; /* always 1, CURLOPT_WRITEFUNCTION(3) */
	return api_body_add(&api->body, bytes, count) ? 0 : count;
}

static int stop_at_interrupt(void *context, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
			     curl_off_t up)
{
	(void)context;
	(void)down_all;
	(void)down;
	(void)up_all;
	(void)up;
	return interrupt_pending();
}

int api_header(struct curl_slist **headers, const char *name, const char *value)
{
	char line[CONFIG_TOKEN_MAX + 64];
	struct curl_slist *more;

	snprintf(line, sizeof(line), "%s: %s", name, value);
	more = curl_slist_append(*headers, line);
	explicit_bzero(line, sizeof(line));
	if (!more)
		return -ENOMEM;
	*headers = more;
	return 0;
}

/* One of them is the token. */
void api_headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *at = headers; at; at = at->next)
		explicit_bzero(at->data, strlen(at->data));
	curl_slist_free_all(headers);
}

static int set_identity(struct api *api, struct curl_slist **headers)
{
	const struct plane_config *config = api->config;
	char bearer[CONFIG_TOKEN_MAX + 8];
	int result;

	if (!config->token)
		return curl_easy_setopt(api->curl, CURLOPT_SSLCERT, config->certificate) ||
				       curl_easy_setopt(api->curl, CURLOPT_SSLKEY, config->key)
			       ? -ENOMEM
			       : 0;
	snprintf(bearer, sizeof(bearer), "Bearer %s", config->token);
	result = api_header(headers, "Authorization", bearer);
	explicit_bzero(bearer, sizeof(bearer));
	return result;
}

static bool set_limits(struct api *api)
{
	CURL *curl = api->curl;

	curl_easy_reset(curl);
	return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") ||
	       curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
	       curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3) ||
	       curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) ||
	       curl_easy_setopt(curl, CURLOPT_CAINFO, api->config->ca) ||
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") ||
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) ||
	       curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L) ||
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)API_CONNECT_SECONDS) ||
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)API_ANSWER_SECONDS) ||
	       curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) ||
	       curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_at_interrupt) ||
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, "karuta/" KARUTA_VERSION) ||
	       curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, api->reason);
}

int api_prepare(struct api *api, const char *path, struct curl_slist **headers, struct error *error)
{
	char url[CONFIG_URL_MAX + API_PATH_MAX + 1];

	snprintf(url, sizeof(url), "%s%s", api->config->url, path);
	api->reason[0] = '\0';
	api->body.length = 0;
	if (set_limits(api) || curl_easy_setopt(api->curl, CURLOPT_URL, url) ||
	    curl_easy_setopt(api->curl, CURLOPT_WRITEFUNCTION, take_bytes) ||
	    curl_easy_setopt(api->curl, CURLOPT_WRITEDATA, api) || set_identity(api, headers))
		return error_set(error, ENOMEM, "out of memory");
	return 0;
}

/* ---- what goes wrong on the way ---- */

bool api_is_lost(CURLcode code)
{
	return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
	       code == CURLE_PARTIAL_FILE;
}

static bool before_the_request(CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
	       code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR;
}

static int unreachable(const struct api *api, CURLcode code, bool changes, struct error *error)
{
	const struct plane_config *config = api->config;
	const char *why = *api->reason ? api->reason : curl_easy_strerror(code);

	if (changes && !before_the_request(code))
		error_set(
			error, ENOTCONN,
			"plane %.60s: %.80s\n        whether it was done is not known: look, or do "
			"it again",
			config->url, why);
	else
		error_set(error, ENOTCONN,
			  "plane %.60s: %.70s\n        it was chosen by %.50s; --plane FILE or "
			  "KARUTA_PLANE chooses another",
			  config->url, why, config->path);
	return CLI_UNREACHABLE;
}

int api_transport_error(const struct api *api, CURLcode code, bool changes, struct error *error)
{
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return error_set(error, EINTR, "interrupted");
	case CURLE_OUT_OF_MEMORY:
		return error_set(error, ENOMEM, "out of memory");
	case CURLE_WRITE_ERROR:
		return error_set(error, EMSGSIZE, "plane %.80s: its answer is too long",
				 api->config->url);
	case CURLE_SSL_CACERT_BADFILE:
		return error_set(error, EINVAL,
				 "%.100s: no certificate of an authority can be "
				 "read there; %.80s names it",
				 api->config->ca, api->config->path);
	case CURLE_SSL_CERTPROBLEM:
		return error_set(error, EINVAL,
				 "%.80s and %.80s: not a certificate and its key: %.60s",
				 api->config->certificate ? api->config->certificate : "-",
				 api->config->key ? api->config->key : "-", api->reason);
	default:
		return unreachable(api, code, changes, error);
	}
}

/* ---- a request ---- */

void api_pause(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	if (!interrupt_pending())
		nanosleep(&time, NULL);
}

static CURLcode perform(struct api *api)
{
	CURLcode code = CURLE_OK;

	for (unsigned tries = 0; tries < API_TRIES; tries++) {
		if (tries)
			api_pause(125u << tries);
		api->body.length = 0;
		code = curl_easy_perform(api->curl);
		/* Who was there just now is being started again. */
		if (!api_is_lost(code) && !(tries && code == CURLE_COULDNT_CONNECT))
			break;
	}
	return code;
}

static int set_key(struct curl_slist **headers)
{
	char text[2 * KEY_BYTES + 1];
	uint8_t bytes[KEY_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < KEY_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return api_header(headers, "Idempotency-Key", text);
}

static int set_request(struct api *api, const struct api_request *request, const char *body,
		       struct curl_slist **headers)
{
	CURL *curl = api->curl;

	if (!strcmp(request->method, "POST") && set_key(headers))
		return -ENOMEM;
	if (request->bytes &&
	    (api_header(headers, "Content-Type", "application/octet-stream") ||
	     curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->bytes) ||
	     curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)request->length)))
		return -ENOMEM;
	if (request->seconds && curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)request->seconds))
		return -ENOMEM;
	if (body && (api_header(headers, "Content-Type", "application/json") ||
		     curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) ||
		     curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body))))
		return -ENOMEM;
	if (curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method) ||
	    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers))
		return -ENOMEM;
	return 0;
}

int api_take_answer(struct api *api, struct api_answer *answer, struct error *error)
{
	*answer = (struct api_answer){0};
	curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (!api->body.length)
		return 0;
	answer->body = json_loadb(api->body.text, api->body.length, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(answer->body) || answer->status >= 300)
		return 0;
	json_decref(answer->body);
	answer->body = NULL;
	return error_set(error, EPROTO,
			 "plane %.80s: its answer is not JSON: is that a plane of karuta?",
			 api->config->url);
}

int api_try(struct api *api, const struct api_request *request, struct api_answer *answer,
	    struct error *error)
{
	CLEANUP_FREE char *body = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = NULL;
	int result = 0;

	if (!request->body == !body)
		result = api_prepare(api, request->path, &headers, error);
	if (!request->body != !body || (!result && set_request(api, request, body, &headers)))
		result = error_set(error, ENOMEM, "out of memory");
	if (!result) {
		CURLcode code = perform(api);

		result = code ? api_transport_error(api, code, strcmp(request->method, "GET") != 0,
						    error)
			      : api_take_answer(api, answer, error);
	}
	curl_easy_setopt(api->curl, CURLOPT_HTTPHEADER, NULL);
	api_headers_free(headers);
	return result;
}
