// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Command lines of interactive shells.
 *
 * shell_read runs where a shell calls the function that reads a line, shell_line where that call
 * came back, shell_prompt when a command has ended; target::shell says where these are and which
 * variables tell what. A command is what was entered between two primary prompts. It is announced
 * when its first line was entered, and ended when the shell asks for the next one, gives way to
 * another program, or ends.
 *
 * One record goes out at a time, and all through one ring: people type slowly, and user space
 * needs no order but the ring's.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <stdbool.h>
#ifndef WITHOUT_BTF
#include "task.h"
#endif
#include "record.h"
#include "shell.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct shell_configuration configuration = {};

#include "uprobe.h"

#define CHANGEABLE_FILTER
#include "filter.h"
#include "overlap.h"

struct shell_counters counters = {};

/* How many chunks of one line are copied. */
#ifdef WITHOUT_LOOP
#define MAX_CHUNKS 64 /* 1 MiB */
#else
#define MAX_CHUNKS 2048 /* 32 MiB */
#endif

struct shell {
	__u64 id;    /* of the command at hand */
	__u64 bias;  /* load address: runtime minus file addresses */
	__u64 ended; /* when the command had run, or 0 */
	__s32 status;
	__u32 file;
	__u8 open;	/* a command was entered and is not ended */
	__u8 reading;	/* a line is being read */
	__u8 cancelled; /* it was interrupted while it was entered */
	__u8 has_status;
	__u8 placed; /* `bias` is known */
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct shell);
} shells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SHELL_FILES);
	__type(key, __u32);
	__type(value, struct shell_file);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

#define COUNT(field, n) __sync_fetch_and_add(&counters.field, (n))

/* Of two sets of probes, while one replaces the other: see overlap.h. */
#define GENERATION (1ULL << 63)

static __always_inline bool seen(__u64 cookie)
{
	return seen_by_newer(!!(cookie & GENERATION), cookie & ~GENERATION);
}

/* The 32-bit variable (or the lower half of a larger one) at a file address; false: unknown. */
static __always_inline bool variable(const struct shell *shell, __u64 vaddr, __s32 *value)
{
	if (!vaddr || !shell->placed)
		return false;
	return !bpf_probe_read_user(value, sizeof(*value), (const void *)(shell->bias + vaddr));
}

static __always_inline bool is_executing(const struct shell *shell, const struct shell_file *file)
{
	__s32 value = 0;

	return variable(shell, file->executing, &value) && value;
}

/* The shell that the current process is, made known if it is not; null if it is not wanted. */
static __always_inline struct shell *this_shell(__u64 cookie, __u64 ip, bool returned)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	struct shell *shell = bpf_map_lookup_elem(&shells, &tgid);

	/* A command that was begun is followed to its end, whatever is wanted by then. */
	if (!wanted(pid_tgid))
		return shell && shell->open ? shell : 0;
	if (!shell) {
		struct shell fresh = {};

		bpf_map_update_elem(&shells, &tgid, &fresh, BPF_ANY);
		shell = bpf_map_lookup_elem(&shells, &tgid);
		if (!shell)
			return 0;
	}
	/* At a return probe the instruction pointer is the caller's. */
	if (!returned) {
		shell->bias = ip - ((cookie & ~GENERATION) >> 16);
		shell->placed = 1;
	}
	return shell;
}

static __always_inline void end_command(struct shell *shell, __u32 ending, __u64 ts,
					bool has_status, __s32 status)
{
	struct {
		struct shell_record head;
		struct shell_end body;
	} * record;

	shell->open = 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		COUNT(ring_full_events, 1);
		return;
	}
	record->head.ts = ts;
	record->head.id = shell->id;
	record->head.kind = SHELL_END;
	record->head.len = sizeof(record->body);
	record->body.ending = ending;
	record->body.has_status = has_status;
	record->body.status = status;
	record->body.reserved = 0;
	bpf_ringbuf_submit(record, 0);
}

