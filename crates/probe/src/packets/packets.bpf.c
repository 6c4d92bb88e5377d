// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Packets as they cross an interface, and whose they are.
 *
 * packets_ingress and packets_egress run at the TC hooks, by themselves or tail-called by the
 * user's packet filter (packets/filter), and copy the packet once, into a ring buffer. They always
 * answer TC_ACT_UNSPEC (TCX_NEXT): whatever else is to happen to the packet happens.
 *
 * Who owns a packet is recorded with its socket when the socket is made (packets_socket), is handed
 * on to the sockets that a listener accepts (BPF_F_CLONE, packets_accepted), and is corrected for
 * those when a process first uses one (packets_sent, packets_received). User space tells the owners
 * of older sockets by their cookies. From a packet to its socket: outgoing ones know it; for the
 * others it is looked up.
 *
 * A packet that crosses the loopback interface is seen once, where it comes in: there it has the
 * size in which it crosses (what leaves may be segmented after the TC hook, and then has no valid
 * length), as in other captures. It is its receiver's, or its sender's if only that one is known or
 * wanted.
 */
#include "kernel.h"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#ifndef WITHOUT_BTF
#include <bpf/bpf_core_read.h>
#endif
#include <stdbool.h>
#include "headers.h"
#include "packets.h"
#include "record.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load; constant afterwards, so that branches not taken cost nothing. */
const volatile struct packet_configuration configuration = {};

/* Mapped by user space. */
struct packet_shared shared = {};

#include "../tls/ring_buffer.h"
#include "owner.h"

/* By the kernel's index. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

/* A VLAN tag that the kernel keeps beside the packet goes here. */
#define BEFORE_TAG 12
#define TAG 4

/* Linux lets a packet grow to 8 * 65535 bytes before it is segmented ("BIG TCP"). */
#define LARGEST (544 << 10)

static __always_inline bool copy(struct __sk_buff *skb, void *to, __u32 from, __u64 len, __u64 max)
{
	/*
	 * The verifier must see the bounds on the register that it checks, and some do not learn
	 * from a comparison with 0 that a number is at least 1.
	 */
	len -= 1;
	barrier_var(len);
	if (len >= max)
		return false;
	return bpf_skb_load_bytes(skb, from, to, len + 1) == 0;
}

/* The packet, with its tag put back. */
static __always_inline bool copy_packet(struct __sk_buff *skb, __u8 *to, __u32 len, __u32 max,
					bool tagged)
{
	if (!tagged)
		return copy(skb, to, 0, len, max);

	__be16 tag[2] = {skb->vlan_proto, bpf_htons(skb->vlan_tci)};

	if (len <= BEFORE_TAG + TAG) {
		__u8 start[BEFORE_TAG + TAG];

		if (bpf_skb_load_bytes(skb, 0, start, BEFORE_TAG))
			return false;
		__builtin_memcpy(start + BEFORE_TAG, tag, TAG);
		for (__u32 i = 0; i < sizeof(start); i++)
			if (i < len)
				to[i] = start[i];
		return true;
	}
	if (bpf_skb_load_bytes(skb, 0, to, BEFORE_TAG))
		return false;
	__builtin_memcpy(to + BEFORE_TAG, tag, TAG);
	return copy(skb, to + BEFORE_TAG + TAG, BEFORE_TAG, len - BEFORE_TAG - TAG,
		    max - BEFORE_TAG - TAG);
}

/*
 * bpf_ringbuf_reserve takes no variable size: a record is of the smallest class that holds the
 * packet. `return` tells whether the packet is in the ring.
 */
#define EMIT_CLASS(size)                                                                           \
	do {                                                                                       \
		struct {                                                                           \
			struct packet head;                                                        \
			__u8 bytes[size];                                                          \
		} * record;                                                                        \
                                                                                                   \
		if (head->len > (size))                                                            \
			break;                                                                     \
		record = output_reserve(ring, sizeof(struct packet) + (size));                     \
		if (!record)                                                                       \
			return false;                                                              \
		record->head = *head;                                                              \
		if (!copy_packet(skb, record->bytes, head->len, size, tagged)) {                   \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);                             \
			return false;                                                              \
		}                                                                                  \
		return output_submit(ring, record, sizeof(struct packet) + (size), 0);             \
	} while (0)

