/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller may ask a controller for over the network, all of it: control.c has the list as
 * data. In a TLS 1.3 stream (ALPN "karuta/1") each side sends frames:
 *
 *	frame   = length (4 bytes, big endian) item
 *	request = [identifier (16 bytes), verb (text), {argument (text): value}]
 *	answer  = [identifier, code (number), text, result (text)]
 *
 * in deterministic CBOR (cbor.h), so the arguments of a request come in the order of the list. The
 * identifier is the caller's choice and never used for two requests: the same request sent again
 * is not carried out again but has the same answer. `code` is 0 or an errno value; `result` is a
 * JSON object, or empty.
 */
#ifndef KARUTA_WIRE_CONTROL_H
#define KARUTA_WIRE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define CONTROL_ALPN	      "karuta/1"
#define CONTROL_HEAD_SIZE     4u
#define CONTROL_ID_SIZE	      16u
#define CONTROL_REQUEST_MAX   (192u << 10) /* without the length, as are the others */
#define CONTROL_ANSWER_MAX    (320u << 10) /* a quote and its event log, as JSON, and more */
#define CONTROL_TEXT_MAX      1024u	   /* of an answer */
#define CONTROL_VERB_MAX      16u
#define CONTROL_ARGUMENTS_MAX 4u
#define CONTROL_KEYS_MAX      31u
#define CONTROL_KEY_MAX	      4096u	   /* before it is wrapped */
#define CONTROL_DATA_MAX      (128u << 10) /* of a file, in one request */
#define CONTROL_WRAP_SIZE     72u	   /* so much longer it is then */

/* What a certificate says that its holder may do; each may do what those before it may. */
enum control_role {
	CONTROL_NOBODY,
	CONTROL_READER,	  /* look */
	CONTROL_OPERATOR, /* launch, change and end instances */
	CONTROL_ADMIN,	  /* all that concerns the host itself */
};

enum control_type {
	CONTROL_TEXT,
	CONTROL_NUMBER,
	CONTROL_FLAG,
	CONTROL_KEYS, /* {number: wrapped key}: what stands for a key_fd of a specification */
	CONTROL_BYTES,
};

struct control_argument {
	const char *name;
	enum control_type type;
	bool required;
	uint64_t most; /* bytes of a text or of bytes, or a number */
};

struct control_verb {
	const char *name;
	const char *help;
	enum control_role role; /* at least */
	bool changes;		/* done once an identifier; else done again when asked again */
	size_t argument_count;
	struct control_argument arguments[CONTROL_ARGUMENTS_MAX]; /* in the order of encoding */
};

extern const struct control_verb control_verbs[]; /* ends with one without a name */
const struct control_verb *control_verb_find(const char *name, size_t length);

struct control_value {
	bool given;
	uint64_t number;  /* also of a flag */
	const char *text; /* not terminated; of CONTROL_BYTES too */
	size_t length;
};

/* Wrapped for the host; how, is nothing of the wire's. */
struct control_key {
	uint64_t number;
	const uint8_t *bytes;
	size_t length;
};

struct control_request {
	bool has_id;
	uint8_t id[CONTROL_ID_SIZE];
	char verb_name[CONTROL_VERB_MAX + 1]; /* "" if it was not a short text */
	const struct control_verb *verb;
	struct control_value values[CONTROL_ARGUMENTS_MAX]; /* as verb->arguments */
	struct control_key keys[CONTROL_KEYS_MAX];	    /* in order of their numbers */
	size_t key_count;
};

struct control_answer {
	uint8_t id[CONTROL_ID_SIZE];
	int code;
	const char *text; /* neither is terminated */
	size_t text_length;
	const char *result;
	size_t result_length;
};

/* Of a frame; -EMSGSIZE: 0, or more than `most`. */
ssize_t control_length(const uint8_t head[CONTROL_HEAD_SIZE], size_t most);
void control_put_length(uint8_t head[CONTROL_HEAD_SIZE], size_t length);

/* `bytes` stay where they are: the request's texts and keys are in them. -EBADMSG: it is none;
 * -ENOSYS: no such verb; -EINVAL: its arguments. has_id says whether there is one to answer to. */
int control_request_decode(struct control_request *request, const uint8_t *bytes, size_t length,
			   struct error *error);
/* The same of another list of verbs, which ends with one without a name. */
int control_request_decode_of(const struct control_verb *verbs, struct control_request *request,
			      const uint8_t *bytes, size_t length, struct error *error);
/* Length or -EMSGSIZE. */
ssize_t control_request_encode(const struct control_request *request, uint8_t *bytes, size_t size);
/* The same with no bytes for each key: what a key is wrapped for, and what makes a request the same
 * one when it is sent again with its keys wrapped again. */
ssize_t control_request_encode_bare(const struct control_request *request, uint8_t *bytes,
				    size_t size);

int control_answer_decode(struct control_answer *answer, const uint8_t *bytes, size_t length);
ssize_t control_answer_encode(const struct control_answer *answer, uint8_t *bytes, size_t size);

/* The argument's value; NULL: there is no such argument, or it was not given. */
const struct control_value *control_value_find(const struct control_request *request,
					       const char *name);

#endif
