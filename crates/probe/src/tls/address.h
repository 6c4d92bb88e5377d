/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The addresses of a connection: those of the socket that its thread used during a call
 * or, where none was seen, of the descriptor that the program gave to the TLS object.
 */
#ifndef ECAPTURE_TLS_ADDRESS_H
#define ECAPTURE_TLS_ADDRESS_H

/* A program has fewer descriptors; a pointer is larger. */
#define MOST_DESCRIPTORS (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LIBRARIES);
	__type(key, __u32);
	__type(value, struct layout);
} layouts SEC(".maps");

#ifndef WITHOUT_BTF
static __always_inline bool read_address(struct address *address, __u64 sock)
{
	struct sock *sk = (struct sock *)sock;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (family == AF_INET) {
		__u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__u32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(address->local, &local, 4);
		__builtin_memcpy(address->remote, &remote, 4);
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&address->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&address->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	address->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	address->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!address->remote_port)
		return false;
	address->family = family;
	return true;
}

/* The struct sock behind a descriptor of the current process, or 0 if it is not a socket. */
static __always_inline __u64 sock_of_fd(__s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;
	struct socket *socket;

	if (!table || fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	/* Only a socket points back: any other kind of file has something else there. */
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return 0;
	return (__u64)BPF_CORE_READ(socket, sk);
}

/* The descriptor in the BIO that the TLS object uses in `direction`, or -1. */
static __always_inline __s32 fd_of_bio(__u64 ssl, __u32 library, __u32 direction)
{
	struct layout *layout = bpf_map_lookup_elem(&layouts, &library);
	__u64 bio = 0;
	__s32 fd = -1, bio_offset;

	if (!layout || (layout->bio_num < 0 && layout->bio_num != NO_BIO))
		return -1;
	bio_offset = direction == DIRECTION_RECV ? layout->ssl_rbio : layout->ssl_wbio;
	if (bio_offset < 0)
		return -1;
	if (bpf_probe_read_user(&bio, sizeof(bio), (void *)(ssl + bio_offset)) || !bio)
		return -1;
	if (layout->bio_num == NO_BIO)
		return bio < MOST_DESCRIPTORS ? bio : -1;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)(bio + layout->bio_num)))
		return -1;
	/*
	 * 0 is also what a BIO without a descriptor holds (memory, a program's own method); a
	 * socket as descriptor 0 is found by its traffic instead.
	 */
	return fd > 0 ? fd : -1;
}

#endif

static __always_inline void find_address(struct connection *connection, __u64 ssl, __u64 sock,
					 __u32 library, __u32 direction)
{
#ifndef WITHOUT_BTF
	if (connection->address.family)
		return;
	if (sock && read_address(&connection->address, sock))
		return;
	if (connection->looked_up)
		return;
	connection->looked_up = 1;
	__s32 fd = connection->fd >= 0 ? connection->fd : fd_of_bio(ssl, library, direction);

	if (fd < 0)
		return;
	sock = sock_of_fd(fd);
	if (sock)
		read_address(&connection->address, sock);
#endif
}

#endif
