/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * MySQL and MariaDB: dispatch_command gets a client's command and returns when it is answered.
 */
#ifndef ECAPTURE_DATABASE_MYSQL_H
#define ECAPTURE_DATABASE_MYSQL_H

/* A session: one THD of one process. */
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

/*
 * The session has the statement that it executes: of a prepared one this is the first that is
 * known.
 */
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

#endif
