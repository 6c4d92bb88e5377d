/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Plaintext of Go's crypto/tls, and forks of it. Included by tls.bpf.c, whose maps, rings and
 * records it uses; the sites are those that target::go planned.
 *
 * Sent: go_write sees (*Conn).writeRecordLocked(typ, data) begin. It runs with the connection's
 * output locked, so that everything comes once and in order, and before anything of it goes out, so
 * that it comes before the peer's answer, which another goroutine may read before this one returns.
 * What is long, or lies on pages that were never touched (constants of the program), is handed over
 * as go_flush sees its ciphertext go out by (*Conn).write(data).
 *
 * Received: go_copy is the call in (*Conn).Read that copies plaintext into the program's buffer.
 * Where none was found, go_read_entry and go_read_exit are the begin and the `ret`s of Read. A
 * goroutine may change threads in between, so calls are kept by goroutine; and its stack may be
 * moved, so that places on it are kept as distances from its upper end, which a move preserves
 * (copystack in Go's src/runtime/stack.go). Never a return probe: Go's runtime would find its
 * address on the stack.
 */
#ifndef ECAPTURE_GOTLS_H
#define ECAPTURE_GOTLS_H

#include "gotls/abi.h"
#include "overlap.h"

/* recordTypeApplicationData of Go's src/crypto/tls/common.go */
#define GO_APPLICATION_DATA 23

struct go_call_key {
	__u64 g;
	__u32 tgid;
	__u32 depth; /* of the call's return address, from the stack's upper end */
};

struct go_call {
	__u64 conn;
	__u64 buffer; /* its address, or its distance from the stack's upper end */
	__u32 running;
	__u32 buffer_on_stack;
};

/*
 * Calls of Read. An entry is used again by the next call of the goroutine at the same depth; what
 * goroutines leave that are gone is evicted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct go_call_key);
	__type(value, struct go_call);
} go_calls SEC(".maps");

static __always_inline void go_count_hit(__u64 cookie)
{
	__sync_fetch_and_add(&shared.hits[cookie_function(cookie) & (MAX_FUNCTIONS - 1)], 1);
}

/* A probe that takes the place of this one has seen to this hit. */
static __always_inline bool go_seen(__u64 cookie)
{
	return seen_by_newer(!!(cookie_result(cookie) & GO_GENERATION), (__u32)cookie);
}

/* The receiver, at an entry. */
static __always_inline __u64 go_receiver(struct pt_regs *ctx, __u32 flags)
{
	__u64 receiver = GO_WORD_0(ctx);

	/* The verifier wants registers read at fixed offsets: keep the choice below off ctx. */
	barrier_var(receiver);
	if (flags & GO_ON_STACK)
		bpf_probe_read_user(&receiver, sizeof(receiver), (void *)(PT_REGS_SP(ctx) + 8));
	return receiver;
}

static __always_inline void go_end_connection(void *ctx, const struct connection_key *key,
					      const struct connection *connection, __u64 pid_tgid)
{
	void *output = this_output(ctx);

	if (connection->announced && (!output || !emit_close(output, connection, pid_tgid)))
		COUNT(lifecycle_lost, 1);
	bpf_map_delete_elem(&connections, key);
}

/* What tls.Conn.conn, an interface, points at; 0 if it cannot be read. */
static __always_inline __u64 go_inner(__u64 conn)
{
	__u64 inner = 0;

	bpf_probe_read_user(&inner, sizeof(inner), (void *)(conn + 8));
	return inner;
}

/*
 * The connection of a tls.Conn. The garbage collector may have given its memory to another one,
 * which has another net.Conn.
 */
static __always_inline struct connection *go_connection(void *ctx, __u64 conn, __u64 pid_tgid)
{
	struct connection_key key = {.ssl = conn, .tgid = pid_tgid >> 32};
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);
	__u64 inner = go_inner(conn);

	if (connection && connection->inner && connection->inner != inner) {
		go_end_connection(ctx, &key, connection, pid_tgid);
		connection = 0;
	}
	if (!connection)
		connection = get_connection(conn, pid_tgid);
	if (connection && !connection->inner)
		connection->inner = inner;
	return connection;
}

#ifndef WITHOUT_BTF
/*
 * net.netFD as it has been since Go 1.11 (src/net/fd_posix.go, src/internal/poll/fd_unix.go): 16
 * bytes of lock, the descriptor, 32 bytes, family and type of the socket.
 */
