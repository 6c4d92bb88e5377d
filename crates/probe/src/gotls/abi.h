/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where Go functions have their arguments: ABIInternal and ABI0 of Go's
 * src/cmd/compile/abi-internal.md. A string is two words, a slice three.
 */
#ifndef ECAPTURE_GOTLS_ABI_H
#define ECAPTURE_GOTLS_ABI_H

/* Bits 40-47 of an attach cookie here. */
#define GO_ON_STACK 1	 /* arguments and results are on the stack (ABI0) */
#define GO_STACK_CHECK 2 /* the site is the branch that restarts a call on a larger stack */
/* Receiver and slice pointer can be read above the return address. */
#define GO_ARGUMENTS_AT_EXIT 4
#define GO_GENERATION 128 /* of two sets of probes, while one replaces the other */

#if defined(__TARGET_ARCH_x86)
#define GO_G(ctx) ((ctx)->r14)
#define GO_WORD_0(ctx) ((ctx)->rax)
#define GO_WORD_1(ctx) ((ctx)->rbx)
#define GO_WORD_2(ctx) ((ctx)->rcx)
#define GO_WORD_3(ctx) ((ctx)->rdi)
#define GO_WORD_4(ctx) ((ctx)->rsi)
#define GO_WORD_5(ctx) ((ctx)->r8)
#define GO_WORD_6(ctx) ((ctx)->r9)
#define GO_WORD_7(ctx) ((ctx)->r10)
/* `jbe`: carry or zero */
#define GO_BRANCHES(ctx) ((ctx)->eflags & 0x41)
#elif defined(__TARGET_ARCH_arm64)
#define GO_REGS(ctx) ((struct user_pt_regs *)(ctx))
#define GO_G(ctx) (GO_REGS(ctx)->regs[28])
#define GO_WORD_0(ctx) (GO_REGS(ctx)->regs[0])
#define GO_WORD_1(ctx) (GO_REGS(ctx)->regs[1])
#define GO_WORD_2(ctx) (GO_REGS(ctx)->regs[2])
#define GO_WORD_3(ctx) (GO_REGS(ctx)->regs[3])
#define GO_WORD_4(ctx) (GO_REGS(ctx)->regs[4])
#define GO_WORD_5(ctx) (GO_REGS(ctx)->regs[5])
#define GO_WORD_6(ctx) (GO_REGS(ctx)->regs[6])
#define GO_WORD_7(ctx) (GO_REGS(ctx)->regs[7])
/* No site is such a branch there. */
#define GO_BRANCHES(ctx) 0
#endif

/* The call begins again on a larger stack, and will come by again. */
static __always_inline bool go_restarts(struct pt_regs *ctx, __u32 flags)
{
	return (flags & GO_STACK_CHECK) && GO_BRANCHES(ctx);
}

#endif
