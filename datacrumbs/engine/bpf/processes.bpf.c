/* Which processes are traced: from the client's call, by fork from one that is, or taken (taking.h), until exit. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "environment.h"
#include "mappings.h"
#include "restarts.h"
#include "taking.h"

#define DC_CLONE_THREAD 0x00010000

static __always_inline int dc_is_owner(void)
{
	u32 which = DC_SETTING_OWNER;
	u64 *owner = dc_settings.lookup(&which);
	u64 credentials = dc_kernel_u64((u64)bpf_get_current_task() + DC_TASK_CRED);
	u32 effective = dc_kernel_u32(credentials + DC_CRED_EUID);
	return owner && (u32)bpf_get_current_uid_gid() == *owner && effective == *owner;
}

/* Whether a program can do what its user cannot, set-user-id, set-group-id or by capabilities of its file: those whom
 * it serves did not ask for this. What the kernel keeps a user's debugger from is kept from a user's trace. */
static __always_inline int dc_gains_privileges(u64 program)
{
	u32 bits = dc_kernel_u32(program + DC_LINUX_BINPRM_SECUREEXEC_BIT / 32 * sizeof(u32));
	return bits >> DC_LINUX_BINPRM_SECUREEXEC_BIT % 32 & 1;
}

#define DC_ENFORCE_NONDUMP 1 /* BINPRM_FLAGS_ENFORCE_NONDUMP */

/* Whether the memory of the current process is open to its user. It is not while a program runs that its user may not
 * read, or after a change of rights, unless the program executes another one. */
static __always_inline int dc_is_open_to_user(void)
{
	return dc_is_dumpable(bpf_get_current_task());
}

/* Whether a program that is being executed shows its user what the user may see. A site can open the memory of programs
 * that may not be read (fs.suid_dumpable), for its dumps, not for its users' traces. */
static __always_inline int dc_is_readable(u64 program)
{
	return dc_is_open_to_user() && !(dc_kernel_u32(program + DC_LINUX_BINPRM_INTERP_FLAGS) & DC_ENFORCE_NONDUMP);
}

/* Identity of the short name of the current process. */
static __always_inline u64 dc_command_name(void)
{
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return 0;
	u64 identity = 0;
	u64 address = (u64)bpf_get_current_task() + DC_TASK_COMM;
	long read = dc_read_string(scratch, DC_REQUEST_KERNEL_PATH, address);
	if (read > 0)
		identity = dc_send_name(scratch, DC_NAME_COMMAND, 0, (read - 1) & (DC_PATH_MAX - 1));
	dc_give_scratch(scratch);
	return identity;
}

/* What a process executes: the path it was given, or where the file is if that path says nothing of it, but which
 * descriptor it was (fexecve), or which process (/proc/self/exe). */
static __always_inline u64 dc_executable(u64 program)
{
	struct dc_request request = {.kind = DC_REQUEST_KERNEL_PATH, .base = DC_CURRENT_DIRECTORY};
	request.subject = dc_kernel_u64(program + DC_LINUX_BINPRM_FILENAME);
	if (dc_begins_with_process(dc_kernel_u64(request.subject))) {
		request.kind = DC_REQUEST_FILE;
		request.subject = dc_kernel_u64(program + DC_LINUX_BINPRM_FILE);
		dc_forget_name(request.subject); /* the kernel has opened it by itself */
	}
	DC_CALL_RESOLVE(&request);
	return request.identity;
}

#define DC_DEV_FD_LENGTH 8
#define DC_FEW_DIGITS 9

/* Behind the descriptor in a path that the kernel has made of one and a relative path, "/dev/fd/3/program". */
static __always_inline u64 dc_behind_descriptor(u64 path, u32 descriptor)
{
	path += DC_DEV_FD_LENGTH + 1;
#pragma unroll
	for (int i = 0; i < DC_FEW_DIGITS; i++) {
		descriptor /= 10;
		path += !!descriptor;
	}
	return path + ((u8)dc_kernel_u64(path) == '/');
}