struct go_net_fd {
	__u64 lock[2];
	__u64 descriptor;
	__u64 unused[4];
	__u64 family;
	__u64 type;
};

#define GO_SOCK_STREAM 1
/* A tls.Conn over a tls.Conn, or over a program's own wrappers. */
#define GO_LAYERS 4

/*
 * The socket under a net.Conn: *net.TCPConn begins with the pointer to its netFD. What embeds
 * another net.Conn begins with an interface, whose second word leads to that. Whether it is one or
 * the other shows in the values, down to a descriptor that is a socket of the right family.
 */
static __always_inline void go_find_address(struct connection *connection, __u64 inner)
{
	if (connection->address.family || connection->looked_up)
		return;
	connection->looked_up = 1;
	for (int i = 0; i < GO_LAYERS; i++) {
		struct go_net_fd net_fd;
		__u64 words[2] = {};

		if (!inner || bpf_probe_read_user(words, sizeof(words), (void *)inner))
			return;
		if (!bpf_probe_read_user(&net_fd, sizeof(net_fd), (void *)words[0]) &&
		    (net_fd.family == AF_INET || net_fd.family == AF_INET6) &&
		    net_fd.type == GO_SOCK_STREAM && net_fd.descriptor <= 0x7fffffff) {
			__u64 sock = sock_of_fd(net_fd.descriptor);

			if (sock)
				read_address(&connection->address, sock);
			return;
		}
		inner = words[1];
	}
}
#endif

static __always_inline void go_introduce(void *output, struct connection *connection, __u64 conn,
					 __u64 pid_tgid, __u32 library, __u64 ts)
{
	if (connection->announced)
		return;
#ifndef WITHOUT_BTF
	go_find_address(connection, connection->inner);
#endif
	/* Another thread may do the same at this moment: user space takes the first. */
	connection->announced =
	    announce(output, connection, RECORD_OPEN, conn, pid_tgid, library, ts);
}

/* Zeros: there is no room for them on the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} go_fresh_thread SEC(".maps");

/* Where the state of a large transfer is kept. */
static __always_inline struct thread *go_thread(__u64 pid_tgid)
{
	struct thread *thread = bpf_map_lookup_elem(&threads, &pid_tgid), *fresh;
	__u32 index = 0;

	if (thread)
		return thread;
	fresh = bpf_map_lookup_elem(&go_fresh_thread, &index);
	if (!fresh)
		return 0;
	bpf_map_update_elem(&threads, &pid_tgid, fresh, BPF_ANY);
	return bpf_map_lookup_elem(&threads, &pid_tgid);
}

/* Hands over `n` bytes at `from` of a tls.Conn. */
static __always_inline void go_emit(void *ctx, __u64 cookie, __u64 pid_tgid, __u64 conn,
				    struct connection *connection, __u32 direction, __u64 from,
				    __u64 n, __u8 flags)
{
	struct thread *thread = go_thread(pid_tgid);
	void *output = this_output(ctx);

	COUNT(bytes[direction & 1], n);
	if (!connection || !thread || !output) {
		COUNT(untracked_events, 1);
		COUNT(untracked_bytes, n);
		return;
	}

	struct record head = {
	    .ts = bpf_ktime_get_ns(),
	    .conn = connection->id,
	    .offset = connection->offset[direction & 1],
	    .tgid_or_tid = pid_tgid,
	    .kind = RECORD_DATA,
	    .direction = direction,
	    .flags = flags,
	};

	go_introduce(output, connection, conn, pid_tgid, cookie_library(cookie), head.ts);
	connection->offset[direction & 1] += n;
	emit(ctx, output, &thread->transfer, &head, from, n);
}

/* So much is handed over at once; more would be a burst that no ring holds. */
#define GO_AT_ONCE (64 << 10)
/* That, the longest record, and some pages that were not there in time. */
#define GO_MOST (96 << 10)
#define GO_PAGE 4096

/* How many of `n` bytes lie on pages that are in memory, up to the first that is not. */
static __always_inline __u64 go_readable(__u64 from, __u64 n)
{
	__u64 at = from;
	__u8 byte;

	for (int i = 0; i <= GO_MOST / GO_PAGE; i++) {
		if (bpf_probe_read_user(&byte, sizeof(byte), (void *)at))
			break;
		at = (at | (GO_PAGE - 1)) + 1;
		if (at - from >= n)
			return n;
	}
	return at - from;
}

