"""libc's POSIX functions on files and sockets: what each takes and returns.

Names as libc exports them on 64-bit Linux, glibc and musl; POSIX and the manual pages of section 2 and 3
are the source of the signatures.
"""

from __future__ import annotations

from functools import partial

from datacrumbs.elf.signatures import Signature, signature

_posix = partial(signature, "POSIX")

_PATH = "path:const char *=path"
_FD = "fd:int=fd"
_TO = "to:int=target_fd"
_COUNT = "count:size_t=count"
_OFFSET = "offset:off_t=offset"
_FLAGS = "flags:int=flags"
_MODE = "mode:mode_t"
_DIRFD = "dirfd:int=dirfd"
_STREAM = "stream:DIR *=handle"
_LENGTH = "length:off_t"

DATA: tuple[Signature, ...] = (
    _posix("read __read __libc_read", "bytes", _FD, "-", _COUNT),
    _posix("read: __read_chk", "bytes", _FD, "-", _COUNT),
    _posix("write __write __libc_write", "bytes", _FD, "-", _COUNT),
    _posix("pread pread64 __pread64 __libc_pread", "bytes", _FD, "-", _COUNT, _OFFSET),
    _posix("pread: __pread_chk __pread64_chk", "bytes", _FD, "-", _COUNT, _OFFSET),
    _posix("pwrite pwrite64 __pwrite64 __libc_pwrite", "bytes", _FD, "-", _COUNT, _OFFSET),
    _posix("readv __readv", "bytes", _FD, "-", "iovcnt:int", snippet="iovec"),
    _posix("writev __writev", "bytes", _FD, "-", "iovcnt:int", snippet="iovec"),
    _posix("preadv preadv64", "bytes", _FD, "-", "iovcnt:int", _OFFSET, snippet="iovec"),
    _posix("pwritev pwritev64", "bytes", _FD, "-", "iovcnt:int", _OFFSET, snippet="iovec"),
    _posix("preadv2 preadv64v2", "bytes", _FD, "-", "iovcnt:int", _OFFSET, _FLAGS, snippet="iovec"),
    _posix("pwritev2 pwritev64v2", "bytes", _FD, "-", "iovcnt:int", _OFFSET, _FLAGS, snippet="iovec"),
    _posix("sendfile sendfile64", "bytes", _TO, "fd:int=fd", "-", _COUNT),
    _posix("copy_file_range", "bytes", _FD, "-", _TO, "-", _COUNT, "flags:unsigned int=flags"),
    _posix("splice", "bytes", _FD, "-", _TO, "-", _COUNT, "flags:unsigned int=flags"),
    _posix("tee", "bytes", _FD, _TO, _COUNT, "flags:unsigned int=flags"),
    _posix("vmsplice", "bytes", _FD, "-", "iovcnt:size_t", "flags:unsigned int=flags", snippet="iovec"),
    _posix("send __send", "bytes", _FD, "-", _COUNT, _FLAGS),
    _posix("sendto __sendto", "bytes", _FD, "-", _COUNT, _FLAGS),
    _posix("sendmsg __sendmsg", "bytes", _FD, "-", _FLAGS, snippet="message"),
    _posix("sendmmsg __sendmmsg", "status", _FD, "-", "messages:unsigned int", _FLAGS),
    _posix("recv __recv", "bytes", _FD, "-", _COUNT, _FLAGS),
    _posix("recv: __recv_chk", "bytes", _FD, "-", _COUNT, "-", _FLAGS),
    _posix("recvfrom __recvfrom", "bytes", _FD, "-", _COUNT, _FLAGS),
    _posix("recvfrom: __recvfrom_chk", "bytes", _FD, "-", _COUNT, "-", _FLAGS),
    _posix("recvmsg __recvmsg", "bytes", _FD, "-", _FLAGS, snippet="message"),
    _posix("recvmmsg __recvmmsg", "status", _FD, "-", "messages:unsigned int", _FLAGS),
)

SYNCHRONISATION: tuple[Signature, ...] = (
    _posix("fsync __fsync", "status", _FD),
    _posix("fdatasync", "status", _FD),
    _posix("sync_file_range", "status", _FD, _OFFSET, "length:off_t=count", "flags:unsigned int=flags"),
    _posix("syncfs", "status", _FD),
    _posix("sync", "void"),
    _posix("posix_fadvise posix_fadvise64", "code", _FD, _OFFSET, "length:off_t=count", "advice:int"),
    _posix("readahead", "bytes", _FD, "offset:off64_t=offset", _COUNT),
)

