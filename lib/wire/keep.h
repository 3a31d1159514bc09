/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controller of a host gives into the hands of its keeper, to find it again when it has
 * died or was replaced: records, each a number, some bytes and some descriptors. The keeper does
 * not know what they mean.
 *
 *   controller                                    keeper
 *   PUT key, pids, bytes, descriptors ----------> the record of this key, replaced as a whole
 *   DROP key -----------------------------------> there is none any more
 *   READY --------------------------------------> should it die from now on, it is started again
 *   LIST ---------------------------------------> RECORD for each, then END
 *   WAIT pid -----------------------------------> EXITED: how this orphan ended
 *   REPLACE, descriptor ------------------------> kills it, and starts this program in its place;
 *                                                 the old one again if that does not get READY
 *   RENEW, descriptor --------------------------> goes on as that program, with all records
 *   WHO ----------------------------------------> END
 *   ENDING -------------------------------------> it has nothing left to do: the keeper ends with
 * it
 *
 * A SOCK_SEQPACKET pair: a message is a head and `length` bytes. The keeper speaks only when it was
 * asked, so that each answer is the next message. When the controller has died, its children become
 * the keeper's; those that no record names are killed, the others stay for the next one.
 */
#ifndef KARUTA_WIRE_KEEP_H
#define KARUTA_WIRE_KEEP_H

#include <stdint.h>

#define KEEP_MAGIC	 0x5045454bu /* "KEEP" */
#define KEEP_BYTES_MAX	 (64u << 10)
#define KEEP_FDS_MAX	 64u
#define KEEP_PIDS_MAX	 4u
#define KEEP_RECORDS_MAX 4096u

enum keep_verb {
	KEEP_PUT = 1,
	KEEP_DROP,
	KEEP_READY,
	KEEP_LIST,
	KEEP_WAIT,
	KEEP_REPLACE,
	KEEP_RENEW,
	KEEP_ENDING,
	KEEP_WHO,
	/* answers */
	KEEP_RECORD,
	KEEP_END,
	KEEP_EXITED,
};

/* END: what became of the last REPLACE. */
enum keep_outcome {
	KEEP_NOT_REPLACED, /* none was asked for, or that is long ago */
	KEEP_REPLACED,	   /* who asks is the other program */
	KEEP_WENT_BACK,	   /* the other program did not get READY */
};

struct keep_head {
	uint32_t magic;
	uint32_t verb;
	uint64_t key; /* PUT, DROP, RECORD */
	/* PUT, RECORD: the processes that it is about, 0 behind the last; WAIT, EXITED: the first.
	 */
	int32_t pids[KEEP_PIDS_MAX];
	/* EXITED: CLD_EXITED, ... of waitid(2), or 0: it is not known; END: enum keep_outcome. */
	int32_t code;
	/* EXITED: exit code or signal; END: low bits of the number (st_ino) of the keeper's own
	 * program. */
	int32_t status;
	uint32_t length;
	uint32_t zero;
};
_Static_assert(sizeof(struct keep_head) == 48, "no padding");

#endif
