"""A policy as a file for other runtimes, which acts as it does: by the mean, within the bounds.

observations [B, O] as the task gives them -> actions [B, A] in the task's units
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from awac_dist.errors import InputError
from awac_dist.nn.proposals import Choice, Mean
from awac_dist.policies.choosing import ChoosingPolicy
from awac_dist.policies.network import MOST_STDS, NetworkPolicy
from awac_dist.types import Array

INPUT, OUTPUT = "observations", "actions"
LARGEST_DIFFERENCE = 1e-5  # from the policy in NumPy, in half ranges of the actions
SAME_VALUE = 1e-5, 1e-6  # relative and absolute difference of values: as far as float32 tells
RANDOM_ROWS, SPREAD = 256, 3.0  # observations that each export is checked on, and how wide they are
Act = Callable[[Array], Array]  # observations [B, O] -> actions [B, A]


class MeanAction(nn.Module):
    """What a policy does without chance: its twin in torch, normalisation and bounds included.

    An InputError refuses one that remembers.
    """

    low: Tensor
    high: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, policy: NetworkPolicy) -> None:
        if policy.memory_size:
            raise InputError(
                f"a {policy.spec.kind} policy remembers from step to step, and such a file does "
                "not: write it as FILE.npz, which does"
            )
        super().__init__()
        chooses = isinstance(policy, ChoosingPolicy)
        self.act = Choice(policy) if chooses else Mean(policy.spec.kind, policy)
        self.requires_grad_(False)
        for name, array in {"low": policy.low, "high": policy.high, **_seen_by(policy)}.items():
            self.register_buffer(name, torch.tensor(array))
        self._normalizes = policy.spec.normalize_observations

    def forward(self, observations: Tensor) -> Tensor:
        """[B, O] -> [B, A]."""
        if self._normalizes:
            most = float(MOST_STDS)
            observations = ((observations - self.shift) / self.scale).clamp(-most, most)
        actions: Tensor = self.act(observations)
        return actions.clamp(self.low, self.high)


def _seen_by(policy: NetworkPolicy) -> dict[str, Array]:
    """How a policy normalises observations: shift and scale [O], 0 and 1 where it does not."""
    arrays, size = policy.arrays, policy.input_size
    shift = arrays.get("observation_shift", np.zeros(size, np.float32))
    return {"shift": shift, "scale": arrays.get("observation_scale", np.ones_like(shift))}


def torchscript(policy: NetworkPolicy) -> tuple[bytes, Act]:
    """The file that `torch.jit.load` and libtorch read, and what it does."""
    memory, jit = io.BytesIO(), cast("Any", torch.jit)  # which has no types
    with _unwarned():
        jit.save(jit.trace(MeanAction(policy), _example(policy)), memory)
        module = jit.load(io.BytesIO(memory.getvalue()))
    return memory.getvalue(), lambda rows: module(torch.tensor(rows)).numpy()


def onnx(policy: NetworkPolicy) -> tuple[bytes, Act]:
    """The file that ONNX runtimes read, and what it does; an InputError where a package is missing.

    It is made of the TorchScript, which takes a fiftieth of the time of torch's newer way, and
    no more packages.
    """
    try:
        import onnx as _  # noqa: F401 - torch needs it
        from onnxruntime import InferenceSession
    except ImportError:
        raise InputError("ONNX needs two packages: pip install 'awac_dist[export]'") from None
    memory, any_number = io.BytesIO(), {0: "batch"}
    with _unwarned():
        torch.onnx.export(
            MeanAction(policy),
            (_example(policy),),
            cast("Any", memory),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: any_number, OUTPUT: any_number},
            dynamo=False,
        )
    session = InferenceSession(memory.getvalue(), providers=["CPUExecutionProvider"])
    return memory.getvalue(), lambda rows: session.run([OUTPUT], {INPUT: rows})[0]


def checked(made: tuple[bytes, Act], policy: NetworkPolicy, recorded: Array) -> tuple[bytes, float]:
    """A file that acts like the policy in NumPy, and how far it is off, in half ranges.

    Args:
        made: The file, and what it does.
        policy: Whose it is.
        recorded: Observations [n, O] of the task, if there are some; others are drawn at random.

    Raises:
        RuntimeError: It is off by more than `LARGEST_DIFFERENCE`.
    """
    content, act = made
    shift, scale = _seen_by(policy).values()
    drawn = np.random.default_rng(0).normal(0, SPREAD, (RANDOM_ROWS, policy.input_size))
    rows = np.concatenate([shift + scale * drawn, recorded]).astype(np.float32)
    found, wanted = act(rows), np.clip(policy.mean(rows), policy.low, policy.high)
    differences = 2 * np.abs(found - wanted) / (policy.high - policy.low)
    if isinstance(policy, ChoosingPolicy):  # of two candidates of one value either may be taken
        of_found, of_wanted = policy.values(rows, np.stack((found, wanted)))
        differences[np.isclose(of_found, of_wanted, *SAME_VALUE)] = 0
    off = float(differences.max())
    if not off <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"a {policy.spec.kind} policy was exported wrongly: it is off by {off}")
    return content, off


def _example(policy: NetworkPolicy) -> Tensor:
    return torch.zeros(2, policy.input_size)  # of one row alone its number would be taken for 1


@contextmanager
def _unwarned() -> Iterator[None]:
    """Around what torch says it will drop one day, which the versions that we run with have.

    And around checks of shapes, of which a trace keeps nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        yield


FORMATS = {"onnx": onnx, "pt": torchscript}  # by the end of a file's name
