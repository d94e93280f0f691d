"""The Learner: a method's `update` on the batches that the replay drew, many in one call.

RLlib's conventions stay: the optimisers are registered with their learning rates or schedules;
gradients pass RLlib's `postprocess_gradients` (clipping, logging of norms) between the backward
pass and the step; several learners average their gradients before that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from awac_dist.algorithms.base import Method
from awac_dist.algorithms.state import continue_generator
from awac_dist.allocator import keep_freed_memory
from awac_dist.learner.device import without_denormals
from awac_dist.learner.normalization import Normalization
from awac_dist.learner.record import CallRecord
from awac_dist.policies.initial import adapted
from awac_dist.policies.spec import PolicySpec
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.tensors import Batch
from awac_dist.types import Array

BLOCK = "block"  # the one column of our batches: packed transitions [updates * B, width]
ONE_CALL = "a method's losses and steps are one call, its `update`"
METHOD = "method"  # component of the state: what is neither in the module nor in an optimiser
Names: TypeAlias = str | Sequence[str] | None  # of components of a state


def as_batch(block: Array) -> MultiAgentBatch:
    """Packed transitions [n, width] in the form in which a LearnerGroup takes them."""
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch({BLOCK: block})}, env_steps=len(block))


class MethodLearner(TorchLearner):
    """Owns the module and its optimisers; one per process."""

    _weights_seq_no: int

    def build(self) -> None:
        keep_freed_memory()
        self._updates = 0
        super().build()
        policy = self._only_module.policy_spec
        self._layout = Layout(policy.layer_sizes[0], policy.layer_sizes[-1], wishes=self.wishes)
        if self.device.type != "cpu":  # the module was built on the CPU
            seed = self._only_module.model_config["seed"]
            self.method.generator = torch.Generator(self.device).manual_seed(seed)
            self.method.device = self.device
            for name in self.method.duals:
                self.method.duals[name] = getattr(self._only_module, name)
        self.method.before_step = self._before_step

    def normalize(self, shift: Array, scale: Array) -> None:
        """Normalise observations from now on, and have those who act do so."""
        module = self._only_module
        module.observation_shift.copy_(torch.as_tensor(shift))
        module.observation_scale.copy_(torch.as_tensor(scale))
        self._weights_seq_no += 1

    def _normalization(self) -> Normalization | None:
        module = self._only_module
        if not module.model_config["normalized"]:
            return None
        arrays = module.observation_shift, module.observation_scale
        return Normalization(*(array.cpu().numpy() for array in arrays))

    @property
    def method(self) -> Method:
        """The method in training."""
        return self._only_module.method

    @property
    def wishes(self) -> Wishes:
        """What the method needs of its batches."""
        return Wishes(self.method.needs, segment_length=self.method.segment_length)

    @property
    def _only_module(self) -> Any:
        return self.module[DEFAULT_MODULE_ID]

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        for name, optimizer in self.method.optimizers.items():
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=optimizer,
                params=[p for group in optimizer.param_groups for p in group["params"]],
                lr_or_lr_schedule=getattr(config, f"{name}_lr", optimizer.defaults["lr"]),
            )

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Set the learning rates of this update: RLlib itself would set those of the next one."""
        super().before_gradient_based_update(timesteps=timesteps)
        env_steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        for optimizer, schedule in self._optimizer_lr_schedules.items():
            self._set_optimizer_lr(optimizer, schedule.update(timestep=env_steps))

    @without_denormals()
    def _uncompiled_update(
        self, batch: dict[str, Any], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
        """Take a gradient step on each batch of the block.

        Raises:
            RunFailed: A loss, a gradient or a parameter is not finite.
        """
        record, each = CallRecord(self._updates), self.method.batches_per_update
        rows = batch[DEFAULT_MODULE_ID][BLOCK]
        if normalization := self._normalization():
            rows = normalization.of_blocks(self._layout, self.device)(rows.clone())
        blocks = rows.split(self.config.train_batch_size_per_learner)
        for first in range(0, len(blocks), each):
            drawn = blocks[first : first + each]
            batches = [Batch.from_block(block, self._layout) for block in drawn]
            record.add(drawn, self.method.update(batches))
        means = record.means()
        record.check(self.method)
        self._updates += len(blocks) // each
        for name, value in means.items():
            self.metrics.log_value((DEFAULT_MODULE_ID, *name.split("/")), value, reduce="mean")
        total = torch.tensor(sum(means[name] for name in means if name.endswith("/loss")))
        return {}, {DEFAULT_MODULE_ID: total}, {}

    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        raise NotImplementedError(ONE_CALL)

    def _before_step(self, parameters: Sequence[Tensor]) -> None:
        """Between a backward pass and the steps that follow it; gradients are averaged already."""
        gradients = {p: p.grad for p in parameters if p.grad is not None}
        for parameter, gradient in self.postprocess_gradients(gradients).items():
            parameter.grad = gradient

    def _make_modules_ddp_if_necessary(self) -> None:
        """Leave the module as it is: the method averages the gradients, once an update."""

    def get_state(
        self, components: Names = None, *, not_components: Names = None, **kwargs: Any
    ) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(METHOD, components, not_components):
            state[METHOD] = {
                "device": self.method.device.type,
                "generator": self.method.generator.get_state().numpy(),
                "updates": self._updates,
                "starts": self._dual_starts(),
                "doubles": self._doubles(),
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state, with the options of the config where they differ from the state's.

        RLlib's own would ignore weights that are older than what it has, and so would the env
        runners: here a state that is set is newer than everything before.
        """
        before, self._weights_seq_no = self._weights_seq_no, 0
        super().set_state(state)
        self._weights_seq_no = max(before, self._weights_seq_no) + 1
        for optimizer in self.method.optimizers.values():
            for group in optimizer.param_groups:
                own = {name: its for name, its in optimizer.defaults.items() if name != "lr"}
                group.update(own)  # the step size follows its schedule
        if METHOD not in state:
            return
        known = state[METHOD]
        generator = torch.from_numpy(np.array(known["generator"], np.uint8))
        continue_generator(self.method, known.get("device", self.method.device.type), generator)
        self._updates = known["updates"]
        for name, value in known.get("doubles", {}).items():
            self.method.duals[name].data.fill_(value)
        for name, start in self._dual_starts().items():
            if known["starts"][name] != start:  # a scheduler, or a person, changed the option
                self.method.duals[name].data.fill_(start)

    def _dual_starts(self) -> dict[str, float]:
        """Where the config has each dual begin."""
        return {name: float(dual.detach()) for name, dual in self.method.make_duals().items()}

    def _doubles(self) -> dict[str, float]:
        """Duals in float64, which the state of an RLModule rounds to float32."""
        duals = self.method.duals.items()
        return {name: dual.item() for name, dual in duals if dual.dtype == torch.float64}

    def set_online(self, online: bool) -> None:
        """Learn from what is collected meanwhile, from now on, or from prior data alone."""
        self.method.online = online

    def identity(self) -> dict[str, Any]:
        """What there must be again where somebody goes on from the state, by name."""
        module = self._only_module
        arrays = module.state_dict().items()
        return {
            "kind of policy": module.policy_spec.kind,
            "use of normalize_observations and prior_data": module.model_config["normalized"],
            **{f"shape of {name}": list(array.shape) for name, array in arrays},
        }

    def acting(self) -> tuple[PolicySpec, dict[str, Array]]:
        """Shape of the policy, and its arrays by name."""
        acting = self.method.acting()
        if normalization := self._normalization():
            acting = normalization.acting(acting)
        return acting.spec, acting.in_numpy()

    def adopt(self, arrays: Mapping[str, Array]) -> None:
        """Go on with another policy of the same shape; the actor's optimiser starts anew."""
        normalization = self._normalization()
        seen = {} if normalization is None else normalization.arrays
        self.method.adopt(adapted(arrays, **seen))
        self.method.optimizers["actor"].state.clear()
        self._weights_seq_no += 1
