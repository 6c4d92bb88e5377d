/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Probes that are replaced: for a while the new ones stand beside the old ones, and each hit is to
 * count once. Included after filter.h, with CHANGEABLE_FILTER.
 *
 * Both see a hit, one directly after the other and on the same thread, the newer one first: the
 * kernel puts a consumer in front of those that are there (consumer_add in kernel/events/uprobes.c,
 * from 3.5 to 7.x). So the newer one leaves a mark for the older one, which finds none only if the
 * hit came before the newer one was there.
 */
#ifndef ECAPTURE_OVERLAP_H
#define ECAPTURE_OVERLAP_H

struct overlap_mark {
	__u64 overlap;
	__u64 site;
};

/* By thread; allocated beforehand, and only written to while probes are replaced. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct overlap_mark);
} overlap_marks SEC(".maps");

/*
 * Whether a newer probe has seen to this hit. `site`: what only the probes of one place have in
 * common.
 */
static __always_inline bool seen_by_newer(__u32 generation, __u64 site)
{
	struct overlap_mark mark = {.site = site}, *found;
	__u64 pid_tgid;

	if (!configuration.changeable)
		return false;
	mark.overlap = *(volatile __u64 *)&filters.overlap;
	if (!mark.overlap)
		return false;
	pid_tgid = bpf_get_current_pid_tgid();
	if ((mark.overlap & 1) == generation) {
		bpf_map_update_elem(&overlap_marks, &pid_tgid, &mark, BPF_ANY);
		return false;
	}
	found = bpf_map_lookup_elem(&overlap_marks, &pid_tgid);
	if (!found || found->overlap != mark.overlap || found->site != site)
		return false;
	found->overlap = 0;
	return true;
}

#endif
