/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "enrol.h"
#include "wire/cbor.h"

/* The first that knows the token says it, and there is no other. */
static int take_name(struct enrol_talk *talk, const char *name, struct error *error)
{
	if (talk->name[0] && strcmp(talk->name, name) != 0)
		return error_set(error, EEXIST, "this host is called %s already", talk->name);
	snprintf(talk->name, sizeof(talk->name), "%s", name);
	return 0;
}

/* The same each time: a plane that has lost its connection asks again. */
static int request(struct enrol_talk *talk, char **result, struct error *error)
{
	json_t *object;
	int ret = talk->key ? 0 : identity_make(talk->name, &talk->key, talk->request, error);

	if (ret < 0)
		return ret;
	object = json_pack("{s:s}", "request", talk->request);
	*result = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return *result ? 0 : error_set(error, ENOMEM, "out of memory");
}

static int install(struct enrol_talk *talk, const struct control_request *request,
		   struct error *error)
{
	struct identity identity;
	int ret;

	if (!talk->key)
		return error_set(error, EINVAL, "no certificate was asked for");
	ret = identity_read(&identity, talk->key, talk->name,
			    control_value_find(request, "certificate"),
			    control_value_find(request, "authority"), error);
	if (ret == 0)
		ret = identity_write_first(&identity, talk->folder, error);
	identity_free(&identity);
	talk->done = ret == 0;
	return ret;
}

static int carry_out(struct enrol_talk *talk, const struct control_request *asked, const char *name,
		     char **result, struct error *error)
{
	int ret = take_name(talk, name, error);

	if (ret < 0)
		return ret;
	return asked->verb == &enrol_verbs[ENROL_REQUEST] ? request(talk, result, error)
							  : install(talk, asked, error);
}

int enrol_talk_answer(struct enrol_talk *talk, struct enrol_link *link, const char *name)
{
	struct control_request asked;
	struct control_answer answer = {0};
	struct error error = {0};
	char *result = NULL;
	ssize_t length;
	int ret = control_request_decode_of(enrol_verbs, &asked, link->in + CONTROL_HEAD_SIZE,
					    link->in_length, &error);

	if (!asked.has_id)
		return -EBADMSG;
	if (ret == 0)
		carry_out(talk, &asked, name, &result, &error);
	memcpy(answer.id, asked.id, sizeof(answer.id));
	answer.code = error.code;
	/* A verb's name that was cut may not be UTF-8 any more. */
	answer.text =
		cbor_text_is_valid(error.text, strlen(error.text)) ? error.text : "not a request";
	answer.text_length = strlen(answer.text);
	answer.result = result ? result : "";
	answer.result_length = strlen(answer.result);
	length = control_answer_encode(&answer, link->out + CONTROL_HEAD_SIZE, ENROL_FRAME_MAX);
	free(result);
	if (length < 0)
		return (int)length;
	enrol_link_next(link);
	enrol_link_begin(link, (size_t)length);
	return 0;
}

void enrol_talk_free(struct enrol_talk *talk)
{
	EVP_PKEY_free(talk->key);
	talk->key = NULL;
}
