/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/kvm.h>
#include <stdatomic.h>
#include <string.h>

#include "os/fd.h"
#include "serial.h"

/* Registers and bits as in the PC16550D data sheet, 8.0. */
enum {
	DATA = 0,	      /* divisor, low, while DIVISOR_ACCESS */
	INTERRUPT_ENABLE = 1, /* divisor, high, while DIVISOR_ACCESS */
	INTERRUPT_IDENTITY = 2,
	FIFO_CONTROL = 2,
	LINE_CONTROL = 3,
	MODEM_CONTROL = 4,
	LINE_STATUS = 5,
	MODEM_STATUS = 6,
	SCRATCH = 7,
};

#define ENABLE_EMPTY	0x02
#define ENABLE_BITS	0x0f
#define IDENTITY_NONE	0x01
#define IDENTITY_EMPTY	0x02
#define IDENTITY_FIFO	0xc0
#define FIFO_ENABLE	0x01
#define DIVISOR_ACCESS	0x80
#define STATUS_EMPTY	0x60 /* holding and shift register */
#define MODEM_LOOPBACK	0x10
#define MODEM_CONNECTED 0xb0 /* carrier, data set ready, clear to send */

static void start_over(struct serial *serial)
{
	serial->enabled = serial->fifo = serial->modem = serial->scratch = 0;
	serial->format = 0x03;
	serial->divisor[0] = 1;
	serial->divisor[1] = 0;
	serial->empty_pending = false;
}

int serial_init(struct serial *serial, struct console_ring *console)
{
	*serial = (struct serial){.console = console};
	pthread_mutex_init(&serial->lock, NULL);
	start_over(serial);
	serial->fd = os_eventfd();
	return serial->fd < 0 ? serial->fd : 0;
}

void serial_reset(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	start_over(serial);
	serial->kept = NULL;
	pthread_mutex_unlock(&serial->lock);
}

void serial_use_kept(struct serial *serial, volatile struct kvm_coalesced_mmio_ring *ring,
		     uint32_t size, uint16_t port)
{
	serial->kept = ring;
	serial->kept_size = size;
	serial->kept_port = port;
}

static void set_empty(struct serial *serial)
{
	bool was = serial->empty_pending;

	serial->empty_pending = true;
	if (serial->enabled & ENABLE_EMPTY && !was)
		os_eventfd_signal(serial->fd);
}

static void write_data(struct serial *serial, const uint8_t *bytes, size_t count)
{
	if (serial->format & DIVISOR_ACCESS) {
		serial->divisor[0] = bytes[count - 1];
		return;
	}
	if (!(serial->modem & MODEM_LOOPBACK))
		console_write(serial->console, bytes, count);
	set_empty(serial);
}

static void drain(struct serial *serial)
{
	volatile struct kvm_coalesced_mmio_ring *kept = serial->kept;
	uint8_t bytes[256];
	size_t count = 0;

	if (!kept)
		return;
	while (kept->first != kept->last && kept->first < serial->kept_size) {
		uint32_t first = kept->first;

		atomic_thread_fence(memory_order_acquire);
		if (kept->coalesced_mmio[first].phys_addr == serial->kept_port)
			bytes[count++] = kept->coalesced_mmio[first].data[0];
		atomic_thread_fence(memory_order_release);
		kept->first = (first + 1) % serial->kept_size;
		if (count == sizeof(bytes)) {
			write_data(serial, bytes, count);
			count = 0;
		}
	}
	if (count)
		write_data(serial, bytes, count);
}

void serial_drain(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	drain(serial);
	pthread_mutex_unlock(&serial->lock);
}

void serial_save(struct serial *serial, uint8_t state[SERIAL_STATE_SIZE])
{
	pthread_mutex_lock(&serial->lock);
	drain(serial);
	memcpy(state,
	       (const uint8_t[SERIAL_STATE_SIZE]){serial->enabled, serial->fifo, serial->format,
						  serial->modem, serial->scratch,
						  serial->divisor[0], serial->divisor[1],
						  serial->empty_pending},
	       SERIAL_STATE_SIZE);
	pthread_mutex_unlock(&serial->lock);
}

