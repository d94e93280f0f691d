"""The RLModule: a method's networks where a Learner trains them, the actor where somebody acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, distributed, nn

from awac_dist.algorithms.world import ALONE, Task, World
from awac_dist.envs.make import space_spec
from awac_dist.nn.actors import make_actor
from awac_dist.policies.network import MOST_STDS


class Spread(World):
    """The rows of this learner; the others have as many each, in the order of ranks.

    AWAC's softmax runs over the whole batch, and so does the effective batch that moves its
    temperature: learners that only averaged their gradients would follow another objective, the
    further from AWAC the more of them there are. So they also exchange their advantages, and each
    draws the noise of the whole batch and keeps that of its rows: the step is that of one learner.
    """

    def __init__(self) -> None:
        self.size = distributed.get_world_size()

    def gather(self, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    def mine(self, rows: Tensor, dim: int = 0) -> Tensor:
        return rows.chunk(self.size, dim)[distributed.get_rank()]

    def average(self, gradients: Sequence[Tensor]) -> None:
        """One exchange for all of them."""
        flat = nn.utils.parameters_to_vector(gradients)
        distributed.all_reduce(flat)
        nn.utils.vector_to_parameters(flat / self.size, gradients)


class MethodModule(TorchRLModule, InferenceOnlyAPI):
    """`method` is one of the registry; where somebody acts, `networks` holds its actor alone.

    Inference acts by the policy's mean, exploration by a sample of it. A sample may leave the
    bounds: the replay keeps it, the environment gets it clipped.
    """

    def setup(self) -> None:
        config = self.model_config
        spec = space_spec("the environment", self.observation_space, self.action_space)
        method = config["algorithm"]
        self.policy_spec = method.policy_spec(spec)
        if config["normalized"]:
            self.register_buffer("observation_shift", torch.zeros(spec.input_size))
            self.register_buffer("observation_scale", torch.ones(spec.input_size))
        if self.inference_only:
            actor = make_actor(self.policy_spec, torch.Generator())
            self.networks = nn.ModuleDict({"actor": actor})
            return
        self.method = method.method(
            method,
            Task(spec, config["discount"]),
            seed=config["seed"],
            device=torch.device("cpu"),  # the Learner moves it
            world=Spread() if config["spread"] else ALONE,
        )
        self.networks = nn.ModuleDict(self.method.networks)
        self.targets = nn.ModuleDict(self.method.targets)
        for name, dual in self.method.duals.items():
            register = self.register_parameter if dual.requires_grad else self.register_buffer
            register(name, dual)

    def get_non_inference_attributes(self) -> list[str]:
        if self.inference_only:
            return []  # none of them was made
        others = [f"networks.{name}" for name in self.networks if name != "actor"]
        return [*others, "targets", *self.method.duals]

    @torch.no_grad()
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: self._policy(batch).mean}

    @torch.no_grad()
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        policy = self._policy(batch)
        return {Columns.ACTIONS: policy.at(torch.randn_like(policy.mean))}

    def _policy(self, batch: dict[str, Any]) -> Any:
        """The distributions [B] of actions, on observations as the task gives them."""
        seen = batch[Columns.OBS]
        if self.model_config["normalized"]:
            seen = (seen - self.observation_shift) / self.observation_scale
            seen = seen.clamp(-float(MOST_STDS), float(MOST_STDS))
        return self.networks["actor"](seen)
