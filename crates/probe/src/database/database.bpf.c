// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Statements that database servers execute.
 *
 * A server's thread (MySQL, MariaDB) or process (PostgreSQL) works on one statement at a time: what
 * is known of it is kept in `threads`. Its text is copied when the server has it, while it
 * certainly is in memory; its outcome follows when it is done. The attach cookie says which server
 * was hit; target::database found out where in its memory a session keeps what is shown.
 *
 * mysql_*: dispatch_command gets a client's command and returns when it is answered.
 * pg_*: pgstat_report_activity gets the text of each message that has one, and none when the
 * session becomes idle. In the extended protocol a message is done when the next is read.
 */
#include "kernel.h"
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#ifndef WITHOUT_BTF
#include <bpf/bpf_core_read.h>
#endif
#include <stdbool.h>
#include "record.h"
#include "query.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load. */
const volatile struct configuration configuration = {};

/* Mapped by user space. */
struct shared shared = {};

#define CHANGEABLE_FILTER
#include "filter.h"
#include "overlap.h"
#include "uprobe.h"
#include "../tls/ring_buffer.h"

/* Largest part of a text in one record. */
#define CHUNK 16384
#ifdef WITHOUT_LOOP
/* Without bpf_loop (before 5.17) of a text the first 2 MiB are copied. */
#define MAX_CHUNKS 128
#else
/* With it 1 GiB, which is what servers take at most. */
#define MAX_CHUNKS 65536
#endif

#define COUNT(field, n)                                                                            \
	__sync_fetch_and_add(                                                                      \
	    &shared.counters[bpf_get_smp_processor_id() & (STAT_SLOTS - 1)].field, (n))

/* The rest of a text on its way out. */
struct transfer {
	struct record head;
	__u64 from;
	__u64 remaining; /* of a C string: more than there can be */
	__u64 is_string;
};

struct transfer_ref {
	struct transfer *transfer;
};

/* What a thread is at. */
struct thread {
	__u64 id; /* of the statement; 0: none */
	__u64 session;
	__u64 rows;
	__u64 paused; /* when the next message began to be read, if the statement may go on */
	__u32 server;
	__u32 command;
	__u32 error;
	__u32 flags;
	__u32 has_text;
	__u32 by_function; /* begun by the function that the user named */
	/* PostgreSQL, also between statements: */
	__u32 message;	    /* type of the last message, 0: not known */
	__u32 report_level; /* of the report at hand */
	__u32 report_code;
	__u32 copying; /* the client sends data for COPY */
	char tag[32];
	/* Here rather than on the stack: what the verifier does not track lets its loop converge.
	 */
	struct transfer transfer;
};

/* One entry a thread that ever had a statement; evicted by use, so dead threads cost nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct thread);
} threads SEC(".maps");

struct session_key {
	__u64 session;
	__u32 tgid;
	__u32 reserved;
};

/* MariaDB: commands that wait for something, without a thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct session_key);
	__type(value, struct thread);
} suspended SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

static __always_inline __u32 cookie_server(__u64 cookie)
{
	return cookie & 0xffff;
}

static __always_inline __u32 cookie_role(__u64 cookie)
{
	return (cookie >> 32) & 0xff;
}

/* A probe that takes the place of this one has seen to this hit. */
static __always_inline bool seen(__u64 cookie)
{
	return seen_by_newer((cookie >> 56) & 1, (__u32)cookie);
}

static __always_inline void hit(__u64 cookie)
{
	__u32 function = (cookie >> 16) & (MAX_FUNCTIONS - 1);

	__sync_fetch_and_add(&shared.hits[function], 1);
}

static __always_inline struct thread *this_thread(__u64 pid_tgid)
{
	return bpf_map_lookup_elem(&threads, &pid_tgid);
}

static __always_inline struct thread *get_thread(__u64 pid_tgid)
{
	struct thread fresh = {};
	struct thread *thread = this_thread(pid_tgid);

	if (thread)
		return thread;
	bpf_map_update_elem(&threads, &pid_tgid, &fresh, BPF_NOEXIST);
	return this_thread(pid_tgid);
}

