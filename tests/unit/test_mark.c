/* SPDX-License-Identifier: Apache-2.0 */
/* How the controller tells a measuring build. With a path: that file carries the mark. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "mark.h"
#include "marked_image.h"
#include "os/fd.h"
#include "os/memfd.h"

static bool is_measuring(const struct marked_image *image, size_t size)
{
	CLEANUP_CLOSE int file = os_memfd("image", size);

	assert_true(file >= 0);
	assert_int_equal(pwrite(file, image, size, 0), size);
	return mark_is_measuring(file);
}

static void mark_is_found(void **state)
{
	(void)state;
	assert_true(is_measuring(&marked_image, sizeof(marked_image)));
}

static void other_notes_are_no_mark(void **state)
{
	struct marked_image image = marked_image;

	(void)state;
	image.mark.type++;
	assert_false(is_measuring(&image, sizeof(image)));
	image = marked_image;
	image.mark.name[0] = 'K';
	assert_false(is_measuring(&image, sizeof(image)));
}

static void broken_files_are_no_trouble(void **state)
{
	struct marked_image image = marked_image;

	(void)state;
	for (size_t size = 1; size < sizeof(image); size++)
		assert_false(is_measuring(&marked_image, size));
	image.header.e_phoff = UINT64_MAX - 8;
	assert_false(is_measuring(&image, sizeof(image)));
	image = marked_image;
	image.segments[1].p_filesz = UINT64_MAX;
	assert_false(is_measuring(&image, sizeof(image)));
	image = marked_image;
	image.other.name_size = UINT32_MAX;
	assert_false(is_measuring(&image, sizeof(image)));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mark_is_found),
		cmocka_unit_test(other_notes_are_no_mark),
		cmocka_unit_test(broken_files_are_no_trouble),
	};

	if (argc > 1)
		return !mark_is_measuring(open(argv[1], O_RDONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
