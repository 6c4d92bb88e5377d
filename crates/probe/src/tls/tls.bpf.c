// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Plaintext of OpenSSL-family libraries.
 *
 * tls_entry and tls_exit run at the sites that target::site planned for each function of each
 * library; the attach cookie says which. A thread's running calls are kept in `threads`, a
 * connection (one TLS object of one process) in `connections`. Payload is copied once, at the
 * call's successful return, from the program's buffer into a ring buffer.
 *
 * tls_sock_send and tls_sock_recv learn the socket from the traffic that the thread causes while
 * it is inside a TLS call; this needs no knowledge of the library. tls_fork follows the children
 * of traced processes, tls_process_exit ends their connections.
 */
#include "kernel.h"
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#ifndef WITHOUT_BTF
#include <bpf/bpf_core_read.h>
#endif
#include <stdbool.h>
#include "record.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load; constant afterwards, so that branches not taken cost nothing. */
const volatile struct configuration configuration = {};

#define CHANGEABLE_FILTER
#include "filter.h"
#include "uprobe.h"

/* Mapped by user space. */
struct shared shared = {};

/* Largest payload of one record: one TLS record's plaintext. */
#define CHUNK 16384
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

#define MAX_FRAMES 4
/*
 * A write of this size or more is copied while it runs, as its ciphertext goes out: at its return
 * it would come as one burst that no ring holds.
 */
#define LARGE_WRITE (1 << 20)
/* Ciphertext that may be something else than the data of the call: a handshake. */
#define NOT_DATA (64 << 10)
/* So many bytes at a time are worth the work. */
#define PROGRESS (256 << 10)
#define PR_MSG_PEEK 2 /* prio.h */
#define GNUTLS_E_AGAIN (-28)
#define GNUTLS_E_INTERRUPTED (-52)
/* A program has fewer descriptors; a pointer is larger. */
#define MOST_DESCRIPTORS (1 << 20)
/* Entry and exit sites of a function differ in rsp by at most its frame. */
#define FRAME_SLACK 4096

struct frame {
	__u64 ssl;
	__u64 buffer;
	__u64 result; /* address of the byte count, or 0 */
	__u64 sp;
	__u64 sock; /* the socket that this thread used during the call */
	__u64 size; /* bytes that the program offers or takes */
	__u32 function;
	__u16 library;
	__u8 operation;
	__u8 nested; /* another call was seen inside */
};

/* The rest of a large call's payload on its way out. */
struct transfer {
	struct record head;
	__u64 from;
	__u64 remaining;
	__u64 last_flags; /* of the last record */
};

struct thread {
	__u64 depth;
	/* The last exit that ended a frame, until the next entry: see tls_exit. */
	__u64 ended_sp;
	__u32 ended_function;
	__u32 ended_generation;
	struct frame frames[MAX_FRAMES];
	/* Here rather than on the stack: what the verifier does not track lets its loop converge.
	 */
	struct transfer transfer;
};

struct transfer_ref {
	struct transfer *transfer;
};

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

/* One entry a thread that ever made a call; evicted by use, so dead threads cost nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct thread);
} threads SEC(".maps");

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

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LIBRARIES);
	__type(key, __u32);
	__type(value, struct layout);
} layouts SEC(".maps");

#define COUNT(field, n)                                                                            \
	__sync_fetch_and_add(                                                                      \
	    &shared.counters[bpf_get_smp_processor_id() & (STAT_SLOTS - 1)].field, (n))

static __always_inline __u32 cookie_library(__u64 cookie)
{
	return cookie & 0xffff;
}

static __always_inline __u32 cookie_function(__u64 cookie)
{
	return (cookie >> 16) & 0xffff;
}

static __always_inline __u32 cookie_operation(__u64 cookie)
{
	return (cookie >> 32) & 0xff;
}

static __always_inline __u32 cookie_result(__u64 cookie)
{
	return (cookie >> 40) & 0xff;
}

/* Probes that are placed anew, beside the old ones, have another than these. */
static __always_inline __u32 cookie_generation(__u64 cookie)
{
	return cookie >> 56;
}

/* The TLS object that a function is about, or 0. */
static __always_inline __u64 object_of(__u64 cookie, __u64 argument)
{
	__u64 offset = (cookie >> 48) & 0xff, object = 0;

	if (!offset)
		return argument;
	bpf_probe_read_user(&object, sizeof(object), (const void *)(argument + offset));
	return object;
}

