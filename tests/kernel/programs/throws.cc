// Exceptions that pass through calls of C functions; exits with 0 when each is caught.
#include <cstdlib>
#include <cstring>

extern "C" long cross_call(long (*)(void *), void *);

static long raise_seven(void *)
{
	throw 7;
}

static int compare(const void *, const void *)
{
	throw 7;
}

int main(int count, char **arguments)
{
	int values[4] = {4, 3, 2, 1};
	int sum = 0;
	for (int i = 0; i < 5; i++) {
		try {
			if (count > 1 && !strcmp(arguments[1], "qsort"))
				qsort(values, 4, sizeof(values[0]), compare);
			else
				cross_call(raise_seven, nullptr);
		} catch (int thrown) {
			sum += thrown;
		}
	}
	return sum != 35;
}
