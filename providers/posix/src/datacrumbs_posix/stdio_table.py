"""libc's buffered streams: what each function takes and returns, and where its stream stands.

A function with a stream names a snippet ``stream<n>``: the one of the target's libc then finds the file of a
stream that was never seen being opened (standard input, popen).
"""

from __future__ import annotations

from functools import partial

from datacrumbs.elf.signatures import Signature, signature

_stdio = partial(signature, "STDIO")

_PATH = "path:const char *=path"
_SIZE = "size:size_t=size"
_COUNT = "count:size_t=count"
_STREAM = "stream:FILE *=handle"
_CLOSED = "stream:FILE *=closed"
_OFFSET = "offset:off_t=offset"
_WHENCE = "whence:int=whence"

OPENING: tuple[Signature, ...] = (
    _stdio("fopen fopen64 _IO_fopen", "handle", _PATH),
    _stdio("freopen freopen64", "handle", _PATH, "-", _CLOSED),
    _stdio("fdopen _IO_fdopen __fdopen", "handle", "fd:int=fd"),
    _stdio("tmpfile tmpfile64", "handle"),
    _stdio("popen _IO_popen", "handle"),
    _stdio("pclose", "status", _CLOSED, snippet="stream0"),
    _stdio("fclose _IO_fclose", "status", _CLOSED, snippet="stream0"),
)

DATA: tuple[Signature, ...] = (
    _stdio("fread _IO_fread fread_unlocked", "items", "-", _SIZE, _COUNT, _STREAM, snippet="stream3"),
    _stdio("fread: __fread_chk __fread_unlocked_chk", "items", "-2", _SIZE, _COUNT, _STREAM, snippet="stream4"),
    _stdio("fwrite _IO_fwrite fwrite_unlocked", "items", "-", _SIZE, _COUNT, _STREAM, snippet="stream3"),
    _stdio("fgets _IO_fgets fgets_unlocked", "pointer", "-", "count:int=count", _STREAM, snippet="stream2"),
    _stdio("fgets: __fgets_chk __fgets_unlocked_chk", "pointer", "-2", "count:int=count", _STREAM, snippet="stream3"),
    _stdio("fputs _IO_fputs fputs_unlocked", "status", "-", _STREAM, snippet="stream1"),
    _stdio("puts _IO_puts", "status", snippet="stdout"),
    _stdio("fgetc getc _IO_getc fgetc_unlocked getc_unlocked _IO_getc_unlocked", "value", _STREAM, snippet="stream0"),
    _stdio(
        "fputc putc _IO_putc fputc_unlocked putc_unlocked _IO_putc_unlocked", "value", "-", _STREAM, snippet="stream1"
    ),
    _stdio("getchar getchar_unlocked", "value", snippet="stdin"),
    _stdio("putchar putchar_unlocked", "value", snippet="stdout"),
    _stdio("ungetc _IO_ungetc", "value", "-", _STREAM, snippet="stream1"),
    _stdio("getline", "bytes", "-2", _STREAM, snippet="stream2"),
    _stdio("getdelim __getdelim", "bytes", "-3", _STREAM, snippet="stream3"),
    # They return an int, whose upper half is undefined in the register: the print snippets tell the bytes.
    _stdio("fprintf _IO_fprintf __fprintf_chk", "negative", _STREAM, snippet="print"),
    _stdio("vfprintf _IO_vfprintf __vfprintf_chk", "negative", _STREAM, snippet="print"),
    _stdio("printf _IO_printf __printf_chk", "negative", snippet="print_stdout"),
    _stdio("vprintf __vprintf_chk", "negative", snippet="print_stdout"),
    _stdio("dprintf __dprintf_chk", "negative", "fd:int=fd", snippet="print_descriptor"),
    _stdio("vdprintf __vdprintf_chk", "negative", "fd:int=fd", snippet="print_descriptor"),
    _stdio("fscanf __isoc99_fscanf", "value", _STREAM, snippet="stream0"),
    _stdio("vfscanf __isoc99_vfscanf __vfscanf", "value", _STREAM, snippet="stream0"),
    _stdio("fflush _IO_fflush fflush_unlocked", "status", _STREAM, snippet="stream0"),
)

POSITION: tuple[Signature, ...] = (
    _stdio("fseek", "status", _STREAM, "offset:long=offset", _WHENCE, snippet="stream0"),
    _stdio("fseeko fseeko64 __fseeko64", "status", _STREAM, _OFFSET, _WHENCE, snippet="stream0"),
    _stdio("ftell _IO_ftell", "offset", _STREAM, snippet="stream0"),
    _stdio("ftello ftello64 __ftello64", "offset", _STREAM, snippet="stream0"),
    _stdio("rewind", "void", _STREAM, snippet="stream0"),
    _stdio("fgetpos fgetpos64 _IO_fgetpos _IO_fgetpos64", "status", _STREAM, snippet="stream0"),
    _stdio("fsetpos fsetpos64 _IO_fsetpos _IO_fsetpos64", "status", _STREAM, snippet="stream0"),
    _stdio("setvbuf _IO_setvbuf", "status", _STREAM, "-", "mode:int", "count:size_t", snippet="stream0"),
    _stdio("setbuf", "void", _STREAM, snippet="stream0"),
    _stdio("setbuffer _IO_setbuffer", "void", _STREAM, "-", "count:size_t", snippet="stream0"),
    _stdio("setlinebuf", "void", _STREAM, snippet="stream0"),
)
