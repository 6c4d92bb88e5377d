// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * TLS secrets of OpenSSL-family libraries.
 *
 * keys_logged runs at the entry of the function through which a library passes every secret that it
 * could log; arguments hold all there is to know. keys_enter and keys_leave run around handshake
 * functions of libraries without one, and read the master key out of the session. The attach cookie
 * says which of `functions` was hit: target::keys found out what is where.
 *
 * Secrets leave through a buffer of their own, so that no flood of payload can push one out.
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
#include "key.h"
#include "record.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load. */
const volatile struct configuration configuration = {};

#define CHANGEABLE_FILTER
#include "filter.h"
#include "uprobe.h"

struct key_counters counters = {};

#define COUNT(field) __sync_fetch_and_add(&counters.field, 1)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_KEY_FUNCTIONS);
	__type(key, __u32);
	__type(value, struct key_function);
} functions SEC(".maps");

/* Integer arguments in registers: what x86-64 has. */
struct arguments {
	__u64 value[6];
	__u64 left; /* 0, or 1 and the generation of the probe that saw the return */
};

/* A call is known by the stack pointer that it returns with; SSL_connect jumps to SSL_do_handshake.
 */
struct call_key {
	__u64 pid_tgid;
	__u64 sp;
	__u64 function;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct call_key);
	__type(value, struct arguments);
} calls SEC(".maps");

/* Handshakes whose master key was handed over: a function that succeeded succeeds again. */
struct handshake {
	__u64 tgid;
	__u64 object;
	__u8 client_random[KEY_RANDOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct handshake);
	__type(value, __u8);
} handshakes SEC(".maps");

#ifdef WITHOUT_RINGBUF
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");
#else
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");
#endif

static __always_inline bool submit(void *ctx, struct key_record *record)
{
#ifdef WITHOUT_RINGBUF
	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record, sizeof(*record)) == 0;
#else
	/* Wakes the reader when it has read everything before: it waits level-triggered. */
	return bpf_ringbuf_output(&ring, record, sizeof(*record), 0) == 0;
#endif
}

/* libbpf before 1.2 does not name it. */
#ifndef PT_REGS_PARM6
#ifdef bpf_target_x86
#define PT_REGS_PARM6(ctx) (__PT_REGS_CAST(ctx)->r9)
#elif defined(bpf_target_arm64)
#define PT_REGS_PARM6(ctx) (__PT_REGS_CAST(ctx)->regs[5])
#endif
#endif

static __always_inline void read_arguments(struct pt_regs *ctx, struct arguments *arguments)
{
	arguments->value[0] = PT_REGS_PARM1(ctx);
	arguments->value[1] = PT_REGS_PARM2(ctx);
	arguments->value[2] = PT_REGS_PARM3(ctx);
	arguments->value[3] = PT_REGS_PARM4(ctx);
	arguments->value[4] = PT_REGS_PARM5(ctx);
	arguments->value[5] = PT_REGS_PARM6(ctx);
}

/* By fixed offsets: kernels before 5.12 read no stack at a variable one. */
static __always_inline __u64 argument(const struct arguments *arguments, __u8 number)
{
	__u64 chosen = 0;

#pragma unroll
	for (int i = 0; i < 6; i++) {
		__u64 value = arguments->value[i];

		barrier_var(value);
		if (number == i)
			chosen = value;
	}
	return chosen;
}

/* Where `path` leads, or 0. */
static __always_inline __u64 follow(const struct key_path *path, const struct arguments *arguments)
{
	__u64 address = argument(arguments, path->argument);

#pragma unroll
	for (int i = 0; i < KEY_MAX_STEPS; i++) {
		if (i >= path->steps)
			break;
		address += path->step[i];
		if (i + 1 < path->steps &&
		    bpf_probe_read_user(&address, sizeof(address), (const void *)address))
			return 0;
	}
	return address;
}

static __always_inline bool read_at(void *to, __u32 len, __u64 from)
{
	return from && bpf_probe_read_user(to, len, (const void *)from) == 0;
}

/* The secret, if it is as long as one can be. */
static __always_inline bool read_secret(struct key_record *record, __u64 from, __u64 len)
{
	if (!len || len > KEY_MAX_SECRET)
		return false;
	record->secret_len = len;
	len &= 2 * KEY_MAX_SECRET - 1;
	if (len > KEY_MAX_SECRET)
		return false;
	return read_at(record->secret, len, from);
}

static __always_inline void identify(struct key_record *record, __u64 pid_tgid, __u64 cookie)
{
	record->ts = bpf_ktime_get_ns();
	record->tgid = pid_tgid >> 32;
	record->tid = pid_tgid;
	record->uid = bpf_get_current_uid_gid();
	record->library = cookie;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
}

static __always_inline __u32 function_of(__u64 cookie)
{
	return (cookie >> 16) & 0xffff;
}

/* The label at `address` is not in memory. */
static __always_inline void place_label(struct key_record *record, struct pt_regs *ctx,
					__u64 cookie, __u64 address, __u32 len)
{
	record->place.reserved = 0;
	record->place.function = function_of(cookie);
	record->place.len = len;
	record->place.distance = address - PT_REGS_IP(ctx);
}

/* Probes that are placed anew, beside the old ones, have another than these. */
static __always_inline __u32 generation_of(__u64 cookie)
{
	return cookie >> 56;
}

