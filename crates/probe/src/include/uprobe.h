/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What every program at a uprobe needs: its cookie, and a stack of its own. Included after
 * `configuration` is defined.
 */
#ifndef ECAPTURE_UPROBE_H
#define ECAPTURE_UPROBE_H

/*
 * Before 5.15 each function has an instance of the program of its own, into which user space writes
 * the cookie: see attach/fixed.rs.
 */
static __always_inline __u64 cookie_of(void *ctx)
{
	__u64 cookie;

#ifndef WITHOUT_RINGBUF
	/* The verifier drops the branch not taken, and with it a helper that it does not know. */
	if (configuration.have_cookie)
		return bpf_get_attach_cookie(ctx);
#endif
	asm volatile("%0 = " FIXED_COOKIE " ll" : "=r"(cookie));
	return cookie;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} no_program SEC(".maps");

/*
 * For each program at a uprobe. From 6.13 on, the stack of a program that uses 64 bytes or more is
 * memory of the CPU ("private stack"; bpf_enable_priv_stack in the kernel's verifier). Programs at
 * uprobes can be preempted by one another, and then one finds the other's values in its variables:
 * seen with 7.2 as bytes of one connection in another. A program with a tail call anywhere in it
 * keeps the task's own stack. This one is never made: the verifier removes it.
 */
#define KEEP_TASK_STACK(ctx)                                                                       \
	do {                                                                                       \
		if (configuration.never)                                                           \
			bpf_tail_call(ctx, &no_program, 0);                                        \
	} while (0)

#endif
