/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of NVM Express Base Specification 2.0 and NVM Command Set 1.0, and the layouts of what
 * a host and a controller put in memory for each other. All integers are little endian.
 */
#ifndef KARUTA_NVME_SPEC_H
#define KARUTA_NVME_SPEC_H

#include <stdint.h>

/* ---- properties (Base 3.1.3) ---- */

enum {
	NVME_REG_CAP = 0x00,
	NVME_REG_VS = 0x08,
	NVME_REG_INTMS = 0x0c,
	NVME_REG_INTMC = 0x10,
	NVME_REG_CC = 0x14,
	NVME_REG_CSTS = 0x1c,
	NVME_REG_NSSR = 0x20,
	NVME_REG_AQA = 0x24,
	NVME_REG_ASQ = 0x28,
	NVME_REG_ACQ = 0x30,
	NVME_REG_CRTO = 0x68,
	NVME_REG_DOORBELLS = 0x1000,
};

#define NVME_VERSION 0x00020000u

#define NVME_CAP_CQR	    (UINT64_C(1) << 16) /* queues are contiguous */
#define NVME_CAP_TO(half_s) ((uint64_t)(half_s) << 24)
#define NVME_CAP_CSS_NVM    (UINT64_C(1) << 37)
#define NVME_CAP_CSS_IOCSS  (UINT64_C(1) << 43) /* I/O command sets are told by Identify */
#define NVME_CAP_CRWMS	    (UINT64_C(1) << 59)

#define NVME_CC_EN	   0x00000001u
#define NVME_CC_CSS_SHIFT  4
#define NVME_CC_MPS_SHIFT  7
#define NVME_CC_AMS_SHIFT  11
#define NVME_CC_SHN	   0x0000c000u
#define NVME_CC_IOSQES(cc) (((cc) >> 16) & 0xf)
#define NVME_CC_IOCQES(cc) (((cc) >> 20) & 0xf)
#define NVME_CC_WRITABLE   0x00fffff1u

#define NVME_CSTS_RDY		 0x1u
#define NVME_CSTS_CFS		 0x2u
#define NVME_CSTS_SHST		 0xcu
#define NVME_CSTS_SHST_OCCURRING 0x4u
#define NVME_CSTS_SHST_COMPLETE	 0x8u

/* ---- commands ---- */

enum nvme_admin_opcode {
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_ABORT = 0x08,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_GET_FEATURES = 0x0a,
	NVME_ADMIN_ASYNC_EVENT = 0x0c,
	NVME_ADMIN_NAMESPACE_MANAGEMENT = 0x0d,
	NVME_ADMIN_FIRMWARE_COMMIT = 0x10,
	NVME_ADMIN_FIRMWARE_DOWNLOAD = 0x11,
	NVME_ADMIN_SELF_TEST = 0x14,
	NVME_ADMIN_NAMESPACE_ATTACHMENT = 0x15,
	NVME_ADMIN_DIRECTIVE_SEND = 0x19,
	NVME_ADMIN_DIRECTIVE_RECEIVE = 0x1a,
	NVME_ADMIN_VIRTUALIZATION = 0x1c,
	NVME_ADMIN_MI_SEND = 0x1d,
	NVME_ADMIN_MI_RECEIVE = 0x1e,
	NVME_ADMIN_CAPACITY = 0x20,
	NVME_ADMIN_LOCKDOWN = 0x24,
	NVME_ADMIN_DOORBELL_BUFFERS = 0x7c,
	NVME_ADMIN_FORMAT = 0x80,
	NVME_ADMIN_SECURITY_SEND = 0x81,
	NVME_ADMIN_SECURITY_RECEIVE = 0x82,
	NVME_ADMIN_SANITIZE = 0x84,
	NVME_ADMIN_VENDOR = 0xc0, /* and above */
};

enum nvme_io_opcode {
	NVME_CMD_FLUSH = 0x00,
	NVME_CMD_WRITE = 0x01,
	NVME_CMD_READ = 0x02,
	NVME_CMD_COMPARE = 0x05,
	NVME_CMD_WRITE_ZEROES = 0x08,
	NVME_CMD_DATASET_MANAGEMENT = 0x09,
	NVME_CMD_VERIFY = 0x0c,
	NVME_CMD_COPY = 0x19,
	NVME_CMD_VENDOR = 0x80, /* and above */
};

