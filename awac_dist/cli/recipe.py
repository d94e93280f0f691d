"""`awac-dist data recipe`: the prior data of one of the paper's tasks, made as its recipe says.

Episodes come from ten streams, whatever the machine: each is a worker with a number of its own,
and what it collects depends on no other. They are put in the order of their numbers. So the data
follow from the seed, with or without Ray and on any number of cores.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, TextIO

import numpy as np

from awac_dist import __version__
from awac_dist.cli.collect import fit_clone, recording
from awac_dist.cli.commands import Make
from awac_dist.cli.convert import fragments
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.cli.recipes import RECIPES, Recipe, described, process
from awac_dist.cli.writers import new_folder
from awac_dist.data import sources
from awac_dist.data.fitting import clipped
from awac_dist.data.fragments import join_fragments
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.data.sources import SourceFile
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError, writable
from awac_dist.files import read_file
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.npz import find_policy
from awac_dist.policies.policy import Policy, UnitPolicy
from awac_dist.reporting.provenance import PACKAGES, version_of
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.wording import counted, duration, number, percent, spread
from awac_dist.types import EnvSpec, Episode, Kind

STREAMS = 10  # the authors rolled their clones out with ten seeds
TRIES = 10  # episodes at most for each demonstration that is wanted


def run(args: Make) -> None:
    """Make the data, and say what comes of it."""
    if args.name not in RECIPES:
        raise InputError(f"NAME: {args.name!r} is not one of {', '.join(RECIPES)}")
    recipe = configured(RECIPES[args.name], args)
    with Screen() as screen:  # what Ray and Gymnasium print is nobody's business here
        with new_folder("--out", str(Path(args.out))) as aside:
            folder = Path(aside).resolve()  # processes of Ray have another working directory
            making = _Making(args, recipe, env_spec(recipe.env), folder, screen.stream)
            making.make()
            text = json.dumps(making.account(), indent=2)
            (folder / "recipe.json").write_text(f"{text}\n", encoding="utf-8")
        say(f"written: {args.out}", screen.stream)


def configured(recipe: Recipe, args: Make) -> Recipe:
    """The recipe as the user changes it; InputError where that does nothing, or is too little."""
    clones = recipe.demonstrations > 0
    of_a_clone = ("policy", "demonstrations", "min_return", "clone_updates")
    for option in ("sigma",) if clones else of_a_clone:
        if getattr(args, option) is not None:
            raise InputError(f"--{option.replace('_', '-')} has no effect on {args.name}")
    if clones and args.policy is None and args.demonstrations is None:
        raise InputError(f"{args.name} clones demonstrations: give --policy or --demonstrations")
    return replace(
        recipe,
        min_return=recipe.min_return if args.min_return is None else args.min_return,
        updates=args.clone_updates or recipe.updates,
        noises=(process(args.sigma),) if args.sigma else recipe.noises,
    )


@dataclass(frozen=True)
class _Making:
    """The making of one dataset, which says what it does to `stream`."""

    args: Make
    recipe: Recipe
    spec: EnvSpec
    folder: Path
    stream: TextIO
    files: dict[str, Any] = field(default_factory=dict)  # what was written, in figures

    def make(self) -> None:
        """Write every file of episodes."""
        if not self.recipe.demonstrations:
            self._record("random", UnitPolicy(self.spec), first=0)
            return
        if self.args.demonstrations:
            self._convert(self.args.demonstrations)
        else:
            self._demonstrate(str(self.args.policy))
        self._record("clone", self._clone(), first=STREAMS)

    def account(self) -> dict[str, Any]:
        """What `recipe.json` says: what was made of what, and how to make it again."""
        recipe = self.recipe
        account: dict[str, Any] = {
            "recipe": self.args.name,
            "paper": recipe.paper,
            "env": recipe.env,
            "seed": self.args.seed,
            "streams": STREAMS,
            "noises": [described(noise) for noise in recipe.noises],
        }
        if recipe.demonstrations:
            account |= {
                "demonstrations": _ingredient(self.args),
                "min_return": recipe.min_return,
                "clone": {
                    "updates": recipe.updates,
                    "batch_size": recipe.clone.batch_size,
                    "learning_rate": recipe.clone.learning_rate,
                    "hidden": recipe.actor.hidden,
                },
            }
        installed = {name: found for name in PACKAGES if (found := version_of(name))}
        return account | {"files": self.files, "versions": installed | {"awac_dist": __version__}}

    def _record(self, name: str, policy: Policy, first: int) -> None:
        """Trajectories of a policy that the recipe's noises move."""
        with self._streams(policy, "prior", first, self.recipe.noises) as record:
            self._write(name, record(self.recipe.episodes))

    def _convert(self, argument: str) -> None:
        """Demonstrations that are there already, rewarded by the rule of the task."""
        named = replace(sources.find(argument), kind="demonstration", any_task=True)
        rows = fragments([sources.opened(named, self.spec)], self.recipe.relabel)
        self._demonstrations(argument, join_fragments(map(_usable, rows)))

    def _demonstrate(self, name: str) -> None:
        """Demonstrations by a policy, as often tried as it takes within a limit."""
        policy, noise = open_policy(name, self.spec), BLIND.get(name, WhiteNoise)
        wanted = self.recipe.demonstrations
        with self._streams(policy, "demonstration", 0, (noise,)) as record:
            found = record(wanted)
            while (good := len(self._good(found))) < wanted and len(found) < TRIES * wanted:
                found = record(wanted - good)
        self._demonstrations(name, found)

    def _clone(self) -> Policy:
        """A clone of the demonstrations, which are in the folder already."""
        recipe, started = self.recipe, time.monotonic()
        source = str(self.folder / "demonstrations.parquet")
        policy = fit_clone(
            source, self.spec, recipe.actor, recipe.clone, self.args.seed, self.stream
        )
        took = time.monotonic() - started
        rate = f"{recipe.updates / took:,.0f} a second"
        self._say(f"clone: {recipe.updates:,} updates in {duration(took)}, {rate}")
        return policy

    @contextmanager
    def _streams(
        self, policy: Policy, kind: Kind, first: int, noises: Sequence[MakeNoise | None]
    ) -> Iterator[Callable[[int], list[Episode]]]:
        """A function that records so many more episodes, and returns all in order.

        Streams are numbered from `first` on, as those of one dataset share no number.
        """
        parts = self.folder / "parts"
        streams = [(first + place, noises[place % len(noises)]) for place in range(STREAMS)]
        workers = recording(self.args, self.spec, policy, streams, kind, str(parts), self.stream)
        with workers as collect:

            def record(episodes: int) -> list[Episode]:
                collect(episodes)
                return _in_order(parts)

            yield record
        shutil.rmtree(parts)

    def _demonstrations(self, name: str, found: Sequence[Episode]) -> None:
        """Write the first of those that are good enough, as many as are wanted."""
        wanted, kept = self.recipe.demonstrations, self._good(found)
        if len(kept) < wanted:
            least = self.recipe.min_return
            reach = "" if least is None else f" have a return of {number(least)} or more"
            returns = spread([episode.total_reward for episode in found])
            raise InputError(
                f"{name}: {len(kept)} of {len(found)} episodes{reach}, but {wanted} are wanted; "
                f"returns came {returns}: give better ones, or a lower --min-return"
            )
        self._say(f"kept {wanted} of {len(found)} episodes of {name} as demonstrations")
        kept = kept[:wanted]
        if self.recipe.clip_demonstrations:
            chosen, spec = np.concatenate([episode.actions for episode in kept]), self.spec
            if changed := float((spec.bounded(chosen) != chosen).mean()):
                share = percent(changed)
                self._say(f"clipped {share} of all action entries, to the bounds of {spec.env_id}")
            kept = [clipped(episode, spec) for episode in kept]
        self._write("demonstrations", kept)

    def _good(self, found: Sequence[Episode]) -> list[Episode]:
        least = self.recipe.min_return
        return [episode for episode in found if least is None or episode.total_reward >= least]

    def _write(self, name: str, episodes: list[Episode]) -> None:
        with writable(f"--out {self.args.out}"):
            write_episodes(str(self.folder / f"{name}.parquet"), episodes, self.spec)
        self.files[f"{name}.parquet"] = figures = _figures(episodes)
        words = [
            f"{counted(figures['episodes'], 'episode')}, {counted(figures['steps'], 'step')}",
            f"returns {spread([episode.total_reward for episode in episodes])}",
            *(f"success {percent(s)} ({step})" for step, s in (figures["success"] or {}).items()),
        ]
        self._say(f"{name}: {', '.join(words)}")

    def _say(self, line: str) -> None:
        say(line, self.stream)


