/* What a process was executed with: its arguments, and from its environment which rank of which job it is. Only
 * variables that say so are handed on, and only short ones: what else is in an environment is nobody's business. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_ENVIRONMENT_H
#define DC_ENVIRONMENT_H

#include "names.h"

#define DC_VARIABLES 1024    /* of an environment that are looked at */
#define DC_PIECE 2048	     /* bytes that are read at once, behind those that are kept */
#define DC_VARIABLE_BYTES 64 /* of one that is kept, with its zero */

/* Bytes of a constant text as a word of memory, and which of the word are of the text. */
#define DC_ZEROS "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define DC_BYTE(text, at) ((at) < sizeof(text) - 1 ? (u64)(u8)(text DC_ZEROS)[at] << (at) % 8 * 8 : 0)
#define DC_BYTE_MASK(text, at) ((at) < sizeof(text) - 1 ? 0xffULL << (at) % 8 * 8 : 0)
#define DC_WORD_OF(byte, text, at) \
	(byte(text, at) | byte(text, at + 1) | byte(text, at + 2) | byte(text, at + 3) | byte(text, at + 4) | \
	 byte(text, at + 5) | byte(text, at + 6) | byte(text, at + 7))
/* Whether two words of memory begin with a text of up to 16 bytes. */
#define DC_BEGINS(words, text) \
	(((words)[0] & DC_WORD_OF(DC_BYTE_MASK, text, 0)) == DC_WORD_OF(DC_BYTE, text, 0) && \
	 ((words)[1] & DC_WORD_OF(DC_BYTE_MASK, text, 8)) == DC_WORD_OF(DC_BYTE, text, 8))

/* trace/ranks.py says what each of them means. */
static __always_inline int dc_is_of_rank(const u64 *words)
{
	return DC_BEGINS(words, "OMPI_COMM_WORLD_") || DC_BEGINS(words, "PMIX_RANK=") ||
	       DC_BEGINS(words, "PMI_RANK=") || DC_BEGINS(words, "PMI_SIZE=") || DC_BEGINS(words, "MPI_LOCALRANKID=") ||
	       DC_BEGINS(words, "SLURM_PROCID=") || DC_BEGINS(words, "SLURM_LOCALID=") ||
	       DC_BEGINS(words, "SLURM_NTASKS=") || DC_BEGINS(words, "SLURM_STEP_NUM_T") ||
	       DC_BEGINS(words, "SLURM_STEP_ID=") || DC_BEGINS(words, "SLURM_JOB_ID=") ||
	       DC_BEGINS(words, "FLUX_TASK_RANK=") || DC_BEGINS(words, "FLUX_TASK_LOCAL_") ||
	       DC_BEGINS(words, "FLUX_JOB_SIZE=") || DC_BEGINS(words, "FLUX_JOB_ID=");
}

/* The next entry, which is kept if it is one of these: a function of its own for the verifier, as in names.h. */
#define DC_CALL_READ_VARIABLE ((int (*)(struct dc_environment *))DC_OWN_READ_VARIABLE)

int dc_read_variable(struct dc_environment *environment)
{
	if (!environment)
		return 0;
	u32 which = environment->scratch;
	struct dc_scratch *scratch = dc_scratches.lookup(&which);
	if (!scratch)
		return 0;
	u64 *piece = &scratch->words[DC_PIECE / 8];
	long size = bpf_probe_read_user_str(piece, DC_PIECE, (void *)environment->next);
	if (size <= 0) {
		environment->next = environment->end;
		return 0;
	}
	u32 inside = environment->inside, used = environment->used;
	/* What fills a piece goes on behind it, or has its zero there. */
	environment->inside = size == DC_PIECE;
	environment->next += size == DC_PIECE ? DC_PIECE - 1 : size;
	if (inside || size > DC_VARIABLE_BYTES || used > DC_PIECE - DC_VARIABLE_BYTES || !dc_is_of_rank(piece))
		return 0;
	size = bpf_probe_read_kernel_str(&scratch->bytes[used], DC_VARIABLE_BYTES, piece);
	if (size > 0)
		environment->used = used + size;
	return 0;
}

/* Those of the current process, from its memory (`subject`) to the identity of one name. */
#define DC_CALL_READ_ENVIRONMENT ((int (*)(struct dc_request *))DC_OWN_READ_ENVIRONMENT)

int dc_read_environment(struct dc_request *request)
{
	struct dc_environment environment = {};
	struct dc_scratch *scratch = request ? dc_take_numbered_scratch(&environment.scratch) : NULL;
	if (!scratch)
		return 0;
	environment.next = dc_kernel_u64(request->subject + DC_MM_STRUCT_ENV_START);
	environment.end = dc_kernel_u64(request->subject + DC_MM_STRUCT_ENV_END);
	int turn;
	DC_TURNS(turn, DC_VARIABLES)
	{
		if (environment.next >= environment.end)
			break;
		DC_CALL_READ_VARIABLE(&environment);
	}
	scratch->head.inode = 0;
	scratch->head.device = 0;
	scratch->head.flags = 0;
	scratch->head.magic = 0;
	if (environment.used)
		request->identity = dc_send_name(scratch, DC_NAME_ENVIRONMENT, 0, environment.used);
	dc_give_scratch(scratch);
	return 0;
}

/* Its arguments, likewise, as far as they fit. */
#define DC_CALL_READ_COMMAND_LINE ((int (*)(struct dc_request *))DC_OWN_READ_COMMAND_LINE)

int dc_read_command_line(struct dc_request *request)
{
	struct dc_scratch *scratch = request ? dc_take_scratch() : NULL;
	if (!scratch)
		return 0;
	u64 start = dc_kernel_u64(request->subject + DC_MM_STRUCT_ARG_START);
	u64 whole = dc_kernel_u64(request->subject + DC_MM_STRUCT_ARG_END) - start;
	u64 length = whole < DC_PATH_MAX ? whole : DC_PATH_MAX - 1;
	DC_BOUND_LENGTH(length);
	scratch->head.inode = 0;
	scratch->head.device = 0;
	scratch->head.flags = 0;
	scratch->head.magic = 0;
	if (length && !bpf_probe_read_user(scratch->bytes, length, (void *)start))
		request->identity = dc_send_name(scratch, DC_NAME_COMMAND_LINE, whole, length);
	dc_give_scratch(scratch);
	return 0;
}

/* Identity of the variables of the current process that say which rank it is; 0 for none. */
static __always_inline u64 dc_rank_variables(u64 memory)
{
	struct dc_request request = {.subject = memory};
	if (memory)
		DC_CALL_READ_ENVIRONMENT(&request);
	return request.identity;
}

/* Identity of the arguments of the current process; 0 where they cannot or are not to be read. */
static __always_inline u64 dc_command_line(u64 memory)
{
	struct dc_request request = {.subject = memory};
	u32 which = DC_SETTING_COMMAND_LINES;
	u64 *wanted = dc_settings.lookup(&which);
	if (memory && wanted && *wanted)
		DC_CALL_READ_COMMAND_LINE(&request);
	return request.identity;
}

#endif
