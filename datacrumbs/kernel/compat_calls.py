"""System calls of 32-bit programs on a 64-bit kernel: their numbers, by the name of the same 64-bit call.

Here are only those whose arguments have the same order and mean the same, as 32-bit registers: offsets of 64 bits
come in two halves there, and such calls are left out. Numbers are those of ``asm/unistd_32.h``, which never change.
"""

from __future__ import annotations

from functools import cache

_I386 = (
    "read=3 write=4 open=5 close=6 creat=8 link=9 unlink=10 execve=11 chdir=12 mknod=14 chmod=15 "
    "getpid=20 mount=21 access=33 sync=36 rename=38 mkdir=39 rmdir=40 dup=41 pipe=42 acct=51 umount2=52 "
    "ioctl=54 fcntl=55 umask=60 chroot=61 dup2=63 getppid=64 symlink=83 readlink=85 swapon=87 munmap=91 "
    "fchmod=94 swapoff=115 fsync=118 fchdir=133 getdents=141 flock=143 msync=144 fdatasync=148 mremap=163 "
    "poll=168 getcwd=183 sendfile=187 mincore=218 madvise=219 getdents64=220 gettid=224 setxattr=226 "
    "lsetxattr=227 fsetxattr=228 getxattr=229 lgetxattr=230 fgetxattr=231 listxattr=232 llistxattr=233 "
    "flistxattr=234 removexattr=235 lremovexattr=236 fremovexattr=237 futex=240 epoll_create=254 "
    "epoll_ctl=255 epoll_wait=256 inotify_init=291 inotify_add_watch=292 inotify_rm_watch=293 openat=295 "
    "mkdirat=296 mknodat=297 fchownat=298 unlinkat=301 renameat=302 linkat=303 symlinkat=304 "
    "readlinkat=305 fchmodat=306 faccessat=307 splice=313 tee=315 eventfd2=328 epoll_create1=329 dup3=330 "
    "pipe2=331 inotify_init1=332 syncfs=344 renameat2=353 memfd_create=356 execveat=358 socket=359 "
    "socketpair=360 bind=361 connect=362 listen=363 accept4=364 sendto=369 recvfrom=371 shutdown=373 "
    "copy_file_range=377 statx=383 close_range=436 openat2=437 faccessat2=439 "
)


@cache
def compat_numbers(machine: str) -> dict[str, int]:
    """Name of a call -> its number in 32-bit programs; empty where ``machine`` (``uname -m``) has none of its own."""
    if machine != "x86_64":
        return {}
    return {name: int(number) for name, _, number in (entry.partition("=") for entry in "".join(_I386).split())}
