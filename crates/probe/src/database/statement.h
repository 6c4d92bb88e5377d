/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The statement that a thread is at: its begin and its end.
 */
#ifndef ECAPTURE_DATABASE_STATEMENT_H
#define ECAPTURE_DATABASE_STATEMENT_H

/* The rest of a text on its way out. */
struct transfer {
	struct record head;
	__u64 from;
	__u64 remaining; /* of a C string: more than there can be */
	__u64 is_string;
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
	/* Not on the stack: what the verifier does not track lets its loop converge. */
	struct transfer transfer;
};

/* One entry a thread that ever had a statement; evicted by use, so dead threads cost nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct thread);
} threads SEC(".maps");

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

/* RECORD_BEGIN */
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

	/* Before 5.12 the verifier follows a record that is compared with 0 twice to both ends. */
	record = server ? output_reserve(output, sizeof(*record)) : 0;
	if (!record) {
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

/* RECORD_END */
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

#endif
