"""What glibc's allocator is told: to keep what comes again at once, to return what does not."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt
ONE_GIB = 1 << 30
IS_GLIBC = platform.libc_ver()[0] == "glibc"


def keep_freed_memory() -> None:
    """Do not hand freed memory back to the system from now on.

    Each update frees all that it allocated; by default most of it goes back and comes again
    as some 400 page faults an update, which cost a fifth of its time on a virtual machine.
    """
    if IS_GLIBC:
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, ONE_GIB)
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, ONE_GIB)


def give_back_freed_memory() -> None:
    """Hand freed memory back now: what reading a compressed file took is not needed again."""
    if IS_GLIBC:
        ctypes.CDLL(None).malloc_trim(0)
