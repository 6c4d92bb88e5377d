/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What keys.bpf.c and user space say to each other. src/keys/record.rs holds the Rust side.
 */
#ifndef ECAPTURE_KEY_H
#define ECAPTURE_KEY_H

#include <linux/types.h>

#define KEY_RANDOM 32
#define KEY_MAX_SECRET 64
/* The longest label in use has 31 characters (CLIENT_HANDSHAKE_TRAFFIC_SECRET). */
#define KEY_MAX_LABEL 48

/*
 * A label that is not in memory: a program that does not log never touches it, and what could bring
 * it in sleeps, which a program at a uprobe may not. User space knows the file's labels by place.
 */
struct key_label_place {
	__u16 reserved; /* 0: no label begins so */
	__u16 function;
	__u32 len;	/* without an ending NUL; 0: not known */
	__s64 distance; /* from the probe to the label */
};

/* One secret; equally long whatever is in it. */
struct key_record {
	__u64 ts; /* bpf_ktime_get_ns() */
	__u32 tgid;
	__u32 tid;
	__u32 uid;
	__u16 library; /* the number that user space gave the library */
	__u16 secret_len;
	char comm[16];
	__u8 client_random[KEY_RANDOM];
	union {
		char label[KEY_MAX_LABEL]; /* ends with NUL */
		struct key_label_place place;
	};
	__u8 secret[KEY_MAX_SECRET];
};

#define KEY_MAX_STEPS 6

/* An address: of each step but the last the pointer behind it is loaded. */
struct key_path {
	__u8 argument; /* from 0 */
	__u8 steps;
	__u16 reserved;
	__u32 step[KEY_MAX_STEPS];
};

/* What is where when a function is hit. */
struct key_function {
	/* keys_logged: numbers of arguments, from 0 */
	__u8 label;
	__u8 secret;
	__u8 secret_len;
	/* keys_leave: bytes of the number behind `length` */
	__u8 length_width;
	struct key_path client_random;
	struct key_path length;
	struct key_path key;
	struct key_path version;
};

/* src/keys/record.rs counts on these. */
_Static_assert(sizeof(struct key_record) == 184, "struct key_record");
_Static_assert(sizeof(struct key_function) == 116, "struct key_function");

#define MAX_KEY_FUNCTIONS 1024

/* seen = handed over + lost + rejected */
struct key_counters {
	__u64 seen;
	__u64 lost;	/* no room, or a call whose entry was not seen */
	__u64 rejected; /* unreadable, or not what a secret looks like */
};

#endif