/* A call before this one went through, and some of its plaintext was not in memory even then. */
static __always_inline void go_give_up(struct connection *connection)
{
	__u64 left = connection->rest.left;

	if (!left)
		return;
	connection->rest.left = 0;
	connection->offset[DIRECTION_SEND] += left;
	COUNT(bytes[DIRECTION_SEND], left);
	COUNT(unreadable_events, 1);
	COUNT(unreadable_bytes, left);
}

/* func (c *Conn) writeRecordLocked(typ recordType, data []byte) (int, error) */
SEC("uprobe")
int go_write(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx), from, n;
	__u32 flags = cookie_result(cookie);
	__u64 words[4] = {GO_WORD_0(ctx), GO_WORD_1(ctx), GO_WORD_2(ctx), GO_WORD_3(ctx)};
	struct connection *connection;

	KEEP_TASK_STACK(ctx);
	if (go_restarts(ctx, flags) || go_seen(cookie))
		return 0;
	if (flags & GO_ON_STACK)
		bpf_probe_read_user(words, sizeof(words), (void *)(PT_REGS_SP(ctx) + 8));
	from = words[2];
	n = words[3];
	if ((__u8)words[1] != GO_APPLICATION_DATA || !n || !wanted(pid_tgid))
		return 0;
	go_count_hit(cookie);
	COUNT(calls[DIRECTION_SEND], 1);
	connection = go_connection(ctx, words[0], pid_tgid);
	if (connection) {
		go_give_up(connection);
		if (n > GO_AT_ONCE || go_readable(from, n) < n) {
			connection->rest.from = from;
			connection->rest.left = n;
			connection->rest.allowed = 0;
			return 0;
		}
	}
	go_emit(ctx, cookie, pid_tgid, words[0], connection, DIRECTION_SEND, from, n,
		RECORD_END_OF_CALL);
	return 0;
}

/*
 * func (c *Conn) write(data []byte) (int, error): ciphertext, which is longer than its plaintext.
 * By the last of a call, all of its plaintext was read, and is in memory.
 */
SEC("uprobe")
int go_flush(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx), from, n;
	__u32 flags = cookie_result(cookie);
	__u64 words[3] = {GO_WORD_0(ctx), GO_WORD_1(ctx), GO_WORD_2(ctx)};
	struct connection_key key = {.tgid = pid_tgid >> 32};
	struct connection *connection;

	KEEP_TASK_STACK(ctx);
	if (go_restarts(ctx, flags) || go_seen(cookie))
		return 0;
	if (flags & GO_ON_STACK)
		bpf_probe_read_user(words, sizeof(words), (void *)(PT_REGS_SP(ctx) + 8));
	key.ssl = words[0];
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection || !connection->rest.left)
		return 0;
	go_count_hit(cookie);
	connection->rest.allowed += words[2];
	from = connection->rest.from;
	n = connection->rest.left;
	if (n > connection->rest.allowed) {
		n = connection->rest.allowed;
		if (n < GO_AT_ONCE)
			return 0;
	}
	if (n > GO_MOST)
		n = GO_MOST;
	n = go_readable(from, n);
	if (!n)
		return 0;
	connection->rest.from += n;
	connection->rest.left -= n;
	connection->rest.allowed -= n;
	go_emit(ctx, cookie, pid_tgid, words[0], connection, DIRECTION_SEND, from, n,
		connection->rest.left ? 0 : RECORD_END_OF_CALL);
	return 0;
}

/*
 * In (*Conn).Read: memmove(to, from unsafe.Pointer, n uintptr) is about to be called. Bits 48-63 of
 * the cookie say how many words above the stack pointer the receiver is.
 */
SEC("uprobe")
int go_copy(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx), sp = PT_REGS_SP(ctx), conn = 0;
	__u64 words[3] = {GO_WORD_0(ctx), GO_WORD_1(ctx), GO_WORD_2(ctx)};

	KEEP_TASK_STACK(ctx);
	if (go_seen(cookie) || !wanted(pid_tgid))
		return 0;
	go_count_hit(cookie);
	if (cookie_result(cookie) & GO_ON_STACK)
		bpf_probe_read_user(words, sizeof(words), (void *)sp);
	if ((__s64)words[2] <= 0)
		return 0;
	bpf_probe_read_user(&conn, sizeof(conn), (void *)(sp + (cookie >> 48) * 8));
	COUNT(calls[DIRECTION_RECV], 1);
	go_emit(ctx, cookie, pid_tgid, conn, go_connection(ctx, conn, pid_tgid), DIRECTION_RECV,
		words[1], words[2], RECORD_END_OF_CALL);
	return 0;
}

