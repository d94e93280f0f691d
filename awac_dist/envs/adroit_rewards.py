"""Success of the dexterous-hand tasks, read off the observation alone.

The one definition: the tasks reward by these functions, and old data is relabelled by them.
Each takes observations [..., O] and returns booleans [...]. NumPy only, no simulator.

Sources: Nair et al. (2020), the hand tasks, and the environments that its authors released
(github.com/anair13/mj_envs at 847389e), which have the hammer too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Conditions = Literal["paper", "released"]
Observations = NDArray[Any]
Successes = NDArray[np.bool_]
Success = Callable[[Observations], Successes]


def pen_turned(observations: Observations) -> Successes:
    """Pen within 7.5 cm of its place and within 18 degrees of its direction (cosine > 0.95).

    Of the 45 columns, 33:36 are the pen's direction, 36:39 the wanted one, 39:42 the pen's place
    less the wanted one (m). The paper prints `|x_o . d_o| <= 0.95`, a slip of the sign: the
    released code asks for > 0.95.
    """
    rows = np.asarray(observations, np.float64)
    distances = np.linalg.norm(rows[..., 39:42], axis=-1)
    cosines = np.sum(rows[..., 33:36] * rows[..., 36:39], axis=-1)
    return (distances < 0.075) & (cosines > 0.95)


def door_open(observations: Observations) -> Successes:
    """Hinge, column 28 of 39 (rad), past 1.4 rad, as the paper states it."""
    return np.asarray(observations, np.float64)[..., 28] > 1.4


def door_open_released(observations: Observations) -> Successes:
    """Hinge at 1.35 rad or more, as the authors' released environment has it."""
    return np.asarray(observations, np.float64)[..., 28] >= 1.35


def ball_at_target(observations: Observations) -> Successes:
    """Ball within 10 cm of its target, which columns 36:39 of 39 are away from it (m)."""
    rows = np.asarray(observations, np.float64)
    return np.linalg.norm(rows[..., 36:39], axis=-1) < 0.1


def nail_driven(observations: Observations) -> Successes:
    """Head of the nail within 1 cm of the board, by how far it slid in, column 26 of 46 (m).

    Nail and goal lie on one axis, and only the nail slides on it: at slide 0 its head is 9.1 cm
    from the goal (sites `S_target` and `nail_goal` of the model).
    """
    return np.abs(np.asarray(observations, np.float64)[..., 26] - 0.091) < 0.01


HAND_TASKS: dict[str, tuple[int, Success]] = {  # by name: O, and what counts
    "PenBinary": (45, pen_turned),
    "DoorBinary": (39, door_open),
    "DoorBinaryReleased": (39, door_open_released),
    "RelocateBinary": (39, ball_at_target),
    "HammerBinary": (46, nail_driven),
}
