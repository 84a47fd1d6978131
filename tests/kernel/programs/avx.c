/* Functions whose first instruction a vector prefix begins, and a USDT probe in a function that uses what is below the
 * stack pointer. Prints what they compute. */

#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>

#define ALONE __attribute__((noinline, noclone))
enum { ROUNDS = 23, SUMS = 1009 };

ALONE __m256i vector_swap(__m256i a) /* 70 */
{
	return _mm256_shuffle_epi32(a, 0x1b);
}

ALONE void vector_store(__m256i a, void *to) /* 7f */
{
	_mm256_storeu_si256(to, a);
}

ALONE __m256i vector_load(const void *from) /* 6f */
{
	return _mm256_loadu_si256(from);
}

ALONE __m256i vector_or(__m256i a, __m256i b) /* eb */
{
	return _mm256_or_si256(a, b);
}

ALONE __m256i vector_equal(__m256i a, __m256i b) /* 74 */
{
	return _mm256_cmpeq_epi8(a, b);
}

ALONE __m256d vector_pairs(__m256d a, __m256d b) /* 7c */
{
	return _mm256_hadd_pd(a, b);
}

ALONE __m256i vector_less(__m256i a, __m256i b) /* e9 */
{
	return _mm256_subs_epi16(a, b);
}

ALONE __m256i vector_bytes(__m256i a, __m256i b) /* e8: a call */
{
	return _mm256_subs_epi8(a, b);
}

ALONE __m256d vector_compare(__m256d a, __m256d b) /* c2: a return */
{
	return _mm256_cmp_pd(a, b, _CMP_LT_OQ);
}

ALONE __m128 vector_fused(__m128 a, __m128 b, __m128 c) /* 9d, ad or bd */
{
	return _mm_fnmadd_ss(a, b, c);
}

ALONE int64_t vector_bits(double a) /* 7e */
{
	return _mm_cvtsi128_si64(_mm_castpd_si128(_mm_set_sd(a)));
}

ALONE __m256d vector_sum(__m256d a, __m256d b) /* 58: may be probed */
{
	return a + b;
}

#define NOTE(name, place) \
	".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 8, 994f - 993f, 3\n.asciz \"stapsdt\"\n993:" \
	".8byte " place ", 0, 0\n.asciz \"vectors\"\n.asciz \"" name "\"\n.asciz \"\"\n994:.balign 4\n.popsection\n"

int64_t below_the_stack(int64_t a, int64_t b);
asm(".text\n.globl below_the_stack\n.type below_the_stack, @function\nbelow_the_stack:\n"
    "	mov %rdi, -8(%rsp)\n	mov %rsi, -16(%rsp)\n	mov %rdi, -24(%rsp)\n	mov %rsi, -32(%rsp)\n"
    "990:	nop\n"
    "991:	.byte 0x0f, 0x1f, 0x44, 0, 0\n"
    "	mov -8(%rsp), %rax\n	add -16(%rsp), %rax\n	add -24(%rsp), %rax\n	add -32(%rsp), %rax\n	ret\n"
    ".size below_the_stack, . - below_the_stack\n" NOTE("one_byte", "990b") NOTE("five_bytes", "991b"));

static void show(const char *name, __m256i value)
{
	int64_t part[4];
	_mm256_storeu_si256((void *)part, value);
	printf("%s %lx %lx %lx %lx\n", name, part[0], part[1], part[2], part[3]);
}

int main(void)
{
	int64_t memory[4] = {0}, sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		__m256i a = _mm256_set_epi32(8, 7, 6, 5, 4, 3, 2, round), b = _mm256_set1_epi16(1);
		__m256d c = _mm256_set_pd(4, 3, 2, round), d = _mm256_set_pd(40, 30, 20, 10);
		vector_store(a, memory);
		show("swap", vector_swap(vector_load(memory)));
		show("or", vector_or(a, b));
		show("equal", vector_equal(a, b));
		show("less", vector_less(a, b));
		show("bytes", vector_bytes(a, b));
		show("pairs", _mm256_castpd_si256(vector_pairs(c, d)));
		show("compare", _mm256_castpd_si256(vector_compare(c, d)));
		show("sum", _mm256_castpd_si256(vector_sum(c, d)));
		__m128 fused = vector_fused(_mm_set_ss((float)round), _mm_set_ss(3), _mm_set_ss(5));
		printf("fused %g bits %lx\n", (double)_mm_cvtss_f32(fused), vector_bits(2.5 + round));
	}
	for (int64_t a = 0; a < SUMS; a++)
		sum += below_the_stack(a, 2 * a);
	printf("below %ld\n", sum);
	return 0;
}
