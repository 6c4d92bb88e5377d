/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The few header fields that tell a packet's socket. */
#ifndef ECAPTURE_HEADERS_H
#define ECAPTURE_HEADERS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define IP_OFFSET_MASK 0x1fff
#define IP_MORE 0x2000
#define IPV6_OFFSET_MASK 0xfff8
#define IPV6_MORE 1

#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY 135
#define MAX_EXTENSIONS 8
#define MAX_TAGS 2

struct ipv4 {
	__u8 version_length;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 offset;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6 {
	__be32 version_flow;
	__be16 length;
	__u8 next;
	__u8 hops;
	__be32 source[4];
	__be32 destination[4];
};

struct ports {
	__be16 source;
	__be16 destination;
};

/* What all fragments of a packet have in common. */
struct fragment_key {
	__be32 source[4]; /* IPv4: the first */
	__be32 destination[4];
	__be32 id;
	__u8 family;
	__u8 protocol;
	__u8 interface; /* number */
	__u8 incoming;	/* whose this is about: the receiver */
};

struct headers {
	__be32 source[4]; /* IPv4: the first */
	__be32 destination[4];
	struct ports ports;
	__be32 id;	 /* of a fragmented packet */
	__u32 transport; /* where the ports are */
	__u8 family;	 /* AF_INET or AF_INET6 */
	__u8 protocol;	 /* TCP or UDP */
	bool fragmented; /* this is one of its fragments, */
	bool later;	 /* and not the first: it has no ports */
};

/* Of the packet at hand: programs at TC hooks are not interrupted by one another. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct headers);
} packet_headers SEC(".maps");

/*
 * Fills in this CPU's headers; 0 if the packet cannot belong to a TCP or UDP socket. A global
 * function, which the verifier looks at once: inlined, every way through it would go on through
 * everything that follows, which is too much for that of Linux 5.10.
 */
__attribute__((noinline)) int read_headers(struct __sk_buff *skb, int raw)
{
	__u32 at = 0, zero = 0;
	__be16 kind = skb->protocol;
	struct headers *headers = bpf_map_lookup_elem(&packet_headers, &zero);

	if (!headers)
		return 0;
	__builtin_memset(headers, 0, sizeof(*headers));
	if (!raw) {
		at = ETH_HLEN - sizeof(kind);
		if (bpf_skb_load_bytes(skb, at, &kind, sizeof(kind)))
			return 0;
		at = ETH_HLEN;
		for (int i = 0; i < MAX_TAGS; i++) {
			if (kind != bpf_htons(ETH_P_8021Q) && kind != bpf_htons(ETH_P_8021AD))
				break;
			if (bpf_skb_load_bytes(skb, at + 2, &kind, sizeof(kind)))
				return 0;
			at += 4;
		}
	}
	if (kind == bpf_htons(ETH_P_IP)) {
		struct ipv4 ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return 0;
		headers->family = AF_INET;
		headers->protocol = ip.protocol;
		headers->source[0] = ip.source;
		headers->destination[0] = ip.destination;
		headers->id = ip.id;
		headers->fragmented = ip.offset & bpf_htons(IP_OFFSET_MASK | IP_MORE);
		headers->later = ip.offset & bpf_htons(IP_OFFSET_MASK);
		at += (ip.version_length & 0xf) * 4;
	} else if (kind == bpf_htons(ETH_P_IPV6)) {
		struct ipv6 ip;
		__u8 next;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return 0;
		headers->family = AF_INET6;
		__builtin_memcpy(headers->source, ip.source, sizeof(ip.source));
		__builtin_memcpy(headers->destination, ip.destination, sizeof(ip.destination));
		next = ip.next;
		at += sizeof(ip);
		for (int i = 0; i < MAX_EXTENSIONS; i++) {
			struct {
				__u8 next;
				__u8 length;
				__be16 offset;
				__be32 id;
			} extension;

			if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING &&
			    next != NEXT_FRAGMENT && next != NEXT_AUTHENTICATION &&
			    next != NEXT_DESTINATION && next != NEXT_MOBILITY)
				break;
			if (bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)))
				return 0;
			if (next == NEXT_FRAGMENT) {
				headers->id = extension.id;
				headers->fragmented =
				    extension.offset & bpf_htons(IPV6_OFFSET_MASK | IPV6_MORE);
				headers->later = extension.offset & bpf_htons(IPV6_OFFSET_MASK);
				at += 8;
			} else if (next == NEXT_AUTHENTICATION) {
				at += (extension.length + 2) * 4;
			} else {
				at += (extension.length + 1) * 8;
			}
			next = extension.next;
			if (headers->later)
				break;
		}
		headers->protocol = next;
	} else {
		return 0;
	}
	if (headers->later)
		return 1;
	if (headers->protocol != IPPROTO_TCP && headers->protocol != IPPROTO_UDP)
		return 0;
	headers->transport = at;
	return bpf_skb_load_bytes(skb, at, &headers->ports, sizeof(headers->ports)) == 0;
}

/* The packet's headers; null if it cannot belong to a TCP or UDP socket. */
static __always_inline struct headers *headers_of(struct __sk_buff *skb, bool raw)
{
	__u32 zero = 0;

	return read_headers(skb, raw) ? bpf_map_lookup_elem(&packet_headers, &zero) : 0;
}

#endif
