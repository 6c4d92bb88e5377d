/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * PostgreSQL: pgstat_report_activity gets the text of each message that has one, and none when the
 * session becomes idle. In the extended protocol a message is done when the next is read.
 */
#ifndef ECAPTURE_DATABASE_POSTGRES_H
#define ECAPTURE_DATABASE_POSTGRES_H

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

#endif
