// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Statements that database servers execute.
 *
 * A server's thread (MySQL, MariaDB) or process (PostgreSQL) works on one statement at a time: what
 * is known of it is kept in `threads`. Its text is copied when the server has it, while it
 * certainly is in memory; its outcome follows when it is done. The attach cookie says which server
 * was hit; target::database found out where in its memory a session keeps what is shown.
 *
 * mysql.h and postgres.h have the programs at the functions of each.
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
#include "query.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load. */
const volatile struct configuration configuration = {};

/* Mapped by user space. */
struct shared shared = {};

#define CHANGEABLE_FILTER
#include "filter.h"
#include "overlap.h"
#include "uprobe.h"
#include "../tls/ring_buffer.h"
#include "count.h"

static __always_inline __u32 cookie_server(__u64 cookie)
{
	return cookie & 0xffff;
}

static __always_inline __u32 cookie_role(__u64 cookie)
{
	return (cookie >> 32) & 0xff;
}

/* A probe that takes the place of this one has seen to this hit. */
static __always_inline bool seen(__u64 cookie)
{
	return seen_by_newer((cookie >> 56) & 1, (__u32)cookie);
}

static __always_inline void hit(__u64 cookie)
{
	__u32 function = (cookie >> 16) & (MAX_FUNCTIONS - 1);

	__sync_fetch_and_add(&shared.hits[function], 1);
}

#include "session.h"
#include "statement.h"
#include "text.h"
#include "mysql.h"
#include "postgres.h"

#ifndef WITHOUT_BTF
/* trace_sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int database_fork(struct bpf_raw_tracepoint_args *ctx)
{
	follow_child(ctx);
	return 0;
}
#endif
