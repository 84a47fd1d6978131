/* The helpers that read memory, by names of our own. At each use of bcc's names bcc looks whether the kernel has the
 * helper, and makes a table of all symbols of the kernel for it: that took a quarter of the time of compiling. Every
 * kernel with attach cookies has these helpers. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_READS_H
#define DC_READS_H

static int (*dc_probe_read_user)(void *target, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static int (*dc_probe_read_user_str)(void *target, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user_str;
static int (*dc_probe_read_kernel)(void *target, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;
static int (*dc_probe_read_kernel_str)(void *target, u32 size,
				       const void *from) = (void *)BPF_FUNC_probe_read_kernel_str;

#define bpf_probe_read_user dc_probe_read_user
#define bpf_probe_read_user_str dc_probe_read_user_str
#define bpf_probe_read_kernel dc_probe_read_kernel
#define bpf_probe_read_kernel_str dc_probe_read_kernel_str

#endif