static __always_inline bool emit(struct __sk_buff *skb, void *ring, const struct packet *head,
				 bool tagged)
{
	EMIT_CLASS(72);
	EMIT_CLASS(200);
	EMIT_CLASS(456);
	EMIT_CLASS(968);
	EMIT_CLASS(1544);
	EMIT_CLASS(2992);
	EMIT_CLASS(5 << 10);
	EMIT_CLASS(9 << 10);
	EMIT_CLASS(17 << 10);
	EMIT_CLASS(25 << 10);
	EMIT_CLASS(33 << 10);
	EMIT_CLASS(49 << 10);
	EMIT_CLASS(65 << 10);
	EMIT_CLASS(160 << 10);
	EMIT_CLASS(LARGEST);
	return false;
}

/* The packet at hand: programs at TC hooks are not interrupted by one another. */
struct current_packet {
	struct packet head;
	bool tagged;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct current_packet);
} current_packets SEC(".maps");

/*
 * Puts this CPU's packet into the ring, and counts it. A global function, which the verifier looks
 * at once and not for each way in which an owner is found: those are too many for that of
 * Linux 5.10.
 */
__attribute__((noinline)) int record_packet(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct current_packet *packet = bpf_map_lookup_elem(&current_packets, &zero);
	struct packet_counters *counters;
	void *ring;

	if (!packet)
		return 0;
	counters = &shared.counters[bpf_get_smp_processor_id() & (PACKET_SLOTS - 1)]
				   [packet->head.interface & (MAX_INTERFACES - 1)];
	__sync_fetch_and_add(&counters->seen, 1);
	__sync_fetch_and_add(&counters->seen_bytes, packet->head.original);
	ring = this_output(skb);
	packet->head.ts = bpf_ktime_get_ns();
	if (!ring || !emit(skb, ring, &packet->head, packet->tagged)) {
		__sync_fetch_and_add(&counters->lost, 1);
		__sync_fetch_and_add(&counters->lost_bytes, packet->head.original);
	}
	return 0;
}

static __always_inline void capture(struct __sk_buff *skb, bool egress)
{
	__u32 index = skb->ifindex, zero = 0;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &index);
	struct current_packet *packet = bpf_map_lookup_elem(&current_packets, &zero);
	struct packet *head;
	struct owner *owner;
	bool sent = false;

	if (!interface || !packet)
		return;
	if (egress)
		owner = owner_of_outgoing(skb, interface);
	else
		owner = owner_of_incoming(skb, interface, &sent);
	if (configuration.filter && !is_taken(owner))
		return;
	head = &packet->head;
	__builtin_memset(head, 0, sizeof(*head));
	head->direction = egress || sent ? DIRECTION_SEND : DIRECTION_RECV;
	if (owner) {
		head->pid = owner->pid;
		head->uid = owner->uid;
		__builtin_memcpy(head->comm, owner->comm, sizeof(head->comm));
	}

	packet->tagged = skb->vlan_present && !interface->raw;
	head->interface = interface->number;
	head->raw = interface->raw;
	head->segment = skb->gso_size;
	head->original = skb->len + (packet->tagged ? TAG : 0);
	head->len = head->original;
	if (head->len > configuration.snaplen)
		head->len = configuration.snaplen;
	record_packet(skb);
}

SEC("tc")
int packets_ingress(struct __sk_buff *skb)
{
	capture(skb, false);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int packets_egress(struct __sk_buff *skb)
{
	capture(skb, true);
	return TC_ACT_UNSPEC;
}

/* Where the user's filter goes on with what it takes. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, int(void *));
} captures SEC(".maps") = {.values = {
			       [DIRECTION_SEND] = (void *)&packets_egress,
			       [DIRECTION_RECV] = (void *)&packets_ingress,
			   }};
