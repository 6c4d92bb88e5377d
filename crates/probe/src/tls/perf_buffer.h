/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Records go out through perf buffers, one for each CPU: for kernels without BPF ring buffers
 * (before 5.8). Included by tls.bpf.c only; ring_buffer.h is the other way out.
 *
 * A record is put together in memory of the CPU. On the kernels that need this nothing else can
 * use it meanwhile: uprobe programs and raw tracepoints run with preemption disabled there
 * (__uprobe_perf_func, __bpf_trace_run), and none of ours runs in an interrupt. From 6.0 on a
 * uprobe program is only kept from migrating: on them this is for tests, and where the kernel
 * preempts (always from 7.0 on) one record may overwrite another.
 */
#ifndef ECAPTURE_PERF_BUFFER_H
#define ECAPTURE_PERF_BUFFER_H

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

struct scratch {
	struct record head;
	__u8 payload[CHUNK];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* What bpf_perf_event_output needs to find this CPU's buffer. */
static __always_inline void *this_output(void *ctx)
{
	return ctx;
}

static __always_inline void *output_reserve(void *ctx, __u64 size)
{
	__u32 index = 0;

	return bpf_map_lookup_elem(&scratch, &index);
}

/*
 * False if the buffer is full or, for a CPU that came later, is not there: from 5.1 on the answer
 * says so, and what was lost is counted to the byte here, not from PERF_RECORD_LOST.
 */
static __always_inline bool output_submit(void *ctx, void *record, __u64 reserved, __u64 used)
{
	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record, used) == 0;
}

#endif
