/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the BPF programs and user space say to each other. src/record.rs holds the Rust side; its
 * tests compare sizes and offsets with the ones in the object's BTF.
 */
#ifndef ECAPTURE_RECORD_H
#define ECAPTURE_RECORD_H

#include <linux/types.h>

enum record_kind {
	RECORD_OPEN = 1,       /* struct announcement: a connection was seen for the first time */
	RECORD_ADDRESS = 2,    /* struct announcement: its socket is known now */
	RECORD_DATA = 3,       /* `len` payload bytes follow */
	RECORD_UNREADABLE = 4, /* `len` bytes went by that could not be read from the program */
	RECORD_SENDFILE = 5,   /* `len` bytes went by that never were in the program's memory */
	RECORD_CLOSE = 6,      /* struct ending: the TLS object was freed or cleared */
	RECORD_EXIT = 7,       /* the process `tgid_or_tid` ended */
	RECORD_HELD = 8,     /* `len` payload bytes of an interrupted call: some may be sent yet */
	RECORD_RELEASED = 9, /* the first `len` bytes of the last RECORD_HELD were sent */
};

enum record_direction {
	DIRECTION_SEND = 0,
	DIRECTION_RECV = 1,
};

#define RECORD_END_OF_CALL 1 /* flag: the call's data ends with this record */

struct record {
	__u64 ts;     /* bpf_ktime_get_ns() */
	__u64 conn;   /* the connection's kernel-side name */
	__u64 offset; /* of the first byte, in its direction */
	__u32 len;
	__u32 tgid_or_tid; /* tid, except in RECORD_EXIT */
	__u8 kind;
	__u8 direction;
	__u8 flags;
	__u8 reserved[5];
};

struct address {
	__u16 family; /* 0: unknown */
	__u16 local_port;
	__u16 remote_port;
	__u16 reserved;
	__u8 local[16]; /* IPv4: the first 4 bytes; network order */
	__u8 remote[16];
};

/* The payload of RECORD_OPEN and RECORD_ADDRESS. */
struct announcement {
	__u64 ssl; /* the TLS object's address in the process */
	__u32 tgid;
	__u32 uid;
	__u32 library; /* the number that user space gave the library */
	__u32 reserved;
	char comm[16];
	struct address address;
};

/* The payload of RECORD_CLOSE: how many bytes went by in each direction. */
struct ending {
	__u64 offset[2];
};

/*
 * An attach cookie: which function was hit and how to read it.
 * bits 0-15 library, 16-31 function, 32-39 operation, 40-47 result, 48-55 object: 0 if the first
 * argument is the TLS object, else the offset of the pointer to it in what that points to.
 */
enum operation {
	OPERATION_READ = 1,
	OPERATION_WRITE = 2,
	OPERATION_PEEK = 3,
	OPERATION_SENDFILE = 4,
	OPERATION_FREE = 5,
	OPERATION_CLEAR = 6,
	OPERATION_SET_FD = 7,
	OPERATION_HANDSHAKE = 8,
	OPERATION_DISCARD = 9, /* forgets what an interrupted call holds */
};

/* Stands in a program for the cookie that user space puts there (text, for the assembler). */
#define FIXED_COOKIE "0x5eca97c0c001e5a1"

/* Where a successful call leaves its byte count: the return value, or *argument N (4 or 5). */
#define RESULT_RETURN_VALUE 0
/*
 * The return value too, but a call that GNUTLS_E_AGAIN or GNUTLS_E_INTERRUPTED ends has taken its
 * data, and the next one to succeed sends that, whatever it is given.
 */
#define RESULT_RESUMABLE 1
/* The return value, but nothing was moved if argument 4 has PR_MSG_PEEK. */
#define RESULT_UNLESS_PEEK 2
/* The return value; argument 2 is the address of a gnutls_packet_t. */
#define RESULT_PACKET 3
/* Nothing: its data and that of calls in it was counted when it was handed over. */
#define RESULT_COUNTED_BEFORE 6
#define RESULT_IN_ARGUMENT_4 4
#define RESULT_IN_ARGUMENT_5 5

/* bio_num: the TLS object has the descriptor itself where others point to a BIO. */
#define NO_BIO (-2)

/* Struct offsets of one library, from its own accessors; negative: not known. */
struct layout {
	__s32 ssl_rbio;
	__s32 ssl_wbio;
	__s32 bio_num;
	__s32 reserved;
};

#define MAX_LIBRARIES 1024
#define MAX_FUNCTIONS 4096
#define STAT_SLOTS 64 /* CPUs share slots modulo this; counting is atomic */

/* Counters, one slot for each CPU. Byte counts are of payload. */
struct counters {
	__u64 calls[2];
	__u64 bytes[2];
	__u64 peeks;
	__u64 sendfile_calls;
	__u64 sendfile_bytes;
	__u64 ring_full_events; /* or a full perf buffer */
	__u64 ring_full_bytes;
	__u64 unreadable_events;
	__u64 unreadable_bytes;
	__u64 unmatched_events; /* a call returned data whose entry was not seen */
	__u64 unmatched_bytes;
	__u64 too_large_events; /* the rest of a call that exceeds what one run may copy */
	__u64 too_large_bytes;
	__u64 untracked_events; /* no room in the thread or connection table */
	__u64 untracked_bytes;
	__u64 lifecycle_lost; /* OPEN/CLOSE/EXIT records that found the ring full */
	__u64 reserved[6];
};

/* What user space decides before the programs are loaded. */
struct configuration {
	__u64 wakeup_level; /* bytes in a ring that wake a napping reader */
	__u32 ring_count;
	__u32 wanted_uid;
	__u8 filter_pid;      /* only processes in the map `pids` */
	__u8 filter_uid;      /* only threads whose user is wanted_uid */
	__u8 filter_cgroup;   /* only tasks in the cgroup in the map `cgroups`, or below it */
	__u8 follow_children; /* children of traced processes are traced */
	__u8 have_cookie;     /* bpf_get_attach_cookie, Linux 5.15 */
	__u8 never;	      /* 0 */
	__u8 changeable;      /* the filter is in `filters`, not here */
	__u8 reserved;
};

/* A filter that user space changes while programs run. */
struct filter {
	__u32 uid;
	__u8 pid_mask;	    /* only processes with one of these bits in the map `pids`; 0: all */
	__u8 filter_uid;    /* only threads whose user is `uid` */
	__u8 filter_cgroup; /* only tasks in the cgroup in `cgroups` at this filter's place */
	__u8 reserved;
};

/*
 * User space writes the filter that is not in use and then one byte, so that a call is judged by
 * the old filter or the new one and by nothing in between.
 */
struct filters {
	struct filter filter[2];
	__u64 current; /* 0 or 1 */
	/*
	 * While probes are replaced: a number that was never used before, times two, plus the
	 * generation of the newer ones; else 0.
	 */
	__u64 overlap;
};

/* What both sides read and write while they run. */
struct shared {
	__u32 reader_asleep; /* 1 while the reader sleeps until the next record */
	__u32 reserved;
	struct counters counters[STAT_SLOTS];
	__u64 hits[MAX_FUNCTIONS];
};

#endif
