/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many hosts in one process, as far as a plane sees them: each has an address, a certificate and a
 * wrapping key of its own, speaks the control protocol (wire/control.h), and remembers what it was
 * asked to have. Nothing runs on them. A request that comes twice is carried out twice.
 */
#ifndef KARUTA_BENCH_SIM_HOSTS_H
#define KARUTA_BENCH_SIM_HOSTS_H

#include "ca.h"

#define SIM_HOSTS_MOST 256u
#define SIM_NAME_SIZE  16u

/* In memory that is shared with who has begun them. */
struct sim_seen {
	unsigned running;  /* instances, now */
	unsigned requests; /* of any kind, since the last restart; as are the others */
	unsigned launches, starts, attaches, lists;
	unsigned keys;	   /* that came with these, wrapped for their host and this request */
	unsigned wrong;	   /* keys that were not, and starts without any */
	unsigned restarts; /* asked for: raised by the other side */
};

struct sim_hosts {
	unsigned count;
	char names[SIM_HOSTS_MOST][SIM_NAME_SIZE]; /* "host-000" */
	unsigned short ports[SIM_HOSTS_MOST];	   /* of 127.0.0.1 */
	struct ca_issued certificates[SIM_HOSTS_MOST];
	volatile struct sim_seen *seen;
	int pid;
};

/* Certificates are the authority's, for a plane whose it is. The process runs on `core` and ends
 * with this one. -errno, with the error set. */
int sim_hosts_begin(struct sim_hosts *hosts, unsigned count, const struct ca *ca, unsigned core,
		    struct error *error);
/* All are switched off and on again: connections end, wrapping keys are others, and what ran waits
 * for keys. Returns when that is so. */
void sim_hosts_restart(struct sim_hosts *hosts);
void sim_hosts_end(struct sim_hosts *hosts);

#endif
