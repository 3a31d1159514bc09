/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispatch_call.h"

/* Which image it speaks of, also for the audit log. */
static int take_image(struct call *call, char image[IMAGE_NAME_MAX + 1])
{
	call_copy_text(control_value_find(&call->request, "image"), image, IMAGE_NAME_MAX + 1);
	call_name_target(call, image, "");
	return image_check_name(image, &call->error);
}

static int must_rest(struct call *call, const char *image)
{
	if (!chores_have_image(call->fleet, image))
		return 0;
	return error_set(&call->error, EBUSY, "image %s: is being finished", image);
}

static int check_written(struct call *call, enum image_part *part)
{
	char name[16];

	call_copy_text(control_value_find(&call->request, "part"), name, sizeof(name));
	return image_part_find(name, part, &call->error);
}

int call_write_image(struct call *call)
{
	const struct control_value *data = control_value_find(&call->request, "data");
	uint64_t offset = control_value_find(&call->request, "offset")->number;
	char image[IMAGE_NAME_MAX + 1];
	enum image_part part;
	int ret = take_image(call, image);

	if (ret == 0)
		ret = check_written(call, &part);
	if (ret == 0)
		ret = must_rest(call, image);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = images_write(call->fleet->files, image, part, offset, data->text,
				   data->length, &call->error);
	if (ret == 0)
		call->result =
			json_pack("{s:s,s:I}", "image", image, "written", (json_int_t)data->length);
	return ret;
}

static int finish_chore(struct chore *chore)
{
	return images_finish(chore->files, chore->image, &chore->digests, &chore->stop,
			     &chore->error);
}

static int begin_finish(struct call *call, const char *image, const struct image_digests *digests)
{
	struct chore *chore = chores_place(call->fleet, call->operation, &call->error);

	if (!chore)
		return -EBUSY;
	snprintf(chore->image, sizeof(chore->image), "%s", image);
	snprintf(chore->text, sizeof(chore->text), "image %s is finished", image);
	chore->digests = *digests;
	return chores_begin(chore, finish_chore, &call->error);
}

int call_finish_image(struct call *call)
{
	const struct control_value *text = control_value_find(&call->request, "digests");
	struct image_digests digests;
	char image[IMAGE_NAME_MAX + 1], said[OPERATION_TEXT];
	int ret = take_image(call, image);

	if (ret == 0)
		ret = image_digests_parse(&digests, text->text, text->length, &call->error);
	if (ret == 0)
		ret = must_rest(call, image);
	if (ret == 0)
		ret = images_is_finished(call->fleet->files, image, &digests, &call->error);
	if (ret < 0)
		return ret;
	if (call_accept(call) < 0)
		return -call->error.code;
	if (!ret)
		return begin_finish(call, image, &digests);
	snprintf(said, sizeof(said), "image %s was finished already", image);
	fleet_finish(call->fleet, call->operation, 0, said);
	return 0;
}

int call_delete_image(struct call *call)
{
	char image[IMAGE_NAME_MAX + 1], text[OPERATION_TEXT];
	int ret = take_image(call, image);

	if (ret == 0)
		ret = must_rest(call, image);
	if (ret == 0)
		ret = call_accept(call);
	if (ret == 0)
		ret = images_delete(call->fleet->files, image, &call->error);
	if (ret < 0)
		return ret;
	snprintf(text, sizeof(text), "image %s is not there any more", image);
	fleet_finish(call->fleet, call->operation, 0, text);
	return 0;
}

int call_images(struct call *call)
{
	int ret = call_accept(call);

	if (ret == 0)
		call->result = images_list(call->fleet->files);
	return ret;
}
