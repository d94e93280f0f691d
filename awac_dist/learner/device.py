"""What the learner can compute on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from awac_dist.learner.config import Precision

MOST_THREADS = 8
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, WSL's, AMD's


def count_gpus() -> int:
    """GPUs that torch can use on this machine; torch is asked only where there may be one."""
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DRIVERS)):
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context for updates: their matrix products in that precision, all else in float32."""
    wanted = precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Take numbers of 32 bits below 1.2e-38 for 0 meanwhile.

    Weights of units that are never active decay to such numbers, whose products take a CPU fifty
    times as long. Elsewhere they stay: a task's physics is to be the same in every process. A
    thread of torch's has it from whoever makes it start, so begin with what starts them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def torch_put_back() -> Iterator[None]:
    """Torch as a process begins with it, then as whoever called, and may have set it, had it.

    That is the type and the device of new tensors, gradients, and the number of threads.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    elsewhere = torch.get_default_device().type != "cpu"
    device = torch.device("cpu") if elsewhere else nullcontext()  # which costs each call
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad(), device:
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def default_threads() -> int:
    """Half of the cores, up to 8: the other half is for those who collect."""
    return max(1, min(MOST_THREADS, count_cores() // 2))


def thread_counts() -> list[int]:
    """Numbers of threads that a learner may try, with `default_threads` among them."""
    most = min(MOST_THREADS, count_cores())
    return sorted({1, 2, 4, 8, default_threads()} & {*range(1, most + 1)})


def count_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
