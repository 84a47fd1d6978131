/* Calls that get no record of their own: those of profiled functions, those that sampling leaves
 * out, and those of a function that is called too often for the ring. All are counted; the
 * first and the last kind are also added up by process, function and file. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_MODES_H
#define DC_MODES_H

#include "maps.h"

static __always_inline u64 dc_setting(u32 which)
{
	u64 *value = dc_settings.lookup(&which);
	return value ? *value : 0;
}

/* How many bits a number has: the bucket of its order of magnitude. Without a branch, each of which
 * would double the states that the verifier follows. */
static __always_inline u32 dc_bits(u64 value)
{
	value |= value >> 1;
	value |= value >> 2;
	value |= value >> 4;
	value |= value >> 8;
	value |= value >> 16;
	value |= value >> 32;
	value -= (value >> 1) & 0x5555555555555555ULL;
	value = (value & 0x3333333333333333ULL) + ((value >> 2) & 0x3333333333333333ULL);
	value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (value * 0x0101010101010101ULL) >> 56;
}

/* Raise a maximum that other processors raise, too. */
static __always_inline void dc_raise(u64 *maximum, u64 value)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		u64 seen = *(volatile u64 *)maximum;
		if (value <= seen || __sync_val_compare_and_swap(maximum, seen, value) == seen)
			break;
	}
}

/* The bytes that a call moved; -1 where it moves none or does not know. */
static __always_inline s64 dc_moved(const struct dc_call *call, const struct dc_function *function, u16 flags)
{
	s64 value = call->arguments[function->moved_at & 7];
	u8 moved = function->moved;
	if (moved == DC_MOVED_ARGUMENT)
		return value;
	if (moved == DC_MOVED_NONE || (flags & (DC_RETURNED | DC_FAILED)) != DC_RETURNED)
		return -1;
	if (moved == DC_MOVED_RESULT)
		value = 1;
	value *= call->result;
	return value < 0 ? 0 : value;
}

static __always_inline struct dc_profile_sums *dc_profile(const struct dc_call *call, u32 cause)
{
	struct dc_profile_key key = {};
	key.file = call->file;
	key.process = bpf_get_current_pid_tgid() >> 32;
	key.function = call->function;
	key.epoch = dc_setting(DC_SETTING_EPOCH);
	key.cause = cause;
	struct dc_profile_sums *profile = dc_profiles.lookup(&key);
	if (profile)
		return profile;
	u32 zero = 0;
	struct dc_profile_sums *empty = dc_empty_profile.lookup(&zero);
	if (empty)
		dc_profiles.insert(&key, empty);
	return dc_profiles.lookup(&key); /* another processor's may be there, too */
}

static __always_inline void dc_aggregate(const struct dc_call *call, const struct dc_function *function, u64 duration,
					 u16 flags, u32 cause)
{
	struct dc_profile_sums *profile = dc_profile(call, cause);
	if (!profile) {
		dc_total(DC_TOTAL_PROFILES_LOST);
		return;
	}
	__sync_fetch_and_add(&profile->count, 1);
	dc_raise(&profile->inverse_first, ~call->start);
	dc_raise(&profile->last, call->start + duration);
	if (flags & DC_FAILED)
		__sync_fetch_and_add(&profile->errors, 1);
	if (flags & DC_RETURNED) {
		__sync_fetch_and_add(&profile->time, duration);
		dc_raise(&profile->longest, duration);
		dc_raise(&profile->inverse_shortest, ~duration);
		__sync_fetch_and_add(&profile->times[dc_bits(duration) & (DC_BUCKETS - 1)], 1);
	}
	s64 bytes = dc_moved(call, function, flags);
	if (bytes >= 0) {
		__sync_fetch_and_add(&profile->bytes, bytes);
		__sync_fetch_and_add(&profile->sizes[dc_bits(bytes) & (DC_BUCKETS - 1)], 1);
	}
}

/* Bytes in the ring of calls. bcc 0.26 has no word for it: it turns the method into the helper of that name
 * with the map before the arguments, and only then are macros expanded. */
