/* SPDX-License-Identifier: Apache-2.0 */
/* karuta init: where everything is to be, and whether this machine can do it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/size.h"
#include "home.h"
#include "init.h"
#include "os/fd.h"
#include "os/replace.h"
#include "trust/digest.h"

#define PLANE_PORT   4750u
#define HOST_PORT    4747u
#define MANIFEST_MAX ((size_t)1 << 20)
#define TPM	     "/dev/tpmrm0"

static int wrong(struct error *error, const char *option, const char *text, const char *wanted)
{
	error_set(error, EINVAL, "--%s %.60s: wanted is %s", option, text, wanted);
	return CLI_USAGE;
}

/* ---- folders and files ---- */

static int join(char path[INIT_PATH], const char *folder, const char *rest, struct error *error)
{
	if ((size_t)snprintf(path, INIT_PATH, "%s%s", folder, rest) < INIT_PATH)
		return 0;
	return error_set(error, ENAMETOOLONG, "%.100s...: too long", folder);
}

/* What is written down, and what is started, has to be true from everywhere. */
static int take_folder(char whole[INIT_PATH], const char *folder, struct error *error)
{
	char here[INIT_PATH];

	if (!*folder || *folder == '/')
		return join(whole, folder, "", error);
	if (!getcwd(here, sizeof(here) - 1))
		return error_set(error, errno, "%s", strerror(errno));
	strcat(here, "/");
	return join(whole, here, folder, error);
}

static int take_folders(struct init *init, const char *root, struct error *error)
{
	const struct {
		char *path;
		const char *rest;
	} all[] = {
		{init->plane, "/var/lib/karuta/plane"},
		{init->state, "/var/lib/karuta/host"},
		{init->audit, "/var/lib/karuta/audit/host"},
		{init->etc, "/etc/karuta"},
		{init->files, "/srv/karuta"},
		{init->logs, "/var/log/karuta"},
		{init->run, "/run/karuta"},
		{init->releases, "/var/lib/karuta/plane/releases"},
		{init->authority, "/var/lib/karuta/plane/ca.pem"},
		{init->token, "/var/lib/karuta/plane/admin.token"},
		{init->certificate, "/etc/karuta/host.pem"},
		{init->key, "/etc/karuta/host.key"},
		{init->host_authority, "/etc/karuta/ca.pem"},
		{init->plane_options, "/etc/karuta/plane.options"},
		{init->host_options, "/etc/karuta/host.options"},
	};
	char whole[INIT_PATH];
	int result = take_folder(whole, root ? root : "", error);

	for (size_t i = 0; i < ARRAY_LEN(all) && !result; i++)
		result = join(all[i].path, whole, all[i].rest, error);
	return result;
}

/* Beside this program, unless --programs says otherwise. */
static int take_programs(struct init *init, struct error *error)
{
	const char *given = options_value(init->call, "programs");
	char self[INIT_PATH];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int result;

	self[length > 0 ? length : 0] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	result = take_folder(init->programs, given ? given : self, error);
	if (!result)
		result = join(init->plane_program, init->programs, "/karuta-plane", error);
	if (!result)
		result = join(init->host_program, init->programs, "/karuta-controller", error);
	if (!result)
		result = join(init->manifest, init->programs, "/karuta.manifest", error);
	if (!result && access(init->manifest, F_OK))
		result = join(init->manifest, init->programs, "/../libexec/karuta/karuta.manifest",
			      error);
	return result;
}

/* ---- names and addresses ---- */

static int take_port(unsigned *port, const char *option, const char *text, struct error *error)
{
	uint64_t number;

	if (size_parse(text, &number) || !number || number > UINT16_MAX)
		return wrong(error, option, text, "a port, 1 to 65535");
	*port = (unsigned)number;
	return 0;
}

