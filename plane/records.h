/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structures of core/ as documents have them: of "instances/web" and "volumes/data" what is
 * wanted as "want", which handlers change, and how far that is as "record", which the fleet
 * (fleet.h) changes and nobody else. Neither is shown to clients. The other members:
 *
 *	instances	{"spec": {"cpus", "memory", "cores"?, "kernel", "initrd"?, "command_line"?,
 *			 "restart"?, "image"?, "image_uid"?, "host"?, "host_labels"?},
 *			 "wanted": "running|stopped|gone",
 *			 "status": {"state", "text", "since", "host"?, "restarts"?}}
 *	volumes		{"spec": {"size", "key", "host"?, "image"?, "image_uid"?, "volume"?,
 *	snapshots	 "snapshot"?, "source"?, "source_size"?, "instance"?},
 *			 "status": {"state", "text", "size", "host"?, "instance"?, "slot"?}}
 *
 * "status.host" is where it is placed, for good once anything of it may be there. "kernel" and
 * "initrd" are paths below the host's folder of files. "key" is the ID of a key (keys.h). A
 * volume's "source" is the uid of the volume or snapshot that it begins as a copy of, "source_size"
 * that one's size then, "volume" or "snapshot" its name;
 * "instance" is the name of the one that it was made with and is placed with.
 */
#ifndef KARUTA_PLANE_RECORDS_H
#define KARUTA_PLANE_RECORDS_H

#include "core/instance.h"
#include "core/volume.h"
#include "doc.h"

#define RECORDS_FILE_MAX 64u
#define RECORDS_NAME_MAX 64u /* of an instance, on its host */
#define RECORDS_CARD_MAX 20u

/* What is not there is 0. -EBADMSG: it is not what was written, the error names it. */
int instance_want_read(const json_t *doc, struct instance_want *want, struct error *error);
int instance_record_read(const json_t *doc, struct instance_record *record, struct error *error);
int volume_want_read(const json_t *doc, struct volume_want *want, struct error *error);
int volume_record_read(const json_t *doc, struct volume_record *record, struct error *error);

/* Also "wanted" of an instance. -ENOMEM. */
int instance_want_write(json_t *doc, const struct instance_want *want);
int instance_record_write(json_t *doc, const struct instance_record *record);
int volume_want_write(json_t *doc, const struct volume_want *want);
int volume_record_write(json_t *doc, const struct volume_record *record);

/* Of its "metadata.uid". */
int record_uid(const json_t *doc, uint8_t uid[ATTEMPT_UID_SIZE], struct error *error);
bool record_uid_parse(const char *text, uint8_t uid[ATTEMPT_UID_SIZE]);
void record_uid_text(const uint8_t uid[ATTEMPT_UID_SIZE], char text[DOC_UID_SIZE]);

/* What a host knows them by: "web.3f2a9c0d5e6b7a81", "3f2a....vol", and the card of a
 * volume, which is also the serial number that its guest sees, "vol3f2a9c0d5e6b7a81f". */
void instance_host_name(const char *name, const char *uid, char text[RECORDS_NAME_MAX]);
void volume_host_file(const char *uid, char text[RECORDS_FILE_MAX]);
void volume_card_name(const char *uid, char text[RECORDS_CARD_MAX + 1]);

/* What clients do not see is taken out. */
void record_hide(json_t *doc);

#endif