#ifdef WITHOUT_RINGBUF
#include "perf_buffer.h"
#else
#include "ring_buffer.h"
#endif

#ifndef WITHOUT_BTF
static __always_inline bool read_address(struct address *address, __u64 sock)
{
	struct sock *sk = (struct sock *)sock;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family == AF_INET) {
		__u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__u32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(address->local, &local, 4);
		__builtin_memcpy(address->remote, &remote, 4);
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&address->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&address->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	address->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	address->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!address->remote_port)
		return false;
	address->family = family;
	return true;
}

/* The struct sock behind a descriptor of the current process, or 0 if it is not a socket. */
static __always_inline __u64 sock_of_fd(__s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;
	struct socket *socket;

	if (!table || fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	/* Only a socket points back: any other kind of file has something else there. */
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return 0;
	return (__u64)BPF_CORE_READ(socket, sk);
}
/* The descriptor in the BIO that the TLS object uses in `direction`, or -1. */
static __always_inline __s32 fd_of_bio(__u64 ssl, __u32 library, __u32 direction)
{
	struct layout *layout = bpf_map_lookup_elem(&layouts, &library);
	__u64 bio = 0;
	__s32 fd = -1, bio_offset;

	if (!layout || (layout->bio_num < 0 && layout->bio_num != NO_BIO))
		return -1;
	bio_offset = direction == DIRECTION_RECV ? layout->ssl_rbio : layout->ssl_wbio;
	if (bio_offset < 0)
		return -1;
	if (bpf_probe_read_user(&bio, sizeof(bio), (void *)(ssl + bio_offset)) || !bio)
		return -1;
	if (layout->bio_num == NO_BIO)
		return bio < MOST_DESCRIPTORS ? bio : -1;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)(bio + layout->bio_num)))
		return -1;
	/*
	 * 0 is also what a BIO without a descriptor holds (memory, a program's own method); a
	 * socket as descriptor 0 is found by its traffic instead.
	 */
	return fd > 0 ? fd : -1;
}

#endif

static __always_inline void find_address(struct connection *connection, __u64 ssl, __u64 sock,
					 __u32 library, __u32 direction)
{
#ifndef WITHOUT_BTF
	if (connection->address.family)
		return;
	if (sock && read_address(&connection->address, sock))
		return;
	if (connection->looked_up)
		return;
	connection->looked_up = 1;
	__s32 fd = connection->fd >= 0 ? connection->fd : fd_of_bio(ssl, library, direction);

	if (fd < 0)
		return;
	sock = sock_of_fd(fd);
	if (sock)
		read_address(&connection->address, sock);
#endif
}

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