/* A statement that was begun is followed to its end, whatever is wanted by then. */
static __always_inline bool is_followed(__u64 pid_tgid)
{
	struct thread *thread = this_thread(pid_tgid);

	return thread && thread->id;
}

/* The pointer or number at `place` of a session; false if it cannot be had. */
static __always_inline bool read_place(const struct place *place, __u64 session, __u64 *value)
{
	__u32 half = 0;

	if (place->offset < 0)
		return false;
	if (place->through >= 0) {
		if (bpf_probe_read_user(&session, 8, (void *)(session + place->through)) ||
		    !session)
			return false;
	}
	if (place->size == 4) {
		if (bpf_probe_read_user(&half, 4, (void *)(session + place->offset)))
			return false;
		*value = half;
		return true;
	}
	return bpf_probe_read_user(value, 8, (void *)(session + place->offset)) == 0;
}

/* The C string that `place` points at. */
static __always_inline bool read_name(char *name, const struct place *place, __u64 session)
{
	__u64 at = 0;

	if (!read_place(place, session, &at) || !at)
		return false;
	return bpf_probe_read_user_str(name, QUERY_NAME, (void *)at) > 0;
}

struct begin_record {
	struct record head;
	struct query_begin body;
};

/*
 * Begins a statement on this thread. Without room for its record there will be only a count of what
 * was lost: user space does not know the records that follow.
 */