/* The path of the execve or execveat that the current thread makes, where it could not be read at the entry: from what
 * the kernel has of it, since the memory that it was in is gone. */
static __always_inline void dc_name_executed(u64 program)
{
	struct dc_thread *thread = dc_find_thread();
	if (!thread || !(thread->system_call.active & DC_ENTERED) || !thread->system_call.pending)
		return;
	struct dc_call *call = &thread->system_call;
	u32 id = call->function;
	struct dc_function *function = dc_functions.lookup(&id);
	if (!function || function->request[0] != DC_REQUEST_PATH)
		return;
	struct dc_request request = {.kind = DC_REQUEST_KERNEL_PATH | DC_REQUEST_START_KNOWN};
	request.identity = call->names[0];
	request.root = call->root;
	request.subject = dc_kernel_u64(program + DC_LINUX_BINPRM_FILENAME);
	u64 made = dc_kernel_u64(program + DC_LINUX_BINPRM_FDPATH);
	if (made && function->base[0] != DC_NONE)
		request.subject = dc_behind_descriptor(made, call->arguments[function->base[0] & 7]);
	DC_CALL_RESOLVE(&request);
	call->pending = 0;
	call->file = request.identity;
}

/* What the current process executes, from now on or when it marks itself. */
static __always_inline void dc_tell_program(u32 kind, u64 name)
{
	u64 memory = (u64)DC_FOLLOW((void *)bpf_get_current_task_btf(), DC_TASK_MM);
	u64 variables = dc_rank_variables(memory);
	dc_event_of(bpf_get_current_pid_tgid(), kind, variables, dc_command_line(memory), 0, name);
}

/* Whether a mark is for this run: it names it, or names none where such marks are taken. */
static __always_inline int dc_is_for_this_run(u64 named)
{
	struct dc_run_name name = {};
	if (!named || (bpf_probe_read_user_str(name.bytes, sizeof(name.bytes), (void *)named) > 0 && !name.bytes[0])) {
		u32 which = DC_SETTING_UNNAMED;
		u64 *unnamed = dc_settings.lookup(&which);
		return unnamed && *unnamed;
	}
	return dc_run_names.lookup(&name) != NULL;
}

/* Whether a mark comes from outside of the control group that the run is limited to. */
static __always_inline int dc_is_outside(void)
{
	u32 which = DC_SETTING_WITHIN;
	u64 *within = dc_settings.lookup(&which);
	if (!within || !*within)
		return 0;
	which = DC_SETTING_GROUP;
	u64 *group = dc_settings.lookup(&which);
	return group && *group && !dc_is_member(bpf_get_current_task());
}

/* uprobe: datacrumbs_mark(run) of the client library or the launcher. */
int dc_client_mark(struct pt_regs *context)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;
	if (dc_is_traced(process) || !dc_is_owner() || !dc_is_open_to_user())
		return 0;
	if (!dc_is_for_this_run(PT_REGS_PARM1(context)) || dc_is_outside())
		return 0;
	u64 now = bpf_ktime_get_ns();
	dc_started.update(&process, &now);
	struct dc_thread *thread = dc_make_thread();
	if (thread)
		thread->marked = now;
	dc_mark(process);
	dc_tell_program(DC_RECORD_START, dc_command_name());
	dc_mapped_before(process, DC_MAPPED_ALL);
	return 0;
}

/* A probe gives nothing back to the function that it is on, but it can send its process a signal. Who asks has blocked
 * these. */
static __always_inline void dc_answer(u32 outcome)
{
	bpf_send_signal(DC_ANSWER_SIGNAL + outcome);
}

/* uprobe: datacrumbs_ask(run, process, began) of the launcher: whether the caller is traced, where no process is named,
 * or that a running process be. The way from a number to a process is the iterator's (taking.bpf.c), which the daemon
 * runs when it finds that the run was asked; the caller asks until there is an answer. */
