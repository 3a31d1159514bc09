/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in during an enrolment: frames at the host, answers, tokens as people type them, and
 * requests for certificates at the plane, of which only one with its own key's signature is taken.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ca.h"
#include "wire/enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t copy[ENROL_FRAME_MAX];
static struct ca *ca;

static void must_be(ssize_t length, const uint8_t *data, size_t size)
{
	if (length != (ssize_t)size || memcmp(copy, data, size) != 0)
		abort();
}

static void frame(const uint8_t *data, size_t size)
{
	struct control_request request;
	struct error error;

	if (size <= sizeof(copy) &&
	    control_request_decode_of(enrol_verbs, &request, data, size, &error) == 0)
		must_be(control_request_encode(&request, copy, sizeof(copy)), data, size);
}

static void token(const uint8_t *data, size_t size)
{
	char text[ENROL_TOKEN_SIZE];
	uint8_t secret[ENROL_SECRET_SIZE];
	struct error error = {0};

	if (enrol_token_read((const char *)data, size, secret, &error) < 0)
		return;
	enrol_token_write(secret, text);
	if (size != strlen(text) || memcmp(text, data, size) != 0)
		abort();
}

static void request(const uint8_t *data, size_t size)
{
	static const char *const addresses[] = {"192.0.2.1"};
	const struct ca_want want = {.kind = CA_HOST,
				     .name = "h1",
				     .addresses = addresses,
				     .address_count = 1,
				     .now = 1800000000,
				     .seconds = CA_SECONDS};
	struct ca_issued issued;
	struct error error = {0};

	if (!ca && ca_make("plane", want.now, &ca, &error) < 0)
		abort();
	if (ca_issue(ca, &want, (const char *)data, size, &issued, &error) == 0)
		ca_issued_free(&issued);
	else if (issued.certificate || error.code != EINVAL)
		abort();
}

/* Byte 0: which. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0:
		frame(data + 1, size - 1);
		break;
	case 1:
		token(data + 1, size - 1);
		break;
	default:
		request(data + 1, size - 1);
	}
	return 0;
}
