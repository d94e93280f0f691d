"""What happened in a campaign of kills, and the table of it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from awac_dist.experiments.run_record import Verdict

RESUME = "awac_dist.launch --resume"  # in the last line of a run that ended by itself


@dataclass(frozen=True)
class RunSize:
    """How long a run is; two workers, two shards and small networks have it."""

    clone_updates: int = 500
    offline_updates: int = 1_000
    env_steps: int = 15_000  # each owes an update
    every_updates: int = 500  # between two evaluations, and so between checkpoints
    episodes: int = 20  # of an evaluation that ends a phase

    @property
    def grad_steps(self) -> int:
        """Of the whole run."""
        return self.clone_updates + self.offline_updates + self.env_steps

    @property
    def words(self) -> list[str]:
        """What the launcher is told."""
        return (
            f"--workers 2 --shards 2 --clone.updates {self.clone_updates} --clone.episodes 4 "
            f"--offline.updates {self.offline_updates} --online.env_steps {self.env_steps} "
            "--algorithm.actor.hidden 64 64 --algorithm.critic.hidden 64 64 "
            "--learner.batch_size 64 --learner.threads 1 "
            f"--evaluation.every_updates {self.every_updates} --evaluation.curve_episodes 1 "
            f"--evaluation.episodes {self.episodes}"
        ).split()


@dataclass
class Death:
    """One process that was killed."""

    kind: str  # such as worker, or stopped worker
    run: int  # its number
    grad_steps: int  # of the run's newest row, -1 before there is one
    seconds: float | None = None  # until it was recovered from, None if it was not
    run_ended: bool = False  # before the sign of life was there


@dataclass
class Campaign:
    """Everything that happened."""

    size: RunSize  # of every run
    deaths: list[Death] = field(default_factory=list)  # in order
    failures: list[str] = field(default_factory=list)  # a launcher's own exits without a word
    verdicts: list[Verdict] = field(default_factory=list)  # of the runs that were disturbed
    undisturbed: Verdict | None = None  # of the one that was not
    told: list[str] = field(default_factory=list)  # those with one line and the command

    @classmethod
    def begun(cls, path: Path, size: RunSize) -> Campaign:
        """What an earlier call left, or a new one."""
        if not path.exists():
            return cls(size)
        left = json.loads(path.read_text())
        left["size"] = RunSize(**left["size"])
        left["deaths"] = [Death(**death) for death in left["deaths"]]
        left["verdicts"] = [Verdict(**verdict) for verdict in left["verdicts"]]
        left["undisturbed"] = left["undisturbed"] and Verdict(**left["undisturbed"])
        return cls(**left)

    def exited(self, run: int, code: int, lines: Sequence[str], begun: bool) -> str:
        """Note how a launcher ended by itself, of the lines that it printed: clearly or not.

        Where its run has `begun`, two lines with the command that goes on follow the clear one.
        """
        reason = lines[-3:-2] if begun else lines[-1:]
        clear = "".join(reason).startswith("awac_dist: ") and (not begun or RESUME in lines[-1])
        line = f"run {run}: exit {code}: {lines[-3:]}"
        (self.told if clear else self.failures).append(line)
        return line

    def count(self, kind: str) -> int:
        """Deaths of a kind."""
        return sum(death.kind == kind for death in self.deaths)

    def table(self) -> str:
        """One line a kind of death, for a terminal."""
        lines = [f"{'kind':19} deaths recovered  median s   worst s"]
        for kind in dict.fromkeys(death.kind for death in self.deaths):
            seconds = [d.seconds for d in self.deaths if d.kind == kind and d.seconds is not None]
            middle = f"{statistics.median(seconds):9.1f} {max(seconds):9.1f}" if seconds else ""
            lines.append(f"{kind:19} {self.count(kind):6} {len(seconds):9} {middle}")
        return "\n".join(lines)

    def closing(self) -> str:
        """What was lost and what was learned, for a terminal."""
        verdicts = self.verdicts
        lines = [
            f"{len(verdicts)} runs, {len(self.told)} exits with one clear line, "
            f"{len(self.failures)} without",
            f"transitions lost {sum(v.lost for v in verdicts)}, not known to the learner "
            f"{sum(v.unknown for v in verdicts)}, duplicated {sum(v.duplicated for v in verdicts)}",
            *(problem for verdict in verdicts for problem in verdict.problems),
        ]
        if verdicts and self.undisturbed:
            returns = " ".join(f"{verdict.result:.0f}" for verdict in verdicts)
            lines.append(f"return {returns}; undisturbed {self.undisturbed.result:.0f}")
        return "\n".join(lines)


def is_clean(done: Campaign) -> bool:
    """Whether everything was recovered from and nothing is wrong."""
    recovered = all(death.seconds is not None for death in done.deaths)
    return recovered and not done.failures and all(its.is_clean for its in done.verdicts)