static __always_inline void begin(void *output, struct thread *thread, __u64 pid_tgid,
				  __u32 server_number, __u64 session, __u32 command)
{
	struct server *server = bpf_map_lookup_elem(&servers, &server_number);
	__u64 ts = bpf_ktime_get_ns();
	struct begin_record *record;

	/* Unique: no CPU makes two within a nanosecond. */
	thread->id = ts << 8 | (bpf_get_smp_processor_id() & 0xff);
	thread->session = session;
	thread->rows = 0;
	thread->paused = 0;
	thread->server = server_number;
	thread->command = command;
	thread->error = 0;
	thread->flags = 0;
	thread->has_text = 0;
	thread->by_function = 0;
	thread->copying = 0;
	thread->tag[0] = 0;
	COUNT(calls[0], 1);

	record = output_reserve(output, sizeof(*record));
	if (!record || !server) {
		if (record)
			bpf_ringbuf_discard(record, 0);
		COUNT(ring_full_events, 1);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	record->head.ts = ts;
	record->head.conn = thread->id;
	record->head.len = sizeof(record->body);
	record->head.tgid_or_tid = pid_tgid;
	record->head.kind = RECORD_BEGIN;
	record->body.tgid = pid_tgid >> 32;
	record->body.tid = pid_tgid;
	record->body.uid = bpf_get_current_uid_gid();
	record->body.server = server_number;
	record->body.command = command;
	bpf_get_current_comm(record->body.comm, sizeof(record->body.comm));
	if (session) {
		record->body.has_connection =
		    read_place(&server->connection, session, &record->body.connection);
		record->body.has_user = read_name(record->body.user, &server->user, session);
		record->body.has_schema = read_name(record->body.schema, &server->schema, session);
	}
#ifndef WITHOUT_BTF
	else {
		/* PostgreSQL writes user, database and client where its arguments were. */
		struct task_struct *task = (struct task_struct *)bpf_get_current_task();
		void *title = (void *)BPF_CORE_READ(task, mm, arg_start);

		record->body.has_title =
		    bpf_probe_read_user_str(record->body.user, QUERY_NAME, title) > 0;
	}
#endif
	output_submit(output, record, sizeof(*record), sizeof(*record));
}

struct end_record {
	struct record head;
	struct query_end body;
};

/* The statement of this thread is done, at `ts`. */
static __always_inline void end(void *output, struct thread *thread, __u64 pid_tgid, __u64 ts)
{
	struct end_record *record;
	__u64 id = thread->id;

	thread->id = 0;
	record = output_reserve(output, sizeof(*record));
	if (!record) {
		COUNT(lifecycle_lost, 1);
		return;
	}
	record->head = (struct record){
	    .ts = ts,
	    .conn = id,
	    .len = sizeof(record->body),
	    .tgid_or_tid = pid_tgid,
	    .kind = RECORD_END,
	};
	record->body.rows = thread->rows;
	record->body.error = thread->error;
	record->body.flags = thread->flags;
	__builtin_memcpy(record->body.tag, thread->tag, sizeof(record->body.tag));
	output_submit(output, record, sizeof(*record), sizeof(*record));
}

/*
 * Copies the next part of a text, of at most `size` bytes: bpf_ringbuf_reserve takes no variable
 * size. False at the end.
 */
#define EMIT_CLASS(size)                                                                           \
	do {                                                                                       \
		struct {                                                                           \
			struct record head;                                                        \
			__u8 payload[size];                                                        \
		} *record = output_reserve(output, sizeof(struct record) + (size));                \
		__u64 len = transfer->remaining;                                                   \
		long got;                                                                          \
                                                                                                   \
		barrier_var(len);                                                                  \
		if (len > (size))                                                                  \
			len = (size);                                                              \
		if (!record) {                                                                     \
			/* The length of a string is not known: its end tells that some is         \
			 * missing. */                                                             \
			COUNT(ring_full_events, 1);                                                \
			if (transfer->is_string) {                                                 \
				COUNT(ring_full_bytes, 1);                                         \
				return false;                                                      \
			}                                                                          \
			COUNT(ring_full_bytes, len);                                               \
			goto next;                                                                 \
		}                                                                                  \
		record->head = transfer->head;                                                     \
		if (transfer->is_string) {                                                         \
			got = bpf_probe_read_user_str(record->payload, (size),                     \
						      (const void *)transfer->from);               \
			len = got > 0 ? got - 1 : 0;                                               \
			/* Less than there is room for: this is the end of the string. */          \
			if (got < (long)(size))                                                    \
				transfer->remaining = len;                                         \
		} else {                                                                           \
			got = bpf_probe_read_user(record->payload, len,                            \
						  (const void *)transfer->from);                   \
		}                                                                                  \
		if (got < 0) {                                                                     \
			COUNT(unreadable_events, 1);                                               \
			COUNT(unreadable_bytes, transfer->is_string ? 1 : len);                    \
			record->head.kind = RECORD_UNREADABLE;                                     \
			transfer->remaining = len;                                                 \
		} else {                                                                           \
			COUNT(bytes[0], len);                                                      \
		}                                                                                  \
		record->head.len = len;                                                            \
		record->head.flags = transfer->remaining <= len ? RECORD_END_OF_CALL : 0;          \
		output_submit(output, record, sizeof(struct record) + (size),                      \
			      sizeof(struct record) + len);                                        \
	next:                                                                                      \
		transfer->remaining -= len;                                                        \
		transfer->from += len;                                                             \
		transfer->head.offset += len;                                                      \
		return transfer->remaining != 0;                                                   \
	} while (0)

static __always_inline bool emit_small(void *output, struct transfer *transfer)
{
	EMIT_CLASS(472);
}

static __always_inline bool emit_middle(void *output, struct transfer *transfer)
{
	EMIT_CLASS(4096);
}

static __always_inline bool emit_large(void *output, struct transfer *transfer)
{
	EMIT_CLASS(CHUNK);
}

#ifndef WITHOUT_LOOP
static long emit_in_loop(__u32 index, struct transfer_ref *ref)
{
	void *output = this_output(0);

	return !output || !emit_large(output, ref->transfer);
}
#endif

/* The text of this thread's statement. `len` 0: a C string. */
static __always_inline void emit_text(void *output, struct thread *thread, __u64 pid_tgid,
				      __u64 from, __u64 len, bool is_string)
{
	struct transfer *transfer = &thread->transfer;

	if (!from || (!len && !is_string))
		return;
	thread->has_text = 1;
	transfer->head = (struct record){
	    .ts = bpf_ktime_get_ns(),
	    .conn = thread->id,
	    .tgid_or_tid = pid_tgid,
	    .kind = RECORD_DATA,
	};
	transfer->from = from;
	transfer->remaining = is_string ? 1ULL << 40 : len;
	transfer->is_string = is_string;
	if (is_string || len <= 472) {
		if (!emit_small(output, transfer))
			return;
	}
	if (is_string || len <= 4096) {
		if (!emit_middle(output, transfer))
			return;
	}
#ifdef WITHOUT_LOOP
	for (__u32 i = 0; i < MAX_CHUNKS; i++)
		if (!emit_large(output, transfer))
			return;
#else
	struct transfer_ref ref = {.transfer = transfer};

	bpf_loop(MAX_CHUNKS, emit_in_loop, &ref, 0);
#endif
	/* A string's remaining length is not known. */
	if (transfer->remaining) {
		COUNT(too_large_events, 1);
		COUNT(too_large_bytes, is_string ? 1 : transfer->remaining);
	}
}

/* ---- MySQL, MariaDB ---- */

static __always_inline bool has_statement(__u32 command)
{
	return command == COM_QUERY || command == COM_STMT_PREPARE || command == COM_STMT_EXECUTE ||
	       command == COM_STMT_BULK_EXECUTE;
}

SEC("uprobe")
int mysql_dispatch(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 first = PT_REGS_PARM1(ctx), second = PT_REGS_PARM2(ctx);
	__u64 third = PT_REGS_PARM3(ctx), fourth = PT_REGS_PARM4(ctx);
	__u64 session, text = 0, len = 0;
	struct thread *thread, *before;
	__u32 command;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	if (!wanted(pid_tgid))
		return 0;
	hit(cookie);
	if (cookie_role(cookie) == ROLE_DISPATCH_COM_DATA) {
		/* THD *, const COM_DATA *, command; a query begins with text and 32-bit length */
		session = first;
		command = (__u32)third;
		if (command == COM_QUERY || command == COM_STMT_PREPARE) {
			__u32 short_len = 0;

			bpf_probe_read_user(&text, 8, (void *)second);
			bpf_probe_read_user(&short_len, 4, (void *)(second + 8));
			len = short_len;
		}
	} else {
		/* command, THD *, char *packet, uint length */
		session = second;
		command = (__u32)first;
		if (command == COM_QUERY || command == COM_STMT_PREPARE) {
			text = third;
			len = (__u32)fourth;
		}
	}
	if (!has_statement(command))
		return 0;
	thread = get_thread(pid_tgid);
	output = this_output(ctx);
	if (!thread || !output) {
		COUNT(calls[0], 1);
		COUNT(untracked_events, 1);
		COUNT(untracked_bytes, len);
		return 0;
	}
	struct session_key key = {.session = session, .tgid = pid_tgid >> 32};

	before = bpf_map_lookup_elem(&suspended, &key);
	if (before && before->command == command) {
		/* The same command goes on, perhaps in another thread. */
		bpf_map_update_elem(&threads, &pid_tgid, before, BPF_ANY);
		bpf_map_delete_elem(&suspended, &key);
		return 0;
	}
	begin(output, thread, pid_tgid, cookie_server(cookie), session, command);
	emit_text(output, thread, pid_tgid, text, len, false);
	return 0;
}

/* The error that the session keeps of its last statement, where that is known. */
static __always_inline void read_error(struct thread *thread, __u32 number)
{
	struct server *server = bpf_map_lookup_elem(&servers, &number);
	__u64 tag = 0, error = 0;

	if (!server || server->error.offset < 0)
		return;
	if (read_place(&server->error_tag, thread->session, &tag) && tag == server->error_value &&
	    read_place(&server->error, thread->session, &error)) {
		thread->error = error;
		thread->flags |= QUERY_HAS_ERROR;
	}
}

/* DISPATCH_COMMAND_WOULDBLOCK, MariaDB from 10.6 on */
#define WOULD_BLOCK 2

SEC("uprobe")
int mysql_dispatch_return(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 result = PT_REGS_RC(ctx);
	struct thread *thread;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	output = this_output(ctx);
	if (!thread || !thread->id || !output)
		return 0;
	if (cookie_role(cookie) == ROLE_DISPATCH_PACKET && result == WOULD_BLOCK) {
		struct session_key key = {.session = thread->session, .tgid = pid_tgid >> 32};

		bpf_map_update_elem(&suspended, &key, thread, BPF_ANY);
		thread->id = 0;
		return 0;
	}
	read_error(thread, cookie_server(cookie));
	end(output, thread, pid_tgid, bpf_ktime_get_ns());
	return 0;
}

/* The session has the statement that it executes: of a prepared one this is the first that is
 * known. */
SEC("uprobe")
int mysql_execute(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 session = PT_REGS_PARM1(ctx), text = 0, len = 0;
	__u32 number = cookie_server(cookie);
	struct thread *thread;
	struct server *server;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id || thread->has_text || thread->session != session)
		return 0;
	hit(cookie);
	server = bpf_map_lookup_elem(&servers, &number);
	output = this_output(ctx);
	if (!server || !output)
		return 0;
	struct place length = server->statement;

	if (length.offset < 0)
		return 0;
	length.offset += 8;
	if (read_place(&server->statement, session, &text) && read_place(&length, session, &len))
		emit_text(output, thread, pid_tgid, text, (__u32)len, false);
	return 0;
}

