/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "images_private.h"
#include "os/fd.h"

#define SLICE (1u << 20) /* read at once; between two of them a job can be cancelled */

struct queue {
	struct job *first, **end;
};

struct worker {
	struct os_loop *loop;
	int folder, event;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t more;
	struct queue waiting, finished;
	struct job *current;
	bool ending;
};

static void put(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->end = job;
	queue->end = &job->next;
}

static struct job *take(struct queue *queue)
{
	struct job *job = queue->first;

	if (job)
		queue->first = job->next;
	if (!queue->first)
		queue->end = &queue->first;
	return job;
}

/* ---- in the thread ---- */

static int hash(const struct job *job, int file, uint8_t *slice, EVP_MD_CTX *context,
		struct trust_digest *digest)
{
	ssize_t length;

	if (EVP_DigestInit_ex(context, EVP_sha384(), NULL) != 1)
		return -ENOMEM;
	while ((length = os_read_full(file, slice, SLICE)) > 0) {
		if (atomic_load(&job->cancelled))
			return -ECANCELED;
		if (EVP_DigestUpdate(context, slice, (size_t)length) != 1)
			return -ENOMEM;
	}
	if (length < 0)
		return (int)length;
	return EVP_DigestFinal_ex(context, digest->bytes, NULL) == 1 ? 0 : -ENOMEM;
}

static int hash_file(const struct job *job, int file, struct trust_digest *digest)
{
	CLEANUP_FREE uint8_t *slice = malloc(SLICE);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int ret = slice && context ? hash(job, file, slice, context, digest) : -ENOMEM;

	EVP_MD_CTX_free(context);
	return ret;
}

/* On the disk first: what could not be written there must not be found good in memory. */
static int check_part(struct job *job, int folder, unsigned i)
{
	const char *name = images_part_names[i];
	CLEANUP_CLOSE int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct trust_digest digest;
	struct stat status;
	int ret;

	if (file < 0 || fstat(file, &status) < 0 || fsync(file) < 0)
		return error_set(&job->error, errno, "%s: %s", name, strerror(errno));
	if ((uint64_t)status.st_size != job->parts[i].size)
		return error_set(&job->error, EBADMSG, "%s: its file has another size", name);
	ret = hash_file(job, file, &digest);
	if (ret < 0)
		return error_set(&job->error, -ret, "%s: %s", name, strerror(-ret));
	if (!trust_digest_same(&digest, &job->parts[i].digest))
		return error_set(&job->error, EBADMSG, "%s: what was sent has another SHA-384",
				 name);
	return 0;
}

static int check(const struct worker *worker, struct job *job)
{
	CLEANUP_CLOSE int folder =
		openat(worker->folder, job->uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int ret = 0;

	if (folder < 0)
		return error_set(&job->error, errno, "its files: %s", strerror(errno));
	for (unsigned i = 0; ret == 0 && i < IMAGES_PARTS; i++) {
		if (job->parts[i].size)
			ret = check_part(job, folder, i);
	}
	if (ret == 0 && (fsync(folder) < 0 || fsync(worker->folder) < 0))
		ret = error_set(&job->error, errno, "its files: %s", strerror(errno));
	return ret;
}

static int remove_files(const struct worker *worker, struct job *job)
{
	CLEANUP_CLOSE int folder =
		openat(worker->folder, job->uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (folder < 0)
		return errno == ENOENT ? 0 : error_set(&job->error, errno, "%s", strerror(errno));
	for (unsigned i = 0; i < IMAGES_PARTS; i++) {
		if (unlinkat(folder, images_part_names[i], 0) < 0 && errno != ENOENT)
			return error_set(&job->error, errno, "%s: %s", images_part_names[i],
					 strerror(errno));
	}
	if (unlinkat(worker->folder, job->uid, AT_REMOVEDIR) < 0)
		return error_set(&job->error, errno, "%s", strerror(errno));
	return 0;
}

static void carry_out(const struct worker *worker, struct job *job)
{
	if (atomic_load(&job->cancelled))
		job->ret = error_set(&job->error, ECANCELED, "it was cancelled");
	else
		job->ret = job->kind == JOB_CHECK ? check(worker, job) : remove_files(worker, job);
}

static void *run(void *context)
{
	struct worker *worker = context;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->waiting.first && !worker->ending)
			pthread_cond_wait(&worker->more, &worker->lock);
		if (worker->ending)
			break;
		worker->current = take(&worker->waiting);
		pthread_mutex_unlock(&worker->lock);
		carry_out(worker, worker->current);
		pthread_mutex_lock(&worker->lock);
		put(&worker->finished, worker->current);
		worker->current = NULL;
		os_eventfd_signal(worker->event);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

/* ---- in the owner's ---- */

static struct job *take_finished(struct worker *worker)
{
	struct job *job;

	pthread_mutex_lock(&worker->lock);
	job = take(&worker->finished);
	pthread_mutex_unlock(&worker->lock);
	return job;
}

static void on_finished(void *context, int fd, uint32_t events)
{
	struct worker *worker = context;
	struct job *job;

	(void)events;
	os_eventfd_drain(fd);
	while ((job = take_finished(worker)))
		job->done(job->context, job);
}

/* No signal is for it: those that the plane waits for are the other thread's. */
static int start(struct worker *worker)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

int worker_open(struct os_loop *loop, int folder, struct worker **worker, struct error *error)
{
	struct worker *made = calloc(1, sizeof(*made));
	int ret;

	if (!made)
		return error_set(error, ENOMEM, "out of memory");
	made->loop = loop;
	made->folder = folder;
	made->waiting.end = &made->waiting.first;
	made->finished.end = &made->finished.first;
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->more, NULL);
	made->event = os_eventfd();
	ret = made->event < 0 ? made->event
			      : os_loop_add(loop, made->event, EPOLLIN, on_finished, made);
	if (ret == 0) {
		ret = start(made);
		if (ret < 0)
			os_loop_remove(loop, made->event);
	}
	if (ret < 0) {
		os_close(&made->event);
		free(made);
		return error_set(error, -ret, "images: a thread: %s", strerror(-ret));
	}
	*worker = made;
	return 0;
}

void worker_add(struct worker *worker, struct job *job)
{
	pthread_mutex_lock(&worker->lock);
	put(&worker->waiting, job);
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
}

void worker_close(struct worker *worker)
{
	struct job *job;

	if (!worker)
		return;
	pthread_mutex_lock(&worker->lock);
	worker->ending = true;
	if (worker->current)
		atomic_store(&worker->current->cancelled, true);
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	/* Nothing is made of what it has found: others of the plane may have ended already. */
	while ((job = take(&worker->finished)) || (job = take(&worker->waiting))) {
		job->ret = error_set(&job->error, ECANCELED, "the plane ends");
		job->done(job->context, job);
	}
	os_loop_remove(worker->loop, worker->event);
	os_close(&worker->event);
	pthread_cond_destroy(&worker->more);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}