/* Submission queue entry (Base 3.3.3.1). */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags; /* FUSE in bits 1:0, PSDT in bits 7:6 */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "SQE");

/* Base 4.1.2. In a command: in the place of the PRPs. */
struct nvme_sgl {
	uint64_t address;
	uint32_t length;
	uint8_t reserved[3];
	uint8_t type; /* in bits 7:4, the subtype in bits 3:0 */
};
_Static_assert(sizeof(struct nvme_sgl) == 16, "SGL descriptor");

enum {
	NVME_SGL_DATA = 0x00,
	NVME_SGL_BIT_BUCKET = 0x10,
	NVME_SGL_SEGMENT = 0x20,
	NVME_SGL_LAST_SEGMENT = 0x30,
};

#define NVME_SGLS_BYTES	     (1u << 0) /* data blocks of any alignment and length */
#define NVME_SGLS_BIT_BUCKET (1u << 16)
#define NVME_SGLS_LONGER     (1u << 18) /* than the data */

/* Completion queue entry (Base 3.3.3.2). */
struct nvme_completion {
	uint32_t result;
	uint32_t result_high;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* phase tag in bit 0 */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "CQE");

#define NVME_FLAGS_FUSE	 0x03u
#define NVME_FUSE_FIRST	 0x01u
#define NVME_FUSE_SECOND 0x02u
#define NVME_FLAGS_PSDT	 0xc0u
#define NVME_PSDT_SGL	 0x40u /* an SGL for the data; metadata, of which there is none, without */

#define NVME_NSID_ALL	0xffffffffu
#define NVME_PAGE	4096u
#define NVME_SQES	6u /* log2 of the entry size */
#define NVME_CQES	4u
#define NVME_RW_FUA	(1u << 30) /* CDW12 */
#define NVME_DSM_RANGES 256u
#define NVME_DSM_AD	0x4u /* CDW11: deallocate */

/* NVM Command Set 3.2.3: Dataset Management. */
struct nvme_dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t lba;
};

/* NVM Command Set 3.2.2: Copy, source range of format 0. */
struct nvme_copy_range {
	uint64_t reserved0;
	uint64_t lba;
	uint16_t blocks; /* 0's based */
	uint8_t reserved18[14];
};
_Static_assert(sizeof(struct nvme_copy_range) == 32, "source range");
#define NVME_COPY_RANGES	128u
#define NVME_COPY_FORMAT(cdw12) ((cdw12) >> 8 & 0xf)

/* ---- status (Base 3.3.3.2.1): type in bits 10:8, code in bits 7:0, do not retry in bit 14 ---- */

#define NVME_DNR 0x4000u

enum nvme_status {
	NVME_OK = 0x000,
	NVME_INVALID_OPCODE = 0x001 | NVME_DNR,
	NVME_INVALID_FIELD = 0x002 | NVME_DNR,
	NVME_DATA_TRANSFER_ERROR = 0x004 | NVME_DNR,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_ABORT_REQUESTED = 0x007,
	NVME_FAILED_FUSED = 0x009 | NVME_DNR,
	NVME_MISSING_FUSED = 0x00a | NVME_DNR,
	NVME_INVALID_NAMESPACE = 0x00b | NVME_DNR,
	NVME_COMMAND_SEQUENCE_ERROR = 0x00c | NVME_DNR,
	NVME_SGL_SEGMENT_INVALID = 0x00d | NVME_DNR,
	NVME_SGL_COUNT_INVALID = 0x00e | NVME_DNR,
	NVME_SGL_LENGTH_INVALID = 0x00f | NVME_DNR,
	NVME_SGL_TYPE_INVALID = 0x011 | NVME_DNR,
	NVME_INVALID_PRP_OFFSET = 0x013 | NVME_DNR,
	NVME_ATOMIC_UNIT_EXCEEDED = 0x014 | NVME_DNR,
	NVME_WRITE_PROTECTED = 0x020 | NVME_DNR,
	NVME_LBA_OUT_OF_RANGE = 0x080 | NVME_DNR,
	NVME_CAPACITY_EXCEEDED = 0x081 | NVME_DNR,