/* Diagnostics_area::set_ok_status(this, affected rows, …): of several, the last is the answer's. */
SEC("uprobe")
int mysql_ok(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 rows = PT_REGS_PARM2(ctx);
	struct thread *thread;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id)
		return 0;
	hit(cookie);
	thread->rows = rows;
	thread->flags |= QUERY_HAS_ROWS;
	return 0;
}

/* Protocol::send_error(this, number, …) */
SEC("uprobe")
int mysql_error(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 error = PT_REGS_PARM2(ctx);
	struct thread *thread;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id)
		return 0;
	hit(cookie);
	thread->error = error;
	thread->flags |= QUERY_HAS_ERROR;
	return 0;
}

/* ---- PostgreSQL ---- */

/* A client's process, or one of which that is not known. */
static __always_inline bool serves_client(const struct server *server, __u64 site)
{
	__u64 port = 0;

	if (!server || !server->client)
		return true;
	if (bpf_probe_read_user(&port, 8, (void *)(site + server->client)))
		return true;
	return port != 0;
}

/* pgstat_report_activity(state, text) */
SEC("uprobe")
int pg_activity(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 text = PT_REGS_PARM2(ctx), site = PT_REGS_IP(ctx);
	__u32 number = cookie_server(cookie);
	bool is_wanted = wanted(pid_tgid);
	struct thread *thread;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	if (!is_wanted && !is_followed(pid_tgid))
		return 0;
	hit(cookie);
	output = this_output(ctx);
	if (!output)
		return 0;
	if (!text) {
		thread = this_thread(pid_tgid);
		if (thread && thread->id) {
			thread->flags |= QUERY_IS_SIMPLE;
			end(output, thread, pid_tgid, bpf_ktime_get_ns());
		}
		return 0;
	}
	if (!serves_client(bpf_map_lookup_elem(&servers, &number), site))
		return 0;
	thread = get_thread(pid_tgid);
	if (!thread) {
		COUNT(calls[0], 1);
		COUNT(untracked_events, 1);
		return 0;
	}
	if (thread->id) {
		if (thread->by_function)
			return 0;
		end(output, thread, pid_tgid, bpf_ktime_get_ns());
	}
	if (!is_wanted)
		return 0;
	begin(output, thread, pid_tgid, number, 0, thread->message);
	emit_text(output, thread, pid_tgid, text, 0, true);
	return 0;
}

