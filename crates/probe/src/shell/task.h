/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the kernel knows of the task that entered a command: read there and then, as its working
 * directory is another after `cd`, and all of it is gone after `exit`.
 *
 * Only the members that are read are declared; CO-RE finds them in the running kernel.
 */
#ifndef ECAPTURE_TASK_H
#define ECAPTURE_TASK_H

#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "shell.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

struct signal_struct {
	struct tty_struct *tty;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct user_id {
	__u32 val;
};

struct task_struct {
	int tgid;
	int exit_code;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct user_id loginuid; /* with CONFIG_AUDIT */
};

#pragma clang attribute pop

/* Deeper than people go; mounts count too. */
#define MAX_COMPONENTS 64

/*
 * Writes the components of the working directory, up to the process's root, last first.
 *
 * How much is written is kept in the record, whose values the verifier does not follow: otherwise
 * it would look at every length that every component can have.
 */
static __always_inline void working_directory(struct shell_start *start, struct fs_struct *fs)
{
	struct dentry *root = BPF_CORE_READ(fs, root.dentry);
	struct vfsmount *root_mount = BPF_CORE_READ(fs, root.mnt);
	struct dentry *dentry = BPF_CORE_READ(fs, pwd.dentry);
	struct vfsmount *at = BPF_CORE_READ(fs, pwd.mnt);

	for (int i = 0; i < MAX_COMPONENTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		struct mount *mount, *outer;
		const unsigned char *name;
		__u32 written = start->path_len;
		long len;

		mount = (void *)at - bpf_core_field_offset(struct mount, mnt);
		outer = BPF_CORE_READ(mount, mnt_parent);
		if (dentry == BPF_CORE_READ(at, mnt_root)) {
			/* The root; or that of a tree outside of the process's root. */
			if (outer == mount || (dentry == root && at == root_mount)) {
				if (!written)
					start->path_len = SHELL_NONE;
				return;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			at = (void *)outer + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (dentry == root && at == root_mount) {
			if (!written)
				start->path_len = SHELL_NONE;
			return;
		}
		if (parent == dentry || written >= SHELL_PATH)
			break;
		name = BPF_CORE_READ(dentry, d_name.name);
		/* Before 5.12 a bound on what lay on the stack meanwhile is forgotten. */
		barrier_var(written);
		len = bpf_probe_read_kernel_str(start->path + (written & (SHELL_PATH - 1)),
						SHELL_NAME, name);
		if (len <= 0)
			break;
		start->path_len = written + len;
		dentry = parent;
	}
	start->path_len = 0;
}

static __always_inline void describe_task(struct shell_start *start)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	start->ppid = BPF_CORE_READ(task, real_parent, tgid);
	if (bpf_core_field_exists(task->loginuid))
		start->login_uid = BPF_CORE_READ(task, loginuid.val);
	if (tty) {
		start->tty_major = BPF_CORE_READ(tty, driver, major);
		start->tty_minor =
		    BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index);
	}
	working_directory(start, BPF_CORE_READ(task, fs));
}

/* As a shell reports it: 128 and the signal's number for a death by signal. */
static __always_inline __s32 exit_status(struct task_struct *task)
{
	__u32 code = BPF_CORE_READ(task, exit_code);

	return code & 0x7f ? 128 + (code & 0x7f) : (code >> 8) & 0xff;
}

#endif
