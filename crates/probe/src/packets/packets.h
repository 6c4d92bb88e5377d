/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the packet programs and user space say to each other. record.rs and shared.rs hold the Rust
 * side.
 */
#ifndef ECAPTURE_PACKETS_H
#define ECAPTURE_PACKETS_H

#include <linux/types.h>

/* One for each CPU up to this; then they share, and counting is atomic. */
#define PACKET_SLOTS 32
#define MAX_INTERFACES 256

/* Who holds a socket. */
struct owner {
	__u64 cookie; /* of the socket that this is about, not of the one it was inherited from */
	__u32 pid;    /* 0: not known */
	__u32 uid;
	char comm[16];
	__u8 wanted;	/* the filter takes it */
	__u8 settled;	/* a process made or used the socket: not inherited from a listener */
	__u8 published; /* it is in the map `owners` too */
	__u8 reserved[5];
};

/* Comes before a packet's bytes. */
struct packet {
	__u64 ts;	/* bpf_ktime_get_ns() */
	__u32 len;	/* bytes that follow */
	__u32 original; /* bytes that the packet has */
	__u32 pid;	/* 0: owner not known */
	__u32 uid;
	char comm[16];
	__u16 interface; /* the number that user space gave it */
	__u8 direction;	 /* enum record_direction */
	__u8 raw;	 /* starts with the IP header */
	__u16 segment;	 /* several are carried as one; this is the size of each. 0: it is one */
	__u16 reserved;
};

/* A captured interface. */
struct interface {
	__u16 number;
	__u8 raw;      /* packets start with the IP header */
	__u8 loopback; /* both ends of its packets are on this host */
	__u32 reserved;
};

struct packet_counters {
	__u64 seen; /* packets that passed all filters */
	__u64 seen_bytes;
	__u64 lost; /* of them, those that found the ring full */
	__u64 lost_bytes;
};

/* What user space decides before the programs are loaded. */
struct packet_configuration {
	__u64 wakeup_level; /* bytes in a ring that wake a napping reader */
	__u64 cgroup;	    /* only tasks in this cgroup or below it, unless 0 */
	__u32 ring_count;
	__u32 snaplen;
	__u32 wanted_uid;
	__u8 filter_pid;
	__u8 filter_uid;
	__u8 follow_children;
	__u8 filter; /* any of filter_pid, filter_uid, cgroup */
	__u32 netns; /* the number of our network namespace; 0: not known */
	__u32 reserved;
};

/* What both sides read and write while they run. */
struct packet_shared {
	__u32 reader_asleep; /* 1 while the reader sleeps until the next record */
	/*
	 * Sockets in `owners` that no process has used yet. More if some were closed unused: it
	 * only saves looking for them when there are none.
	 */
	__u32 unsettled;
	/* Every CPU reads the above for each packet: not in the cache line of what one CPU writes.
	 */
	__u8 reserved[56];
	struct packet_counters counters[PACKET_SLOTS][MAX_INTERFACES];
};

#endif