	NVME_CQ_INVALID = 0x100 | NVME_DNR,
	NVME_INVALID_QUEUE_ID = 0x101 | NVME_DNR,
	NVME_INVALID_QUEUE_SIZE = 0x102 | NVME_DNR,
	NVME_EVENT_LIMIT_EXCEEDED = 0x105 | NVME_DNR,
	NVME_INVALID_VECTOR = 0x108 | NVME_DNR,
	NVME_INVALID_LOG_PAGE = 0x109 | NVME_DNR,
	NVME_INVALID_QUEUE_DELETION = 0x10c | NVME_DNR,
	NVME_NOT_SAVEABLE = 0x10d | NVME_DNR,
	NVME_NOT_NAMESPACE_SPECIFIC = 0x10f | NVME_DNR,
	NVME_COMMAND_SET_REJECTED = 0x12b | NVME_DNR,
	NVME_COMMAND_SIZE_EXCEEDED = 0x183 | NVME_DNR,

	NVME_WRITE_FAULT = 0x280,
	NVME_UNRECOVERED_READ = 0x281,
	NVME_COMPARE_FAILURE = 0x285 | NVME_DNR,
};

/* ---- Identify (Base 5.17) ---- */

enum nvme_cns {
	NVME_CNS_NAMESPACE = 0x00,
	NVME_CNS_CONTROLLER = 0x01,
	NVME_CNS_ACTIVE_LIST = 0x02,
	NVME_CNS_DESCRIPTORS = 0x03,
	NVME_CNS_CSI_NAMESPACE = 0x05,
	NVME_CNS_CSI_CONTROLLER = 0x06,
	NVME_CNS_CSI_ACTIVE_LIST = 0x07,
	NVME_CNS_INDEPENDENT_NAMESPACE = 0x08,
	NVME_CNS_COMMAND_SETS = 0x1c,
};

/* Figure 275. Only what is not always zero has a name of its own. */
struct nvme_identify_controller {
	uint16_t vid, ssvid;
	uint8_t sn[20], mn[40], fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic, mdts;
	uint16_t cntlid;
	uint32_t ver, rtd3r, rtd3e, oaes, ctratt;
	uint8_t reserved100[11];
	uint8_t cntrltype;
	uint8_t fguid[16];
	uint8_t reserved128[128];
	uint16_t oacs;
	uint8_t acl, aerl, frmw, lpa, elpe, npss, avscc, apsta;
	uint16_t wctemp, cctemp;
	uint8_t reserved270[10];
	uint64_t tnvmcap[2];
	uint8_t reserved296[216];
	uint8_t sqes, cqes;
	uint16_t maxcmd;
	uint32_t nn;
	uint16_t oncs, fuses;
	uint8_t fna, vwc;
	uint16_t awun, awupf;
	uint8_t icsvscc, nwpc;
	uint16_t acwu, ocfs;
	uint32_t sgls, mnan;
	uint8_t reserved544[224];
	char subnqn[256];
	uint8_t reserved1024[1024];
	struct {
		uint16_t mp;
		uint8_t reserved2[30];
	} psd[32];
	uint8_t vendor[1024];
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_identify_controller) == 4096, "identify controller");

/* NVM Command Set, figure 97. */
struct nvme_identify_namespace {
	uint64_t nsze, ncap, nuse;
	uint8_t nsfeat, nlbaf, flbas, mc, dpc, dps, nmic, rescap, fpi, dlfeat;
	uint16_t nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
	uint64_t nvmcap[2];
	uint16_t npwg, npwa, npdg, npda, nows;
	uint16_t mssrl;
	uint32_t mcl;
	uint8_t msrc;
	uint8_t reserved81[23];
	uint8_t nguid[16];
	uint8_t eui64[8];
	struct {
		uint16_t ms;
		uint8_t lbads, rp;
	} lbaf[64];
	uint8_t vendor[3712];
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_identify_namespace) == 4096, "identify namespace");

/* Namespace identification descriptor types (Base, figure 277). */
enum { NVME_NIDT_NGUID = 2, NVME_NIDT_CSI = 4 };

