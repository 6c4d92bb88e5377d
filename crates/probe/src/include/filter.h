/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Whose calls are looked at, decided before anything is copied. Included after `configuration` is
 * defined. With CHANGEABLE_FILTER, user space may change the filter while programs run, if
 * configuration.changeable says so.
 */
#ifndef ECAPTURE_FILTER_H
#define ECAPTURE_FILTER_H

/*
 * With configuration.filter_pid: the processes that are traced, each with the bits of the filters
 * that it is in. Allocated beforehand: before 6.1 it is not safe to do that in a uprobe.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} cgroups SEC(".maps");

#ifdef CHANGEABLE_FILTER
/* In a map of its own: user space writes it as a whole. */
struct filters filters SEC(".data.filters") = {};

static __always_inline bool wanted_now(__u64 pid_tgid)
{
	__u32 current = *(volatile __u64 *)&filters.current & 1;
	const volatile struct filter *filter = &filters.filter[current];

	if (filter->pid_mask) {
		__u32 tgid = pid_tgid >> 32;
		__u8 *mask = bpf_map_lookup_elem(&pids, &tgid);

		if (!mask || !(*mask & filter->pid_mask))
			return false;
	}
	if (filter->filter_uid && (__u32)bpf_get_current_uid_gid() != filter->uid)
		return false;
	if (filter->filter_cgroup && bpf_current_task_under_cgroup(&cgroups, current) != 1)
		return false;
	return true;
}

#endif

static __always_inline bool wanted(__u64 pid_tgid)
{
#ifdef CHANGEABLE_FILTER
	if (configuration.changeable)
		return wanted_now(pid_tgid);
#endif
	if (configuration.filter_pid) {
		__u32 tgid = pid_tgid >> 32;

		if (!bpf_map_lookup_elem(&pids, &tgid))
			return false;
	}
	if (configuration.filter_uid &&
	    (__u32)bpf_get_current_uid_gid() != configuration.wanted_uid)
		return false;
	if (configuration.filter_cgroup && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return false;
	return true;
}

#ifndef WITHOUT_BTF
/* At trace_sched_process_fork(struct task_struct *parent, struct task_struct *child). */
static __always_inline void follow_child(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 parent_tgid = bpf_get_current_pid_tgid() >> 32, child_tgid;
	__u8 *found, mask;

	if (!configuration.follow_children)
		return;
	found = bpf_map_lookup_elem(&pids, &parent_tgid);
	if (!found)
		return;
	mask = *found;
	child_tgid = BPF_CORE_READ(child, tgid);
	bpf_map_update_elem(&pids, &child_tgid, &mask, BPF_ANY);
}

/* At the end of the last thread of a process. */
static __always_inline void forget_process(__u32 tgid)
{
	if (configuration.follow_children)
		bpf_map_delete_elem(&pids, &tgid);
}
#endif

#endif
