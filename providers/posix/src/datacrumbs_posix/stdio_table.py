"""libc's buffered streams: what each function takes and returns, and which argument is its stream.

A function with a stream names the snippet ``stream``, which finds the file of a stream that was never seen being opened
(standard input, popen). Where its stream is and how the target's libc lays it out are added for each function.
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
    _stdio("pclose", "status", _CLOSED, snippet="stream"),
    _stdio("fclose _IO_fclose", "status", _CLOSED, snippet="stream"),
)

DATA: tuple[Signature, ...] = (
    _stdio("fread _IO_fread fread_unlocked", "items", "-", _SIZE, _COUNT, _STREAM, snippet="stream"),
    _stdio("fread: __fread_chk __fread_unlocked_chk", "items", "-2", _SIZE, _COUNT, _STREAM, snippet="stream"),
    _stdio("fwrite _IO_fwrite fwrite_unlocked", "items", "-", _SIZE, _COUNT, _STREAM, snippet="stream"),
    _stdio("fgets _IO_fgets fgets_unlocked", "pointer", "-", "count:int=count", _STREAM, snippet="stream"),
    _stdio("fgets: __fgets_chk __fgets_unlocked_chk", "pointer", "-2", "count:int=count", _STREAM, snippet="stream"),
    _stdio("fputs _IO_fputs fputs_unlocked", "status", "-", _STREAM, snippet="stream"),
    _stdio("puts _IO_puts", "status", snippet="standard", snippet_arguments=(1,)),
    _stdio("fgetc getc _IO_getc fgetc_unlocked getc_unlocked _IO_getc_unlocked", "value", _STREAM, snippet="stream"),
    _stdio(
        "fputc putc _IO_putc fputc_unlocked putc_unlocked _IO_putc_unlocked", "value", "-", _STREAM, snippet="stream"
    ),
    _stdio("getchar getchar_unlocked", "value", snippet="standard", snippet_arguments=(0,)),
    _stdio("putchar putchar_unlocked", "value", snippet="standard", snippet_arguments=(1,)),
    _stdio("ungetc _IO_ungetc", "value", "-", _STREAM, snippet="stream"),
    _stdio("getline", "bytes", "-2", _STREAM, snippet="stream"),
    _stdio("getdelim __getdelim", "bytes", "-3", _STREAM, snippet="stream"),
    # They return an int, whose upper half is undefined in the register: the print snippets give the bytes.
    _stdio("fprintf _IO_fprintf __fprintf_chk", "negative", _STREAM, snippet="stream_print"),
    _stdio("vfprintf _IO_vfprintf __vfprintf_chk", "negative", _STREAM, snippet="stream_print"),
    _stdio("printf _IO_printf __printf_chk", "negative", snippet="print", snippet_arguments=(1,)),
    _stdio("vprintf __vprintf_chk", "negative", snippet="print", snippet_arguments=(1,)),
    _stdio("dprintf __dprintf_chk", "negative", "fd:int=fd", snippet="print", snippet_arguments=(0,)),
    _stdio("vdprintf __vdprintf_chk", "negative", "fd:int=fd", snippet="print", snippet_arguments=(0,)),
    _stdio("fscanf __isoc99_fscanf", "value", _STREAM, snippet="stream"),
    _stdio("vfscanf __isoc99_vfscanf __vfscanf", "value", _STREAM, snippet="stream"),
    _stdio("fflush _IO_fflush fflush_unlocked", "status", _STREAM, snippet="stream"),
)

POSITION: tuple[Signature, ...] = (
    _stdio("fseek", "status", _STREAM, "offset:long=offset", _WHENCE, snippet="stream"),
    _stdio("fseeko fseeko64 __fseeko64", "status", _STREAM, _OFFSET, _WHENCE, snippet="stream"),
    _stdio("ftell _IO_ftell", "offset", _STREAM, snippet="stream"),
    _stdio("ftello ftello64 __ftello64", "offset", _STREAM, snippet="stream"),
    _stdio("rewind", "void", _STREAM, snippet="stream"),
    _stdio("fgetpos fgetpos64 _IO_fgetpos _IO_fgetpos64", "status", _STREAM, snippet="stream"),
    _stdio("fsetpos fsetpos64 _IO_fsetpos _IO_fsetpos64", "status", _STREAM, snippet="stream"),
    _stdio("setvbuf _IO_setvbuf", "status", _STREAM, "-", "mode:int", "count:size_t", snippet="stream"),
    _stdio("setbuf", "void", _STREAM, snippet="stream"),
    _stdio("setbuffer _IO_setbuffer", "void", _STREAM, "-", "count:size_t", snippet="stream"),
    _stdio("setlinebuf", "void", _STREAM, snippet="stream"),
)
