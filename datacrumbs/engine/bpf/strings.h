/* Strings to identities: hashed here, sent once, referred to by calls. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_STRINGS_H
#define DC_STRINGS_H

#include "loops.h"
#include "maps.h"
#include "reads.h"

#define DC_MIX 0x9E3779B97F4A7C15ULL

/* A pointer member of a structure whose type the verifier knows: a plain load, no helper. */
#define DC_FOLLOW(structure, offset) (*(void **)((structure) + (offset)))
#define DC_LOAD_U32(structure, offset) (*(u32 *)((u8 *)(structure) + (offset)))

/* Words of the kernel's memory, mostly fields of structures at offsets that vmlinux BTF gave; a bad address reads as 0.
 * Where the kernel can cast (kernel/structures.py), these are plain loads as well: of a structure that begins with an
 * integer.
 */
#ifdef DC_TYPE_TIMESPEC64
static void *(*dc_cast)(u64 address, u32 type) = (void *)DC_BPF_RDONLY_CAST;
#define DC_READ_KERNEL(value, address) ((value) = *(typeof(value) *)dc_cast(address, DC_TYPE_TIMESPEC64))
#else
#define DC_READ_KERNEL(value, address) bpf_probe_read_kernel(&(value), sizeof(value), (void *)(address))
#endif

static __always_inline u64 dc_kernel_u64(u64 address)
{
	u64 value = 0;
	DC_READ_KERNEL(value, address);
	return value;
}

static __always_inline u32 dc_kernel_u32(u64 address)
{
	u32 value = 0;
	DC_READ_KERNEL(value, address);
	return value;
}

/* Hash whole blocks of words; the bytes behind the last one are cleared first. */
#define DC_HASH_WORDS 8
#define DC_HASH_TURNS (DC_PATH_MAX / 8 / DC_HASH_WORDS)
static __always_inline u64 dc_hash(struct dc_scratch *scratch, u64 length, u64 seed)
{
	u64 hash = seed ^ (length * DC_MIX);
	u64 *tail = &scratch->words[length / 8];
	tail[0] &= (1ULL << ((length & 7) * 8)) - 1;
#pragma unroll
	for (int i = 1; i < DC_HASH_WORDS; i++)
		tail[i] = 0;
	int turn;
	DC_TURNS(turn, DC_HASH_TURNS)
	{
		u64 at = (u64)turn * DC_HASH_WORDS;
		if (at * 8 >= length)
			break;
		DC_BOUND_BLOCK(at);
		u64 *words = &scratch->words[at];
#pragma unroll
		for (int i = 0; i < DC_HASH_WORDS; i++) {
			hash = (hash ^ words[i]) * DC_MIX;
			hash ^= hash >> 29;
		}
	}
	return hash ? hash : 1;
}

/* Send the scratch's bytes unless they were sent; its head says what they are. */
static __always_inline u64 dc_send_name(struct dc_scratch *scratch, u32 kind, u64 base, u64 length)
{
	DC_BOUND_LENGTH(length);
	scratch->head.length = length;
	u64 seed = (kind | (u64)scratch->head.flags << 32) * DC_MIX ^ base ^ (scratch->head.inode << 20) ^
		   scratch->head.device;
	u64 identity = dc_hash(scratch, length, seed);
	u8 one = 1;
	if (dc_names.lookup(&identity))
		return identity;
	scratch->head.identity = identity;
	scratch->head.base = base;
	scratch->head.kind = kind;
	scratch->head.process = bpf_get_current_pid_tgid() >> 32;
	length = *(volatile u32 *)&scratch->head.length; /* one state for the verifier, not one per block */
	DC_BOUND_LENGTH(length);
	if (dc_name_ring.ringbuf_output(&scratch->head, sizeof(scratch->head) + length, BPF_RB_NO_WAKEUP)) {
		dc_total(DC_TOTAL_NAMES_LOST);
		return identity;
	}
	dc_names.update(&identity, &one);
	return identity;
}

#endif