#define bpf_ringbuf_output(ring, data, size, flags) bpf_ringbuf_query(ring, flags)
static __always_inline u64 dc_waiting(void)
{
	return dc_calls.ringbuf_output(NULL, 0, BPF_RB_AVAIL_DATA);
}
#undef bpf_ringbuf_output

/* When the clock has entered an interval that nobody counted in yet, how much was asked for in the
 * one before; else, and for all but the first who asks, -1. */
static __always_inline s64 dc_turn(struct dc_guard *guard, u64 interval)
{
	u64 last = *(volatile u64 *)&guard->interval;
	if (last >= interval || __sync_val_compare_and_swap(&guard->interval, last, interval) != last)
		return -1;
	s64 used = last + 1 < interval ? 0 : guard->used;
	guard->used = 0;
	return used;
}

/* Asked each time a processor has used up what it may record of a function; also the moment to wake the ring's reader,
 * which sleeps longer when there is little to read. A function is degraded
 * when it asks for more than its limit in an interval, or again while all functions together ask
 * for too much or the ring is nearly full; it recovers after an interval without any of these. */
static __always_inline int dc_over_rate(const struct dc_call *call, struct dc_count *count, u64 now, u64 *wakeup)
{
	u64 share = dc_setting(DC_SETTING_GUARD_SHARE);
	u32 id = call->function + 1;
	struct dc_guard *guard = dc_guards.lookup(&id);
	id = 0;
	struct dc_guard *all = dc_guards.lookup(&id);
	if (!guard || !all)
		return 0;
	u64 limit = dc_setting(DC_SETTING_GUARD_FUNCTION);
	u64 limit_of_all = dc_setting(DC_SETTING_GUARD_TOTAL);
	u64 waiting = dc_waiting();
	if (waiting > dc_setting(DC_SETTING_WAKE))
		*wakeup = BPF_RB_FORCE_WAKEUP;
	u64 interval = now >> DC_GUARD_SHIFT;
	s64 before = dc_turn(all, interval);
	if (before >= 0)
		all->before = before;
	before = dc_turn(guard, interval);
	if (before >= 0 && before <= limit && all->before <= limit_of_all &&
	    waiting <= dc_setting(DC_SETTING_GUARD_RING_LOW))
		guard->degraded = 0;
	if (!guard->degraded) {
		if (!count->ceiling) /* the first call, or the one before found the ring full and left no record */
			share = 1;
		u64 used = __sync_fetch_and_add(&guard->used, share);
		u64 used_by_all = __sync_fetch_and_add(&all->used, share);
		int crowded = used_by_all + share > limit_of_all || waiting > dc_setting(DC_SETTING_GUARD_RING_HIGH);
		if (used + share <= limit && !(used && crowded)) {
			count->ceiling = count->recorded + share;
			return 0;
		}
		guard->degraded = 1;
	}
	__sync_fetch_and_add(&guard->used, 1);
	__sync_fetch_and_add(&all->used, 1);
	return 1;
}

/* Whether sampling leaves a call out; it is then counted here. Asked once for each call: at its entry where nothing
 * needs to be learned from it, else at its end. */
static __always_inline int dc_passed_over(const struct dc_function *function, struct dc_count *count)
{
	if (!(function->flags & DC_SAMPLED) || bpf_get_prandom_u32() < function->sample)
		return 0;
	DC_COUNT(count, sampled);
	return 1;
}

/* Whether a call that ended gets no record of its own; it is then counted here. */
static __always_inline int dc_withheld(const struct dc_call *call, const struct dc_function *function,
				       struct dc_count *count, u64 duration, u16 flags, u64 *wakeup)
{
	u32 cause = DC_CAUSE_PROFILE;
	if (function->flags & (DC_PROFILED | DC_HELPER)) {
		if (function->flags & DC_HELPER) {
			DC_COUNT(count, helper);
			return 1;
		}
		DC_COUNT(count, profiled);
	} else if (flags & DC_POINT && dc_passed_over(function, count)) {
		return 1;
	} else if (count->recorded < count->ceiling || !dc_over_rate(call, count, call->start + duration, wakeup)) {
		return 0;
	} else {
		DC_COUNT(count, guarded);
		cause = DC_CAUSE_GUARD;
	}
	dc_aggregate(call, function, duration, flags, cause);
	return 1;
}

#endif