/* An interrupt that was on its way may have been lost with the last program: one too many is
 * harmless. */
void serial_restore(struct serial *serial, const uint8_t state[SERIAL_STATE_SIZE])
{
	pthread_mutex_lock(&serial->lock);
	serial->enabled = state[0] & ENABLE_BITS;
	serial->fifo = state[1] & FIFO_ENABLE;
	serial->format = state[2];
	serial->modem = state[3] & 0x1f;
	serial->scratch = state[4];
	serial->divisor[0] = state[5];
	serial->divisor[1] = state[6];
	serial->empty_pending = state[7];
	if (serial->empty_pending && serial->enabled & ENABLE_EMPTY)
		os_eventfd_signal(serial->fd);
	pthread_mutex_unlock(&serial->lock);
}

static uint8_t read_identity(struct serial *serial)
{
	uint8_t identity = serial->fifo & FIFO_ENABLE ? IDENTITY_FIFO : 0;

	if (!serial->empty_pending || !(serial->enabled & ENABLE_EMPTY))
		return identity | IDENTITY_NONE;
	serial->empty_pending = false;
	return identity | IDENTITY_EMPTY;
}

/* In loopback the modem control lines come back as modem status (8.6.6): drivers probe with it. */
static uint8_t read_modem_status(const struct serial *serial)
{
	uint8_t modem = serial->modem;

	if (!(modem & MODEM_LOOPBACK))
		return MODEM_CONNECTED;
	return (uint8_t)((modem & 0x02) << 3 | (modem & 0x01) << 5 | (modem & 0x0c) << 4);
}

static uint8_t read_register(struct serial *serial, unsigned offset)
{
	bool divisor = serial->format & DIVISOR_ACCESS;

	switch (offset) {
	case DATA:
		return divisor ? serial->divisor[0] : 0;
	case INTERRUPT_ENABLE:
		return divisor ? serial->divisor[1] : serial->enabled;
	case INTERRUPT_IDENTITY:
		return read_identity(serial);
	case LINE_CONTROL:
		return serial->format;
	case MODEM_CONTROL:
		return serial->modem;
	case LINE_STATUS:
		return STATUS_EMPTY;
	case MODEM_STATUS:
		return read_modem_status(serial);
	case SCRATCH:
		return serial->scratch;
	default:
		return 0xff;
	}
}

static void write_enable(struct serial *serial, uint8_t value)
{
	bool was = serial->enabled & ENABLE_EMPTY;

	if (serial->format & DIVISOR_ACCESS) {
		serial->divisor[1] = value;
		return;
	}
	serial->enabled = value & ENABLE_BITS;
	if (!(value & ENABLE_EMPTY) || was)
		return;
	/* Enabling it while the transmitter is empty interrupts at once. */
	serial->empty_pending = false;
	set_empty(serial);
}

static void write_register(struct serial *serial, unsigned offset, uint8_t value)
{
	switch (offset) {
	case DATA:
		write_data(serial, &value, 1);
		break;
	case INTERRUPT_ENABLE:
		write_enable(serial, value);
		break;
	case FIFO_CONTROL:
		serial->fifo = value & FIFO_ENABLE;
		break;
	case LINE_CONTROL:
		serial->format = value;
		break;
	case MODEM_CONTROL:
		serial->modem = value & 0x1f;
		break;
	case SCRATCH:
		serial->scratch = value;
		break;
	default:
		break;
	}
}

uint8_t serial_read(struct serial *serial, unsigned offset)
{
	uint8_t value;

	pthread_mutex_lock(&serial->lock);
	drain(serial);
	value = read_register(serial, offset);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

void serial_write(struct serial *serial, unsigned offset, uint8_t value)
{
	pthread_mutex_lock(&serial->lock);
	drain(serial);
	write_register(serial, offset, value);
	pthread_mutex_unlock(&serial->lock);
}