/* ADDRESS:PORT. Who listens at all addresses is called by 127.0.0.1. */
static int take_listen(struct init *init, struct error *error)
{
	const char *text = options_value(init->call, "listen");
	const char *colon = text ? strrchr(text, ':') : NULL;
	size_t length = colon ? (size_t)(colon - text) : 0;

	init->plane_port = PLANE_PORT;
	strcpy(init->listen, "127.0.0.1:4750");
	strcpy(init->plane_host, "127.0.0.1");
	if (!text)
		return 0;
	if (!colon || length >= sizeof(init->plane_host) || strlen(text) >= sizeof(init->listen) ||
	    strspn(text, "0123456789abcdefABCDEF.:[]") != strlen(text))
		return wrong(error, "listen", text, "ADDRESS:PORT, in numbers");
	strcpy(init->listen, text);
	if (length && strncmp(text, "0.0.0.0", length) != 0 && strncmp(text, "[::]", length) != 0)
		snprintf(init->plane_host, sizeof(init->plane_host), "%.*s", (int)length, text);
	return take_port(&init->plane_port, "listen", colon + 1, error);
}

static int take_names(struct init *init, struct error *error)
{
	const char *text;
	size_t at = 0;

	while ((text = options_next(init->call, "plane-name", &at))) {
		if (init->name_count == INIT_NAMES)
			return wrong(error, "plane-name", text, "no more of them");
		for (const char *byte = text; *byte; byte++) {
			if (!isalnum((unsigned char)*byte) && !strchr(".:-", *byte))
				return wrong(error, "plane-name", text, "a name or an address");
		}
		init->names[init->name_count++] = text;
	}
	return 0;
}

/* That of the machine, as the plane wants it: small letters, digits, '-'. */
static int take_name(struct init *init, struct error *error)
{
	const char *given = options_value(init->call, "name");
	size_t length = 0;

	if (given && (!home_name_is_good(given) || strlen(given) >= sizeof(init->name)))
		return wrong(error, "name", given, "small letters, digits and '-'");
	if (given) {
		strcpy(init->name, given);
		return 0;
	}
	if (gethostname(init->name, sizeof(init->name) - 1))
		init->name[0] = '\0';
	while (isalnum((unsigned char)init->name[length]) || init->name[length] == '-') {
		init->name[length] = (char)tolower((unsigned char)init->name[length]);
		length++;
	}
	while (length && init->name[length - 1] == '-')
		length--;
	init->name[length] = '\0';
	if (!isalpha((unsigned char)init->name[0]))
		strcpy(init->name, "host");
	return 0;
}

/* ---- the two services ---- */

static void add(struct service *service, size_t *at, const char *option, const char *value)
{
	service->argv[(*at)++] = option;
	if (value)
		service->argv[(*at)++] = value;
}

static void set_services(struct init *init, bool systemd)
{
	struct service *plane = &init->plane_service, *host = &init->host_service;
	size_t at = 0;

	*plane = (struct service){.name = "karuta-plane",
				  .systemd = systemd,
				  .options = init->plane_options,
				  .logs = init->logs,
				  .run = init->run};
	add(plane, &at, init->plane_program, NULL);
	add(plane, &at, "--listen", init->listen);
	add(plane, &at, "--folder", init->plane);
	add(plane, &at, "--release", init->releases);
	add(plane, &at, "--name", "localhost");
	add(plane, &at, "--name", "127.0.0.1");
	if (strcmp(init->plane_host, "127.0.0.1") != 0)
		add(plane, &at, "--name", init->plane_host);
	for (size_t i = 0; i < init->name_count; i++)
		add(plane, &at, "--name", init->names[i]);
	if (!init->tpm)
		add(plane, &at, "--allow-unattested", NULL);

	*host = *plane;
	host->name = "karuta-host";
	host->options = init->host_options;
	memset(host->argv, 0, sizeof(host->argv));
	at = 0;
	add(host, &at, init->host_program, "serve");
	add(host, &at, "--listen", init->host_listen);
	add(host, &at, "--ca", init->host_authority);
	add(host, &at, "--cert", init->certificate);
	add(host, &at, "--key", init->key);
	add(host, &at, "--files", init->files);
	add(host, &at, "--audit", init->audit);
	add(host, &at, "--state", init->state);
	if (init->tpm)
		add(host, &at, "--tpm", "device:" TPM);
}

