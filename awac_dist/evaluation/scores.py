"""D4RL's normalised scores (Fu et al., 2020, https://arxiv.org/abs/2004.07219).

    score = 100 (R - min) / (max - min)

with R an undiscounted return, min that of a random and max that of an expert policy, as stated
dataset by dataset in `reference_scores.csv`: published numbers depend on these figures.

Caveats. D4RL ran Gym's v2 locomotion tasks on MuJoCo 1.5 to 2.0. Gymnasium's tasks of the same
name give the same reward up to details (v4 on: `mujoco` bindings; v5: no healthy reward for the
step that falls, Walker2d's feet rub alike, Ant pays for contact forces), so a score of theirs is
comparable and not identical. Gymnasium-Robotics' Adroit tasks are not scored: door and relocate
have the sign of their reaching term turned, pen lasts 200 steps rather than 100 and goes on after
a drop, hammer was not compared; neither are Minari's `D4RL/...` datasets, which were recorded
anew in them, nor AntMaze, Kitchen and Maze2d under their Gymnasium ids, whose episodes end
differently.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import NamedTuple

SAME_REWARD = re.compile(  # as the v2 datasets have it
    r"(HalfCheetah|Hopper|Walker2d|Ant)-v[2-5]|(halfcheetah|hopper|walker2d|ant)-[a-z-]+-v[01]"
)


class Reference(NamedTuple):
    """One row of the table: a dataset, its file, and the returns that score 0 and 100."""

    dataset: str
    file: str
    minimum: float
    maximum: float

    def score(self, value: float) -> float:
        """The normalised score of a return."""
        return 100.0 * ((value - self.minimum) / (self.maximum - self.minimum))


@cache
def references() -> dict[str, Reference]:
    """The table, by dataset."""
    text = (resources.files("awac_dist.evaluation") / "reference_scores.csv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = csv.reader(lines[1:])
    return {name: Reference(name, file, float(low), float(high)) for name, file, low, high in rows}


def reference(task: str) -> Reference | None:
    """Reference scores of a D4RL dataset or of a Gymnasium id with the same reward."""
    known, alike = references(), SAME_REWARD.fullmatch(task)
    if task in known or not alike:
        return known.get(task)
    return known[f"{(alike[1] or alike[2]).lower()}-medium-v2"]


def normalised_score(task: str, value: float) -> float | None:
    """100 (R - min) / (max - min) of an undiscounted return, None where there are no references.

    The task is a D4RL dataset such as halfcheetah-medium-v2, or a Gymnasium id whose reward is
    that of one, such as HalfCheetah-v5; see the caveats above.
    """
    known = reference(task)
    return None if known is None else known.score(value)


def dataset_of_file(path: str) -> str | None:
    """The D4RL dataset that is published in a file of this name, None if it is no such file."""
    ending = f"/{PurePath(path).name}"
    return next((row.dataset for row in references().values() if row.file.endswith(ending)), None)