def _usable(row: tuple[SourceFile, int, Episode]) -> Episode:
    file, number, episode = row
    sources.check_usable(f"{file.path}: episode {number}", episode)
    return episode


def _in_order(folder: Path) -> list[Episode]:
    """Everything recorded in a folder: the first of every stream, then the second of each."""
    found = [e for path in sorted(folder.glob("*.parquet")) for _, e in read_episodes(str(path))]
    return sorted(found, key=lambda e: (e.origin.episode, e.origin.worker))


def _figures(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What `recipe.json` says of episodes; no success where some do not tell."""
    returns = [episode.total_reward for episode in episodes]
    successes = [e.successes > 0 for e in episodes if e.successes is not None]
    figures = {
        "episodes": len(episodes),
        "steps": sum(map(len, episodes)),
        "return": {"min": min(returns), "mean": float(np.mean(returns)), "max": max(returns)},
        "success": None,
    }
    if len(successes) == len(episodes):
        figures["success"] = {
            "final step": float(np.mean([column[-1] for column in successes])),
            "any step": float(np.mean([column.any() for column in successes])),
        }
    return figures


def _ingredient(args: Make) -> dict[str, Any]:
    """Where the demonstrations come from, with the SHA-256 of the files."""
    if args.demonstrations:
        paths = [file.path for file in sources.find(args.demonstrations).files]
    else:
        paths = [] if args.policy in BLIND else [find_policy(str(args.policy))]
    found = {}
    for path in paths:
        with suppress(OSError):  # a folder, or an id
            found[PurePath(path).name] = sha256(read_file(path)).hexdigest()
    return {
        "policy" if args.policy else "source": args.policy or args.demonstrations,
        "sha256": found,
    }
