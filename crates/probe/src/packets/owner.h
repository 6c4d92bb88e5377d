/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Whose a packet is. Included by packets.bpf.c only, after `configuration` is defined.
 *
 * An owner is kept in the socket's own storage, from which it is read for each packet, and in a
 * table by cookie: for sockets that are older than we, for those in TIME_WAIT, which have no
 * storage, and for accepted ones until a process uses them (their storage is out of reach of the
 * programs that see that). For those that are gone altogether it is kept by their ends for a while.
 */
#ifndef ECAPTURE_OWNER_H
#define ECAPTURE_OWNER_H

#define SOCK_RAW 3
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
#define MAX_CGROUP_DEPTH 32

/* Flags, and where they are in the header. */
#define TCP_FLAGS 13
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10

/*
 * So long the packets of a connection are its last owner's though its socket is gone. Linux answers
 * those that come late (with an acknowledgement or a reset) for a minute after the last FIN
 * (TCP_TIMEWAIT_LEN, tcp_fin_timeout).
 */
#define GONE_NS (65ULL * 1000 * 1000 * 1000)

/* With configuration.filter_pid: the processes whose packets are wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} pids SEC(".maps");

/* Accepted sockets start with what their listener has. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} sockets SEC(".maps");

/* By socket cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

/* Of the first fragment of an incoming packet, for those that follow it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct owner);
} fragments SEC(".maps");

struct flow_key {
	__be32 local[4]; /* IPv4: the first */
	__be32 remote[4];
	__be16 local_port;
	__be16 remote_port;
	__u8 family;
	__u8 reserved[3];
};

struct gone {
	struct owner owner;
	__u64 since;
};

/* Ends of TCP connections whose sockets were closed lately. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_key);
	__type(value, struct gone);
} gone SEC(".maps");

/* Whether the current task is in the wanted cgroup or below it. */
static __always_inline bool in_cgroup(void)
{
	if (bpf_get_current_cgroup_id() == configuration.cgroup)
		return true;
	for (int level = 0; level < MAX_CGROUP_DEPTH; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			break;
		if (id == configuration.cgroup)
			return true;
	}
	return false;
}

static __always_inline bool current_is_wanted(void)
{
	if (configuration.filter_pid) {
		__u32 tgid = bpf_get_current_pid_tgid() >> 32;

		if (!bpf_map_lookup_elem(&pids, &tgid))
			return false;
	}
	if (configuration.filter_uid &&
	    (__u32)bpf_get_current_uid_gid() != configuration.wanted_uid)
		return false;
	return !configuration.cgroup || in_cgroup();
}

/* The current process is the owner. */
static __always_inline void identify(struct owner *owner, __u64 cookie)
{
	owner->cookie = cookie;
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(owner->comm, sizeof(owner->comm));
	owner->wanted = current_is_wanted();
	barrier();
	owner->settled = 1;
}

SEC("cgroup/sock_create")
int packets_socket(struct bpf_sock *socket)
{
	struct owner *owner = bpf_sk_storage_get(&sockets, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (owner)
		identify(owner, bpf_get_socket_cookie(socket));
	return 1;
}

/* A connection was accepted: it is its listener's until a process uses it. Not per packet. */
SEC("sockops")
int packets_accepted(struct bpf_sock_ops *ops)
{
	struct owner fresh = {}, *kept;
	struct bpf_sock *sk;
	__u64 cookie;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	cookie = bpf_get_socket_cookie(ops);
	sk = ops->sk;
	if (!sk)
		return 1;
	kept = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!kept)
		return 1;
	kept->cookie = cookie;
	kept->settled = 0;
	kept->published = 1;
	fresh = *kept;
	bpf_map_update_elem(&owners, &cookie, &fresh, BPF_NOEXIST);
	__sync_fetch_and_add(&shared.unsettled, 1);
	return 1;
}

