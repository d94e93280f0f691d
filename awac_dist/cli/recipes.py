"""The paper's prior data, one recipe a task (Nair et al., 2020, appendix A.1): data, no code.

Everywhere the departures are: the clone is fitted by maximum likelihood without weight decay (the
authors' scripts have a decay of 1e-4, and a squared error on locomotion); its batches are of 128
transitions and its step size is 3e-4, which their scripts have for the policy, and do not state
for the clone; HalfCheetah's number of updates is taken for all locomotion; and no part of the
data is held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from awac_dist.config import CloneConfig
from awac_dist.nn.config import ActorConfig
from awac_dist.policies.noise import MakeNoise, OrnsteinUhlenbeck, WhiteNoise

ACTOR = ActorConfig(hidden=(256, 256, 256, 256))
BATCH_SIZE, LEARNING_RATE = 128, 3e-4


@dataclass(frozen=True)
class Recipe:
    """How the prior data of one task is made."""

    env: str  # Gymnasium id
    episodes: int  # trajectories of the clone; of the random process where nothing is cloned
    noises: tuple[MakeNoise | None, ...]  # what moves them, in turn over the streams of episodes
    paper: str  # what the paper and the scripts of its authors say
    demonstrations: int = 0  # episodes that are cloned
    updates: int = 0  # of the clone's fit
    actor: ActorConfig = ACTOR  # of the clone
    min_return: float | None = None  # demonstrations below it are not kept
    relabel: str | None = None  # task by whose rule recorded demonstrations are rewarded anew
    clip_demonstrations: bool = False  # clip their actions to the bounds of the task

    @property
    def clone(self) -> CloneConfig:
        """Settings of the clone's fit."""
        return CloneConfig(self.updates, BATCH_SIZE, LEARNING_RATE)


def process(sigma: float) -> MakeNoise:
    """The random process that pushes."""
    return partial(OrnsteinUhlenbeck, sigma=sigma)


def described(noise: MakeNoise | None) -> str:
    """A noise in words, such as OrnsteinUhlenbeck(sigma=0.3)."""
    if isinstance(noise, partial):
        options = ", ".join(f"{name}={value:g}" for name, value in noise.keywords.items())
        return f"{noise.func.__name__}({options})"
    return "none" if noise is None else noise.__name__


def _hand(task: str, updates: int) -> Recipe:
    return Recipe(
        env=f"awac_dist/{task}-v0",
        demonstrations=25,
        updates=updates,
        episodes=500,
        noises=(WhiteNoise, None),
        relabel=task,
        clip_demonstrations=True,
        paper=(
            "25 human demonstrations and 500 trajectories of a clone; by the authors' scripts "
            "half of those with sampled actions and half with mean actions"
        ),
    )


def _locomotion(env: str, min_return: float) -> Recipe:
    return Recipe(
        env=env,
        demonstrations=15,
        updates=400_000,
        episodes=100,
        noises=(WhiteNoise,),
        min_return=min_return,
        paper=(
            "15 demonstrations with an expert's sampled actions, kept above a return, and 100 "
            "trajectories of a clone with sampled actions, after 400,000 updates on HalfCheetah"
        ),
    )


RECIPES = {
    "pen": _hand("PenBinary", 10_000),
    "door": _hand("DoorBinary", 300_000),
    "relocate": _hand("RelocateBinary", 200_000),
    "halfcheetah": _locomotion("HalfCheetah-v5", 9_000),
    "walker2d": _locomotion("Walker2d-v5", 5_000),
    "ant": _locomotion("awac_dist/AntPaper-v0", 5_000),
    "push": Recipe(
        env="awac_dist/SawyerPush-v0",
        episodes=500,
        noises=(process(0.3),),
        paper=(
            "500 random-process trajectories; Ornstein-Uhlenbeck with theta 0.15 and, by the "
            "paper, sigma 0.3 (0.8 in the run that was released, upon an untrained policy)"
        ),
    ),
}
