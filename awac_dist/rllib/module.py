"""The RLModule: AWAC's networks where a Learner trains them, the actor where somebody acts."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import OptimizerConfig
from awac_dist.errors import InputError
from awac_dist.nn.actors import GaussianActor
from awac_dist.policies.spec import PolicySpec
from awac_dist.rllib.config import network_options
from awac_dist.rllib.parallel import SpreadAWAC
from awac_dist.types import EnvSpec


class ActorOnly(nn.Module):
    """What is left of the method where actions are computed and nothing is trained."""

    def __init__(self, policy: PolicySpec) -> None:
        super().__init__()
        self.actor = GaussianActor(policy, torch.Generator())


class AWACTorchRLModule(TorchRLModule, InferenceOnlyAPI):
    """`method` is an `AWAC`, or only its actor.

    A sample of the policy may leave the bounds: the replay keeps it, the environment gets it
    clipped. Inference and exploration differ in what RLlib does with the distribution: its
    mean, or a sample.
    """

    def setup(self) -> None:
        config = self.model_config
        spec = space_spec("the environment", self.observation_space, self.action_space)
        networks = network_options(config)
        self.policy_spec = networks.policy_spec(spec)
        if self.inference_only:
            self.method: ActorOnly | AWAC = ActorOnly(self.policy_spec)
        else:
            method_class = SpreadAWAC if config["spread"] else AWAC
            self.method = method_class(
                AWACConfig(**config["algorithm"]),
                self.policy_spec,
                networks,
                OptimizerConfig(**config["optimizer"]),
                seed=config["seed"],
                device=torch.device("cpu"),  # the Learner moves it
            )

    def get_non_inference_attributes(self) -> list[str]:
        tensors = (*self.method.named_children(), *self.method.named_buffers(recurse=False))
        return [f"method.{name}" for name, _ in tensors if name != "actor"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        policy = self.method.actor(batch[Columns.OBS])
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
