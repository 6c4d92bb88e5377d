/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The text of a statement, copied in parts while it certainly is in memory.
 */
#ifndef ECAPTURE_DATABASE_TEXT_H
#define ECAPTURE_DATABASE_TEXT_H

/* Largest part of a text in one record. */
#define CHUNK 16384
#ifdef WITHOUT_LOOP
/* Without bpf_loop (before 5.17) of a text the first 2 MiB are copied. */
#define MAX_CHUNKS 128
#else
/* With it 1 GiB, which is what servers take at most. */
#define MAX_CHUNKS 65536
#endif

struct transfer_ref {
	struct transfer *transfer;
};

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
				transfer->remaining = 0;                                           \
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

/* The text of this thread's statement: `len` bytes, or a C string. */
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

#endif
