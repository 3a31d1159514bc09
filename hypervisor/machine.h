/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One instance. The main thread owns it: it carries out commands, watches the cards, and starts and
 * stops the vCPU threads. A vCPU thread runs guest code and serves its exits; what it may touch has
 * a lock of its own (bus.h, serial.h, interrupts.h, events.h). What only the main thread may do, a
 * vCPU asks for with machine_request().
 *
 * Locks, in the order in which they may be taken: a slot's, then the bus's windows, then the
 * interrupts'. `lock` below, the serial port's and the links' own stand alone.
 */
#ifndef KARUTA_HYPERVISOR_MACHINE_H
#define KARUTA_HYPERVISOR_MACHINE_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "events.h"
#include "interrupts.h"
#include "memory.h"
#include "options.h"
#include "peer.h"
#include "serial.h"
#include "wire/command.h"
#include "wire/console.h"
#include "wire/status.h"

struct machine;

struct vcpu {
	struct machine *machine;
	unsigned index;
	pthread_t thread;
	int fd;
	struct kvm_run *run; /* replaced with the VM, while the vCPU is parked */
	bool exit_is_left;   /* the exit in `run` was interrupted: it is handled before KVM_RUN */
};

/* What vCPUs ask the main thread for; a set of bits. */
enum machine_request {
	REQUEST_RESET = 1 << 0,
	REQUEST_POWER_OFF = 1 << 1,
	REQUEST_CRASH = 1 << 2, /* crash_text has the words */
	REQUEST_SLOTS = 1 << 3, /* a slot was ejected, or a card was found dead */
};

struct machine {
	struct options options;
	struct status_page *status;
	struct console_ring *console;

	/* What CONFIGURE asked for. */
	unsigned cpus;
	char line[COMMAND_LINE_MAX + 1];

	struct memory memory;
	int vm; /* KVM's virtual machine; made anew at each reset */
	size_t run_size;
	struct kvm_cpuid2 *cpuid; /* what every vCPU has, but for its own number */
	struct kvm_msrs *msrs;	  /* registers of a vCPU that are handed over */
	unsigned address_bits;	  /* of guest physical addresses */
	struct vcpu *vcpus;
	struct bus bus;
	struct interrupts interrupts;
	struct serial serial;
	struct events events;

	/* Running and parked vCPUs. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_bool run;  /* vCPUs may run; changed with `lock` held */
	unsigned running; /* threads that are not parked */
	char crash_text[STATUS_TEXT_SIZE];

	atomic_uint requests;
	int wake_fd; /* eventfd: requests is not 0 */
	bool started, paused;

	struct peer peer; /* the program that is to go on in our place, or that we go on for */
};

/* From a vCPU thread. All but REQUEST_SLOTS stop the vCPUs: the caller goes no further. */
void machine_request(struct machine *machine, unsigned request);
__attribute__((format(printf, 2, 3))) void machine_crash(struct machine *machine,
							 const char *format, ...);

/* Main thread. Parks all vCPU threads, in whatever they are; back only when they are. */
void machine_stop(struct machine *machine);
void machine_continue(struct machine *machine);

#endif