static __always_inline void start_command(struct shell *shell, __u32 file, __u64 ts)
{
	struct {
		struct shell_record head;
		struct shell_start body;
	} * record;
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	/* Unique: no CPU makes two within a nanosecond. */
	shell->id = ts << 8 | (bpf_get_smp_processor_id() & 0xff);
	shell->file = file;
	shell->open = 1;
	COUNT(commands, 1);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		COUNT(ring_full_events, 1);
		return;
	}
	record->head.ts = ts;
	record->head.id = shell->id;
	record->head.kind = SHELL_START;
	record->head.len = sizeof(record->body);
	record->body.pid = pid_tgid >> 32;
	record->body.tid = pid_tgid;
	record->body.uid = bpf_get_current_uid_gid();
	record->body.file = file;
	bpf_get_current_comm(record->body.comm, sizeof(record->body.comm));
	record->body.ppid = 0;
	record->body.login_uid = SHELL_NONE;
	record->body.tty_major = SHELL_NONE;
	record->body.tty_minor = SHELL_NONE;
	record->body.path_len = 0;
	record->body.reserved = 0;
#ifndef WITHOUT_BTF
	describe_task(&record->body);
#endif
	bpf_ringbuf_submit(record, 0);
}

/* A line on its way out. */
struct line {
	__u64 id;
	__u64 ts;
	__u64 from;
	__u64 offset;
};

/* One piece of the line; false if there are no more. */
static __always_inline bool emit_piece(struct line *line, __u32 index)
{
	struct {
		struct shell_record head;
		struct shell_line body;
	} *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	__u32 flags = index == 0 ? SHELL_LINE_FIRST : 0;
	__s64 copied;

	if (!record) {
		COUNT(ring_full_events, 1);
		COUNT(ring_full_bytes, SHELL_CHUNK);
		return false;
	}
	copied = bpf_probe_read_user_str(record->body.text, SHELL_CHUNK,
					 (const void *)(line->from + line->offset));
	if (copied < 0) {
		COUNT(unreadable_events, 1);
		flags |= SHELL_LINE_UNREADABLE;
	}
	/* Before Linux 6.2, of an empty string not even its end is copied. */
	if (copied <= 0)
		copied = 1;
	if (copied == SHELL_CHUNK && index == MAX_CHUNKS - 1) {
		COUNT(too_long_events, 1);
		flags |= SHELL_LINE_TOO_LONG;
	}
	record->head.ts = line->ts;
	record->head.id = line->id;
	record->head.kind = SHELL_LINE;
	record->head.len = copied - 1;
	record->body.flags = flags;
	record->body.reserved = 0;
	record->body.offset = line->offset;
	bpf_ringbuf_submit(record, 0);
	COUNT(bytes, copied - 1);
	/* A piece that ends before its room does has the line's end. */
	line->offset += copied - 1;
	return copied == SHELL_CHUNK;
}

#ifdef WITHOUT_LOOP
static __always_inline void emit_line(struct line *line)
{
	for (__u32 i = 0; i < MAX_CHUNKS; i++)
		if (!emit_piece(line, i))
			return;
}
#else
static long emit_in_loop(__u32 index, struct line *line)
{
	return !emit_piece(line, index);
}

static __always_inline void emit_line(struct line *line)
{
	bpf_loop(MAX_CHUNKS, emit_in_loop, line, 0);
}
#endif

/* The shell calls the function that reads a line. */
SEC("uprobe")
int shell_read(struct pt_regs *ctx)
{
	__u64 cookie = cookie_of(ctx);
	__u32 number = cookie & 0xffff;
	struct shell_file *file = bpf_map_lookup_elem(&files, &number);
	__s64 command = PT_REGS_PARM1(ctx), context = PT_REGS_PARM5(ctx);
	struct shell *shell;
	bool primary, known;
	__s32 value = 0;

	KEEP_TASK_STACK(ctx);
	if (!file || seen(cookie))
		return 0;
	/* zleentry(ZLE_CMD_READ, left, right, flags, context, …) */
	if (file->kind == SHELL_ZSH && ((__s32)command != 1 || (__u32)context > 1))
		return 0;
	shell = this_shell(cookie, PT_REGS_IP(ctx), false);
	if (!shell || is_executing(shell, file))
		return 0;
	if (file->kind == SHELL_ZSH)
		primary = (__s32)context == 0;
	else if (variable(shell, file->line_count, &value))
		primary = value == 0;
	else
		primary = file->kind == SHELL_READLINE || shell->ended || shell->cancelled;
	if (primary && shell->open) {
		__u64 ts = shell->ended;

		known = shell->has_status;
		value = shell->status;
		if (file->kind == SHELL_READLINE) {
			ts = bpf_ktime_get_ns();
			known = false;
		}
		/* Without an end it was refused (by history expansion), or interrupted. */
		end_command(shell, shell->cancelled || !ts ? SHELL_CANCELLED : SHELL_RETURNED, ts,
			    known, value);
	}
	shell->reading = 1;
	return 0;
}

