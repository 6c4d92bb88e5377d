/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the programs about statements and user space say to each other, beside record.h. record.rs
 * beside this file holds the Rust side.
 */
#ifndef ECAPTURE_QUERY_H
#define ECAPTURE_QUERY_H

#include <linux/types.h>

/* Kinds of records, beside RECORD_DATA, RECORD_UNREADABLE (parts of a statement's text). */
enum query_record_kind {
	RECORD_BEGIN = 16, /* struct query_begin: a statement begins */
	RECORD_END = 17,   /* struct query_end: it is done */
};

#define QUERY_NAME 256

/* The payload of RECORD_BEGIN. */
struct query_begin {
	__u64 connection;
	__u32 tgid;
	__u32 tid;
	__u32 uid;
	__u32 server;  /* the number that user space gave the file */
	__u32 command; /* the protocol's: a MySQL command number, a PostgreSQL message type */
	__u8 has_connection;
	__u8 has_user;	 /* user: its name, a C string; or the process's title */
	__u8 has_schema; /* schema: its name, a C string */
	__u8 has_title;
	char comm[16];
	char user[QUERY_NAME];
	char schema[QUERY_NAME];
};

#define QUERY_HAS_ROWS 1
#define QUERY_HAS_ERROR 2
#define QUERY_EXECUTED 4  /* the protocol's answer to an executed statement was seen */
#define QUERY_IS_SIMPLE 8 /* PostgreSQL: the session was idle after it */

/* The payload of RECORD_END. */
struct query_end {
	__u64 rows;
	__u32 error;
	__u32 flags;
	char tag[32]; /* PostgreSQL before 13: the command tag, a C string */
};

/* Where a session object holds something. */
struct place {
	__s32 through; /* negative: in the object itself */
	__s32 offset;  /* negative: not known */
	__u32 size;
	__u32 reserved;
};

/* What is known of one server's memory. */
struct server {
	struct place connection;
	struct place statement;
	struct place schema;
	struct place user;
	struct place error;
	struct place error_tag; /* beside it: there is an error if this is error_value */
	__s64 client;		/* from pgstat_report_activity's site to MyProcPort; 0: not known */
	__u32 error_level;	/* PostgreSQL: reports from this level on are errors */
	__u32 error_value;
};

#define MAX_SERVERS 256

/*
 * An attach cookie: bits 0-15 server, 16-31 function, 32-39 role, 56-63 generation (see
 * overlap.h).
 */
enum role {
	ROLE_DISPATCH_COM_DATA = 1,
	ROLE_DISPATCH_PACKET = 2,
	ROLE_DONE = 3,
	ROLE_DONE_TAG = 4,
	ROLE_OTHER = 5,
};

/* MySQL: enum_server_command */
#define COM_QUERY 3
#define COM_STMT_PREPARE 22
#define COM_STMT_EXECUTE 23
#define COM_STMT_BULK_EXECUTE 250

#endif
