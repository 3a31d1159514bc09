/* SPDX-License-Identifier: Apache-2.0 */
/* A status page of arbitrary bytes, as a program that was taken over would leave it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "wire/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
	if (!holds)
		abort();
}

/* What is taken is in its bounds, and can be shown. */
static void check(const struct status_view *view)
{
	size_t length = strnlen(view->text, sizeof(view->text));

	expect(view->state <= STATUS_FAILED && view->reason <= STATUS_CRASHED);
	expect(length < sizeof(view->text));
	for (size_t i = 0; i < length; i++)
		expect(view->text[i] >= ' ' && view->text[i] <= '~');
	for (size_t i = 0; i < STATUS_SLOTS; i++)
		expect(view->slots[i] <= STATUS_SLOT_WAITING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static union {
		struct status_page page;
		uint8_t bytes[STATUS_PAGE_SIZE];
	} shared;
	static struct status_view view;

	memset(&shared, 0, sizeof(shared));
	if (size)
		memcpy(shared.bytes, data, min_u64(size, sizeof(shared.bytes)));
	for (unsigned role = STATUS_HYPERVISOR; role <= STATUS_CARD; role++) {
		if (status_read(&shared.page, (enum status_role)role, &view) == 0)
			check(&view);
	}
	return 0;
}