OPENING: tuple[Signature, ...] = (
    _posix("open open64 __open __open64 __libc_open __libc_open64", "fd", _PATH, _FLAGS, _MODE),
    _posix("open: __open_2 __open64_2", "fd", _PATH, _FLAGS),
    _posix("openat openat64 __openat __openat64", "fd", _DIRFD, _PATH, _FLAGS, _MODE),
    _posix("openat: __openat_2 __openat64_2", "fd", _DIRFD, _PATH, _FLAGS),
    _posix("open_by_handle_at", "fd", "mount_fd:int", "-", _FLAGS),
    _posix("creat creat64 __creat", "fd", _PATH, _MODE),
    # The name is filled in during the call: the file is that of the descriptor that comes back.
    _posix("mkstemp mkstemp64", "fd"),
    _posix("mkostemp mkostemp64", "fd", "-", _FLAGS),
    _posix("mkstemps mkstemps64", "fd", "-", "suffix:int"),
    _posix("mkostemps mkostemps64", "fd", "-", "suffix:int", _FLAGS),
    _posix("close __close __libc_close", "status", _FD),
    _posix("close_range", "status", "first:unsigned int", "last:unsigned int", _FLAGS),
    _posix("closefrom", "void", "first:int"),
    _posix("dup __dup", "fd", _FD),
    _posix("dup2 __dup2", "fd", _FD, "newfd:int"),
    _posix("dup3 __dup3", "fd", _FD, "newfd:int", _FLAGS),
    _posix("pipe __pipe", "status", "-"),
    _posix("pipe2", "status", "-", _FLAGS),
    _posix("socket __socket", "fd", "domain:int", "type:int", "protocol:int"),
    _posix("socketpair", "status", "domain:int", "type:int", "protocol:int"),
    _posix("accept __accept", "fd", _FD),
    _posix("accept4", "fd", _FD, "-2", _FLAGS),
    _posix("connect __connect __libc_connect", "status", _FD),
    _posix("bind", "status", _FD),
    _posix("listen", "status", _FD, "backlog:int"),
    _posix("shutdown", "status", _FD, "how:int"),
    _posix("shm_open", "fd", "name:const char *=string", _FLAGS, _MODE),
    _posix("shm_unlink", "status", "name:const char *=string"),
)

ATTRIBUTES: tuple[Signature, ...] = (
    _posix("lseek lseek64 __lseek __libc_lseek __libc_lseek64 llseek", "offset", _FD, _OFFSET, "whence:int=whence"),
    _posix("stat stat64", "status", _PATH),
    _posix("stat: __xstat __xstat64", "status", "-", _PATH),
    _posix("lstat lstat64", "status", _PATH),
    _posix("lstat: __lxstat __lxstat64", "status", "-", _PATH),
    _posix("fstat fstat64 __fstat64", "status", _FD),
    _posix("fstat: __fxstat __fxstat64", "status", "-", _FD),
    _posix("fstatat fstatat64", "status", _DIRFD, _PATH, "-", _FLAGS),
    _posix("fstatat: __fxstatat __fxstatat64", "status", "-", _DIRFD, _PATH, "-", _FLAGS),
    _posix("statx", "status", _DIRFD, _PATH, _FLAGS, "mask:unsigned int"),
    _posix("statfs statfs64 __statfs", "status", _PATH),
    _posix("fstatfs fstatfs64 __fstatfs", "status", _FD),
    _posix("statvfs statvfs64", "status", _PATH),
    _posix("fstatvfs fstatvfs64", "status", _FD),
    _posix("access __access", "status", _PATH, "mode:int"),
    _posix("faccessat", "status", _DIRFD, _PATH, "mode:int", _FLAGS),
    _posix("euidaccess eaccess", "status", _PATH, "mode:int"),
    _posix("truncate truncate64", "status", _PATH, _LENGTH),
    _posix("ftruncate ftruncate64", "status", _FD, _LENGTH),
    _posix("fallocate fallocate64", "status", _FD, "mode:int", _OFFSET, "length:off_t=count"),
    _posix("posix_fallocate posix_fallocate64", "code", _FD, _OFFSET, "length:off_t=count"),
    _posix("chmod __chmod", "status", _PATH, _MODE),
    _posix("fchmod __fchmod", "status", _FD, _MODE),
    _posix("fchmodat", "status", _DIRFD, _PATH, _MODE, _FLAGS),
    _posix("lchmod", "status", _PATH, _MODE),
    _posix("chown __chown", "status", _PATH, "owner:uid_t", "group:gid_t"),
    _posix("fchown __fchown", "status", _FD, "owner:uid_t", "group:gid_t"),
    _posix("lchown __lchown", "status", _PATH, "owner:uid_t", "group:gid_t"),
    _posix("fchownat", "status", _DIRFD, _PATH, "owner:uid_t", "group:gid_t", _FLAGS),
    _posix("utime", "status", _PATH),
    _posix("utimes __utimes", "status", _PATH),
    _posix("lutimes", "status", _PATH),
    _posix("futimes", "status", _FD),
    _posix("futimens", "status", _FD),
    _posix("utimensat", "status", _DIRFD, _PATH, "-", _FLAGS),
    _posix("futimesat", "status", _DIRFD, _PATH),
    _posix("getxattr", "bytes", _PATH, "name:const char *=string", "-", "count:size_t=count"),
    _posix("lgetxattr", "bytes", _PATH, "name:const char *=string", "-", "count:size_t=count"),
    _posix("fgetxattr", "bytes", _FD, "name:const char *=string", "-", "count:size_t=count"),
    _posix("setxattr", "status", _PATH, "name:const char *=string", "-", "count:size_t=count", _FLAGS),
    _posix("lsetxattr", "status", _PATH, "name:const char *=string", "-", "count:size_t=count", _FLAGS),
    _posix("fsetxattr", "status", _FD, "name:const char *=string", "-", "count:size_t=count", _FLAGS),
    _posix("listxattr", "bytes", _PATH, "-", "count:size_t=count"),
    _posix("llistxattr", "bytes", _PATH, "-", "count:size_t=count"),
    _posix("flistxattr", "bytes", _FD, "-", "count:size_t=count"),
    _posix("removexattr", "status", _PATH, "name:const char *=string"),
    _posix("lremovexattr", "status", _PATH, "name:const char *=string"),
    _posix("fremovexattr", "status", _FD, "name:const char *=string"),
    _posix("fcntl fcntl64 __fcntl __fcntl64 __libc_fcntl64", "status", _FD, "command:int", "argument:long"),
    _posix("flock __flock", "status", _FD, "operation:int"),
    _posix("lockf lockf64", "status", _FD, "command:int", "length:off_t=count"),
    _posix("ioctl __ioctl", "status", _FD, "request:unsigned long"),
)

