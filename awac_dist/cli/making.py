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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from awac_dist.cli.bounds import action_bounds
from awac_dist.cli.cloning import fit_clone
from awac_dist.cli.collect import recording
from awac_dist.cli.convert import Changes
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
        files: What was written, in figures.
    """

    recipe: Recipe
    spec: EnvSpec
    folder: Path
    seed: int
    inline: bool
    stream: TextIO
    files: dict[str, Any] = field(default_factory=dict)

    def random(self) -> None:
        """Trajectories of a random process."""
        with self._streams(UnitPolicy(self.spec), "prior", 0, self.recipe.noises) as record:
            self._write("random", record(self.recipe.episodes))

    def convert(self, argument: str) -> None:
        """Demonstrations that are there already, rewarded by the rule of the task."""
        recipe, source = self.recipe, sources.open_source(argument, self.spec)
        bounds = action_bounds(sources.describe(source), self.spec.env_id)
        clip = bounds if recipe.clip_demonstrations else None
        changes = Changes("demonstration", clip, recipe.relabel)
        found = join_fragments(changes.apply(*item) for item in sources.episodes(source))
        if changes.clipped.outside:
            share = f"{100 * changes.clipped.outside / changes.clipped.entries:.3g} %"
            self._say(f"clipped {share} of all action entries, to {bounds.origin}")
        self._write("demonstrations", self._demonstrations(argument, found))

    def demonstrate(self, name: str) -> None:
        """Demonstrations by a policy, as often tried as it takes within a limit."""
        policy, noise = open_policy(name, self.spec), BLIND.get(name, WhiteNoise)
        wanted = self.recipe.demonstrations
        with self._streams(policy, "demonstration", 0, (noise,)) as record:
            found = record(wanted)
            while (good := len(self._good(found))) < wanted and len(found) < TRIES * wanted:
                found = record(wanted - good)
        kept = self._demonstrations(name, found)
        if self.recipe.clip_demonstrations:
            kept = [sources.clipped(episode, self.spec) for episode in kept]
        self._write("demonstrations", kept)

    def clone(self) -> None:
        """Trajectories of a clone of the demonstrations, which are in the folder already."""
        recipe, started = self.recipe, time.monotonic()
        policy = fit_clone(
            str(self.folder / "demonstrations.parquet"),
            self.spec,
            recipe.actor,
            recipe.clone,
            self.seed,
            self.stream,
        )
        took = time.monotonic() - started
        rate = f"{recipe.updates / took:,.0f} a second"
        self._say(f"clone: {recipe.updates:,} updates in {duration(took)}, {rate}")
        with self._streams(policy, "prior", STREAMS, recipe.noises) as record:
            self._write("clone", record(recipe.episodes))

    @contextmanager
    def _streams(
        self, policy: Policy, kind: Kind, first: int, noises: Sequence[MakeNoise | None]
    ) -> Iterator[Callable[[int], list[Episode]]]:
        """A function that records so many more episodes, and returns all in order.

        Args:
            policy: Who acts.
            kind: What the episodes are.
            first: Number of the first stream: those of one dataset share none.
            noises: What moves the actions, in turn.
        """
        parts = self.folder / "parts"
        streams = [(first + place, noises[place % len(noises)]) for place in range(STREAMS)]
        with recording(
            self.spec, policy, streams, kind, self.seed, parts, self.stream, inline=self.inline
        ) as collect:

            def record(episodes: int) -> list[Episode]:
                collect(episodes)
                return _in_order(parts)

            yield record
        shutil.rmtree(parts)

    def _demonstrations(self, name: str, found: Sequence[Episode]) -> list[Episode]:
        """The first of those that are good enough, as many as are wanted."""
        wanted, kept = self.recipe.demonstrations, self._good(found)
        if len(kept) >= wanted:
            self._say(f"kept {wanted} of {len(found)} episodes of {name} as demonstrations")
            return kept[:wanted]
        least = self.recipe.min_return
        reach = "" if least is None else f" have a return of {number(least)} or more"
        returns = _figures(found)["return"]
        raise InputError(
            f"{name}: {len(kept)} of {len(found)} episodes{reach}, but {wanted} are wanted; "
            f"returns came from {number(returns['min'])} to {number(returns['max'])}, mean "
            f"{number(returns['mean'])}: give better ones, or a lower --min-return"
        )

    def _good(self, found: Sequence[Episode]) -> list[Episode]:
        least = self.recipe.min_return
        return [episode for episode in found if least is None or episode.total_reward >= least]

    def _write(self, name: str, episodes: list[Episode]) -> None:
        write_episodes(str(self.folder / f"{name}.parquet"), episodes, self.spec)
        self.files[f"{name}.parquet"] = figures = _figures(episodes)
        returns, shares = figures["return"], figures["success"] or {}
        words = [
            f"{figures['episodes']:,} episodes, {figures['steps']:,} steps",
            f"returns from {number(returns['min'])} to {number(returns['max'])}",
            f"mean {number(returns['mean'])}",
            *(f"success {100 * share:.3g} % ({step})" for step, share in shares.items()),
        ]
        self._say(f"{name}: {', '.join(words)}")

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def _in_order(folder: Path) -> list[Episode]:
    """Everything recorded in a folder: the first of every stream, then the second of each."""
    found = [e for path in sorted(folder.glob("*.parquet")) for _, e in read_episodes(str(path))]
    return sorted(found, key=lambda e: (e.origin.episode, e.origin.worker))


def _figures(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What `recipe.json` says of episodes; no success where some do not tell."""
    returns = [episode.total_reward for episode in episodes]
    successes = [e.successes > 0 for e in episodes if e.successes is not None]
    shares = None
    if len(successes) == len(episodes):
        shares = {
            "final step": float(np.mean([column[-1] for column in successes])),
            "any step": float(np.mean([column.any() for column in successes])),
        }
    return {
        "episodes": len(episodes),
        "steps": sum(map(len, episodes)),
        "return": {"min": min(returns), "mean": float(np.mean(returns)), "max": max(returns)},
        "success": shares,
    }
