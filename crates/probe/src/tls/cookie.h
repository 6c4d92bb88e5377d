/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What an attach cookie says: record.h has its layout.
 */
#ifndef ECAPTURE_TLS_COOKIE_H
#define ECAPTURE_TLS_COOKIE_H

static __always_inline __u32 cookie_library(__u64 cookie)
{
	return cookie & 0xffff;
}

static __always_inline __u32 cookie_function(__u64 cookie)
{
	return (cookie >> 16) & 0xffff;
}

static __always_inline __u32 cookie_operation(__u64 cookie)
{
	return (cookie >> 32) & 0xff;
}

static __always_inline __u32 cookie_result(__u64 cookie)
{
	return (cookie >> 40) & 0xff;
}

/* Probes that are placed anew, beside the old ones, have another than these. */
static __always_inline __u32 cookie_generation(__u64 cookie)
{
	return cookie >> 56;
}

/* The TLS object that a function is about, or 0. */
static __always_inline __u64 object_of(__u64 cookie, __u64 argument)
{
	__u64 offset = (cookie >> 48) & 0xff, object = 0;

	if (!offset)
		return argument;
	bpf_probe_read_user(&object, sizeof(object), (const void *)(argument + offset));
	return object;
}

#endif
