/* A library whose function the kernel can probe, or not: it refuses an instruction with a lock prefix. */
#ifdef REFUSED
#define FIRST "lock; incl (%rdi)"
#else
#define FIRST "nop; incl (%rdi)"
#endif
__attribute__((naked)) void layer_add(int *number)
{
	__asm__(FIRST "\n\tret");
}
__attribute__((naked)) void layer_call(int *number)
{
	__asm__("nop; incl (%rdi)\n\tret");
}