/* ---- log pages (Base 5.16) ---- */

enum nvme_log_page {
	NVME_LOG_SUPPORTED = 0x00,
	NVME_LOG_ERRORS = 0x01,
	NVME_LOG_SMART = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_CHANGED_NAMESPACES = 0x04,
	NVME_LOG_COMMAND_EFFECTS = 0x05,
	NVME_LOG_FEATURE_EFFECTS = 0x12,
};

struct nvme_error_entry {
	uint64_t count; /* 0: no entry */
	uint16_t sq_id, cid, status, location;
	uint64_t lba;
	uint32_t nsid;
	uint8_t vendor, transport, csi, opcode;
	uint64_t command_specific;
	uint16_t transport_specific;
	uint8_t reserved42[21];
	uint8_t version;
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_error_entry) == 64, "error information log entry");

struct nvme_smart {
	uint8_t critical_warning;
	uint16_t temperature; /* kelvin */
	uint8_t spare, spare_threshold, used;
	uint8_t reserved6[26];
	uint64_t units_read[2], units_written[2], commands_read[2], commands_written[2];
	uint64_t busy_minutes[2], power_cycles[2], power_on_hours[2], unsafe_shutdowns[2];
	uint64_t media_errors[2], error_entries[2];
	uint8_t reserved192[320];
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_smart) == 512, "SMART log");

#define NVME_EFFECT_SUPPORTED (1u << 0)
#define NVME_EFFECT_CONTENT   (1u << 1) /* logical block content, or a feature's data */
#define NVME_SCOPE_NAMESPACE  (1u << 20)
#define NVME_SCOPE_CONTROLLER (1u << 21)

/* ---- features (Base 5.27) ---- */

enum nvme_feature {
	NVME_FEATURE_ARBITRATION = 0x01,
	NVME_FEATURE_POWER = 0x02,
	NVME_FEATURE_TEMPERATURE = 0x04,
	NVME_FEATURE_ERROR_RECOVERY = 0x05,
	NVME_FEATURE_WRITE_CACHE = 0x06,
	NVME_FEATURE_QUEUES = 0x07,
	NVME_FEATURE_COALESCING = 0x08,
	NVME_FEATURE_VECTOR = 0x09,
	NVME_FEATURE_ATOMICITY = 0x0a,
	NVME_FEATURE_EVENTS = 0x0b,
	NVME_FEATURE_TIMESTAMP = 0x0e,
	NVME_FEATURE_HOST_BEHAVIOUR = 0x16,
	NVME_FEATURE_COMMAND_SET = 0x19,
	NVME_FEATURE_HOST_ID = 0x81,
};

#define NVME_COALESCING_TIME(value) ((value) >> 8 & 0xff) /* 100 us each; 0: no delay */

/* Host Behavior Support (Base, figure 358): 512 bytes, of which the first three say something. */
#define NVME_HOST_BEHAVIOUR_SIZE 512u
#define NVME_HOST_BEHAVIOURS	 3u
#define NVME_HOST_ID_EXTENDED	 0x1u /* CDW11: 128 bits instead of 64 */
#define NVME_CTRATT_HOST_ID	 0x1u /* those are supported */

/* ---- asynchronous events (Base 5.2): type, information, log page ---- */

enum { NVME_ASYNC_ERROR = 0, NVME_ASYNC_SMART = 1, NVME_ASYNC_NOTICE = 2, NVME_ASYNC_TYPES = 3 };

#define NVME_ASYNC_RESULT(type, info, log) ((uint32_t)(type) | (info) << 8 | (log) << 16)
enum {
	NVME_ASYNC_INVALID_REGISTER = 0x00,
	NVME_ASYNC_INVALID_VALUE = 0x01,
	NVME_ASYNC_TEMPERATURE = 0x01,
	NVME_ASYNC_NAMESPACE_CHANGED = 0x00,
};
#define NVME_OACS_DOORBELL_BUFFERS 0x100u
#define NVME_OAES_NAMESPACE	   0x100u /* OAES and CDW11 of the feature */
#define NVME_SMART_TEMPERATURE	   0x02u

#endif