NAMES: tuple[Signature, ...] = (
    _posix("unlink __unlink", "status", _PATH),
    _posix("unlinkat", "status", _DIRFD, _PATH, _FLAGS),
    _posix("remove", "status", _PATH),
    _posix("rename", "status", _PATH, "newpath:const char *=path"),
    _posix("renameat", "status", _DIRFD, _PATH, "newdirfd:int=dirfd", "newpath:const char *=path"),
    _posix(
        "renameat2",
        "status",
        _DIRFD,
        _PATH,
        "newdirfd:int=dirfd",
        "newpath:const char *=path",
        "flags:unsigned int=flags",
    ),
    _posix("link __link", "status", _PATH, "newpath:const char *=path"),
    _posix("linkat", "status", _DIRFD, _PATH, "newdirfd:int=dirfd", "newpath:const char *=path", _FLAGS),
    # The file that a symlink call makes is the link; what it points to is only a text.
    _posix("symlink __symlink", "status", "target:const char *=string", _PATH),
    _posix("symlinkat", "status", "target:const char *=string", _DIRFD, _PATH),
    _posix("readlink __readlink", "bytes", _PATH, "-", _COUNT),
    _posix("readlink: __readlink_chk", "bytes", _PATH, "-", _COUNT),
    _posix("readlinkat", "bytes", _DIRFD, _PATH, "-", _COUNT),
    _posix("readlinkat: __readlinkat_chk", "bytes", _DIRFD, _PATH, "-", _COUNT),
    _posix("mkdir __mkdir", "status", _PATH, _MODE),
    _posix("mkdirat", "status", _DIRFD, _PATH, _MODE),
    _posix("mkdtemp", "pointer"),
    _posix("rmdir __rmdir", "status", _PATH),
    _posix("mknod", "status", _PATH, _MODE, "device:dev_t"),
    _posix("mknodat", "status", _DIRFD, _PATH, _MODE, "device:dev_t"),
    _posix("mkfifo", "status", _PATH, _MODE),
    _posix("mkfifoat", "status", _DIRFD, _PATH, _MODE),
    _posix("chdir __chdir", "status", _PATH),
    _posix("fchdir __fchdir", "status", _FD),
    _posix("opendir __opendir", "handle", _PATH),
    _posix("fdopendir", "handle", _FD),
    _posix("readdir readdir64 __readdir __readdir64", "value", _STREAM),
    _posix("readdir_r readdir64_r __readdir_r __readdir64_r", "code", _STREAM),
    _posix("closedir __closedir", "status", "stream:DIR *=closed"),
    _posix("rewinddir __rewinddir", "void", _STREAM),
    _posix("seekdir", "void", _STREAM, "offset:long=offset"),
    _posix("telldir", "offset", _STREAM),
)

MEMORY: tuple[Signature, ...] = (
    _posix(
        "mmap mmap64 __mmap",
        "mapping",
        "-",
        "length:size_t=count",
        "protection:int",
        _FLAGS,
        _FD,
        _OFFSET,
    ),
    _posix("munmap __munmap", "status", "address:unsigned long", "length:size_t=count"),
    _posix("msync", "status", "address:unsigned long", "length:size_t=count", _FLAGS),
    _posix("mremap __mremap", "mapping", "address:unsigned long", "length:size_t", "newlength:size_t=count", _FLAGS),
)
