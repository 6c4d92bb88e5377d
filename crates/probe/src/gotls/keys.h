/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Secrets of Go's crypto/tls, and forks of it. Included by keys.bpf.c.
 */
#ifndef ECAPTURE_GOTLS_KEYS_H
#define ECAPTURE_GOTLS_KEYS_H

#include "gotls/abi.h"

/* Words of the arguments: pointer and length of each. */
enum go_key_words {
	GO_LABEL = 1,
	GO_CLIENT_RANDOM = 3,
	GO_SECRET = 6,
	GO_KEY_WORDS = 8,
};

/*
 * func (c *Config) writeKeyLog(label string, clientRandom, secret []byte) error: called whether or
 * not there is a KeyLogWriter.
 */
SEC("uprobe")
int keys_go(struct pt_regs *ctx)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), cookie = cookie_of(ctx), len;
	__u32 flags = (cookie >> 40) & 0xff;
	struct key_record record = {};
	__u64 words[GO_KEY_WORDS] = {
	    GO_WORD_0(ctx), GO_WORD_1(ctx), GO_WORD_2(ctx), GO_WORD_3(ctx),
	    GO_WORD_4(ctx), GO_WORD_5(ctx), GO_WORD_6(ctx), GO_WORD_7(ctx),
	};

	KEEP_TASK_STACK(ctx);
	if (go_restarts(ctx, flags) || !wanted(pid_tgid))
		return 0;
	COUNT(seen);
	if (flags & GO_ON_STACK)
		bpf_probe_read_user(words, sizeof(words), (void *)(PT_REGS_SP(ctx) + 8));
	len = words[GO_LABEL + 1];
	if (!len || len >= KEY_MAX_LABEL || words[GO_CLIENT_RANDOM + 1] != KEY_RANDOM)
		goto rejected;
	len &= 63;
	if (len >= KEY_MAX_LABEL)
		goto rejected;
	if (!read_at(record.label, len, words[GO_LABEL]))
		place_label(&record, ctx, cookie, words[GO_LABEL], len);
	if (!read_at(record.client_random, KEY_RANDOM, words[GO_CLIENT_RANDOM]) ||
	    !read_secret(&record, words[GO_SECRET], words[GO_SECRET + 1]))
		goto rejected;
	identify(&record, pid_tgid, cookie);
	if (!submit(ctx, &record))
		COUNT(lost);
	return 0;
rejected:
	COUNT(rejected);
	return 0;
}

#endif