int dc_client_ask(struct pt_regs *context)
{
	u64 named = PT_REGS_PARM1(context), began = PT_REGS_PARM3(context);
	u32 process = PT_REGS_PARM2(context), zero = 0;
	if (!process) {
		if (dc_is_traced(bpf_get_current_pid_tgid() >> 32) && (!named || dc_is_for_this_run(named)))
			dc_answer(DC_TAKE_TRACED);
		return 0;
	}
	if (!dc_is_owner() || !dc_is_open_to_user() || !dc_is_for_this_run(named))
		return 0;
	struct dc_asked *known = dc_asked.lookup(&process);
	if (known && known->began == began && known->outcome != DC_TAKE_ASKED) {
		dc_answer(known->outcome);
		dc_asked.delete(&process);
		return 0;
	}
	struct dc_asked asked = {.began = began, .outcome = DC_TAKE_ASKED};
	u64 *asks = dc_asks.lookup(&zero);
	if (!asks || ((!known || known->began != began) && dc_asked.update(&process, &asked)))
		return 0;
	__sync_fetch_and_add(asks, 1);
	dc_answer(DC_TAKE_ASKED);
	return 0;
}

/* A process that lives on is not traced any more. */
static __always_inline void dc_stop(u32 process)
{
	u32 zero = 0;
	u64 *stops = dc_stops.lookup(&zero);
	if (stops)
		__sync_fetch_and_add(stops, 1);
	dc_unmark(process);
	dc_event(DC_RECORD_STOP, 0, 0, 0);
}

/* uprobe: datacrumbs_stop(). */
int dc_client_stop(struct pt_regs *context)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;
	if (!dc_is_traced(process))
		return 0;
	dc_drop_handles();
	dc_stop(process);
	return 0;
}

/* raw tracepoint task_newtask(struct task_struct *task, unsigned long clone_flags) */
int dc_process_fork(struct bpf_raw_tracepoint_args *context)
{
	if (context->args[1] & DC_CLONE_THREAD)
		return 0;
	u32 child = dc_kernel_u32(context->args[0] + DC_TASK_TGID);
	if (!dc_gate()) {
		dc_take_member(context->args[0], child);
		return 0;
	}
	dc_mark(child);
	dc_hand_down(child);
	dc_event(DC_RECORD_FORK, child, 0, 0);
	return 0;
}

/* Whether a program that is being executed may be traced. */
static __always_inline int dc_may_execute(u64 program)
{
	return dc_is_owner() && !dc_gains_privileges(program) && dc_is_readable(program);
}

/* raw tracepoint sched_process_exec(struct task_struct *, pid_t, struct linux_binprm *) */
int dc_process_exec(struct bpf_raw_tracepoint_args *context)
{
	u32 process = bpf_get_current_pid_tgid() >> 32;
	if (!dc_is_traced(process) && !(dc_is_member(context->args[0]) && dc_may_execute(context->args[2]) &&
					dc_take(context->args[0], process) == DC_TAKE_TAKEN))
		return 0;
	dc_drop_handles();
	dc_name_executed(context->args[2]);
	dc_tell_program(DC_RECORD_EXEC, dc_executable(context->args[2]));
	if (!dc_may_execute(context->args[2])) {
		dc_stop(process);
		return 0;
	}
	dc_mapped_program();
	return 0;
}

/* raw tracepoint sched_process_exit(struct task_struct *task) */
int dc_process_exit(struct bpf_raw_tracepoint_args *context)
{
	u64 task = context->args[0];
	struct dc_thread *thread = dc_find_thread();
	if (thread) {
		dc_give_up_all(thread);
		for (u32 i = 0; i < DC_FRAMES; i++) {
			if (i >= thread->depth)
				break;
			dc_abandon(&thread->frames[i & (DC_FRAMES - 1)]);
		}
		thread->depth = 0;
	}
	if (!dc_gate())
		return 0;
	if (dc_kernel_u32(dc_kernel_u64(task + DC_TASK_SIGNAL) + DC_SIGNAL_STRUCT_LIVE))
		return 0;
	u32 process = bpf_get_current_pid_tgid() >> 32;
	dc_drop_handles();
	dc_event(DC_RECORD_EXIT, 0, dc_kernel_u32(task + DC_TASK_EXIT_CODE), 0);
	dc_unmark(process);
	return 0;
}
