/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "progress.h"

#define BAR_WIDTH 30u

static double seconds(const struct progress *progress)
{
	return (double)(os_now() - progress->started) / (double)NS_PER_S;
}

static void draw_bar(const struct progress *progress)
{
	double part = (double)progress->done / (double)progress->total;
	unsigned filled = (unsigned)(part * BAR_WIDTH);
	char bar[BAR_WIDTH + 1];

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', filled < BAR_WIDTH ? filled : BAR_WIDTH);
	bar[BAR_WIDTH] = 0;
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %4.0f s", progress->title, bar, part * 100,
		seconds(progress));
}

static void draw(struct progress *progress)
{
	progress->drawn = os_now();
	if (progress->total)
		draw_bar(progress);
	else
		fprintf(stderr, "\r\033[K%s ... %.0f s", progress->title, seconds(progress));
	fflush(stderr);
}

void progress_step(struct progress *progress, const char *title, uint64_t total)
{
	progress_end(progress);
	snprintf(progress->title, sizeof(progress->title), "%s", title);
	progress->total = total;
	progress->done = 0;
	progress->started = os_now();
	progress->terminal = isatty(STDERR_FILENO) == 1;
	progress->open = true;
	if (progress->terminal)
		draw(progress);
	else
		fprintf(stderr, "%s ...\n", progress->title);
}

void progress_update(struct progress *progress, uint64_t done)
{
	progress->done = done < progress->total ? done : progress->total;
	if (progress->open && progress->terminal && os_now() - progress->drawn > 100 * NS_PER_MS)
		draw(progress);
}

void progress_end(struct progress *progress)
{
	if (!progress->open)
		return;
	progress->open = false;
	fprintf(stderr, "%s%s: done in %.1f s\n", progress->terminal ? "\r\033[K" : "",
		progress->title, seconds(progress));
}

void progress_clear(struct progress *progress)
{
	if (progress->open && progress->terminal)
		fputs("\r\033[K", stderr);
	progress->open = false;
}

void progress_abandon(struct progress *progress)
{
	if (progress->open && progress->terminal)
		fputc('\n', stderr);
	progress->open = false;
}
