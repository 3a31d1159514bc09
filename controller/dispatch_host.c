/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns the host itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "attest.h"
#include "base/base.h"
#include "cores.h"
#include "dispatch_call.h"
#include "os/fd.h"
#include "os/room.h"
#include "programs.h"
#include "quarantine.h"
#include "report.h"
#include "trust/digest.h"
#include "trust/quote.h"

int call_update_host(struct call *call)
{
	const struct control_value *part = control_value_find(&call->request, "part");
	char text[17] = "";
	int ret = 0;

	call_copy_text(part, text, sizeof(text));
	call_name_target(call, "host", text);
	if (part && strcmp(text, "controller") != 0)
		ret = error_set(&call->error, EINVAL, "part: %s: must be controller", text);
	if (ret == 0)
		ret = call_accept(call);
	if (ret < 0)
		return ret;
	return host_update_begin(call->fleet, call->operation, !part, &call->error);
}

/* ---- what it has ---- */

/* What guests were promised. */
static void count(const struct fleet *fleet, json_t *report)
{
	json_int_t memory = 0, cpus = 0, instances = 0;

	for (unsigned i = 0; i < FLEET_UNITS; i++) {
		const struct unit *unit = fleet->units[i];

		instances += unit != NULL;
		if (!unit || !unit->live)
			continue;
		memory += (json_int_t)unit->instance.memory;
		cpus += (json_int_t)unit->instance.cpus;
	}
	json_object_set_new(report, "instances", json_integer(instances));
	json_object_set_new(report, "instances_most", json_integer(FLEET_UNITS));
	json_object_set_new(report, "memory_promised", json_integer(memory));
	json_object_set_new(report, "cpus_promised", json_integer(cpus));
}

static void measure_host(json_t *report)
{
	CLEANUP_CLOSE int room = os_room_open();
	struct sysinfo info = {0};
	struct cores cores;
	struct error error = {0};
	json_int_t cpus = 0, whole = 0;

	sysinfo(&info);
	if (cores_read(&cores, "/sys/devices/system/cpu", &error) == 0) {
		for (unsigned i = 0; i < CPUS_MAX; i++) {
			cpus += cpus_has(&cores.online, i);
			whole += cpus_has(&cores.online, i) && cores.core[i] == i;
		}
	}
	json_object_set_new(report, "cpus", json_integer(cpus));
	json_object_set_new(report, "cores", json_integer(whole));
	json_object_set_new(report, "memory",
			    json_integer((json_int_t)info.totalram * (json_int_t)info.mem_unit));
	json_object_set_new(report, "memory_free",
			    json_integer((json_int_t)min_u64(os_room_of_host(room), INT64_MAX)));
}

int call_host(struct call *call)
{
	int ret = call_accept(call);

	if (ret < 0)
		return ret;
	call->result = report_host();
	json_object_set_new(call->result, "version", json_string(KARUTA_VERSION));
	count(call->fleet, call->result);
	measure_host(call->result);
	return 0;
}

/* ---- whether it is what it should be ---- */

/* The nonce's length or -EINVAL. */
static int take_nonce(struct call *call, uint8_t nonce[QUOTE_NONCE_MAX])
{
	const struct control_value *given = control_value_find(&call->request, "nonce");
	char text[2 * QUOTE_NONCE_MAX + 1];

	call_copy_text(given, text, sizeof(text));
	if (given->length % 2 == 0 && given->length / 2 >= QUOTE_NONCE_MIN &&
	    trust_unhex(text, given->length, nonce))
		return (int)(given->length / 2);
	return error_set(&call->error, EINVAL,
			 "nonce: must be %u to %u bytes as small hexadecimal digits",
			 QUOTE_NONCE_MIN, QUOTE_NONCE_MAX);
}

static int quote(const struct state *state, const void *nonce, size_t nonce_length, char **text,
		 struct error *error)
{
	struct tpm *tpm = NULL;
	size_t length;
	int ret = tpm_open(&tpm, programs_tpm(), error);

	if (ret == 0)
		ret = attest_quote(tpm, state, nonce, nonce_length, text, &length, error);
	tpm_close(tpm);
	return ret;
}

#define EVIDENCE_SHOWN (16u << 10) /* of the list of what led to quarantines, its last bytes */

/* The list's last bytes, which are for people: what is no ASCII may be half a character. */
static const char *end_of(char *list, size_t length)
{
	for (size_t i = 0; i < length; i++)
		list[i] = list[i] & 0x80 ? '?' : list[i];
	return list + (length > EVIDENCE_SHOWN ? length - EVIDENCE_SHOWN : 0);
}

/* The log alone where there is no TPM that could answer for it. */
static int gather(struct call *call, const void *nonce, size_t nonce_length)
{
	CLEANUP_FREE char *quoted = NULL, *listed = NULL;
	struct state state;
	const char *suspect;
	size_t length = 0;
	FILE *list = open_memstream(&listed, &length);
	int ret = list ? state_open(&state, programs_state(), &call->error)
		       : error_set(&call->error, ENOMEM, "out of memory");

	if (!list)
		return ret;
	if (ret == 0)
		ret = state_load(&state, &suspect, &call->error);
	if (ret == 0)
		ret = quarantine_list(&state, list, &call->error);
	fclose(list);
	if (ret == 0 && programs_tpm())
		ret = quote(&state, nonce, nonce_length, &quoted, &call->error);
	if (ret == 0)
		call->result = json_pack("{s:s,s:s*,s:s*,s:s*}", "attestation",
					 programs_attestation(programs_host()), "evidence",
					 end_of(listed, length), "quote", quoted, "log",
					 quoted ? NULL : state.log.text);
	state_close(&state);
	return ret;
}

int call_evidence(struct call *call)
{
	uint8_t nonce[QUOTE_NONCE_MAX];
	int length = take_nonce(call, nonce), ret = length;

	if (ret >= 0)
		ret = call_accept(call);
	return ret < 0 ? ret : gather(call, nonce, (size_t)length);
}

int call_release(struct call *call)
{
	char reason[201], text[OPERATION_TEXT];
	struct state state;
	const char *suspect;
	int ret;

	call_name_target(call, "host", "");
	call_copy_text(control_value_find(&call->request, "reason"), reason, sizeof(reason));
	ret = quarantine_check_reason(reason, &call->error);
	if (ret == 0)
		ret = call_accept(call);
	if (ret < 0)
		return ret;
	ret = state_open(&state, programs_state(), &call->error);
	if (ret == 0)
		ret = state_load(&state, &suspect, &call->error);
	if (ret == 0)
		ret = quarantine_end(&state, call->who, reason, &call->error);
	state_close(&state);
	/* It may be over, and have left the host at a standstill. */
	if (call->fleet->standstill.is_on && (ret == 0 || ret == -ENOENT))
		ret = standstill_end(call->fleet, &call->error);
	snprintf(text, sizeof(text), "the quarantine is over");
	if (ret == 0)
		fleet_finish(call->fleet, call->operation, 0, text);
	return ret;
}
