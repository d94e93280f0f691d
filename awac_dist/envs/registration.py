"""The ids of our tasks, known to Gymnasium as soon as awac_dist is imported.

Entry points are text, so that a process that makes none of these tasks never loads a simulator.
"""

from __future__ import annotations

from typing import Any

import gymnasium

HAND = "awac_dist.envs.adroit"
TASKS: dict[str, tuple[str, int, dict[str, Any]]] = {  # entry point, steps, options
    "awac_dist/PenBinary-v0": (f"{HAND}:PenBinaryEnv", 200, {}),
    "awac_dist/DoorBinary-v0": (f"{HAND}:DoorBinaryEnv", 200, {}),
    "awac_dist/DoorBinaryReleased-v0": (f"{HAND}:DoorBinaryEnv", 200, {"conditions": "released"}),
    "awac_dist/RelocateBinary-v0": (f"{HAND}:RelocateBinaryEnv", 200, {}),
    "awac_dist/HammerBinary-v0": (f"{HAND}:HammerBinaryEnv", 200, {}),
    "awac_dist/SawyerPush-v0": ("awac_dist.envs.sawyer_push:SawyerPushEnv", 200, {}),
    "awac_dist/AntPaper-v0": ("awac_dist.envs.ant:AntPaperEnv", 1000, {}),
}


def register_tasks() -> None:
    """Make every task known to `gymnasium.make`; a second call changes nothing."""
    for env_id, (entry_point, steps, options) in TASKS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point, max_episode_steps=steps, kwargs=dict(options))