#ifndef WITHOUT_BTF
/* A process uses a socket: an accepted one is its from now on. */
static __always_inline int use(struct sock *sk)
{
	struct owner *owner;
	__u64 cookie;

	if (!shared.unsettled)
		return 0;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (!cookie)
		return 0;
	owner = bpf_map_lookup_elem(&owners, &cookie);
	if (owner && !owner->settled) {
		identify(owner, cookie);
		__sync_fetch_and_add(&shared.unsettled, -1);
	}
	return 0;
}

/* trace_sock_send_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_send_length")
int packets_sent(struct bpf_raw_tracepoint_args *ctx)
{
	return use((struct sock *)ctx->args[0]);
}

/* trace_sock_recv_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_recv_length")
int packets_received(struct bpf_raw_tracepoint_args *ctx)
{
	return use((struct sock *)ctx->args[0]);
}

/* trace_tcp_rcv_space_adjust(struct sock *sk): before 6.3 */
SEC("raw_tp/tcp_rcv_space_adjust")
int packets_tcp_received(struct bpf_raw_tracepoint_args *ctx)
{
	return use((struct sock *)ctx->args[0]);
}

/*
 * trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate): a
 * socket is closed. What it sends or gets from now on (a reset) finds no socket: the kernel takes
 * it out of its tables before this, and sends afterwards (tcp_disconnect, tcp_close).
 */
SEC("raw_tp/inet_sock_set_state")
int packets_closed(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	struct flow_key key = {};
	struct gone fresh = {};
	struct owner *owner;
	__u64 cookie;

	if ((int)ctx->args[2] != TCP_CLOSE)
		return 0;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	if (!cookie)
		return 0;
	owner = bpf_map_lookup_elem(&owners, &cookie);
	if (!owner || !owner->pid)
		return 0;
	if (configuration.netns &&
	    BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) != configuration.netns)
		return 0;
	key.remote_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	key.local_port = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	if (!key.remote_port)
		return 0;
	key.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (key.family == AF_INET6) {
		BPF_CORE_READ_INTO(&key.local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&key.remote, sk, __sk_common.skc_v6_daddr);
		/* Its packets are IPv4. */
		if (!key.remote[0] && !key.remote[1] && key.remote[2] == bpf_htonl(0xffff)) {
			key.family = AF_INET;
			__builtin_memset(key.local, 0, sizeof(key.local));
			__builtin_memset(key.remote, 0, sizeof(key.remote));
		}
	}
	if (key.family == AF_INET) {
		key.local[0] = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		key.remote[0] = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
	fresh.owner = *owner;
	fresh.since = bpf_ktime_get_ns();
	bpf_map_update_elem(&gone, &key, &fresh, BPF_ANY);
	return 0;
}

/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int packets_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 parent_tgid = bpf_get_current_pid_tgid() >> 32, child_tgid;
	__u8 one = 1;

	if (!configuration.follow_children || !bpf_map_lookup_elem(&pids, &parent_tgid))
		return 0;
	child_tgid = BPF_CORE_READ(child, tgid);
	bpf_map_update_elem(&pids, &child_tgid, &one, BPF_ANY);
	return 0;
}

/* trace_sched_process_exit(struct task_struct *p) */
SEC("raw_tp/sched_process_exit")
int packets_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (configuration.follow_children && BPF_CORE_READ(task, signal, live.counter) <= 0)
		bpf_map_delete_elem(&pids, &tgid);
	return 0;
}
#endif

/* Of a socket that was looked up: bpf_get_socket_cookie only tells that of skb->sk. 0: none yet. */
static __always_inline __u64 cookie_of(struct bpf_sock *sk)
{
#ifdef WITHOUT_BTF
	return 0;
#else
	/*
	 * The verifier allows no arithmetic on this pointer, so that the structure is read from its
	 * start on.
	 */
	__u8 common[136];
	__u64 offset = bpf_core_field_offset(struct sock_common, skc_cookie);
	__u64 cookie;

	if (offset > sizeof(common) - sizeof(cookie))
		return 0;
	if (bpf_probe_read_kernel(common, offset + sizeof(cookie), sk))
		return 0;
	__builtin_memcpy(&cookie, common + offset, sizeof(cookie));
	return cookie;
#endif
}

