/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the kernel says about a thread's sockets while it is inside a TLS call: this
 * needs no knowledge of the library. A large write is copied as its ciphertext goes out.
 */
#ifndef ECAPTURE_TLS_TRAFFIC_H
#define ECAPTURE_TLS_TRAFFIC_H

#ifndef WITHOUT_BTF
/* Ciphertext that may be something else than the data of the call: a handshake. */
#define NOT_DATA (64 << 10)
/* So many bytes at a time are worth the work. */
#define PROGRESS (256 << 10)

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
#endif

#endif
