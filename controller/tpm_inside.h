/* SPDX-License-Identifier: Apache-2.0 */
/* For tpm.c and tpm_nv.c only. */
#ifndef KARUTA_CONTROLLER_TPM_INSIDE_H
#define KARUTA_CONTROLLER_TPM_INSIDE_H

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "tpm.h"

struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
};

int tpm_failed(struct error *error, const char *what, TSS2_RC code);

#endif
