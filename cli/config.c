/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "config.h"
#include "home.h"
#include "os/fd.h"
#include "os/replace.h"

#define FILE_MAX ((size_t)16 << 10)

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "out of memory");
}

char *config_path(const char *chosen, struct error *error)
{
	const char *named = chosen ? chosen : getenv("KARUTA_PLANE");
	const char *folder = getenv("XDG_CONFIG_HOME"), *user = getenv("HOME");
	char *path;
	int result;

	if (named && *named)
		result = asprintf(&path, "%s", named);
	else if (folder && *folder)
		result = asprintf(&path, "%s/karuta/plane.json", folder);
	else
		result =
			asprintf(&path, "%s/.config/karuta/plane.json", user && *user ? user : ".");
	if (result >= 0)
		return path;
	no_memory(error);
	return NULL;
}

/* ---- what is in it ---- */

/* A name and a port and nothing else: no path, no query, no user. */
static bool url_is_good(const char *text, size_t length)
{
	static const char scheme[] = "https://";
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-:[]";

	return length > strlen(scheme) && length <= CONFIG_URL_MAX &&
	       !strncmp(text, scheme, strlen(scheme)) &&
	       strspn(text + strlen(scheme), allowed) >= length - strlen(scheme);
}

char *config_url(const char *text, struct error *error)
{
	size_t length = strlen(text);
	char *copy;

	while (length && text[length - 1] == '/')
		length--;
	if (!url_is_good(text, length)) {
		error_set(error, EINVAL,
			  "'%.80s' is not the address of a plane: wanted is https://HOST:PORT",
			  text);
		return NULL;
	}
	copy = strndup(text, length);
	if (!copy)
		no_memory(error);
	return copy;
}

int config_check_token(const char *token, struct error *error)
{
	/* RFC 6750, 2.1: b64token */
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-._~+/=";
	size_t length = strlen(token);

	if (length && length <= CONFIG_TOKEN_MAX && strspn(token, allowed) == length)
		return 0;
	return error_set(error, EINVAL,
			 "that is not a token: `karuta token create` prints one, 'karuta_...'");
}

static char *member(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && *text ? strdup(text) : NULL;
}

/* The same for a file: relative to the folder of the file that names it. */
static char *member_file(const json_t *object, const char *name, const char *path)
{
	const char *text = json_string_value(json_object_get(object, name));
	const char *slash = strrchr(path, '/');
	char *file;

	if (!text || !*text)
		return NULL;
	if (*text == '/' || !slash)
		return strdup(text);
	return asprintf(&file, "%.*s/%s", (int)(slash - path), path, text) < 0 ? NULL : file;
}

static int take(struct plane_config *config, const json_t *object, struct error *error)
{
	CLEANUP_FREE char *url = member(object, "url");

	config->ca = member_file(object, "ca", config->path);
	config->token = member(object, "token");
	config->certificate = member_file(object, "certificate", config->path);
	config->key = member_file(object, "key", config->path);
	if (!url || !config->ca)
		return error_set(error, EINVAL, "wanted are \"url\" and \"ca\"");
	if (!config->token && !(config->certificate && config->key))
		return error_set(error, EINVAL,
				 "wanted is \"token\", or \"certificate\" and \"key\"");
	config->url = config_url(url, error);
	if (!config->url)
		return -EINVAL;
	return config->token ? config_check_token(config->token, error) : 0;
}

/* ---- the file ---- */

/* Who can write it chooses the plane, and who can read it is its owner to the plane. */
static int check_owner(int file, struct error *error)
{
	struct stat status;

	if (fstat(file, &status))
		return error_set(error, errno, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, EINVAL, "is not a file");
	if (status.st_uid != geteuid() && status.st_uid)
		return error_set(error, EACCES, "belongs to somebody else");
	if (status.st_mode & 077)
		return error_set(error, EACCES,
				 "others may use it; it is for its owner alone: chmod 600");
	return 0;
}

static int parse(struct plane_config *config, const char *text, size_t length, struct error *error)
{
	json_error_t where;
	json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
	const char *token = json_string_value(json_object_get(object, "token"));
	int result;

	if (!object)
		return error_set(error, EINVAL, "line %d: %s", where.line, where.text);
	result = take(config, object, error);
	if (token)
		explicit_bzero((char *)token, strlen(token));
	json_decref(object);
	return result;
}

static int read_file(struct plane_config *config, int file, struct error *error)
{
	char text[FILE_MAX];
	ssize_t length;
	int result = check_owner(file, error);

	if (result)
		return result;
	length = os_read_full(file, text, sizeof(text));
	if (length < 0 || (size_t)length == sizeof(text))
		result = error_set(error, length < 0 ? (int)-length : E2BIG, "%s",
				   strerror(length < 0 ? (int)-length : E2BIG));
	else
		result = parse(config, text, (size_t)length, error);
	explicit_bzero(text, sizeof(text));
	return result;
}

int config_load(struct plane_config *config, const char *chosen, struct error *error)
{
	CLEANUP_CLOSE int file = -1;
	int result;

	*config = (struct plane_config){.path = config_path(chosen, error)};
	if (!config->path)
		return -ENOMEM;
	file = open(config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file < 0 && errno == ENOENT)
		return error_set(error, ENOENT,
				 "there is no %.100s, which says where the plane is\n"
				 "        `karuta login URL --ca FILE` makes it; --plane FILE or "
				 "KARUTA_PLANE names another",
				 config->path);
	result = file < 0 ? error_set(error, errno, "%s", strerror(errno))
			  : read_file(config, file, error);
	if (result)
		error_prefix(error, "%.120s", config->path);
	return result;
}

static char *format(const struct plane_config *config)
{
	json_t *object = json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "url", config->url, "ca",
				   config->ca, "token", config->token, "certificate",
				   config->certificate, "key", config->key);
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	const char *token = json_string_value(json_object_get(object, "token"));

	if (token)
		explicit_bzero((char *)token, strlen(token));
	json_decref(object);
	return text;
}

static int replace(const char *folder, const char *name, const char *text, struct error *error)
{
	CLEANUP_CLOSE int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = at < 0 ? -errno : 0;

	if (!result)
		result = os_replace(&os_file_calls, at, name, text, strlen(text));
	if (!result && fsync(at))
		result = -errno;
	if (result)
		return error_set(error, -result, "%.120s/%.60s: %s", folder, name,
				 strerror(-result));
	return 0;
}

int config_save(const struct plane_config *config, struct error *error)
{
	const char *slash = strrchr(config->path, '/');
	CLEANUP_FREE char *folder = slash ? strndup(config->path, (size_t)(slash - config->path) +
									  !(slash - config->path))
					  : strdup(".");
	char *text = format(config);
	int result = folder && text ? 0 : no_memory(error);

	if (!result)
		result = home_make_folders(folder, error);
	if (!result)
		result = replace(folder, slash ? slash + 1 : config->path, text, error);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return result;
}

void config_free(struct plane_config *config)
{
	if (config->token)
		explicit_bzero(config->token, strlen(config->token));
	free(config->path);
	free(config->url);
	free(config->ca);
	free(config->token);
	free(config->certificate);
	free(config->key);
	*config = (struct plane_config){0};
}
