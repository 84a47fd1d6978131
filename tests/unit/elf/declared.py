"""Functions with known arguments, as C declares and defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.provider import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.provider import Argument

HEADER = r"""
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
typedef int64_t handle_t;
struct pair { long first, second; };
struct large { long values[9]; };
enum mode { ONE, TWO };
extern int put(int fd, const void *buffer, size_t count, off_t offset);
extern handle_t make(const char *filename, unsigned flags, enum mode mode);
extern void mixed(int first, double skipped, short second, float too, unsigned char third);
extern int by_value(int before, struct pair pair, int after);
extern struct large hidden(int first);
extern int many(int a, int b, int c, int d, int e, int f, int g, int h);
extern int called(int (*callback)(void *, int), void *opaque, const char *text);
extern int variadic(handle_t id, const char *attr_name, ...);
extern int unnamed(int, const char *, size_t);
static inline int uses(void) { return put(1, 0, 2, 3) + undeclared_elsewhere(4); }
"""
SOURCE = r"""
#include "some.h"
int put(int fd, const void *buffer, size_t count, off_t offset) { return fd; }
handle_t make(const char *filename, unsigned flags, enum mode mode) { return flags; }
void mixed(int first, double skipped, short second, float too, unsigned char third) {}
int by_value(int before, struct pair pair, int after) { return after; }
struct large hidden(int first) { struct large result = {{first}}; return result; }
int many(int a, int b, int c, int d, int e, int f, int g, int h) { return h; }
int called(int (*callback)(void *, int), void *opaque, const char *text) { return 1; }
int variadic(handle_t id, const char *attr_name, ...) { return 2; }
int unnamed(int a, const char *b, size_t c) { return a; }
static int quiet(int a) { return a; }
int (*keep)(int) = quiet;
"""
FULL = {
    "put": [
        (0, "fd", Role.FD, 4, True),
        (1, "buffer", Role.OUT, 8, False),
        (2, "count", Role.VALUE, 8, False),
        (3, "offset", Role.VALUE, 8, True),
    ],
    "make": [
        (0, "filename", Role.PATH, 8, False),
        (1, "flags", Role.VALUE, 4, False),
        (2, "mode", Role.VALUE, 4, False),
    ],
    # floating-point arguments are in registers of their own
    "mixed": [
        (0, "first", Role.VALUE, 4, True),
        (1, "second", Role.VALUE, 2, True),
        (2, "third", Role.VALUE, 1, False),
    ],
    # what follows a structure cannot be placed
    "by_value": [(0, "before", Role.VALUE, 4, True)],
    "many": [(index, label, Role.VALUE, 4, True) for index, label in enumerate("abcdef")],
    # text could be anything, so it is not read
    "called": [
        (0, "callback", Role.OUT, 8, False),
        (1, "opaque", Role.OUT, 8, False),
        (2, "text", Role.OUT, 8, False),
    ],
    "variadic": [(0, "id", Role.VALUE, 8, True), (1, "attr_name", Role.STRING, 8, False)],
}


def shape(arguments: Iterable[Argument]) -> list[tuple[int, str, Role, int, bool]]:
    """What `FULL` has of each argument."""
    return [(one.index, one.label, one.role, one.size, one.signed) for one in arguments]