/*
 * The bounds of the goroutine's stack: the first words of struct g. False if the stack pointer is
 * not between them: then `g` is not what it seems.
 */
static __always_inline bool go_stack(__u64 g, __u64 sp, __u64 bounds[2])
{
	if (bpf_probe_read_user(bounds, 2 * sizeof(__u64), (void *)g))
		return false;
	return bounds[0] < sp && sp < bounds[1] && bounds[1] - bounds[0] <= 0x80000000;
}

/* func (c *Conn) Read(b []byte) (int, error), with its arguments in registers */
SEC("uprobe")
int go_read_entry(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx), g = GO_G(ctx), sp = PT_REGS_SP(ctx), bounds[2];
	__u64 buffer = GO_WORD_1(ctx);
	struct go_call call = {.conn = GO_WORD_0(ctx), .buffer = buffer, .running = 1};

	KEEP_TASK_STACK(ctx);
	if (go_restarts(ctx, cookie_result(cookie)) || go_seen(cookie) || !wanted(pid_tgid))
		return 0;
	go_count_hit(cookie);
	if (!go_stack(g, sp, bounds))
		return 0; /* its exit is counted as unmatched */
	if (buffer >= bounds[0] && buffer < bounds[1]) {
		call.buffer = bounds[1] - buffer;
		call.buffer_on_stack = 1;
	}

	struct go_call_key key = {.g = g, .tgid = pid_tgid >> 32, .depth = bounds[1] - sp};
	struct go_call *known = bpf_map_lookup_elem(&go_calls, &key);

	if (known)
		*known = call;
	else
		bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY);
	return 0;
}

/* Its `ret`: the stack pointer is as at the call. */
SEC("uprobe")
int go_read_exit(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx), g = GO_G(ctx), sp = PT_REGS_SP(ctx), bounds[2] = {};
	__u32 flags = cookie_result(cookie);
	__s64 n = GO_WORD_0(ctx);
	struct go_call *call = 0;
	__u64 words[5] = {};

	KEEP_TASK_STACK(ctx);
	if (go_seen(cookie))
		return 0;
	barrier_var(n);
	if (!(flags & GO_ON_STACK) && go_stack(g, sp, bounds)) {
		struct go_call_key key = {.g = g, .tgid = pid_tgid >> 32, .depth = bounds[1] - sp};

		call = bpf_map_lookup_elem(&go_calls, &key);
	}
	if (call && call->running) {
		call->running = 0;
		words[0] = call->conn;
		words[1] = call->buffer_on_stack ? bounds[1] - call->buffer : call->buffer;
		if (n <= 0)
			return 0;
	} else {
		/* Arguments on the stack, or a call that began before the probes were there. */
		bpf_probe_read_user(words, sizeof(words), (void *)(sp + 8));
		if (flags & GO_ON_STACK)
			n = words[4];
		if (n <= 0 || !wanted(pid_tgid))
			return 0;
		if (flags & GO_ON_STACK)
			go_count_hit(cookie);
		if (!(flags & GO_ARGUMENTS_AT_EXIT)) {
			COUNT(calls[DIRECTION_RECV], 1);
			COUNT(bytes[DIRECTION_RECV], n);
			COUNT(unmatched_events, 1);
			COUNT(unmatched_bytes, n);
			return 0;
		}
	}
	COUNT(calls[DIRECTION_RECV], 1);
	go_emit(ctx, cookie, pid_tgid, words[0], go_connection(ctx, words[0], pid_tgid),
		DIRECTION_RECV, words[1], n, RECORD_END_OF_CALL);
	return 0;
}

/*
 * func (c *Conn) Close() error, and the begin of a handshake: what the memory was used for before
 * is another connection, unless it is a client's renegotiation.
 */
SEC("uprobe")
int go_end(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx);
	__u32 flags = cookie_result(cookie);
	struct connection_key key = {.tgid = pid_tgid >> 32};
	struct connection *connection;

	KEEP_TASK_STACK(ctx);
	if (go_restarts(ctx, flags) || go_seen(cookie) || !wanted(pid_tgid))
		return 0;
	go_count_hit(cookie);
	key.ssl = go_receiver(ctx, flags);
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return 0;
	if (cookie_operation(cookie) == OPERATION_HANDSHAKE &&
	    connection->inner == go_inner(key.ssl))
		return 0;
	go_end_connection(ctx, &key, connection, pid_tgid);
	return 0;
}

#endif
