/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Connections. One is one TLS object of one process, until the object is freed or cleared or the
 * process ends.
 */
#ifndef ECAPTURE_TLS_CONNECTIONS_H
#define ECAPTURE_TLS_CONNECTIONS_H

struct connection_key {
	__u64 ssl;
	__u32 tgid;
	__u32 reserved;
};

/* What has not been handed over of a running Write of a Go tls.Conn. */
struct go_rest {
	__u64 from;
	__u64 left;
	__u64 allowed; /* how much of it may have been encrypted by now */
};

struct connection {
	__u64 id;
	__u64 offset[2];
	struct address address;
	__u32 announced; /* RECORD_OPEN was delivered */
	__u32 address_announced;
	__s32 fd;	 /* from SSL_set_fd; -1: not known */
	__u32 looked_up; /* the fd was followed once */
	/* Of a large write that is not finished, over all its calls: */
	__u64 ciphertext; /* bytes that went to the socket */
	__u64 copied;	  /* bytes that were handed over already */
	__u64 held;	  /* an interrupted call's data was handed over in a RECORD_HELD */
	__u64 inner;	  /* of a Go tls.Conn: its net.Conn */
	struct go_rest rest;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct connection_key);
	__type(value, struct connection);
} connections SEC(".maps");

/* Processes that own a connection: their end is reported. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, __u8);
} owners SEC(".maps");

static __always_inline struct connection *get_connection(__u64 ssl, __u64 pid_tgid)
{
	struct connection_key key = {.ssl = ssl, .tgid = pid_tgid >> 32};
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);

	if (connection)
		return connection;

	struct connection fresh = {
	    /* Unique: no CPU makes two within a nanosecond. */
	    .id = bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 0xff),
	    .fd = -1,
	};

	bpf_map_update_elem(&connections, &key, &fresh, BPF_NOEXIST);
	__u8 one = 1;

	bpf_map_update_elem(&owners, &key.tgid, &one, BPF_ANY);
	return bpf_map_lookup_elem(&connections, &key);
}

#endif