/* What is kept in a socket's storage, or belongs there. `cookie` may be 0. */
static __always_inline struct owner *owner_in(struct bpf_sock *full, __u64 cookie)
{
	struct owner *kept = bpf_sk_storage_get(&sockets, full, 0, 0), *known;

	if (!kept) {
		if (!cookie)
			cookie = cookie_of(full);
		if (!cookie)
			return 0;
		known = bpf_map_lookup_elem(&owners, &cookie);
		if (known)
			bpf_sk_storage_get(&sockets, full, known, BPF_SK_STORAGE_GET_F_CREATE);
		return known;
	}
	cookie = kept->cookie;
	if (!kept->settled) {
		known = bpf_map_lookup_elem(&owners, &cookie);
		if (known && known->settled)
			*kept = *known;
	} else if (!kept->published) {
		kept->published = 1;
		bpf_map_update_elem(&owners, &cookie, kept, BPF_ANY);
	}
	return kept;
}

/* The owner of a socket of any kind and in any state, if it is known. `cookie` may be 0. */
static __always_inline struct owner *owner_of(struct bpf_sock *sk, __u32 state, __u64 cookie)
{
	struct bpf_sock *full;

	if (state == TCP_NEW_SYN_RECV) {
		full = bpf_get_listener_sock(sk);
		return full ? owner_in(full, 0) : 0;
	}
	full = bpf_sk_fullsock(sk);
	if (full)
		return owner_in(full, cookie);
	/* In TIME_WAIT. */
	if (!cookie)
		cookie = cookie_of(sk);
	return cookie ? bpf_map_lookup_elem(&owners, &cookie) : 0;
}

/*
 * Whether an incoming packet goes on to another host: then a socket that takes packets for any
 * address is not its.
 */