SEC("uprobe")
int keys_logged(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 number = function_of(cookie);
	struct key_function *function;
	struct arguments arguments;
	struct key_record record = {};
	long len;

	KEEP_TASK_STACK(ctx);
	if (!wanted(pid_tgid))
		return 0;
	function = bpf_map_lookup_elem(&functions, &number);
	if (!function)
		return 0;
	read_arguments(ctx, &arguments);
	len = bpf_probe_read_user_str(record.label, sizeof(record.label),
				      (const void *)argument(&arguments, function->label));
	/*
	 * OpenSSL logs the premaster secret of an RSA key exchange too, under the start of its
	 * ciphertext instead of a client random. The same connection's CLIENT_RANDOM follows.
	 */
	if (len == 4 && record.label[0] == 'R' && record.label[1] == 'S' && record.label[2] == 'A')
		return 0;
	COUNT(seen);
	if (len < 0)
		place_label(&record, ctx, cookie, argument(&arguments, function->label), 0);
	/* A label that fills the room may have been cut off. */
	if (len == 0 || len == 1 || len >= (long)sizeof(record.label) ||
	    !read_at(record.client_random, KEY_RANDOM,
		     follow(&function->client_random, &arguments)) ||
	    !read_secret(&record, argument(&arguments, function->secret),
			 argument(&arguments, function->secret_len))) {
		COUNT(rejected);
		return 0;
	}
	identify(&record, pid_tgid, cookie);
	if (!submit(ctx, &record))
		COUNT(lost);
	return 0;
}

/* What the stack pointer of a call that begins here will be when it has returned. */
static __always_inline __u64 sp_after_return(struct pt_regs *ctx)
{
#ifdef bpf_target_x86
	return PT_REGS_SP(ctx) + 8;
#else
	return PT_REGS_SP(ctx);
#endif
}

SEC("uprobe")
int keys_enter(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct call_key key = {.pid_tgid = pid_tgid};
	struct arguments arguments = {};

	KEEP_TASK_STACK(ctx);
	if (!wanted(pid_tgid))
		return 0;
	key.sp = sp_after_return(ctx);
	key.function = function_of(cookie_of(ctx));
	read_arguments(ctx, &arguments);
	bpf_map_update_elem(&calls, &key, &arguments, BPF_ANY);
	return 0;
}

/* The length of the master key behind `path`, or 0. */
static __always_inline __u64 length_at(const struct key_function *function,
				       const struct arguments *arguments)
{
	__u64 from = follow(&function->length, arguments), length = 0;
	__u32 short_length = 0;

	if (function->length_width == sizeof(length))
		return read_at(&length, sizeof(length), from) ? length : 0;
	return read_at(&short_length, sizeof(short_length), from) ? short_length : 0;
}

#define TLS1_3 0x0304
#define MASTER_KEY 48

SEC("uprobe")
int keys_leave(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx);
	__u32 number = function_of(cookie), version = 0;
	struct call_key key = {.pid_tgid = pid_tgid, .sp = PT_REGS_SP(ctx), .function = number};
	struct arguments *found, arguments;
	struct key_function *function;
	struct handshake handshake = {.tgid = pid_tgid >> 32};
	struct key_record record = {};
	__u8 one = 1;

	KEEP_TASK_STACK(ctx);
	found = bpf_map_lookup_elem(&calls, &key);
	/*
	 * While probes are replaced, the old and the new one of a function both run, one right
	 * after the other: what the first has done the second leaves.
	 */
	if (configuration.changeable && found && found->left) {
		__u32 left = found->left;

		bpf_map_delete_elem(&calls, &key);
		if (left != generation_of(cookie) + 1)
			return 0;
		found = 0;
	}
	if (!found) {
		/* It began before we attached, or the table had no room. */
		if (wanted(pid_tgid) && (__s32)PT_REGS_RC(ctx) > 0) {
			COUNT(seen);
			COUNT(lost);
		}
		return 0;
	}
	arguments = *found;
	if (configuration.changeable)
		found->left = generation_of(cookie) + 1;
	else
		bpf_map_delete_elem(&calls, &key);
	function = bpf_map_lookup_elem(&functions, &number);
	if (!function || (__s32)PT_REGS_RC(ctx) <= 0)
		return 0;
	if (!read_at(&version, sizeof(version), follow(&function->version, &arguments)) ||
	    !read_at(record.client_random, KEY_RANDOM,
		     follow(&function->client_random, &arguments))) {
		COUNT(seen);
		COUNT(rejected);
		return 0;
	}
	/* DTLS counts downwards from 0xfeff. */
	if (version >> 8 == TLS1_3 >> 8 && version >= TLS1_3)
		return 0;
	handshake.object = arguments.value[0];
	__builtin_memcpy(handshake.client_random, record.client_random, KEY_RANDOM);
	if (bpf_map_lookup_elem(&handshakes, &handshake))
		return 0;
	COUNT(seen);
	if (length_at(function, &arguments) != MASTER_KEY ||
	    !read_secret(&record, follow(&function->key, &arguments), MASTER_KEY)) {
		COUNT(rejected);
		return 0;
	}
	__builtin_memcpy(record.label, "CLIENT_RANDOM", sizeof("CLIENT_RANDOM"));
	identify(&record, pid_tgid, cookie);
	if (!submit(ctx, &record)) {
		COUNT(lost);
		return 0;
	}
	bpf_map_update_elem(&handshakes, &handshake, &one, BPF_ANY);
	return 0;
}

#include "gotls/keys.h"

#ifndef WITHOUT_BTF
/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int keys_fork(struct bpf_raw_tracepoint_args *ctx)
{
	follow_child(ctx);
	return 0;
}

/* trace_sched_process_exit(struct task_struct *p): in the context of the thread that ends */
SEC("raw_tp/sched_process_exit")
int keys_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	if (BPF_CORE_READ(task, signal, live.counter) <= 0)
		forget_process(bpf_get_current_pid_tgid() >> 32);
	return 0;
}
#endif
