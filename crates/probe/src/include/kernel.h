/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The few kernel structures that are read, with only the members that are read. CO-RE relocates
 * each access to the running kernel's layout; the order and size written here mean nothing.
 */
#ifndef ECAPTURE_KERNEL_H
#define ECAPTURE_KERNEL_H

#include <linux/types.h>

#define AF_INET 2
#define AF_INET6 10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_address {
	__u8 bytes[16];
};

struct kernel_atomic64 {
	long long counter;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	struct {
		struct net *net;
	} skc_net;
	struct in6_address skc_v6_daddr;
	struct in6_address skc_v6_rcv_saddr;
	struct kernel_atomic64 skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct file;

struct socket {
	struct file *file;
	struct sock *sk;
};

struct file {
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct kernel_atomic {
	int counter;
};

struct signal_struct {
	struct kernel_atomic live;
};

struct mm_struct {
	unsigned long arg_start;
};

struct task_struct {
	int tgid;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
};

#pragma clang attribute pop

#endif