int init_take(struct init *init, const struct invocation *call, struct error *error)
{
	const char *root = options_value(call, "root"), *port = options_value(call, "host-port");
	int result;

	*init = (struct init){.call = call, .host_port = HOST_PORT};
	init->tpm = !root && access(TPM, F_OK) == 0;
	result = take_folders(init, root, error);
	result = result ? result : take_programs(init, error);
	result = result ? result : take_listen(init, error);
	result = result ? result : take_names(init, error);
	result = result ? result : take_name(init, error);
	if (!result && port)
		result = take_port(&init->host_port, "host-port", port, error);
	if (result)
		return result;
	snprintf(init->host_listen, sizeof(init->host_listen), "127.0.0.1:%u", init->host_port);
	set_services(init, !root && service_systemd_runs());
	return 0;
}

/* ---- whether it can be done ---- */

static int check_program(const char *path, struct error *error)
{
	if (!access(path, X_OK))
		return 0;
	return error_set(error, ENOENT, "%s: %s\n        `make install` puts it there", path,
			 strerror(errno));
}

int init_check(const struct init *init, struct error *error)
{
	int result = check_program(init->plane_program, error);

	if (geteuid())
		return error_set(error, EPERM,
				 "init makes folders and services of the system: run it as root");
	if (!result)
		result = check_program(init->host_program, error);
	if (!result && access(init->manifest, R_OK))
		result = error_set(error, ENOENT,
				   "%s: %s\n        it says which programs a host may run; `make "
				   "install` puts it there",
				   init->manifest, strerror(errno));
	if (result || options_value(init->call, "no-kvm") || !access("/dev/kvm", R_OK | W_OK))
		return result;
	return error_set(
		error, ENODEV,
		"/dev/kvm: %s: no instance can run on this machine\n        switch on its "
		"virtualization (firmware, or nested in a virtual machine), load kvm_intel "
		"or kvm_amd;\n        --no-kvm goes on without it",
		strerror(errno));
}

int init_make_folders(const struct init *init, struct error *error)
{
	const char *const shared[] = {init->releases, init->etc, init->files, init->logs,
				      init->run};
	int result = home_make_folders(init->plane, error);

	if (!result && chmod(init->plane, 0700))
		result = error_set(error, errno, "%s: %s", init->plane, strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(shared) && !result; i++)
		result = home_make_folders(shared[i], error);
	return result;
}

/* Named by its content: a release that was there before is the same file. */
static int name_release(const void *text, size_t length, char name[INIT_NAME])
{
	char digits[TRUST_DIGEST_DIGITS + 1];
	struct trust_digest digest;
	int result = trust_digest(text, length, &digest);

	if (result)
		return result;
	trust_hex(digest.bytes, sizeof(digest.bytes), digits);
	snprintf(name, INIT_NAME, "%.32s.manifest", digits);
	return 0;
}

int init_keep_release(struct init *init, struct error *error)
{
	CLEANUP_CLOSE int file = open(init->manifest, O_RDONLY | O_CLOEXEC);
	CLEANUP_CLOSE int folder = open(init->releases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FREE char *text = malloc(MANIFEST_MAX);
	ssize_t length = file < 0 || folder < 0 ? -errno
			 : text			? os_read_full(file, text, MANIFEST_MAX)
						: -ENOMEM;
	char name[INIT_NAME] = "";
	int result = length < 0		      ? (int)length
		     : length == MANIFEST_MAX ? -EFBIG
					      : name_release(text, (size_t)length, name);

	if (!result && faccessat(folder, name, F_OK, 0)) {
		init->release_is_new = true;
		result = os_replace(&os_file_calls, folder, name, text, (size_t)length);
	}
	return result ? error_set(error, -result, "%s, which is to be kept in %s: %s",
				  init->manifest, init->releases, strerror(-result))
		      : 0;
}
