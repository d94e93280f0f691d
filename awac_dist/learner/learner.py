"""The update loop: batches in, weights out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.world import Acting, Task
from awac_dist.allocator import keep_freed_memory
from awac_dist.errors import NotFinite, RunFailed
from awac_dist.learner.batches import BatchFetcher
from awac_dist.learner.checkpoint import load_checkpoint, save_checkpoint
from awac_dist.learner.compilation import Compilation, Compilations, Job, use_cache
from awac_dist.learner.compile import CompiledGradients
from awac_dist.learner.config import Coming, LearnerConfig
from awac_dist.learner.device import autocast, default_threads, thread_counts, without_denormals
from awac_dist.learner.normalization import Normalization
from awac_dist.learner.pause import Pause
from awac_dist.learner.record import CallRecord
from awac_dist.learner.threads import ThreadChooser
from awac_dist.messages import Handle, Holdings, Rounds, UpdateReport
from awac_dist.policies.initial import arrays_of, open_initial
from awac_dist.replay.books import Books
from awac_dist.replay.config import NOTHING_CHANGED, ReplayConfig
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.replay.sampler import ONLINE, Sampler
from awac_dist.tensors import Batch
from awac_dist.types import Array, EnvSpec


class Learner:
    """Owns the networks. A plain object; `distributed.actors` gives it a process.

    Args:
        spec: The task.
        config: The learner's own options.
        shards: Where batches come from.
        weights: Where new policies go.
        online_capacity: Online rows that stay in play.
        sources: Those of the prior data, in order, and how much likelier their transitions are
            drawn than others.
        seed: Of networks, batches and sampled actions.
        device: "cpu" or "cuda".
        replay: What is done to batches.
        evidence: Folder for the batches after which a number was not finite.
        initial: File of a policy that methods start from.
        repeats: Whether its numbers are to repeat themselves: the number of threads stays, and
            nothing is compiled unless it is asked for.
    """

    def __init__(
        self,
        spec: EnvSpec,
        config: LearnerConfig,
        shards: Sequence[Handle],
        weights: Handle,
        *,
        online_capacity: int,
        seed: int,
        device: str,
        replay: ReplayConfig = NOTHING_CHANGED,
        sources: Mapping[str, float] | None = None,
        evidence: str | None = None,
        initial: str | None = None,
        repeats: bool = True,
    ) -> None:
        keep_freed_memory()
        use_cache()
        first = config.threads or default_threads()
        stays = config.threads or repeats or device != "cpu"
        self._threads = ThreadChooser([first] if stays else thread_counts(), first)
        self._compiles = False if repeats and config.compile is None else config.compile
        self._compilations = Compilations(self._compilation_of)
        self._task = Task(spec, config.discount)
        self._config, self._seed, self._device = config, seed, torch.device(device)
        self._shards, self._replay = shards, replay
        self._sampler = Sampler(seed, online_capacity, sources)
        self._books = Books(self._sampler, shards, sources or ())
        per_request = config.batches_per_request
        layout = Layout.of(spec)
        self._fetcher = BatchFetcher(shards, self._sampler, layout, per_request, self._device)
        self._normalization: Normalization | None = None
        self._weights, self._evidence, self._initial = weights, evidence, initial
        self._method: Method | None = None
        self._batch_size = config.batch_size
        self._pause = Pause()
        self.grad_steps = 0

    @property
    def method(self) -> Method:
        """The method in training."""
        assert self._method is not None, "begin comes first"
        return self._method

    def open(self, checkpoint: str | None, rounds: Rounds | None = None) -> Holdings:
        """Register what the shards hold, as a checkpoint had it, and `register` all else."""
        if checkpoint is not None:
            self._books.restore(load_checkpoint(checkpoint)["books"])
        return self._books.register(rounds)

    def register(self, rounds: Rounds | None = None) -> Holdings:
        """Learn from what the shards accepted since they were asked.

        Args:
            rounds: Only what came before these positions of the workers' streams, round by round;
                None is everything.
        """
        return self._books.register(rounds)

    @without_denormals()
    def begin(
        self,
        method: MethodConfig,
        batch_size: int,
        *,
        sources: Sequence[str] = (),
        adopt: bool = False,
        goals: Mapping[str, float] | None = None,
        then: Coming | None = None,
        checkpoint: str | None = None,
    ) -> None:
        """Train a method from now on, uniformly on everything there is, and publish its policy.

        Args:
            method: Its options.
            batch_size: Transitions of a batch.
            sources: Learn from these alone; none is from all.
            adopt: Start from the policy of the method before it.
            goals: Shares of the batches by whose goal a transition is after.
            then: What is compiled meanwhile, since it is trained next.
            checkpoint: Go on where the method was then: nobody acts as what it was before.
        """
        before = self._method
        if self._replay.normalize_observations and self._normalization is None:
            self._normalization = Normalization.by(self._shards)
        compilation = self._compilations.begin(method, batch_size)
        self._method, wishes = compilation.method, compilation.job.wishes
        if adopt and before is not None:
            self._method.adopt(before.acting().arrays)
        elif self._initial is not None:
            self._start_from(self._initial)
        if goals:
            wishes.check_goals()
        self._sampler.set_goals(goals or {})
        self._fetcher.layout = Layout.of(self._task.spec, wishes)
        if self._normalization is not None:
            of_blocks = self._normalization.of_blocks
            self._fetcher.normalize = of_blocks(self._fetcher.layout, self._device)
        sizes = self._sampler.sizes()
        total = sum(sizes[source] for source in sources)
        self.set_batches(batch_size, {source: sizes[source] / total for source in sources})
        if checkpoint is not None:
            self._restore(checkpoint)
        self.publish()
        if then is not None and self._compiles is None:
            self._compilations.foresee(then)

    def look_ahead(self) -> None:
        """Take over what was compiled for later; to be called where nobody waits for updates."""
        self._compilations.look_ahead()

    def _compilation_of(self, config: MethodConfig, batch_size: int) -> Compilation:
        """A new method, compiled as asked for: at its first update, or aside, or not at all."""
        method = config.method(config, self._task, seed=self._seed, device=self._device)
        wishes = Wishes(method.needs, self._replay.n_steps, method.segment_length)
        precision, counts = self._config.precision, self._threads.counts
        if self._compiles:
            method.differentiate = CompiledGradients(method)
        job = Job(config, self._task, wishes, batch_size, precision, counts)
        return Compilation(method, job, wanted=self._compiles is None)

    def _start_from(self, path: str) -> None:
        actor, normalization = self.method.actor, self._normalization
        seen = {} if normalization is None else normalization.arrays
        policy = open_initial(path, actor.spec)
        self.method.adopt({**actor.arrays(), **arrays_of(policy, actor.spec, **seen)})

    def set_batches(
        self,
        batch_size: int,
        mixture: Mapping[str, float],
        newest: int | None = None,
        online: bool = False,
        patience: int | None = None,
    ) -> None:
        """Change the batches from now on.

        Args:
            batch_size: Transitions of each.
            mixture: Shares by source; empty is uniform.
            newest: Of online transitions, only the so many that came last; None is all.
            online: Whether the method learns online now.
            patience: Updates of a pause without a better held-out loss that end it; None: none do.
        """
        self._batch_size, self.method.online, self._pause.patience = batch_size, online, patience
        self._sampler.set_mixture(mixture, newest)

    @without_denormals()
    def update(self, count: int, rounds: Rounds | None = None, pause: int = 0) -> UpdateReport:
        """Register new fragments as `register` does, take gradient steps and publish the policy.

        Of a pause, of which `pause` updates are left with these, the critics alone take them;
        none is taken where they have nothing more to give.

        Raises:
            RunFailed: A batch, a loss or a parameter is not finite; nothing of this call is
                published.
        """
        start = time.perf_counter()
        self._books.register(rounds)
        count, self.method.critics_alone = self._pause.begin_call(count, pause), pause > 0
        each = self.method.batches_per_update
        blocks = self._fetcher.fetch(self.grad_steps * each, count * each, self._batch_size)
        record = CallRecord(self.grad_steps, self._evidence)
        fetch_s, copied_s = 0.0, self._fetcher.copy_s
        try:
            for _ in range(count):
                asked = time.perf_counter()
                drawn = [next(blocks) for _ in range(each)]
                began = time.perf_counter()
                self._learn_from(drawn, record)
                self._threads.took(time.perf_counter() - began)
                fetch_s += began - asked
        except NotFinite as error:
            raise record.refused(error) from error
        means = record.means() | {
            "replay/size": float(sum(self._sampler.sizes().values())),
            "learner/threads": float(self._threads.best),
        }
        record.check(self.method)
        self.grad_steps += count
        self.publish()
        seconds, copy_s = time.perf_counter() - start, self._fetcher.copy_s - copied_s
        note = self._compilations.updated(count, seconds)
        off = self._pause.let_off(count, means)
        wait_s = fetch_s - copy_s
        return UpdateReport(self.grad_steps, count, means, seconds, wait_s, copy_s, note, off)

    def _learn_from(self, blocks: Sequence[Tensor], record: CallRecord) -> None:
        with autocast(self._config.precision, self._device):
            batches = [Batch.from_block(block, self._fetcher.layout) for block in blocks]
            metrics = self.method.update(batches)
        record.add(blocks, metrics)

    def save(self, folder: str, progress: dict[str, Any], rounds: Rounds | None = None) -> str:
        """Write a checkpoint of everything that learns, and of `progress`; returns its path.

        The driver may not have heard of the newest updates and steps: they are set right.
        """
        env_steps = self._books.register(rounds).steps(ONLINE)
        progress = {**progress, "grad_steps": self.grad_steps, "env_steps": env_steps}
        state = {
            "method": self.method.training_state(),
            "grad_steps": self.grad_steps,
            "books": self._books.state(),
            "pause": self._pause.state(),
        }
        keep = self._config.keep_checkpoints
        return save_checkpoint(folder, self.grad_steps, state, progress, self._acting(), keep=keep)

    def _restore(self, checkpoint: str) -> None:
        state = load_checkpoint(checkpoint)
        self.method.load_training_state(state["method"])
        self.grad_steps = state["grad_steps"]
        self._pause.restore(state["pause"])

    def _acting(self) -> Acting:
        """The policy that acts on observations as the task gives them."""
        acting = self.method.acting()
        return acting if self._normalization is None else self._normalization.acting(acting)

    def policy_vector(self) -> Array:
        """The policy that acts as a flat vector [P]."""
        return self._acting().vector()

    def publish(self) -> None:
        """Hand the policy to whoever acts.

        Raises:
            RunFailed: It is not finite.
        """
        acting = self._acting()
        vector = acting.vector()
        if not np.isfinite(vector).all():
            raise RunFailed(f"the policy after update {self.grad_steps:,} is not finite")
        self._weights.post("publish", self.grad_steps, acting.spec, vector).result()
