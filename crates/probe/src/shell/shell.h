/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What shell.bpf.c and user space say to each other. shell/record.rs holds the Rust side.
 */
#ifndef ECAPTURE_SHELL_H
#define ECAPTURE_SHELL_H

#include <linux/types.h>

enum shell_record_kind {
	SHELL_START = 1, /* struct shell_start: the first line of a command was entered */
	SHELL_LINE = 2,	 /* struct shell_line: a piece of the line at hand */
	SHELL_END = 3,	 /* struct shell_end */
};

enum shell_ending {
	SHELL_RETURNED = 1,  /* the shell asks for the next command */
	SHELL_EXEC = 2,	     /* another program took the shell's place */
	SHELL_EXIT = 3,	     /* the shell ended */
	SHELL_CANCELLED = 4, /* it was not run */
};

struct shell_record {
	__u64 ts; /* bpf_ktime_get_ns() */
	__u64 id; /* of the command */
	__u32 kind;
	__u32 len; /* of what follows */
};

#define SHELL_PATH 4096 /* a power of two */
#define SHELL_NAME 256	/* longest component, with its NUL */
/* No tty, no login user, nothing known. */
#define SHELL_NONE 0xffffffff

struct shell_start {
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 login_uid;
	__u32 file; /* the number that user space gave the shell */
	__u32 tty_major;
	__u32 tty_minor;
	char comm[16];
	__u32 path_len; /* 0: not known */
	__u32 reserved;
	/* The working directory's components, last first, each with its NUL. */
	char path[SHELL_PATH + SHELL_NAME];
};

#define SHELL_CHUNK 16384

#define SHELL_LINE_FIRST 1	/* flag: a line begins here */
#define SHELL_LINE_UNREADABLE 2 /* flag: the rest of the line could not be read */
#define SHELL_LINE_TOO_LONG 4	/* flag: the line goes on, and is not copied further */

struct shell_line {
	__u32 flags;
	__u32 reserved;
	__u64 offset; /* in the line */
	char text[SHELL_CHUNK];
};

struct shell_end {
	__u32 ending;
	__u32 has_status;
	__s32 status;
	__u32 reserved;
};

enum shell_kind {
	SHELL_BASH = 1,
	SHELL_ZSH = 2,
	SHELL_READLINE = 3,
};

/* One file: its variables by their addresses in it, 0 where there are none. */
struct shell_file {
	__u64 status;
	__u64 line_count;
	__u64 executing;
	__u32 kind;
	__u32 reserved;
};

#define MAX_SHELL_FILES 4096
/* An attach cookie: bits 0-15 the file's number, 16-62 the address of the site in it,
 * 63 the generation (see overlap.h). */

struct shell_counters {
	__u64 commands;
	__u64 bytes;		/* of lines */
	__u64 ring_full_events; /* records that found the ring full */
	__u64 ring_full_bytes;
	__u64 unreadable_events;
	__u64 too_long_events;
};

struct shell_configuration {
	__u32 wanted_uid;
	__u8 filter_pid;
	__u8 filter_uid;
	__u8 filter_cgroup;
	__u8 follow_children;
	__u8 have_cookie;
	__u8 never;	 /* 0 */
	__u8 changeable; /* the filter is in `filters`, not here */
	__u8 reserved;
};

#endif
