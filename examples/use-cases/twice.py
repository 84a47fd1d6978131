"""Read a file twice: from the device, then from the page cache."""

import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(fd)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
for _ in range(2):
    os.lseek(fd, 0, os.SEEK_SET)
    while os.read(fd, 1 << 17):
        pass
