"""Makes the prior data of a task as its recipe says: demonstrations, a clone, its trajectories.

Episodes come from ten streams, whatever the machine: each is a worker with a number of its own,
and what it collects depends on no other. They are put in the order of their numbers. So the data
follow from the seed, with or without Ray and on any number of cores.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from awac_dist.cli.bars import progress
from awac_dist.cli.bounds import action_bounds
from awac_dist.cli.cloning import fit_clone
from awac_dist.cli.collect import Rollout, collect, open_runtime, start_workers
from awac_dist.cli.convert import fragments
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.cli.recipes import Recipe
from awac_dist.data import sources
from awac_dist.data.fragments import join_fragments
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.errors import InputError
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.policy import Policy, UnitPolicy
from awac_dist.reporting.wording import duration, number
from awac_dist.types import EnvSpec, Episode, Kind

STREAMS = 10  # the authors rolled their clones out with ten seeds
TRIES = 10  # episodes at most for each demonstration that is wanted
Record = Callable[[int], list[Episode]]


@dataclass(frozen=True)
class Making:
    """The making of one dataset.

    Attributes:
        recipe: What to make.
        spec: The task.
        folder: Where it goes.
        seed: Everything random follows from it.
        inline: Whether this process does it all, without Ray.
        stream: Where to say what is done.
    """

    recipe: Recipe
    spec: EnvSpec
    folder: Path
    seed: int
    inline: bool
    stream: TextIO

    def random(self) -> list[Episode]:
        """Trajectories of a random process."""
        with self._streams(UnitPolicy(self.spec), "prior", 0, self.recipe.noises) as record:
            return self._written("random", record(self.recipe.episodes))

    def convert(self, argument: str) -> list[Episode]:
        """Demonstrations that are there already, rewarded by the rule of the task."""
        source = replace(sources.open_source(argument, self.spec), kind="demonstration")
        found = join_fragments(e for *_, e in fragments([source], self.recipe.relabel))
        if self.recipe.clip_demonstrations:
            bounds = action_bounds(sources.describe(source), self.spec.env_id)
            outside = np.concatenate([bounds.outside(episode.actions) for episode in found])
            if outside.any():
                share = f"{100 * outside.mean():.3g} %"
                self._say(f"clipped {share} of all action entries, to {bounds.origin}")
            found = [sources.clipped(episode, self.spec) for episode in found]
        return self._written("demonstrations", self._demonstrations(argument, found))

    def demonstrate(self, name: str) -> list[Episode]:
        """Demonstrations by a policy, as often tried as it takes within a limit."""
        policy, noise = open_policy(name, self.spec), BLIND.get(name, WhiteNoise)
        wanted = self.recipe.demonstrations
        with self._streams(policy, "demonstration", 0, (noise,)) as record:
            found = record(wanted)
            while len(self._good(found)) < wanted and len(found) < TRIES * wanted:
                found = record(wanted - len(self._good(found)))
        kept = self._demonstrations(name, found)
        if self.recipe.clip_demonstrations:
            kept = [sources.clipped(episode, self.spec) for episode in kept]
        return self._written("demonstrations", kept)

    def clone(self) -> list[Episode]:
        """Trajectories of a clone of the demonstrations, which are in the folder already."""
        settings, started = self.recipe.clone, time.monotonic()
        demonstrations = str(self.folder / "demonstrations.parquet")
        actor = self.recipe.actor
        with progress("clone updates", settings.updates, self.stream) as advance:
            policy = fit_clone(
                demonstrations, self.spec, actor, settings, seed=self.seed, advance=advance
            )
        took = time.monotonic() - started
        rate = f"{settings.updates / took:,.0f} a second"
        self._say(f"clone: {settings.updates:,} updates in {duration(took)}, {rate}")
        with self._streams(policy, "prior", STREAMS, self.recipe.noises) as record:
            return self._written("clone", record(self.recipe.episodes))

    @contextmanager
    def _streams(
        self, policy: Policy, kind: Kind, first: int, noises: Sequence[MakeNoise | None]
    ) -> Iterator[Record]:
        """A function that records so many more episodes, and returns all in order.

        Args:
            policy: Who acts.
            kind: What the episodes are.
            first: Number of the first stream: those of one dataset share none.
            noises: What moves the actions, in turn.
        """
        parts = self.folder / "parts"
        rollout = Rollout(self.spec, policy, kind, self.seed, parts)
        streams = [(first + place, noises[place % len(noises)]) for place in range(STREAMS)]
        with open_runtime(inline=self.inline) as runtime:
            workers = start_workers(runtime, rollout, streams)

            def record(episodes: int) -> list[Episode]:
                collect(runtime, workers, episodes, kind, self.stream)
                return _in_order(parts)

            yield record
        shutil.rmtree(parts)

    def _demonstrations(self, name: str, found: Sequence[Episode]) -> list[Episode]:
        """The first of those that are good enough, as many as are wanted."""
        wanted, kept = self.recipe.demonstrations, self._good(found)
        if len(kept) >= wanted:
            self._say(f"kept {wanted} of {len(found)} episodes of {name} as demonstrations")
            return kept[:wanted]
        returns = np.array([episode.total_reward for episode in found])
        least = self.recipe.min_return
        reach = "" if least is None else f" have a return of {number(least)} or more"
        raise InputError(
            f"{name}: {len(kept)} of {len(found)} episodes{reach}, but {wanted} are wanted; "
            f"returns came from {number(returns.min())} to {number(returns.max())}, mean "
            f"{number(returns.mean())}: give better ones, or a lower --min-return"
        )

    def _good(self, found: Sequence[Episode]) -> list[Episode]:
        least = self.recipe.min_return
        return [episode for episode in found if least is None or episode.total_reward >= least]

    def _written(self, name: str, episodes: list[Episode]) -> list[Episode]:
        write_episodes(str(self.folder / f"{name}.parquet"), episodes, self.spec)
        self._say(f"{name}: {_told(episodes)}")
        return episodes

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def shares_of_success(episodes: Sequence[Episode]) -> dict[str, float] | None:
    """Share of episodes that succeed, by definition; None where some do not say."""
    successes = [e.successes for e in episodes if e.successes is not None]
    if len(successes) < len(episodes):
        return None
    return {
        "final step": float(np.mean([column[-1] > 0 for column in successes])),
        "any step": float(np.mean([(column > 0).any() for column in successes])),
    }


def _in_order(folder: Path) -> list[Episode]:
    """Everything recorded in a folder: the first of every stream, then the second of each."""
    found = [e for path in sorted(folder.glob("*.parquet")) for _, e in read_episodes(str(path))]
    return sorted(found, key=lambda e: (e.origin.episode, e.origin.worker))


def _told(episodes: Sequence[Episode]) -> str:
    returns = np.array([episode.total_reward for episode in episodes])
    shares = shares_of_success(episodes) or {}
    words = [
        f"{len(episodes):,} episodes, {sum(map(len, episodes)):,} steps",
        f"returns from {number(returns.min())} to {number(returns.max())}",
        f"mean {number(returns.mean())}",
        *(f"success {100 * share:.3g} % ({name})" for name, share in shares.items()),
    ]
    return ", ".join(words)
