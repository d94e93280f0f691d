"""What the figures were measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from awac_dist.learner.device import count_cores, default_threads
from awac_dist.reporting.provenance import cpu_info, cpu_model

INSTRUCTION_SETS = (
    *("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"),  # x86
    *("asimd", "sve", "bf16", "i8mm"),  # ARM
)


@dataclass(frozen=True)
class Hardware:
    """A machine, as far as its speed depends on it."""

    cpu: str  # model name, family, model and stepping
    cores: int  # that this process may use
    memory_gib: float
    instruction_sets: tuple[str, ...]  # of those that matter for matrix products
    gpus: tuple[str, ...]  # that torch can use
    torch_version: str
    torch_capability: str  # the instruction set that torch's own kernels use
    learner_threads: int  # where a learner is not told

    def lines(self) -> list[str]:
        """For a terminal."""
        sets = " ".join(self.instruction_sets) or "none that matter"
        cpu = f"{self.cpu}; {self.cores} cores, {self.memory_gib:.0f} GiB; {sets}"
        return [
            "; ".join(filter(None, (cpu, self.lacks_bfloat16))),
            f"torch {self.torch_version} ({self.torch_capability}), a learner takes "
            f"{self.learner_threads} threads; GPU: {', '.join(self.gpus) or 'none'}",
        ]

    @property
    def lacks_bfloat16(self) -> str:
        """What to note beside a figure in bfloat16; empty where the CPU multiplies it itself."""
        has = {"avx512_bf16", "amx_bf16", "bf16"} & set(self.instruction_sets)
        return "" if has else "this CPU has no bfloat16 arithmetic"


def hardware() -> Hardware:
    """Look at this machine."""
    info = cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return Hardware(
        cpu=cpu_model(info),
        cores=count_cores(),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in flags),
        gpus=tuple(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))),
        torch_version=torch.__version__,
        torch_capability=torch.backends.cpu.get_cpu_capability(),
        learner_threads=default_threads(),
    )
