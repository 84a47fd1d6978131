/* A library whose functions are chosen as it is loaded: by a resolver, and by the version that a program was linked to.
 */
static int twice(int number)
{
	return 2 * number;
}

static int thrice(int number)
{
	return 3 * number;
}

int fourfold(int number)
{
	return 4 * number;
}

static int (*resolve(void))(int)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("sse2") ? twice : thrice;
}

static int (*resolve_exported(void))(int)
{
	return fourfold;
}

int chosen(int number) __attribute__((ifunc("resolve")));
int exported(int number) __attribute__((ifunc("resolve_exported")));

int plain(int number)
{
	return number + 1;
}

int one_way(int number)
{
	return number + 11;
}

int other_way(int number)
{
	return number + 13;
}

__asm__(".symver one_way, way@V1");
__asm__(".symver other_way, way@@V2");
