"""The RLModule: a method's networks where a Learner trains them, those that act where it acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, distributed, nn

from awac_dist.algorithms.world import ALONE, Task, World
from awac_dist.envs.make import space_spec
from awac_dist.errors import InputError
from awac_dist.policies import make_policy, policy_class
from awac_dist.policies.network import MOST_STDS
from awac_dist.policies.spec import PolicySpec


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


def _refuse_memory(spec: PolicySpec) -> None:
    policy = make_policy(spec, np.zeros(spec.size, np.float32), 0)
    if policy.memory_size:
        raise InputError(
            f"policy kind {spec.kind}: it keeps {policy.memory_size} numbers from step to step, "
            "which RLlib's env runners would forget: train it with python -m awac_dist.launch"
        )


class MethodModule(TorchRLModule, InferenceOnlyAPI):
    """`method` is one of the registry; where somebody acts, only the networks that act stay.

    Inference acts as the policy is evaluated, exploration by a sample of it. A sample may leave the
    bounds: the replay keeps it, the environment gets it clipped.
    """

    def setup(self) -> None:
        config = self.model_config
        spec = space_spec("the environment", self.observation_space, self.action_space)
        options = config["algorithm"]
        self.policy_spec = options.policy_spec(spec)
        _refuse_memory(self.policy_spec)
        mean_noise = policy_class(self.policy_spec.kind).mean_noise(self.policy_spec)
        self.register_buffer("mean_noise", torch.from_numpy(mean_noise), persistent=False)
        if config["normalized"]:
            self.register_buffer("observation_shift", torch.zeros(spec.input_size))
            self.register_buffer("observation_scale", torch.ones(spec.input_size))
        self.method = options.method(
            options,
            Task(spec, config["discount"]),
            seed=config["seed"],
            device=torch.device("cpu"),  # the Learner moves it
            world=Spread() if config["spread"] and not self.inference_only else ALONE,
        )
        acting = set(self.method.acts_with)
        self._acting = {"networks": acting, "targets": acting - self.method.networks.keys()}
        for group, names in self._acting.items():
            parts = getattr(self.method, group)
            kept = {n: parts[n] for n in parts if n in names or not self.inference_only}
            setattr(self, group, nn.ModuleDict(kept))
        if self.inference_only:
            return
        for name, dual in self.method.duals.items():
            register = self.register_parameter if dual.requires_grad else self.register_buffer
            register(name, dual)

    def get_non_inference_attributes(self) -> list[str]:
        if self.inference_only:
            return []  # they were not kept
        parts = [(group, name) for group in self._acting for name in getattr(self.method, group)]
        others = [f"{group}.{name}" for group, name in parts if name not in self._acting[group]]
        return [*others, *self.method.duals]

    @torch.no_grad()
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen = self._seen(batch)
        return {Columns.ACTIONS: self.method.act(seen, self.mean_noise.expand(len(seen), -1))}

    @torch.no_grad()
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen = self._seen(batch)
        noise = torch.randn(len(seen), len(self.mean_noise), device=seen.device)
        return {Columns.ACTIONS: self.method.act(seen, noise)}

    def _seen(self, batch: dict[str, Any]) -> Tensor:
        """Observations [B, O] as networks get them, of those that the task gives."""
        seen: Tensor = batch[Columns.OBS].float()  # of whole numbers, too
        if self.model_config["normalized"]:
            seen = (seen - self.observation_shift) / self.observation_scale
            seen = seen.clamp(-float(MOST_STDS), float(MOST_STDS))
        return seen