/* The function that the user named: its first argument is the text. */
SEC("uprobe")
int pg_query(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 text = PT_REGS_PARM1(ctx);
	struct thread *thread;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	if (!wanted(pid_tgid))
		return 0;
	hit(cookie);
	output = this_output(ctx);
	thread = get_thread(pid_tgid);
	if (!thread || !output || thread->id)
		return 0;
	begin(output, thread, pid_tgid, cookie_server(cookie), 0, thread->message);
	thread->by_function = 1;
	emit_text(output, thread, pid_tgid, text, 0, true);
	return 0;
}

/* pq_getbyte(): the message before has been dealt with, unless it is a COPY that wants its data. */
SEC("uprobe")
int pg_message(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	struct thread *thread;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	if (!wanted(pid_tgid) && !is_followed(pid_tgid))
		return 0;
	thread = get_thread(pid_tgid);
	output = this_output(ctx);
	if (!thread || !output)
		return 0;
	hit(cookie);
	/* A simple query is done when the session is idle, not before. */
	if (!thread->id || thread->command == 'Q')
		return 0;
	if (thread->command == 'P' || thread->command == 'B' ||
	    thread->flags & (QUERY_HAS_ERROR | QUERY_EXECUTED))
		end(output, thread, pid_tgid, bpf_ktime_get_ns());
	else if (!thread->paused)
		thread->paused = bpf_ktime_get_ns();
	return 0;
}

