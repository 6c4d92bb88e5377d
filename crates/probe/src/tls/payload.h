/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One record with payload, copied from the program once.
 */
#ifndef ECAPTURE_TLS_PAYLOAD_H
#define ECAPTURE_TLS_PAYLOAD_H

/*
 * Copies `head->len` bytes from the program into a record of a size that is known when the program
 * is verified: bpf_ringbuf_reserve takes no variable size.
 */
#define EMIT_CLASS(size)                                                                           \
	do {                                                                                       \
		struct {                                                                           \
			struct record head;                                                        \
			__u8 payload[size];                                                        \
		} *record = output_reserve(output, sizeof(struct record) + (size));                \
		bool unreadable = false;                                                           \
                                                                                                   \
		if (!record)                                                                       \
			return false;                                                              \
		record->head = *head;                                                              \
		/* The verifier must see the bound on the register that it checks. */              \
		barrier_var(len);                                                                  \
		if (len > (size))                                                                  \
			len = (size);                                                              \
		if (bpf_probe_read_user(record->payload, len, (const void *)from)) {               \
			COUNT(unreadable_events, 1);                                               \
			COUNT(unreadable_bytes, len);                                              \
			record->head.kind = RECORD_UNREADABLE;                                     \
			unreadable = true; /* lost already, whether its notice is or not */        \
		}                                                                                  \
		return output_submit(output, record, sizeof(struct record) + (size),               \
				     sizeof(struct record) + len) ||                               \
		       unreadable;                                                                 \
	} while (0)

static __always_inline bool emit_full_chunk(void *output, const struct record *head, __u64 from)
{
	__u64 len = head->len;

	EMIT_CLASS(CHUNK);
}

/*
 * Data that is lost, and counts as lost, only if some of it is sent: then user space finds that it
 * does not have it.
 */
static __always_inline void emit_held(void *output, const struct record *head, __u64 from)
{
	struct {
		struct record head;
		__u8 payload[CHUNK];
	} *record = output_reserve(output, sizeof(*record));
	__u64 len = head->len;

	if (!record)
		return;
	record->head = *head;
	barrier_var(len);
	if (len > CHUNK)
		len = CHUNK;
	if (bpf_probe_read_user(record->payload, len, (const void *)from)) {
		len = 0;
		record->head.len = 0;
	}
	output_submit(output, record, sizeof(*record), sizeof(struct record) + len);
}

static __always_inline bool emit_chunk(void *output, const struct record *head, __u64 from)
{
#ifdef WITHOUT_RINGBUF
	return emit_full_chunk(output, head, from);
#else
	__u64 len = head->len;

	/*
	 * Small sizes leave room for two headers, so that a record takes a power of two; large ones
	 * are those of the buffers that programs read into.
	 */
	if (len <= 80)
		EMIT_CLASS(80);
	if (len <= 208)
		EMIT_CLASS(208);
	if (len <= 464)
		EMIT_CLASS(464);
	if (len <= 976)
		EMIT_CLASS(976);
	if (len <= 2000)
		EMIT_CLASS(2000);
	if (len <= 4096)
		EMIT_CLASS(4096);
	if (len <= 8192)
		EMIT_CLASS(8192);
	EMIT_CLASS(CHUNK);
#endif
}

#endif
