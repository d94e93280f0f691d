"""The ids of our tasks, known to Gymnasium as soon as awac_dist is imported.

Entry points are text, so that a process that makes none of these tasks never loads a simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium

HAND = "awac_dist.envs.adroit"


class Task(NamedTuple):
    """What Gymnasium has to know of a task."""

    entry_point: str  # module:class
    max_episode_steps: int
    kwargs: Mapping[str, Any]


TASKS = {
    "awac_dist/PenBinary-v0": Task(f"{HAND}:PenBinaryEnv", 200, {}),
    "awac_dist/DoorBinary-v0": Task(f"{HAND}:DoorBinaryEnv", 200, {}),
    "awac_dist/DoorBinaryReleased-v0": Task(
        f"{HAND}:DoorBinaryEnv", 200, {"conditions": "released"}
    ),
    "awac_dist/RelocateBinary-v0": Task(f"{HAND}:RelocateBinaryEnv", 200, {}),
    "awac_dist/HammerBinary-v0": Task(f"{HAND}:HammerBinaryEnv", 200, {}),
    "awac_dist/SawyerPush-v0": Task("awac_dist.envs.sawyer_push:SawyerPushEnv", 200, {}),
    "awac_dist/AntPaper-v0": Task("awac_dist.envs.ant:AntPaperEnv", 1000, {}),
}


def register_tasks() -> None:
    """Make every task known to `gymnasium.make`; a second call changes nothing."""
    for env_id, task in TASKS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=task.entry_point,
                max_episode_steps=task.max_episode_steps,
                kwargs=dict(task.kwargs),
            )
