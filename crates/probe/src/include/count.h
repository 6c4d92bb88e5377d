/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Counting, in the slot of this CPU. Included after `shared` is defined.
 */
#ifndef ECAPTURE_COUNT_H
#define ECAPTURE_COUNT_H

/* Atomic: CPUs may share a slot, and one program at a uprobe may preempt another. */
#define COUNT(field, n)                                                                            \
	__sync_fetch_and_add(                                                                      \
	    &shared.counters[bpf_get_smp_processor_id() & (STAT_SLOTS - 1)].field, (n))

#endif
