/* A library of handles that are small numbers, and are used again at once. */
#define EXPORT __attribute__((noinline, visibility("default")))

static int references[64];

/* The lowest free one, from 1. */
static long take(void)
{
	for (long handle = 1; handle < 64; handle++) {
		if (!references[handle]) {
			references[handle] = 1;
			return handle;
		}
	}
	return 0;
}

EXPORT long thing_open(const char *path)
{
	return *path ? take() : 0;
}

/* One without a file. */
EXPORT long thing_make(void)
{
	asm volatile("");
	return take();
}

EXPORT long thing_use(long handle, long tag)
{
	asm volatile("" ::"r"(tag));
	return references[handle];
}

EXPORT int thing_hold(long handle)
{
	return ++references[handle];
}

EXPORT int thing_release(long handle)
{
	return --references[handle];
}

EXPORT int thing_close(long handle)
{
	references[handle] = 0;
	return 0;
}
