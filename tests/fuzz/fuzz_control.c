/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a controller's callers: what is taken has one encoding, which is the one that came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/control.h"

static uint8_t copy[CONTROL_ANSWER_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be(ssize_t length, const uint8_t *data, size_t size)
{
	if (length != (ssize_t)size || memcmp(copy, data, size) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request request;
	struct control_answer answer;
	struct error error;

	if (size > sizeof(copy))
		return 0;
	if (control_request_decode(&request, data, size, &error) == 0)
		must_be(control_request_encode(&request, copy, sizeof(copy)), data, size);
	if (control_answer_decode(&answer, data, size) == 0)
		must_be(control_answer_encode(&answer, copy, sizeof(copy)), data, size);
	return 0;
}