static __always_inline bool is_forwarded(struct __sk_buff *skb, __u8 family, const __be32 *source,
					 const __be32 *destination)
{
	struct bpf_fib_lookup route = {.family = family, .ifindex = skb->ifindex};

	if (family == AF_INET) {
		route.ipv4_src = source[0];
		route.ipv4_dst = destination[0];
	} else {
		__builtin_memcpy(route.ipv6_src, source, sizeof(route.ipv6_src));
		__builtin_memcpy(route.ipv6_dst, destination, sizeof(route.ipv6_dst));
	}
	switch (bpf_fib_lookup(skb, &route, sizeof(route), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return true;
	}
	return false;
}

static __always_inline bool any_address(struct bpf_sock *full)
{
	return !full->src_ip4 && !full->src_ip6[0] && !full->src_ip6[1] && !full->src_ip6[2] &&
	       !full->src_ip6[3];
}

static __always_inline struct owner *owner_of_found(struct __sk_buff *skb, struct bpf_sock *sk,
						    __u32 state, const struct headers *headers,
						    const struct interface *interface,
						    bool incoming)
{
	/* Both ends of what crosses the loopback interface are here. */
	if (!interface->loopback && state != TCP_NEW_SYN_RECV) {
		struct bpf_sock *full = bpf_sk_fullsock(sk);

		if (full && any_address(full)) {
			/* What others send may leave from the port that one of ours has. */
			if (!incoming)
				return 0;
			if (is_forwarded(skb, headers->family, headers->source,
					 headers->destination))
				return 0;
		}
	}
	return owner_of(sk, state, 0);
}

/* Turns the headers into what the lookups want: the remote end, then the local one. */
static __always_inline __u32 tuple_of(const struct headers *headers, bool incoming, bool listener,
				      struct bpf_sock_tuple *tuple)
{
	const __be32 *remote = incoming ? headers->source : headers->destination;
	const __be32 *local = incoming ? headers->destination : headers->source;
	__be16 remote_port = incoming ? headers->ports.source : headers->ports.destination;
	__be16 local_port = incoming ? headers->ports.destination : headers->ports.source;

	__builtin_memset(tuple, 0, sizeof(*tuple));
	if (headers->family == AF_INET) {
		tuple->ipv4.daddr = local[0];
		tuple->ipv4.dport = local_port;
		if (!listener) {
			tuple->ipv4.saddr = remote[0];
			tuple->ipv4.sport = remote_port;
		}
		return sizeof(tuple->ipv4);
	}
	__builtin_memcpy(tuple->ipv6.daddr, local, sizeof(tuple->ipv6.daddr));
	tuple->ipv6.dport = local_port;
	if (!listener) {
		__builtin_memcpy(tuple->ipv6.saddr, remote, sizeof(tuple->ipv6.saddr));
		tuple->ipv6.sport = remote_port;
	}
	return sizeof(tuple->ipv6);
}

#ifndef WITHOUT_BTF
/* A TCP packet whose local end has no socket, and who had that. */
struct gone_query {
	struct flow_key key;
	__u32 transport; /* where its TCP header is */
	bool loopback;
	bool incoming;
	struct owner owner;
};

/* Of the packet at hand: programs at TC hooks are not interrupted by one another. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gone_query);
} gone_queries SEC(".maps");

/*
 * Answers the query of this CPU: 1 if there is an owner. A global function, which the verifier
 * looks at once: inlined, it is too much for that of Linux 5.10.
 */
__attribute__((noinline)) int find_gone(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct gone_query *query = bpf_map_lookup_elem(&gone_queries, &zero);
	const struct flow_key *key;
	struct gone *found;
	__u8 flags;

	if (!query)
		return 0;
	key = &query->key;
	found = bpf_map_lookup_elem(&gone, key);
	if (!found)
		return 0;
	if (bpf_skb_load_bytes(skb, query->transport + TCP_FLAGS, &flags, sizeof(flags)))
		return 0;
	if ((flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN) {
		/* Another connection between the same ends. */
		bpf_map_delete_elem(&gone, key);
		return 0;
	}
	if (bpf_ktime_get_ns() - found->since > GONE_NS)
		return 0;
	/* What is forwarded may have an end of ours by address translation. */
	if (!query->loopback &&
	    (query->incoming ? is_forwarded(skb, key->family, key->remote, key->local)
			     : skb->ingress_ifindex != 0))
		return 0;
	query->owner = found->owner;
	return 1;
}
#endif

/* Who had the socket that a TCP packet's local end names, and that is gone. */
static __always_inline struct owner *owner_of_gone(struct __sk_buff *skb,
						   const struct headers *headers,
						   const struct interface *interface, bool incoming)
{
#ifdef WITHOUT_BTF
	return 0;
#else
	__u32 zero = 0;
	struct gone_query *query = bpf_map_lookup_elem(&gone_queries, &zero);

	if (!query)
		return 0;
	__builtin_memcpy(query->key.local, incoming ? headers->destination : headers->source,
			 sizeof(query->key.local));
	__builtin_memcpy(query->key.remote, incoming ? headers->source : headers->destination,
			 sizeof(query->key.remote));
	query->key.local_port = incoming ? headers->ports.destination : headers->ports.source;
	query->key.remote_port = incoming ? headers->ports.source : headers->ports.destination;
	query->key.family = headers->family;
	query->transport = headers->transport;
	query->loopback = interface->loopback;
	query->incoming = incoming;
	return find_gone(skb) ? &query->owner : 0;
#endif
}

static __always_inline struct owner *look_up(struct __sk_buff *skb, const struct headers *headers,
					     const struct interface *interface, bool incoming)
{
	struct bpf_sock_tuple tuple;
	__u32 size = tuple_of(headers, incoming, false, &tuple);
	struct bpf_sock *sk;
	struct owner *owner;
	__u32 state = 0;

	if (headers->protocol == IPPROTO_TCP) {
		sk = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return owner_of_gone(skb, headers, interface, incoming);
		/* Here, where the verifier knows which of its two types of sockets this is. */
		state = sk->state;
		if (state == TCP_LISTEN) {
			/* It is found in the place of one that it accepted, and that is gone. */
			owner = owner_of_gone(skb, headers, interface, incoming);
			if (owner) {
				bpf_sk_release(sk);
				return owner;
			}
		}
	} else {
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
	}
	owner = owner_of_found(skb, sk, state, headers, interface, incoming);
	bpf_sk_release(sk);
	return owner;
}

/* By the local end that the headers name. */
static __always_inline struct owner *owner_by_headers(struct __sk_buff *skb,
						      const struct headers *headers,
						      const struct interface *interface,
						      bool incoming)
{
	struct fragment_key key = {};
	struct owner *owner;

	if (!headers->fragmented)
		return look_up(skb, headers, interface, incoming);
	key.id = headers->id;
	key.family = headers->family;
	/* IPv6 tells it in the first fragment only. */
	key.protocol = headers->family == AF_INET ? headers->protocol : 0;
	key.interface = interface->number;
	key.incoming = incoming;
	__builtin_memcpy(key.source, headers->source, sizeof(key.source));
	__builtin_memcpy(key.destination, headers->destination, sizeof(key.destination));
	if (headers->later)
		return bpf_map_lookup_elem(&fragments, &key);
	owner = look_up(skb, headers, interface, incoming);
	if (owner)
		bpf_map_update_elem(&fragments, &key, owner, BPF_ANY);
	return owner;
}

/*
 * A socket of which nothing is known though somebody sends with it: it was accepted from a listener
 * of which no packet was seen, or was made where sockets are not listed. Until a process uses it,
 * it is its listener's, if there is one.
 */
static __always_inline void adopt(struct __sk_buff *skb, struct bpf_sock *full, __u64 cookie,
				  const struct headers *headers)
{
	struct owner inherited = {}, *owner;
	struct bpf_sock_tuple tuple;
	struct bpf_sock *listener;
	__u32 size;

	if (full->protocol == IPPROTO_TCP && full->state != TCP_SYN_SENT && !headers->later &&
	    headers->protocol == IPPROTO_TCP) {
		size = tuple_of(headers, false, true, &tuple);
		listener = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (listener) {
			owner = owner_of(listener, listener->state, 0);
			bpf_sk_release(listener);
			if (owner)
				inherited = *owner;
		}
	}
	inherited.cookie = cookie;
	inherited.settled = 0;
	inherited.published = 1;
	if (!bpf_map_update_elem(&owners, &cookie, &inherited, BPF_NOEXIST))
		__sync_fetch_and_add(&shared.unsettled, 1);
}

/* The owner of a packet on its way out; 0 if there is none. */
static __always_inline struct owner *owner_of_outgoing(struct __sk_buff *skb,
						       const struct interface *interface)
{
	struct bpf_sock *sk = skb->sk, *full;
	struct headers *headers;
	struct owner *owner;
	__u64 cookie = 0;

	if (sk) {
		cookie = bpf_get_socket_cookie(skb);
		owner = owner_of(sk, sk->state, cookie);
		if (owner)
			return owner;
	}
	headers = headers_of(skb, interface->raw);
	if (sk) {
		full = bpf_sk_fullsock(sk);
		/* The kernel answers through raw sockets of its own for those in TIME_WAIT. */
		if (full && full->type != SOCK_RAW) {
			if (headers)
				adopt(skb, full, cookie, headers);
			return bpf_map_lookup_elem(&owners, &cookie);
		}
	}
	return headers ? owner_by_headers(skb, headers, interface, false) : 0;
}

static __always_inline bool is_taken(const struct owner *owner)
{
	return owner && (!configuration.filter || owner->wanted);
}

/*
 * The owner of a packet on its way in; 0 if there is none. `*sent` if it is the sender: both ends
 * of what crosses the loopback interface are here.
 */
static __always_inline struct owner *
owner_of_incoming(struct __sk_buff *skb, const struct interface *interface, bool *sent)
{
	struct headers *headers = headers_of(skb, interface->raw);
	struct owner *owner, *sender;

	if (!headers)
		return 0;
	owner = owner_by_headers(skb, headers, interface, true);
	if (!interface->loopback)
		return owner;
	if (is_taken(owner) && owner->pid)
		return owner;
	sender = owner_by_headers(skb, headers, interface, false);
	if (!is_taken(sender))
		return owner;
	*sent = true;
	return sender;
}

#endif
