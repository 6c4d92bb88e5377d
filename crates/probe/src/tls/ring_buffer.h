/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Records go out through BPF ring buffers, one for a few CPUs. A record that is being written is
 * visible to the reader as such. perf_buffer.h is the other way out.
 */
#ifndef ECAPTURE_RING_BUFFER_H
#define ECAPTURE_RING_BUFFER_H

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

/* The ring of this CPU. */
static __always_inline void *this_output(void *ctx)
{
	__u32 index = bpf_get_smp_processor_id() % configuration.ring_count;

	return bpf_map_lookup_elem(&rings, &index);
}

/*
 * How to submit: wake a sleeping reader at once, a napping one when the ring fills up. The counter
 * that every record bumps before this is the full barrier that pairs with the reader's own between
 * setting reader_asleep and looking at the ring for the last time.
 */
static __always_inline __u64 submit_flags(void *ring, __u64 added)
{
	if (shared.reader_asleep) {
		shared.reader_asleep = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	__u64 filled = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	if (filled >= configuration.wakeup_level && filled - added < configuration.wakeup_level)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

/* Room for a record of a size that is known when the program is verified; 0 if there is none. */
static __always_inline void *output_reserve(void *ring, __u64 size)
{
	return bpf_ringbuf_reserve(ring, size, 0);
}

/* Hands a record over; `used` of the `reserved` bytes matter. False if that failed. */
static __always_inline bool output_submit(void *ring, void *record, __u64 reserved, __u64 used)
{
	bpf_ringbuf_submit(record, submit_flags(ring, reserved + 8));
	return true;
}

#endif
