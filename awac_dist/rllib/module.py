"""The RLModule: AWAC's networks where a Learner trains them, the actor where somebody acts."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from awac_dist.algorithms.awac import AWAC
from awac_dist.algorithms.base import ALONE, Task
from awac_dist.errors import InputError
from awac_dist.nn.actors import make_actor
from awac_dist.rllib.parallel import Spread
from awac_dist.types import EnvSpec


class AWACTorchRLModule(TorchRLModule, InferenceOnlyAPI):
    """`method` is an `AWAC`, or only its actor.

    A sample of the policy may leave the bounds: the replay keeps it, the environment gets it
    clipped. Inference and exploration differ in what RLlib does with the distribution: its
    mean, or a sample.
    """

    def setup(self) -> None:
        config = self.model_config
        spec = space_spec("the environment", self.observation_space, self.action_space)
        method = config["algorithm"]
        self.policy_spec = method.policy_spec(spec)
        if self.inference_only:
            self.networks = nn.ModuleDict(
                {"actor": make_actor(self.policy_spec, torch.Generator())}
            )
            return
        self.method = AWAC(
            method,
            Task(spec, config["discount"]),
            seed=config["seed"],
            device=torch.device("cpu"),  # the Learner moves it
            world=Spread() if config["spread"] else ALONE,
        )
        self.networks = nn.ModuleDict(self.method.networks)
        self.targets = nn.ModuleDict(self.method.targets)
        for name, dual in self.method.duals.items():
            self.register_buffer(name, dual)

    def get_non_inference_attributes(self) -> list[str]:
        if self.inference_only:
            return []  # none of them was made
        others = [f"networks.{name}" for name in self.networks if name != "actor"]
        return [*others, "targets", *self.method.duals]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        policy = self.networks["actor"](batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat((policy.mean, policy.log_std), dim=-1)}


def space_spec(env_id: str, observations: Any, actions: Any) -> EnvSpec:
    """The task as its spaces tell it.

    Raises:
        InputError: They are not flat and continuous, or actions have no bounds.
    """
    for what, space in (("observations", observations), ("actions", actions)):
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise InputError(
                f"{env_id}: {what} must be flat vectors (Box [n]), but are {space}: wrap the "
                "environment"
            )
    if not actions.is_bounded():
        raise InputError(f"{env_id}: actions need finite bounds, but are {actions}")
    return EnvSpec(
        env_id,
        observations.shape[0],
        actions.shape[0],
        tuple(map(float, actions.low)),
        tuple(map(float, actions.high)),
        max_episode_steps=None,
    )
