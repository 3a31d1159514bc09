/* SPDX-License-Identifier: Apache-2.0 */
#include "store_bytes.h"

#include <string.h>

void store_bytes_carry_out(uint8_t *bytes, const struct store_request *request)
{
	uint8_t *at = bytes + request->offset;

	if (request->op == STORE_DISCARD)
		memset(at, 0, request->length);
	if (request->op != STORE_READ && request->op != STORE_WRITE)
		return;
	for (size_t i = 0; i < request->iov_count; i++) {
		if (request->op == STORE_READ)
			memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);
		else
			memcpy(at, request->iov[i].iov_base, request->iov[i].iov_len);
		at += request->iov[i].iov_len;
	}
}
