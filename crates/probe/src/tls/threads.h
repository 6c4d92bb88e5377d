/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The calls that threads are in. A thread is in several when TLS runs inside TLS, or when one
 * probed function calls another.
 */
#ifndef ECAPTURE_TLS_THREADS_H
#define ECAPTURE_TLS_THREADS_H

#define MAX_FRAMES 4

/* One call. */
struct frame {
	__u64 ssl;
	__u64 buffer;
	__u64 result; /* address of the byte count, or 0 */
	__u64 sp;
	__u64 sock; /* the socket that this thread used during the call */
	__u64 size; /* bytes that the program offers or takes */
	__u32 function;
	__u16 library;
	__u8 operation;
	__u8 nested; /* another call was seen inside */
};

/* The rest of a large call's payload on its way out. */
struct transfer {
	struct record head;
	__u64 from;
	__u64 remaining;
	__u64 last_flags; /* of the last record */
};

struct thread {
	__u64 depth;
	/* The last exit that ended a frame, until the next entry: see tls_exit. */
	__u64 ended_sp;
	__u32 ended_function;
	__u32 ended_generation;
	struct frame frames[MAX_FRAMES];
	/* Not on the stack: what the verifier does not track lets its loop converge. */
	struct transfer transfer;
};

/* One entry a thread that ever made a call; evicted by use, so dead threads cost nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct thread);
} threads SEC(".maps");

#endif
