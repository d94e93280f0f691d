"""A scripted controller for `SawyerPush-v0`: go round the puck to a good side, then push.

The hand cannot get between the puck and a wall. There it pushes from another side and leads the
puck away: the contact rubs, so the puck follows a hand that moves up to some angle off the line
from hand to puck.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from awac_dist.envs.sawyer_push import HAND, HIGH, LOW, PUCK, STEP_SIZE, WALL_INSET

Array = NDArray[np.float64]

TOUCH = 0.050  # metres from the puck's centre to a hand that touches it
ORBIT = 0.066  # at which the hand goes round it
PASSAGE = 0.053  # the least with which it gets past
SECTOR = np.deg2rad(7.5)  # in which sides of the puck are told apart
SECTORS = SECTOR * np.arange(48)
STRIDE = 0.4  # radians of the orbit in a step
LEAD = np.deg2rad(30)  # how far off the line from hand to puck the puck may be led
LOOK_AHEAD = 0.03  # metres of pushing over which sides are compared
ARRIVED = 0.015  # from the goal: no need to push further


class PushController:
    """Chooses a side of the puck and keeps to it until another is clearly better."""

    def __init__(self) -> None:
        self._side: float | None = None

    def act(self, observation: dict[str, Array]) -> Array:
        """Action [2] in [-1, 1] for an observation of the task."""
        hand, puck = observation["observation"][HAND], observation["observation"][PUCK]
        goal = observation["desired_goal"][PUCK]
        if np.linalg.norm(goal - puck) < ARRIVED:
            return np.zeros(2)
        at = _angle(hand - puck)
        turn = self._choose(puck, goal, at)
        self._side = at + turn
        if abs(turn) > 0.25:
            move = _around(hand, puck, turn) - hand
        elif np.linalg.norm(hand - puck) > TOUCH + 0.008:
            move = puck + 0.9 * TOUCH * _unit(self._side) - hand
        else:
            self._side = at
            move = STEP_SIZE * _unit(_led(at, goal - puck))
        return move / max(STEP_SIZE, np.abs(move).max())

    def _choose(self, puck: Array, goal: Array, at: float) -> float:
        """How far to turn round the puck: to the side kept so far or to a better one."""
        turns = _open_turns(puck, at)
        gains = _gains(at + turns, puck, goal)
        scores = gains - 0.1 * np.abs(turns) / np.pi
        best = int(scores.argmax())
        if self._side is not None:
            away = np.abs(_turn(at + turns, self._side)) + 1e-3 * np.abs(turns)
            kept = int(away.argmin())
            if away[kept] < SECTOR and gains[kept] > scores[best] - 0.25:
                return float(turns[kept])
        return float(turns[best])


def _unit(angle: Any) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _angle(vector: Array) -> float:
    return float(np.arctan2(vector[1], vector[0]))


def _turn(start: Any, to: Any) -> Any:
    """Signed way from one angle to another, in [-pi, pi)."""
    return (to - start + np.pi) % (2 * np.pi) - np.pi


def _open_turns(puck: Array, at: float) -> Array:
    """Turns, either way round, that lead to a side from which the hand can push; 0 if none does."""
    found = []
    for sense in (1, -1):
        turns = sense * SECTORS
        directions = _unit(at + turns)
        passing = np.clip(puck + ORBIT * directions, LOW, HIGH)
        open_ = np.linalg.norm(passing - puck, axis=1) >= PASSAGE
        open_[0] = True  # where it is
        touching = puck + TOUCH * directions
        outside = np.abs(touching - np.clip(touching, LOW, HIGH)).max(axis=1)
        found.append(turns[np.logical_and.accumulate(open_) & (outside < 0.002)])
    turns = np.concatenate(found)
    return turns if len(turns) else np.zeros(1)


def _led(side: Any, way: Array) -> Any:
    """Direction nearest to `way` in which a hand on this side can lead the puck."""
    straight = side + np.pi
    return straight + np.clip(_turn(straight, _angle(way)), -LEAD, LEAD)


def _gains(sides: Array, puck: Array, goal: Array) -> Array:
    """How much nearer to its goal the puck comes for each metre pushed from each side [n]."""
    moved = puck + LOOK_AHEAD * _unit(_led(sides, goal - puck))
    stopped = np.clip(moved, LOW + WALL_INSET, HIGH - WALL_INSET)
    nearer = np.linalg.norm(goal - puck) - np.linalg.norm(goal - stopped, axis=1)
    return nearer / LOOK_AHEAD


def _around(hand: Array, puck: Array, turn: float) -> Array:
    """Next place on the way: straight to the side, or along the orbit if the puck is between."""
    at = _angle(hand - puck)
    target = puck + ORBIT * _unit(at + turn)
    way = target - hand
    nearest = hand + np.clip((puck - hand) @ way / (way @ way), 0, 1) * way
    if np.linalg.norm(nearest - puck) > ORBIT - 0.005:
        return target
    return puck + ORBIT * _unit(at + float(np.clip(turn, -STRIDE, STRIDE)))