SEC("uprobe")
int pg_message_return(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 message = PT_REGS_RC(ctx);
	struct thread *thread;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	if (!wanted(pid_tgid) && !is_followed(pid_tgid))
		return 0;
	/* Counted at the entry; an instance of the program for each function needs a cookie. */
	if (!cookie_role(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	output = this_output(ctx);
	if (!thread || !output)
		return 0;
	if (message == 'd' || message == 'c' || message == 'f') {
		/* Data of a COPY, its end or its failure. */
		thread->copying = message == 'd';
		thread->paused = 0;
		return 0;
	}
	/* Sync and flush are ignored while data is copied. */
	if (thread->copying && (message == 'S' || message == 'H')) {
		thread->paused = 0;
		return 0;
	}
	thread->message = message & 0xff;
	if (thread->id && thread->paused)
		end(output, thread, pid_tgid, thread->paused);
	return 0;
}

/* EndCommand(const QueryCompletion *, …), or before PostgreSQL 13 EndCommand(const char *tag, …) */
SEC("uprobe")
int pg_done(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u64 completion = PT_REGS_PARM1(ctx), rows = 0;
	struct thread *thread;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id)
		return 0;
	hit(cookie);
	thread->flags |= QUERY_EXECUTED;
	if (cookie_role(cookie) == ROLE_DONE_TAG) {
		bpf_probe_read_user_str(thread->tag, sizeof(thread->tag), (void *)completion);
		return 0;
	}
	/* { CommandTag commandTag; uint64 nprocessed; } */
	if (bpf_probe_read_user(&rows, 8, (void *)(completion + 8)) == 0) {
		thread->rows += rows;
		thread->flags |= QUERY_HAS_ROWS;
	}
	return 0;
}

/* errstart(level, …) */
SEC("uprobe")
int pg_report_start(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 level = PT_REGS_PARM1(ctx);
	struct thread *thread;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id)
		return 0;
	hit(cookie);
	thread->report_level = level;
	thread->report_code = 0;
	return 0;
}

/* errcode(sqlstate) */
SEC("uprobe")
int pg_report_code(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 code = PT_REGS_PARM1(ctx);
	struct thread *thread;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	if (!thread || !thread->id)
		return 0;
	hit(cookie);
	thread->report_code = code;
	return 0;
}

/* EmitErrorReport() */
SEC("uprobe")
int pg_report_sent(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 number = cookie_server(cookie);
	struct thread *thread;
	struct server *server;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	thread = this_thread(pid_tgid);
	server = bpf_map_lookup_elem(&servers, &number);
	if (!thread || !thread->id || !server || thread->report_level < server->error_level)
		return 0;
	hit(cookie);
	thread->error = thread->report_code;
	thread->flags |= QUERY_HAS_ERROR;
	/* Fatal: the process ends. */
	output = this_output(ctx);
	if (output && thread->report_level > server->error_level)
		end(output, thread, pid_tgid, bpf_ktime_get_ns());
	return 0;
}

#ifndef WITHOUT_BTF
/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int database_fork(struct bpf_raw_tracepoint_args *ctx)
{
	follow_child(ctx);
	return 0;
}
#endif
