/* SPDX-License-Identifier: Apache-2.0 */
/* The manifests that --release names. */
#ifndef KARUTA_PLANE_RELEASES_H
#define KARUTA_PLANE_RELEASES_H

#include "evidence.h"

/*
 * `path`: a manifest, or a folder of them, NAME.manifest, of which the newest are taken, as many
 * as there is room for. In a folder those that are not signed by `key` are told of and left out.
 */
int releases_allow(struct evidence_policy *policy, const char *path, const struct trust_key *key,
		   struct error *error);

#endif
