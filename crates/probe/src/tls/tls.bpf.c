// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Plaintext of TLS libraries (OpenSSL's family, GnuTLS, NSS) and of Go's crypto/tls.
 *
 * tls_entry and tls_exit run at the sites that target::site planned for each function of each
 * library; the attach cookie says which. A thread's running calls are kept in `threads`, a
 * connection (one TLS object of one process) in `connections`. Payload is copied once, at the
 * call's successful return, from the program's buffer into a ring buffer.
 *
 * calls.h has those two, traffic.h the socket's tracepoints, gotls.h what differs for Go; below are
 * the ends of connections and processes.
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

#include "count.h"

/* Largest payload of one record: one TLS record's plaintext. */
#define CHUNK 16384

#include "cookie.h"
#ifdef WITHOUT_RINGBUF
#include "perf_buffer.h"
#else
#include "ring_buffer.h"
#endif
#include "threads.h"
#include "connections.h"
#include "address.h"
#include "lifecycle.h"
#include "payload.h"
#include "transfer.h"
#include "calls.h"
#include "traffic.h"
#include "gotls/gotls.h"

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

#ifndef WITHOUT_BTF
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
