/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The begin and the end of a call that moves plaintext. target::site planned the sites of both.
 */
#ifndef ECAPTURE_TLS_CALLS_H
#define ECAPTURE_TLS_CALLS_H

#define PR_MSG_PEEK 2 /* prio.h */
#define GNUTLS_E_AGAIN (-28)
#define GNUTLS_E_INTERRUPTED (-52)

/* Entry and exit sites of a function differ in rsp by at most its frame. */
#define FRAME_SLACK 4096

/*
 * A write of this size or more is copied while it runs, as its ciphertext goes out: at its return
 * it would come as one burst that no ring holds.
 */
#define LARGE_WRITE (1 << 20)

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

#endif
