/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Records that carry no payload: who a connection is, that it ended, that a process ended.
 */
#ifndef ECAPTURE_TLS_LIFECYCLE_H
#define ECAPTURE_TLS_LIFECYCLE_H

/* Says who the connection is. False if the ring is full: the next call tries again. */
static __always_inline bool announce(void *output, struct connection *connection, __u8 kind,
				     __u64 ssl, __u64 pid_tgid, __u32 library, __u64 ts)
{
	struct {
		struct record head;
		struct announcement body;
	} *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.ts = ts;
	record->head.conn = connection->id;
	record->head.len = sizeof(struct announcement);
	record->head.tgid_or_tid = pid_tgid;
	record->head.kind = kind;
	record->body.ssl = ssl;
	record->body.tgid = pid_tgid >> 32;
	record->body.uid = bpf_get_current_uid_gid();
	record->body.library = library;
	bpf_get_current_comm(record->body.comm, sizeof(record->body.comm));
	record->body.address = connection->address;
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

/* Makes the connection known to user space as far as it is known here. */
static __always_inline void introduce(void *output, struct connection *connection,
				      const struct frame *frame, __u64 pid_tgid, __u32 library,
				      __u32 direction, __u64 ts)
{
	find_address(connection, frame->ssl, frame->sock, library, direction);
	if (!connection->announced)
		connection->announced =
		    announce(output, connection, RECORD_OPEN, frame->ssl, pid_tgid, library, ts);
	else if (!connection->address_announced && connection->address.family)
		announce(output, connection, RECORD_ADDRESS, frame->ssl, pid_tgid, library, ts);
	if (connection->address.family && connection->announced)
		connection->address_announced = 1;
}

/* A record without payload about a connection or a process. */
static __always_inline bool emit_bare(void *output, const struct record *head)
{
	struct record *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	*record = *head;
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

static __always_inline bool emit_close(void *output, const struct connection *connection,
				       __u64 pid_tgid)
{
	struct {
		struct record head;
		struct ending body;
	} *record = output_reserve(output, sizeof(*record));

	if (!record)
		return false;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.ts = bpf_ktime_get_ns();
	record->head.conn = connection->id;
	record->head.len = sizeof(struct ending);
	record->head.tgid_or_tid = pid_tgid;
	record->head.kind = RECORD_CLOSE;
	record->body.offset[DIRECTION_SEND] = connection->offset[DIRECTION_SEND];
	record->body.offset[DIRECTION_RECV] = connection->offset[DIRECTION_RECV];
	return output_submit(output, record, sizeof(*record), sizeof(*record));
}

#endif