/* Says who the connection is. False if the ring is full: the next call tries again. */
static __always_inline bool announce(void *output, struct connection *connection, __u8 kind,
				     __u64 ssl, __u64 pid_tgid, __u32 library, __u64 ts)
{
	struct {
		struct record head;
		struct announcement body;
	} *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.ts = ts;
	record->head.conn = connection->id;
	record->head.len = sizeof(struct announcement);
	record->head.tgid_or_tid = pid_tgid;
	record->head.kind = kind;
	record->body.ssl = ssl;
	record->body.tgid = pid_tgid >> 32;
	record->body.uid = bpf_get_current_uid_gid();
	record->body.library = library;
	bpf_get_current_comm(record->body.comm, sizeof(record->body.comm));
	record->body.address = connection->address;
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

/* Makes the connection known to user space as far as it is known here. */
static __always_inline void introduce(void *output, struct connection *connection,
				      const struct frame *frame, __u64 pid_tgid, __u32 library,
				      __u32 direction, __u64 ts)
{
	find_address(connection, frame->ssl, frame->sock, library, direction);
	if (!connection->announced)
		connection->announced =
		    announce(output, connection, RECORD_OPEN, frame->ssl, pid_tgid, library, ts);
	else if (!connection->address_announced && connection->address.family)
		announce(output, connection, RECORD_ADDRESS, frame->ssl, pid_tgid, library, ts);
	if (connection->address.family && connection->announced)
		connection->address_announced = 1;
}

/* A record without payload about a connection or a process. */
static __always_inline bool emit_bare(void *output, const struct record *head)
{
	struct record *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	*record = *head;
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

static __always_inline bool emit_close(void *output, const struct connection *connection,
				       __u64 pid_tgid)
{
	struct {
		struct record head;
		struct ending body;
	} *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.ts = bpf_ktime_get_ns();
	record->head.conn = connection->id;
	record->head.len = sizeof(struct ending);
	record->head.tgid_or_tid = pid_tgid;
	record->head.kind = RECORD_CLOSE;
	record->body.offset[DIRECTION_SEND] = connection->offset[DIRECTION_SEND];
	record->body.offset[DIRECTION_RECV] = connection->offset[DIRECTION_RECV];
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

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

SEC("uprobe")
int tls_entry(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx);
	__u32 function = cookie_function(cookie), operation = cookie_operation(cookie);
	__u32 result = cookie_result(cookie);
	__u64 ssl = object_of(cookie, PT_REGS_PARM1(ctx)), sp = PT_REGS_SP(ctx);
	__u64 argument_3 = PT_REGS_PARM3(ctx), argument_4 = PT_REGS_PARM4(ctx);
	__u64 argument_5 = PT_REGS_PARM5(ctx);
	struct thread *thread;
	struct frame *frame;
	__u64 depth;

	KEEP_TASK_STACK(ctx);
	/* The verifier wants registers read at fixed offsets: keep the choice below off ctx. */
	barrier_var(argument_4);
	barrier_var(argument_5);
	if (!wanted(pid_tgid))
		return 0;
	__sync_fetch_and_add(&shared.hits[function & (MAX_FUNCTIONS - 1)], 1);
	if (operation == OPERATION_PEEK) {
		COUNT(peeks, 1);
		return 0;
	}
	if (result == RESULT_UNLESS_PEEK && (argument_4 & PR_MSG_PEEK)) {
		COUNT(peeks, 1);
		operation = OPERATION_PEEK;
	}

	thread = bpf_map_lookup_elem(&threads, &pid_tgid);
	if (!thread) {
		struct thread fresh = {};

		bpf_map_update_elem(&threads, &pid_tgid, &fresh, BPF_ANY);
		thread = bpf_map_lookup_elem(&threads, &pid_tgid);
		if (!thread)
			return 0; /* its exit is counted as unmatched */
	}

	/* The stack grows down: other frames at or below this call's have returned unseen. */
	depth = thread->depth;
	for (int i = 0; i < MAX_FRAMES; i++) {
		if (depth == 0)
			break;
		frame = &thread->frames[(depth - 1) & (MAX_FRAMES - 1)];
		if (frame->sp >= sp) {
			/*
			 * A wrapper that is probed too is inside its own call, or jumped here at
			 * its end: count once.
			 */
			if (frame->ssl == ssl && frame->operation == operation &&
			    frame->function != function)
				return 0;
			/*
			 * A call on the same object cannot be running, but for one that sends what
			 * it reads from a file.
			 */
			if (frame->sp > sp &&
			    (frame->ssl != ssl || frame->operation == OPERATION_SENDFILE))
				break;
		}
		depth--;
	}
	if (depth >= MAX_FRAMES)
		return 0; /* its exit is counted as unmatched */

	frame = &thread->frames[depth & (MAX_FRAMES - 1)];
	frame->ssl = ssl;
	frame->buffer = PT_REGS_PARM2(ctx);
	/* An `int` leaves the upper half of its register undefined. */
	frame->size = result == RESULT_COUNTED_BEFORE ? 0
		      : result == RESULT_RETURN_VALUE || result == RESULT_UNLESS_PEEK
			  ? (__u32)argument_3
			  : argument_3;
	frame->result = result == RESULT_IN_ARGUMENT_4	 ? argument_4
			: result == RESULT_IN_ARGUMENT_5 ? argument_5
							 : 0;
	frame->sp = sp;
	frame->sock = 0;
	frame->function = function;
	frame->library = cookie_library(cookie);
	frame->operation = operation;
	frame->nested = 0;
	if (depth)
		thread->frames[(depth - 1) & (MAX_FRAMES - 1)].nested = 1;
	thread->depth = depth + 1;
	thread->ended_sp = 0;
	return 0;
}

/* How many bytes the call moved, or 0 if it moved none. */
static __always_inline __u64 moved(struct pt_regs *ctx, __u32 operation, __u32 result,
				   __u64 result_address)
{
	__u64 n = 0;

	if (operation == OPERATION_PEEK || result == RESULT_COUNTED_BEFORE)
		return 0;

	if (operation == OPERATION_SENDFILE) {
		__s64 sent = PT_REGS_RC(ctx);

		return sent > 0 ? sent : 0;
	}
	if ((__s32)PT_REGS_RC(ctx) <= 0)
		return 0;
	if (!result_address)
		return (__u32)PT_REGS_RC(ctx);
	bpf_probe_read_user(&n, sizeof(n), (const void *)result_address);
	return n;
}

/* Whether a call that moved nothing has taken data nevertheless, for the next one to send. */
static __always_inline bool holds(struct pt_regs *ctx, const struct frame *frame, __u32 result)
{
	__s32 error = PT_REGS_RC(ctx);

	return result == RESULT_RESUMABLE && frame->size &&
	       (error == GNUTLS_E_AGAIN || error == GNUTLS_E_INTERRUPTED);
}

/*
 * The data of a gnutls_packet_t, whose address is at `at`: bytes to skip, and where the rest
 * begins. target::gnutls has checked that in the library.
 */
static __always_inline __u64 packet_data(__u64 at)
{
	struct {
		__u64 skip, data;
	} packet = {};
	__u64 address = 0;

	bpf_probe_read_user(&address, sizeof(address), (const void *)at);
	if (!address ||
	    bpf_probe_read_user(&packet, sizeof(packet), (const void *)(address + 0x10)))
		return 0;
	return packet.data + packet.skip;
}

SEC("uprobe")
int tls_exit(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx);
	__u32 function = cookie_function(cookie), library = cookie_library(cookie);
	__u64 sp = PT_REGS_SP(ctx), depth, n;
	struct thread *thread = bpf_map_lookup_elem(&threads, &pid_tgid);
	struct connection *connection;
	struct frame *frame = 0;
	__u32 direction, result = cookie_result(cookie);
	bool held = false;

	KEEP_TASK_STACK(ctx);
	/*
	 * While probes are replaced, the old and the new one of a site both run, one right after
	 * the other. At an entry that makes no difference; at an exit the second has nothing to do.
	 */
	if (configuration.changeable && thread && thread->ended_sp == sp &&
	    thread->ended_function == function &&
	    thread->ended_generation != cookie_generation(cookie)) {
		thread->ended_sp = 0;
		return 0;
	}
	depth = thread ? thread->depth : 0;
	for (int i = 0; i < MAX_FRAMES; i++) {
		struct frame *top;

		if (!thread || depth == 0)
			break;
		top = &thread->frames[(depth - 1) & (MAX_FRAMES - 1)];
		if (top->function == function && top->sp + FRAME_SLACK >= sp) {
			frame = top;
			break;
		}
		/* A function that a followed call went through; a return probe finds rsp 8 higher.
		 */
		if (top->sp + 8 >= sp)
			return 0;
		depth--;
	}
	direction = cookie_operation(cookie) == OPERATION_READ ? DIRECTION_RECV : DIRECTION_SEND;
	if (!frame) {
		if (!wanted(pid_tgid) || (__s32)PT_REGS_RC(ctx) <= 0 ||
		    result == RESULT_COUNTED_BEFORE)
			return 0;
		/*
		 * A call that began before we attached, or that the tables had no room for. How
		 * much it moved can only be told from its return value.
		 */
		n = 0;
		if (result != RESULT_IN_ARGUMENT_4 && result != RESULT_IN_ARGUMENT_5)
			n = moved(ctx, cookie_operation(cookie), result, 0);
		COUNT(calls[direction & 1], 1);
		COUNT(bytes[direction & 1], n);
		COUNT(unmatched_events, 1);
		COUNT(unmatched_bytes, n);
		return 0;
	}
	thread->depth = depth - 1;
	if (configuration.changeable) {
		thread->ended_sp = sp;
		thread->ended_function = function;
		thread->ended_generation = cookie_generation(cookie);
	}

	n = moved(ctx, frame->operation, result, frame->result);
	if (!n) {
		if (!holds(ctx, frame, result))
			return 0;
		held = true;
		n = frame->size > CHUNK ? CHUNK : frame->size;
	}
	connection = get_connection(frame->ssl, pid_tgid);
	if (!connection) {
		if (held)
			return 0;
		COUNT(calls[direction & 1], 1);
		COUNT(bytes[direction & 1], n);
		COUNT(untracked_events, 1);
		COUNT(untracked_bytes, n);
		return 0;
	}

	void *output = this_output(ctx);
	__u64 ts = bpf_ktime_get_ns();

	if (!output)
		return 0;
	introduce(output, connection, frame, pid_tgid, library, direction, ts);

	struct record head = {
	    .ts = ts,
	    .conn = connection->id,
	    .offset = connection->offset[direction & 1],
	    .tgid_or_tid = pid_tgid,
	    .kind = RECORD_DATA,
	    .direction = direction,
	    .flags = RECORD_END_OF_CALL,
	};

	if (held) {
		if (connection->held)
			return 0; /* what it goes on with is handed over already */
		connection->held = 1;
		head.kind = RECORD_HELD;
		head.len = n;
		emit_held(output, &head, frame->buffer);
		return 0;
	}
	if (frame->operation == OPERATION_SENDFILE) {
		/* What it read and sent by a function of the library was seen there. */
		if (frame->nested)
			return 0;
		connection->offset[direction & 1] += n;
		COUNT(sendfile_calls, 1);
		COUNT(sendfile_bytes, n);
		head.kind = RECORD_SENDFILE;
		head.len = n > 0xffffffff ? 0xffffffff : n;
		if (!emit_bare(output, &head))
			COUNT(lifecycle_lost, 1);
		return 0;
	}
	COUNT(calls[direction & 1], 1);
	if (result == RESULT_RESUMABLE && connection->held) {
		connection->held = 0;
		connection->offset[direction & 1] += n;
		COUNT(bytes[direction & 1], n);
		head.kind = RECORD_RELEASED;
		head.len = n;
		if (!emit_bare(output, &head)) {
			COUNT(ring_full_events, 1);
			COUNT(ring_full_bytes, n);
		}
		return 0;
	}

	__u64 from = result == RESULT_PACKET ? packet_data(frame->buffer) : frame->buffer;

	if (direction == DIRECTION_SEND && connection->ciphertext) {
		/* The end of a large write. */
		__u64 copied = frame->size >= LARGE_WRITE ? connection->copied : 0;

		connection->ciphertext = 0;
		connection->copied = 0;
		if (copied >= n)
			return 0;
		from += copied;
		n -= copied;
	}
	connection->offset[direction & 1] += n;
	COUNT(bytes[direction & 1], n);
	emit(ctx, output, &thread->transfer, &head, from, n);
	return 0;
}

/*
 * SSL_free, SSL_clear: whatever the object does next is another connection. And
 * gnutls_record_discard_queued: what an interrupted call has taken is not sent.
 */
SEC("uprobe")
int tls_end(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx);
	struct connection_key key = {
	    .ssl = object_of(cookie, PT_REGS_PARM1(ctx)),
	    .tgid = pid_tgid >> 32,
	};
	struct connection *connection;
	void *output;

	KEEP_TASK_STACK(ctx);
	if (!wanted(pid_tgid))
		return 0;
	__sync_fetch_and_add(&shared.hits[cookie_function(cookie) & (MAX_FUNCTIONS - 1)], 1);
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return 0;
	if (cookie_operation(cookie) == OPERATION_DISCARD) {
		connection->held = 0;
		return 0;
	}
	output = this_output(ctx);
	if (connection->announced && (!output || !emit_close(output, connection, pid_tgid)))
		COUNT(lifecycle_lost, 1);
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

/* SSL_set_fd(ssl, fd), SSL_set_rfd, SSL_set_wfd. */
SEC("uprobe")
int tls_set_fd(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 cookie = cookie_of(ctx);
	struct connection *connection;

	KEEP_TASK_STACK(ctx);
	if (!wanted(pid_tgid))
		return 0;
	__sync_fetch_and_add(&shared.hits[cookie_function(cookie) & (MAX_FUNCTIONS - 1)], 1);
	connection = get_connection(PT_REGS_PARM1(ctx), pid_tgid);
	if (connection) {
		connection->fd = PT_REGS_PARM2(ctx);
		connection->looked_up = 0;
	}
	return 0;
}

#include "gotls/gotls.h"

#ifndef WITHOUT_BTF
/* The call that the current thread is in, if any. */
static __always_inline struct frame *running_call(struct thread *thread)
{
	if (!thread || !thread->depth)
		return 0;
	return &thread->frames[(thread->depth - 1) & (MAX_FRAMES - 1)];
}

#ifndef WITHOUT_LOOP
/*
 * A large write goes on: `sent` more bytes of its ciphertext went out. Ciphertext is longer than
 * its plaintext by less than 1/64 at full records, so what is copied here has been encrypted. The
 * rest follows at the call's return, or in the call that continues it.
 */
static __always_inline void progress(void *ctx, struct thread *thread, struct frame *frame,
				     __u64 pid_tgid, __s32 sent)
{
	struct connection *connection = get_connection(frame->ssl, pid_tgid);
	void *output = this_output(ctx);
	__u64 done, copied;

	if (!connection || !output)
		return;
	connection->ciphertext += sent;
	done = connection->ciphertext - (connection->ciphertext >> 6);
	copied = connection->copied;
	if (done < copied + NOT_DATA + PROGRESS)
		return;
	done -= NOT_DATA;
	if (done > frame->size)
		done = frame->size;
	if (done <= copied + CHUNK)
		return;

	struct record head = {
	    .ts = bpf_ktime_get_ns(),
	    .conn = connection->id,
	    .offset = connection->offset[DIRECTION_SEND],
	    .tgid_or_tid = pid_tgid,
	    .kind = RECORD_DATA,
	    .direction = DIRECTION_SEND,
	};

	introduce(output, connection, frame, pid_tgid, frame->library, DIRECTION_SEND, head.ts);
	connection->copied = done;
	done -= copied;
	connection->offset[DIRECTION_SEND] += done;
	COUNT(bytes[DIRECTION_SEND], done);
	begin_transfer(&thread->transfer, &head, frame->buffer + copied, done);
	emit_large(ctx, output, &thread->transfer);
}
#endif

/* trace_sock_send_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_send_length")
int tls_sock_send(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct thread *thread = bpf_map_lookup_elem(&threads, &pid_tgid);
	struct frame *frame = running_call(thread);

	if (!frame)
		return 0;
	frame->sock = ctx->args[0];
#ifndef WITHOUT_LOOP
	__s32 sent = ctx->args[1];

	if (frame->operation == OPERATION_WRITE && frame->size >= LARGE_WRITE && sent > 0)
		progress(ctx, thread, frame, pid_tgid, sent);
#endif
	return 0;
}

static __always_inline int remember_sock(__u64 sock)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct frame *frame = running_call(bpf_map_lookup_elem(&threads, &pid_tgid));

	if (frame)
		frame->sock = sock;
	return 0;
}

/* trace_sock_recv_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_recv_length")
int tls_sock_recv(struct bpf_raw_tracepoint_args *ctx)
{
	return remember_sock(ctx->args[0]);
}

/* trace_tcp_rcv_space_adjust(struct sock *sk): for receivers before 6.3 */
SEC("raw_tp/tcp_rcv_space_adjust")
int tls_tcp_recv(struct bpf_raw_tracepoint_args *ctx)
{
	return remember_sock(ctx->args[0]);
}

/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int tls_fork(struct bpf_raw_tracepoint_args *ctx)
{
	follow_child(ctx);
	return 0;
}

/* trace_sched_process_exit(struct task_struct *p): in the context of the thread that ends */
SEC("raw_tp/sched_process_exit")
int tls_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	void *output;

	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0; /* other threads go on */
	forget_process(tgid);
	if (!bpf_map_lookup_elem(&owners, &tgid))
		return 0;
	bpf_map_delete_elem(&owners, &tgid);

	struct record head = {
	    .ts = bpf_ktime_get_ns(),
	    .tgid_or_tid = tgid,
	    .kind = RECORD_EXIT,
	};

	output = this_output(ctx);
	if (!output || !emit_bare(output, &head))
		COUNT(lifecycle_lost, 1);
	return 0;
}
#endif