static __always_inline int line_entered(struct pt_regs *ctx, bool returned)
{
	__u64 cookie = cookie_of(ctx);
	__u32 number = cookie & 0xffff;
	struct shell_file *file = bpf_map_lookup_elem(&files, &number);
	__u64 line = PT_REGS_RC(ctx), ts = bpf_ktime_get_ns();
	struct shell *shell;
	char first[2] = {};

	if (!file || seen(cookie))
		return 0;
	shell = this_shell(cookie, PT_REGS_IP(ctx), returned);
	if (!shell || is_executing(shell, file))
		return 0;
	/* Of another call of zleentry than one that reads a command. */
	if (returned && !shell->reading)
		return 0;
	shell->reading = 0;
	if (!line) {
		/* zsh says so when it is interrupted; in bash it is the end of the input. */
		if (file->kind == SHELL_ZSH && shell->open)
			shell->cancelled = 1;
		return 0;
	}
	if (!shell->open) {
		bpf_probe_read_user(first, sizeof(first), (const void *)line);
		if (!first[0] || (first[0] == '\n' && !first[1]))
			return 0;
		start_command(shell, number, ts);
	}
	shell->cancelled = 0;
	shell->ended = 0;
	shell->has_status = 0;

	struct line out = {.id = shell->id, .ts = ts, .from = line};

	emit_line(&out);
	return 0;
}

/* The call came back: the return register has the line's address, or 0. */
SEC("uprobe")
int shell_line(struct pt_regs *ctx)
{
	KEEP_TASK_STACK(ctx);
	return line_entered(ctx, false);
}

/* The same at a return probe of the function. */
SEC("uprobe")
int shell_line_return(struct pt_regs *ctx)
{
	KEEP_TASK_STACK(ctx);
	return line_entered(ctx, true);
}

/* The command has ended; or another part of what was entered at once has. */
SEC("uprobe")
int shell_prompt(struct pt_regs *ctx)
{
	__u64 cookie = cookie_of(ctx);
	__u32 number = cookie & 0xffff, tgid = bpf_get_current_pid_tgid() >> 32;
	struct shell_file *file = bpf_map_lookup_elem(&files, &number);
	struct shell *shell = bpf_map_lookup_elem(&shells, &tgid);

	KEEP_TASK_STACK(ctx);
	if (seen(cookie))
		return 0;
	/* Shells that run a script pass here for each command. */
	if (!file || !shell || !shell->open)
		return 0;
	if (shell->reading) {
		shell->reading = 0;
		shell->cancelled = 1;
		return 0;
	}
	shell->ended = bpf_ktime_get_ns();
	shell->has_status = variable(shell, file->status, &shell->status);
	return 0;
}

/* trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
SEC("raw_tp/sched_process_exec")
int shell_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct shell *shell = bpf_map_lookup_elem(&shells, &tgid);

	if (!shell)
		return 0;
	if (shell->open)
		end_command(shell, SHELL_EXEC, bpf_ktime_get_ns(), false, 0);
	bpf_map_delete_elem(&shells, &tgid);
	return 0;
}

/* trace_sched_process_exit(struct task_struct *p): in the context of the thread that ends */
SEC("raw_tp/sched_process_exit")
int shell_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	struct shell *shell;
	bool known = false;
	__s32 status = 0;

	if ((__u32)pid_tgid != tgid)
		return 0;
	if (configuration.follow_children)
		bpf_map_delete_elem(&pids, &tgid);
	shell = bpf_map_lookup_elem(&shells, &tgid);
	if (!shell)
		return 0;
	if (shell->open) {
#ifndef WITHOUT_BTF
		status = exit_status((struct task_struct *)ctx->args[0]);
		known = true;
#endif
		if (shell->cancelled || shell->reading)
			end_command(shell, SHELL_CANCELLED, bpf_ktime_get_ns(), false, 0);
		else if (shell->ended)
			end_command(shell, SHELL_RETURNED, shell->ended, shell->has_status,
				    shell->status);
		else
			end_command(shell, SHELL_EXIT, bpf_ktime_get_ns(), known, status);
	}
	bpf_map_delete_elem(&shells, &tgid);
	return 0;
}

#ifndef WITHOUT_BTF
/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int shell_fork(struct bpf_raw_tracepoint_args *ctx)
{
	follow_child(ctx);
	return 0;
}
#endif
