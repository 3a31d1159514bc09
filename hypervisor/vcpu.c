/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arch.h"
#include "machine.h"
#include "os/fd.h"
#include "vcpu.h"

#define STACK_SIZE (128 * KIB)
#define KICK	   SIGUSR1

/* ---- stopping and going on ---- */

void machine_request(struct machine *machine, unsigned request)
{
	if (request & ~(unsigned)REQUEST_SLOTS) {
		pthread_mutex_lock(&machine->lock);
		atomic_store(&machine->run, false);
		pthread_mutex_unlock(&machine->lock);
	}
	atomic_fetch_or(&machine->requests, request);
	os_eventfd_signal(machine->wake_fd);
}

void machine_crash(struct machine *machine, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&machine->lock);
	if (!machine->crash_text[0]) {
		va_start(args, format);
		vsnprintf(machine->crash_text, sizeof(machine->crash_text), format, args);
		va_end(args);
	}
	pthread_mutex_unlock(&machine->lock);
	machine_request(machine, REQUEST_CRASH);
}

/*
 * The signal alone would be lost when it came right before KVM_RUN; immediate_exit makes that call
 * return at once.
 */
static void kick(const struct machine *machine)
{
	for (unsigned i = 0; i < machine->cpus; i++) {
		__atomic_store_n(&machine->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(machine->vcpus[i].thread, KICK);
	}
}

void machine_stop(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	atomic_store(&machine->run, false);
	kick(machine);
	pthread_mutex_unlock(&machine->lock);
	bus_interrupt(&machine->bus);
	pthread_mutex_lock(&machine->lock);
	while (machine->running)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

void machine_continue(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	for (unsigned i = 0; i < machine->cpus; i++) {
		machine->vcpus[i].run->immediate_exit = 0;
		/* So that a guest that was paused does not take its own clock for a lock-up.
		 * Refused when it has no such clock. */
		ioctl(machine->vcpus[i].fd, KVM_KVMCLOCK_CTRL);
	}
	atomic_store(&machine->run, true);
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
}

static void park(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->running--;
	pthread_cond_broadcast(&machine->changed);
	while (!atomic_load(&machine->run))
		pthread_cond_wait(&machine->changed, &machine->lock);
	machine->running++;
	pthread_mutex_unlock(&machine->lock);
}

/* ---- exits ---- */

static uint64_t instruction_pointer(const struct vcpu *vcpu)
{
	struct kvm_regs regs = {0};

	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	return regs.rip;
}

static bool handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint32_t length = run->mmio.len;

	if (length > sizeof(run->mmio.data))
		return true;
	if (run->mmio.is_write)
		return bus_write(&vcpu->machine->bus, run->mmio.phys_addr, run->mmio.data, length);
	return bus_read(&vcpu->machine->bus, run->mmio.phys_addr, run->mmio.data, length);
}

/* False: interrupted, it is to be handled again. */
static bool handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		arch_handle_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		return handle_mmio(vcpu);
	case KVM_EXIT_SHUTDOWN: /* triple fault */
		machine_request(vcpu->machine, REQUEST_RESET);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_crash(vcpu->machine,
			      "vCPU %u: KVM cannot go on (internal error %u) at 0x%llx",
			      vcpu->index, run->internal.suberror,
			      (unsigned long long)instruction_pointer(vcpu));
		break;
	case KVM_EXIT_FAIL_ENTRY:
		machine_crash(vcpu->machine,
			      "vCPU %u: the processor refuses its state (reason 0x%llx)",
			      vcpu->index,
			      (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		machine_crash(vcpu->machine, "vCPU %u: unexpected exit %u at 0x%llx", vcpu->index,
			      run->exit_reason, (unsigned long long)instruction_pointer(vcpu));
	}
	return true;
}

/* One KVM_RUN and what came of it. False: interrupted; what is left over is exit_is_left. */
static bool run_once(struct vcpu *vcpu)
{
	if (!vcpu->exit_is_left) {
		status_count(vcpu->machine->status, STATUS_HV_EXITS, 1);
		vcpu->exit_is_left = ioctl(vcpu->fd, KVM_RUN, 0) == 0;
	}
	if (vcpu->exit_is_left) {
		vcpu->exit_is_left = !handle_exit(vcpu);
		return !vcpu->exit_is_left;
	}
	/* EAGAIN: a vCPU that waits for its first start was signalled. */
	if (errno != EINTR && errno != EAGAIN)
		machine_crash(vcpu->machine, "vCPU %u: KVM_RUN: %s", vcpu->index, strerror(errno));
	return false;
}

/*
 * Half of an instruction that came back as an exit is finished by the next KVM_RUN. Before a vCPU
 * stands still that has to be done: its registers would not be what they seem. Only an access to a
 * card that is waited for stays as it is.
 */
static void finish_exit(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	while (run_once(vcpu))
		;
}

static void *thread(void *context)
{
	struct vcpu *vcpu = context;
	struct machine *machine = vcpu->machine;

	for (;;) {
		park(machine);
		while (atomic_load(&machine->run))
			run_once(vcpu);
		finish_exit(vcpu);
	}
	return NULL;
}

/* ---- start ---- */

static void on_kick(int signal)
{
	(void)signal;
}

static int start_one(struct vcpu *vcpu, const pthread_attr_t *attributes, struct error *error)
{
	int ret = pthread_create(&vcpu->thread, attributes, thread, vcpu);

	if (ret)
		return error_set(error, ret, "vCPU %u: no thread: %s", vcpu->index, strerror(ret));
	return 0;
}

int vcpu_start(struct machine *machine, struct error *error)
{
	struct sigaction action = {.sa_handler = on_kick};
	pthread_attr_t attributes;
	int ret = 0;

	sigaction(KICK, &action, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	machine->running = machine->cpus;
	for (unsigned i = 0; !ret && i < machine->cpus; i++)
		ret = start_one(&machine->vcpus[i], &attributes, error);
	pthread_attr_destroy(&attributes);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&machine->lock);
	while (machine->running)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
	return 0;
}
