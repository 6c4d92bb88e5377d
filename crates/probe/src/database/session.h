/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where a server's memory holds what is shown of a session; target::database found the places.
 */
#ifndef ECAPTURE_DATABASE_SESSION_H
#define ECAPTURE_DATABASE_SESSION_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

/* The pointer or number at `place` of a session; false if it cannot be had. */
static __always_inline bool read_place(const struct place *place, __u64 session, __u64 *value)
{
	__u32 half = 0;

	if (place->offset < 0)
		return false;
	if (place->through >= 0) {
		if (bpf_probe_read_user(&session, 8, (void *)(session + place->through)) ||
		    !session)
			return false;
	}
	if (place->size == 4) {
		if (bpf_probe_read_user(&half, 4, (void *)(session + place->offset)))
			return false;
		*value = half;
		return true;
	}
	return bpf_probe_read_user(value, 8, (void *)(session + place->offset)) == 0;
}

/* The C string that `place` points at. */
static __always_inline bool read_name(char *name, const struct place *place, __u64 session)
{
	__u64 at = 0;

	if (!read_place(place, session, &at) || !at)
		return false;
	return bpf_probe_read_user_str(name, QUERY_NAME, (void *)at) > 0;
}

#endif
