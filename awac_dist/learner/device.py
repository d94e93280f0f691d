"""What the learner can compute on."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
ONE_GIB = 1 << 30


def keep_freed_memory() -> None:
    """Tell glibc not to hand freed memory back to the system after every update.

    Each update frees all that it allocated; by default most of it goes back and comes again
    as some 400 page faults an update, which cost a fifth of its time on a virtual machine.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, ONE_GIB)
        libc.mallopt(M_MMAP_THRESHOLD, ONE_GIB)


def count_gpus() -> int:
    """GPUs that torch can use on this machine."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def default_threads() -> int:
    """Half of the cores, up to 8: the other half is for those who collect."""
    return max(1, min(8, count_cores() // 2))


def count_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
