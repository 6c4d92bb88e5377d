/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The payload of a call of any size: in one record, or in chunks that a loop copies.
 */
#ifndef ECAPTURE_TLS_TRANSFER_H
#define ECAPTURE_TLS_TRANSFER_H

#ifdef WITHOUT_LOOP
/*
 * Without bpf_loop (before 5.17) a program copies 1 MiB, and goes on by tail calls, of which there
 * may be 32 or 33: of a call at least the first 32 MiB are copied.
 */
#define MAX_CHUNKS 64
#else
/* With it 1 GiB: beyond any int-sized call that a program makes at once. */
#define MAX_CHUNKS 65536
#endif

struct transfer_ref {
	struct transfer *transfer;
};

static __always_inline void begin_transfer(struct transfer *transfer, const struct record *head,
					   __u64 from, __u64 len)
{
	transfer->head = *head;
	transfer->from = from;
	transfer->remaining = len;
	transfer->last_flags = head->flags;
}

/* One chunk of a large call; false at its end. */
static __always_inline bool emit_next(void *output, struct transfer *transfer)
{
	__u64 len = transfer->remaining;

	if (!output || !len)
		return false;
	if (len > CHUNK)
		len = CHUNK;
	transfer->remaining -= len;
	transfer->head.len = len;
	transfer->head.flags = transfer->remaining ? 0 : transfer->last_flags;
	if (!emit_full_chunk(output, &transfer->head, transfer->from)) {
		COUNT(ring_full_events, 1);
		COUNT(ring_full_bytes, len);
	}
	transfer->head.offset += len;
	transfer->from += len;
	return true;
}

static __always_inline void count_rest(const struct transfer *transfer)
{
	if (transfer->remaining) {
		COUNT(too_large_events, 1);
		COUNT(too_large_bytes, transfer->remaining);
	}
}

#ifdef WITHOUT_LOOP
int tls_rest(struct pt_regs *ctx);

/* tls_rest, for tls_exit and itself to go on with. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(void *));
} rest SEC(".maps") = {.values = {[0] = (void *)&tls_rest}};

static __always_inline void emit_large(void *ctx, void *output, struct transfer *transfer)
{
	bpf_tail_call(ctx, &rest, 0);
	count_rest(transfer);
}

/*
 * The payload of the large call whose end tls_exit saw. A program of its own, where the verifier
 * has little to follow around the loop: inside tls_exit it gives up (seen with 5.10).
 */
SEC("uprobe")
int tls_rest(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct thread *thread = bpf_map_lookup_elem(&threads, &pid_tgid);
	void *output = this_output(ctx);

	KEEP_TASK_STACK(ctx);
	if (!thread || !output)
		return 0;
	for (__u32 i = 0; i < MAX_CHUNKS; i++)
		if (!emit_next(output, &thread->transfer))
			break;
	if (thread->transfer.remaining)
		bpf_tail_call(ctx, &rest, 0);
	count_rest(&thread->transfer);
	return 0;
}
#else
static long emit_in_loop(__u32 index, struct transfer_ref *ref)
{
	return !emit_next(this_output(0), ref->transfer);
}

static __always_inline void emit_large(void *ctx, void *output, struct transfer *transfer)
{
	struct transfer_ref ref = {.transfer = transfer};

	bpf_loop(MAX_CHUNKS, emit_in_loop, &ref, 0);
	count_rest(transfer);
}
#endif

/* Hands over the `len` bytes at `from`; whatever cannot be handed over is counted. */
static __always_inline void emit(void *ctx, void *output, struct transfer *transfer,
				 struct record *head, __u64 from, __u64 len)
{
	if (len <= CHUNK) {
		head->len = len;
		if (!emit_chunk(output, head, from)) {
			COUNT(ring_full_events, 1);
			COUNT(ring_full_bytes, len);
		}
		return;
	}
	begin_transfer(transfer, head, from, len);
	emit_large(ctx, output, transfer);
}

#endif
