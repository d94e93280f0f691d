"""The update loop: batches in, weights out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import Method, OptimizerConfig
from awac_dist.algorithms.bc import BehaviouralCloning
from awac_dist.allocator import keep_freed_memory
from awac_dist.errors import NotFinite, RunFailed
from awac_dist.learner.batches import BatchFetcher
from awac_dist.learner.checkpoint import load_checkpoint, save_checkpoint
from awac_dist.learner.device import Precision, autocast, default_threads
from awac_dist.learner.record import CallRecord
from awac_dist.messages import Handle, Placement, UpdateReport
from awac_dist.nn.config import NetworkConfig
from awac_dist.replay.layout import Layout
from awac_dist.replay.sampler import Sampler
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec


@dataclass(frozen=True)
class LearnerConfig:
    """The learner.

    Attributes:
        batch_size: Transitions of an online update.
        discount: gamma.
        threads: Threads of torch on the CPU; None takes half of the cores, up to 8: threads that
            wait for each other drown when workers hold their cores.
        precision: Of the matrix products of an update; parameters, losses and optimisers stay
            float32. "bfloat16" is faster only where the hardware multiplies it.
        gpus: 1 learns on a GPU, 0 on the CPU; None takes a GPU if there is one.
        updates_per_call: Updates between two publications of weights and rows of metrics.
        batches_per_request: Batches fetched from each shard in one call.
        keep_checkpoints: The newest so many checkpoints stay.
    """

    batch_size: int = 256
    discount: float = 0.99
    threads: int | None = None
    precision: Precision = "float32"
    gpus: Literal[0, 1] | None = None
    updates_per_call: int = 100
    batches_per_request: int = 50
    keep_checkpoints: int = 3


class Learner:
    """Owns the networks. A plain object; `distributed.actors` gives it a process.

    Args:
        spec: The task.
        networks: Sizes of the networks.
        optimizer: Step sizes.
        awac: The method's own options.
        config: The learner's own options.
        shards: Where batches come from.
        weights: Where new policies go.
        online_capacity: Online transitions that stay in play.
        seed: Of networks, batches and sampled actions.
        device: "cpu" or "cuda".
        evidence: Folder for the batches after which a number was not finite.
    """

    def __init__(
        self,
        spec: EnvSpec,
        networks: NetworkConfig,
        optimizer: OptimizerConfig,
        awac: AWACConfig,
        config: LearnerConfig,
        shards: Sequence[Handle],
        weights: Handle,
        *,
        online_capacity: int,
        seed: int,
        device: str,
        evidence: str | None = None,
    ) -> None:
        keep_freed_memory()
        torch.set_num_threads(config.threads or default_threads())
        self._policy_spec = networks.policy_spec(spec)
        self._networks, self._optimizer, self._awac = networks, optimizer, awac
        self._config, self._seed, self._device = config, seed, torch.device(device)
        self._layout = Layout.of(spec)
        self._sampler = Sampler(seed, online_capacity)
        self._fetcher = BatchFetcher(
            shards, self._sampler, self._layout, config.batches_per_request, self._device
        )
        self._weights, self._evidence = weights, evidence
        self._method: Method | None = None
        self._batch_size = config.batch_size
        self.grad_steps = 0

    @property
    def method(self) -> Method:
        """The method in training."""
        assert self._method is not None, "begin_cloning or begin_awac comes first"
        return self._method

    def add(self, placements: Sequence[Placement]) -> dict[str, int]:
        """Register fragments, in an order that matters; returns transitions by source."""
        self._sampler.add(placements)
        return self._sampler.sizes()

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Draw the transitions of some sources more often than others, from now on."""
        self._sampler.set_weights(weights)

    def begin_cloning(
        self, sources: Sequence[str], *, learning_rate: float, batch_size: int
    ) -> None:
        """Fit a behavioural clone of the given sources from now on."""
        sizes = self._sampler.sizes()
        total = sum(sizes[source] for source in sources)
        self._method = BehaviouralCloning(
            self._policy_spec, learning_rate, seed=self._seed, device=self._device
        )
        self.set_batches(batch_size, {source: sizes[source] / total for source in sources})
        self.publish()

    def begin_awac(
        self, batch_size: int, *, keep_actor: bool, goals: Mapping[str, float] | None = None
    ) -> None:
        """Train AWAC from now on, uniformly on everything there is.

        Args:
            batch_size: Transitions of an update.
            keep_actor: Start from the actor of the clone.
            goals: Shares of the batches by whose goal a transition is after.
        """
        clone = self._method
        self._method = AWAC(
            self._awac,
            self._policy_spec,
            self._networks,
            self._optimizer,
            seed=self._seed,
            device=self._device,
        )
        if keep_actor and clone is not None:
            self._method.actor.load_state_dict(clone.actor.state_dict())
        self._sampler.set_goals(goals or {})
        self.set_batches(batch_size, {})
        self.publish()

    def set_batches(self, batch_size: int, mixture: Mapping[str, float]) -> None:
        """Change size and mixture of the batches from now on."""
        self._batch_size = batch_size
        self._sampler.set_mixture(mixture)

    def update(self, count: int, placements: Sequence[Placement] = ()) -> UpdateReport:
        """Register new fragments, take `count` gradient steps and publish the policy.

        Raises:
            RunFailed: A batch, a loss or a parameter is not finite; nothing of this call is
                published.
        """
        start = time.perf_counter()
        self._sampler.add(placements)
        blocks = self._fetcher.fetch(self.grad_steps, count, self._batch_size)
        record = CallRecord()
        fetch_s, copied_s = 0.0, self._fetcher.copy_s
        try:
            for _ in range(count):
                asked = time.perf_counter()
                block = next(blocks)
                fetch_s += time.perf_counter() - asked
                with autocast(self._config.precision, self._device):
                    metrics = self.method.update(Batch.from_block(block, self._layout))
                record.add(block, metrics)
        except NotFinite as error:
            raise record.refused(error, self.grad_steps, self._evidence) from error
        means = record.means() | {"replay/size": float(sum(self._sampler.sizes().values()))}
        record.check(self.method, self.grad_steps, self._evidence)
        self.grad_steps += count
        self.publish()
        seconds, copy_s = time.perf_counter() - start, self._fetcher.copy_s - copied_s
        return UpdateReport(self.grad_steps, count, means, seconds, fetch_s - copy_s, copy_s)

    def save(self, folder: str, progress: dict[str, Any]) -> str:
        """Write a checkpoint of everything that learns, and of `progress`; returns its path.

        The driver may not have heard of the newest updates: their number is set right.
        """
        progress = {**progress, "grad_steps": self.grad_steps}
        fragments = self._sampler.state()
        state = {
            "method": self.method.training_state(),
            "grad_steps": self.grad_steps,
            "fragments": {source: torch.from_numpy(keys) for source, keys in fragments.items()},
        }
        acting = self._policy_spec, self.method.actor.arrays()
        keep = self._config.keep_checkpoints
        return save_checkpoint(folder, self.grad_steps, state, progress, acting, keep=keep)

    def restore_replay(self, checkpoint: str, places: Sequence[Placement]) -> list[Placement]:
        """Draw from the fragments that a checkpoint knew, as it would have.

        Args:
            checkpoint: Path of the checkpoint.
            places: Where all fragments lie by now.

        Returns:
            Places of fragments that the checkpoint did not know.
        """
        fragments = load_checkpoint(checkpoint)["fragments"]
        state = {source: keys.numpy() for source, keys in fragments.items()}
        return self._sampler.restore(state, places)

    def restore_method(self, checkpoint: str) -> int:
        """Go on where the method in training was; returns its grad_steps."""
        state = load_checkpoint(checkpoint)
        self.method.load_training_state(state["method"])
        self.grad_steps = state["grad_steps"]
        self.publish()
        return self.grad_steps

    def policy_vector(self) -> Any:
        """The actor as a flat NumPy vector [P]."""
        return self.method.actor.flat_vector().cpu().numpy()

    def publish(self) -> None:
        """Hand the policy to whoever acts.

        Raises:
            RunFailed: It is not finite.
        """
        vector = self.policy_vector()
        if not np.isfinite(vector).all():
            raise RunFailed(f"the policy after update {self.grad_steps:,} is not finite")
        self._weights.post("publish", self.grad_steps, vector).result()
