"""What happened in one call of the learner: its metrics, and a look for numbers gone wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from awac_dist.algorithms.base import Method
from awac_dist.algorithms.promises import HOW_TO
from awac_dist.errors import InputError, NotFinite, RunFailed, cannot_write
from awac_dist.files import write_file
from awac_dist.learner.checkpoint import torch_bytes
from awac_dist.tensors import Metrics

MOMENTS = {"exp_avg": "gradient", "exp_avg_sq": "squared gradient"}  # of Adam
UPDATES_KEPT = 2  # the one after which a number is not finite, and the one before it
BYTES_KEPT = 1 << 28  # of batches, by all of which wide observations would fill the memory


class CallRecord:
    """Blocks and metrics of the updates of one call; they leave the device once, at its end.

    Args:
        grad_steps: Before the call.
        evidence: Folder that the batches around the first bad number go to; None keeps none.
    """

    def __init__(self, grad_steps: int = 0, evidence: str | None = None) -> None:
        self._grad_steps, self._evidence = grad_steps, evidence
        self._blocks: dict[int, Sequence[Tensor]] = {}  # of the last updates, by their numbers
        self._bytes = 0  # of these
        self._rows: list[list[Tensor]] = []  # M numbers [] of each update
        self._names: list[str] = []
        self._values: Tensor | None = None  # [updates, M] on the CPU

    def add(self, blocks: Sequence[Tensor], metrics: Metrics) -> None:
        """Take note of an update and of its batches; no host synchronisation.

        An InputError names a metric that is no tensor [], or of some updates alone.
        """
        self._keep(blocks)
        self._names = self._names or list(metrics)
        for name in {*self._names} ^ {*metrics}:
            raise InputError(f"metric {name}: some updates have it, some do not: {HOW_TO}")
        self._rows.append([_number(name, metrics[name]) for name in self._names])

    def _keep(self, blocks: Sequence[Tensor]) -> None:
        self._blocks[len(self._rows)] = blocks
        self._bytes += _bytes(blocks)
        while self._bytes > BYTES_KEPT and len(self._blocks) > UPDATES_KEPT:
            self._bytes -= _bytes(self._blocks.pop(min(self._blocks)))

    def means(self) -> dict[str, float]:
        """Mean of each metric over the call, with one host synchronisation."""
        if not self._rows:
            return {}
        numbers = torch.stack([value.float() for row in self._rows for value in row])
        self._values = numbers.view(len(self._rows), -1).cpu()
        return dict(zip(self._names, self._values.mean(0).tolist(), strict=True))

    def check(self, method: Method) -> None:
        """Look for what is not finite, in the metrics first, then in all that the method keeps.

        Raises:
            RunFailed: Names the quantity, the update, and where the batches are.
        """
        update, quantity = self._first_bad_metric()
        quantity = quantity or _first_bad_tensor(method)
        if quantity:
            numbers = range(update + 1 - UPDATES_KEPT, update + 1)
            around = [self._blocks[number] for number in numbers if number in self._blocks]
            done = self._grad_steps + update + 1
            where = self._save([*chain.from_iterable(around)], quantity, done)
            raise RunFailed(f"{quantity} is not finite after update {done:,}{where}")

    def refused(self, error: NotFinite) -> RunFailed:
        """What to raise for transitions that nobody can learn from."""
        update = self._grad_steps + len(self._rows)
        where = self._save([torch.tensor(error.block)], "batch", update)
        return RunFailed(f"a batch is not finite after update {update:,}: {error}{where}")

    def _first_bad_metric(self) -> tuple[int, str]:
        """Number of the update and name of the metric; the last one and no name if all is well."""
        if self._values is not None:
            bad = (~self._values.isfinite()).nonzero()
            if len(bad):
                update, column = bad[0].tolist()
                return update, self._names[column]
        return len(self._rows) - 1, ""

    def _save(self, around: Sequence[Tensor], quantity: str, update: int) -> str:
        """Write the blocks as a weights-only torch file; returns what to tell of it."""
        if self._evidence is None:
            return ""
        if not around:
            return "; the batches around it were let go: see learner.updates_per_call"
        content = {"quantity": quantity, "update": update, "blocks": [b.cpu() for b in around]}
        path = f"{self._evidence}/{update:09d}.pt"
        try:
            write_file(path, torch_bytes(content))
        except OSError as error:
            return f"; the batches around it are lost: {cannot_write(path, error)}"
        return f"; the batches around it are in {path}"


def _bytes(blocks: Sequence[Tensor]) -> int:
    return sum(block.nbytes for block in blocks)


def _number(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    what = f"has shape {[*value.shape]}" if isinstance(value, Tensor) else f"is {value!r}"
    raise InputError(f"metric {name}: {what}, and has to be a tensor []: {HOW_TO}")


def _first_bad_tensor(method: Method) -> str:
    """Name of what is not finite of all that a checkpoint keeps, the gradients first.

    Tells by the sums, so that one number is read.
    """
    tensors = dict(named_tensors(method))
    sums = torch.stack([value.detach().sum() for value in tensors.values()])
    if bool(sums.sum().isfinite()):
        return ""
    return next((name for name, value in tensors.items() if not bool(value.isfinite().all())), "")


def named_tensors(method: Method) -> Iterator[tuple[str, Tensor]]:
    """All that must be finite, the optimisers' first, each with a name for people."""
    targets = {f"target_{name}": target for name, target in method.targets.items()}
    named = {
        f"{name}.{inner}": value
        for name, module in (method.networks | targets).items()
        for inner, value in module.state_dict(keep_vars=True).items()
    } | method.duals
    names = {parameter: name for name, parameter in named.items()}
    for optimizer in method.optimizers.values():
        for parameter, state in optimizer.state.items():
            for what, value in state.items():
                if isinstance(value, Tensor):
                    yield f"{MOMENTS.get(what, what)} of {names[parameter]}", value
    for name, value in named.items():
        yield f"parameter {name}", value
