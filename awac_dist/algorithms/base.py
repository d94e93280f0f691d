"""What a method is, and what it is made of: options, networks, optimisers, a state."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from awac_dist.algorithms.gradients import Differentiate, Draw, Gradients, Loss, gradients_of
from awac_dist.algorithms.promises import option_of
from awac_dist.algorithms.state import load_state, state_of
from awac_dist.algorithms.world import ALONE, Acting, Task, World
from awac_dist.nn.adam import adam, take_steps
from awac_dist.nn.config import ActorConfig, CriticConfig, NetworkConfig
from awac_dist.policies.spec import PolicySpec
from awac_dist.ranges import Checked
from awac_dist.types import EnvSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn
    from torch.optim import Optimizer

    from awac_dist.nn.actors import Actor
    from awac_dist.nn.critics import CriticEnsemble, StateValue
    from awac_dist.nn.distributions import Distribution
    from awac_dist.tensors import Batch, Metrics


@dataclass(frozen=True)
class MethodConfig(Checked):
    """Options of a method; a field holds the sizes and step sizes of the network of its name.

    Attributes:
        actor: The policy's network.
        method: The first class whose `Config` it is: known in every process that has the options.
    """

    method: ClassVar[type[Method]]
    actor: ActorConfig = field(default_factory=ActorConfig)

    def policy_spec(self, env: EnvSpec) -> PolicySpec:
        """Shape of the policy that acts."""
        return self.actor.policy_spec(env)


class Method(ABC):
    """Networks, an update that trains them, and a state to go on from.

    Attributes:
        slow_copies: Networks of which `targets` has a slowly moving copy.
        frozen_copies: Likewise, as "frozen_NAME", that stays what it began as: a clone, if adopted.
        adopts: Whether it can start from another policy.
        acts_with: Networks and frozen copies that `act` calls, by name.
        clones: Networks that begin as the policy that it starts from, too, where of its shape.
        bootstraps: Whether a loss reads next observations, and with them `replay.n_steps`.
        knows_online: Whether its losses are others online than offline.
        online: Whether it learns from what is collected with it, meanwhile.
        pauses, critics_alone: Whether updates can be of the critics alone; whether they are now.
        networks, targets: By name; `optimizers` by the name of what they train.
        duals: Numbers that it learns or adapts, by name: tensors [].
        before_step: Called before a step, with the parameters that it will change.
        differentiate: `gradients_of`, or the same compiled.
        draw: Calls a function that draws at random, or hands out what it drew before.
    """

    Config: ClassVar[type[MethodConfig]]
    slow_copies: ClassVar[tuple[str, ...]] = ()
    frozen_copies: ClassVar[tuple[str, ...]] = ()
    adopts: ClassVar[bool] = True
    acts_with: ClassVar[tuple[str, ...]] = ("actor",)
    clones: ClassVar[tuple[str, ...]] = ()
    bootstraps: ClassVar[bool] = True
    knows_online: ClassVar[bool] = False
    pauses: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "Config" in vars(cls) and "method" not in vars(cls.Config):
            cls.Config.method = cls

    def __init__(
        self,
        config: MethodConfig,
        task: Task,
        *,
        seed: int,
        device: torch.device,
        world: World = ALONE,
    ) -> None:
        from awac_dist.nn.first_weights import redraw

        self.config, self.task, self.device, self.world = config, task, device, world
        weights = torch.Generator().manual_seed(seed)  # on the CPU: equal on every device
        made = self.make_networks(weights)
        redraw(made, vars(config), weights)
        self.networks = {name: network.to(device) for name, network in made.items()}
        self._copied = {name: name for name in self.slow_copies}
        self._copied |= {f"frozen_{name}": name for name in self.frozen_copies}
        self.targets = {
            name: copy.deepcopy(self.networks[original]).requires_grad_(False)
            for name, original in self._copied.items()
        }
        self.online = self.critics_alone = False
        self.duals = self.make_duals()
        self.optimizers = self.make_optimizers()
        self.generator = torch.Generator(device).manual_seed(seed)
        self.before_step: Callable[[Sequence[Tensor]], None] = lambda parameters: None
        self.differentiate: Differentiate = gradients_of
        self.draw: Callable[[Draw], Tensor] = lambda draw: draw()

    @abstractmethod
    def make_networks(self, generator: Generator) -> dict[str, nn.Module]:
        """Networks by name, their first weights drawn from the generator, on the CPU."""

    def make_duals(self) -> dict[str, Tensor]:
        """Numbers that are learned (parameters) or adapted, by name: [] each, on the device.

        The step size of a learned one is the field NAME_learning_rate.
        """
        return {}

    def make_optimizers(self) -> dict[str, Optimizer]:
        """One Adam a network, as the field of its name says, and one a dual that has a gradient."""
        made = dict[str, "Optimizer"]()
        for name, network in self.networks.items():
            config = option_of(self, name, "NetworkConfig", f"network {name}")
            made[name] = adam(network.parameters(), config)
        for name, dual in self.duals.items():
            if dual.requires_grad:
                rate = option_of(self, f"{name}_learning_rate", "Positive", f"dual {name}")
                made[name] = torch.optim.Adam([dual], rate, fused=True)
        return made

    @property
    def needs(self) -> frozenset[str]:
        """Extra columns of a batch that it reads: keys of `replay.layout.NEEDS`."""
        return frozenset()

    @property
    def batches_per_update(self) -> int:
        """How many batches an update learns from."""
        return 1

    @property
    def segment_length(self) -> int:
        """H, where it needs segments."""
        return 1

    @abstractmethod
    def update(self, batches: Sequence[Batch]) -> Metrics:
        """Learn from `batches_per_update` batches. No host synchronisation."""

    def after_update(self, batch: Batch, metrics: Metrics) -> None:  # noqa: B027 - may do nothing
        """What follows the steps of all networks, such as a step of a dual.

        The batch is the last one; to the metrics may be added what is known only now.
        """

    # What the methods are composed from.

    def make_actor(self, generator: Generator, config: NetworkConfig | None = None) -> Actor:
        """The policy's network, or another policy of its kind with the layers of `config`."""
        from awac_dist.nn.actors import make_actor

        actor = replace(self.config.actor, hidden=(config or self.config.actor).hidden)
        return make_actor(actor.policy_spec(self.task.spec), generator)

    def make_critic(
        self, config: CriticConfig, generator: Generator, max_value: float | None = None
    ) -> CriticEnsemble:
        """An ensemble of Q(s, a), of values up to `max_value` where that is given."""
        from awac_dist.nn.critics import CriticEnsemble

        return CriticEnsemble(
            self.task.spec.input_size + self.task.spec.action_size,
            config.hidden,
            config.members,
            generator=generator,
            layer_norm=config.layer_norm,
            max_value=max_value,
        )

    def make_value(self, config: NetworkConfig, generator: Generator) -> StateValue:
        """An estimate of V(s)."""
        from awac_dist.nn.critics import StateValue

        return StateValue(self.task.spec.input_size, config.hidden, generator=generator)

    @property
    def actor(self) -> Actor:
        """[B, O] -> distribution over actions [B, A]."""
        return cast("Actor", self.networks["actor"])

    @property
    def critic(self) -> CriticEnsemble:
        """[B, O] and [B, A] -> [E, B]."""
        return cast("CriticEnsemble", self.networks["critic"])

    @property
    def target_critic(self) -> CriticEnsemble:
        """The critic's slowly moving copy."""
        return cast("CriticEnsemble", self.targets["critic"])

    @property
    def target_actor(self) -> Actor:
        """The actor's, where `slow_copies` names it."""
        return cast("Actor", self.targets["actor"])

    @property
    def frozen_actor(self) -> Actor:
        """The policy that the actor began as, where `frozen_copies` names it."""
        return cast("Actor", self.targets["frozen_actor"])

    def noise(self, like: Tensor, shape: tuple[int, ...] = (), *, uniform: bool = False) -> Tensor:
        """Normal numbers, or uniform ones in [0, 1): [*shape, B, ...] for `like` [B, ...]."""
        whole = (*shape, self.world.size * len(like), *like.shape[1:])
        draw, own = torch.rand if uniform else torch.randn, self.generator
        device, dtype = like.device, like.dtype
        drawn = self.draw(lambda: draw(whole, generator=own, device=device, dtype=dtype))
        return self.world.mine(drawn, dim=len(shape))

    def some_of(self, total: int, count: int) -> Tensor:
        """Numbers [count] of so many of `total`, each set of them equally likely."""
        own, device = self.generator, self.device
        return self.draw(lambda: torch.randperm(total, generator=own, device=device))[:count]

    def sample(self, policy: Distribution, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw actions [*shape, B, A]; gradients reach the policy."""
        return policy.at(self.noise(policy.mean, shape))

    def sample_with_log_prob(
        self, policy: Distribution, shape: tuple[int, ...] = ()
    ) -> tuple[Tensor, Tensor]:
        """Actions as of `sample`, and log pi [*shape, B] of them; gradients reach the policy."""
        return policy.at_with_log_prob(self.noise(policy.mean, shape))

    def descend(self, loss: Loss, batch: Batch, names: Iterable[str]) -> Metrics:
        """Take one step of the named optimisers down the loss of a batch; returns its metrics."""
        gradients, metrics = self.differentiate(loss, batch, self.trained_by(names))
        self.follow(gradients, names)
        return metrics

    def step(self, loss: Tensor, names: Iterable[str]) -> None:
        """The same down a loss that is known, whatever else it depends on."""
        gradients = torch.autograd.grad(loss, self.trained_by(names), allow_unused=True)
        self.follow(gradients, names)

    def trained_by(self, names: Iterable[str]) -> list[Tensor]:
        """The parameters of the named optimisers, in order."""
        groups = [group for name in names for group in self.optimizers[name].param_groups]
        return [parameter for group in groups for parameter in group["params"]]

    def follow(self, gradients: Gradients, names: Iterable[str]) -> None:
        """Take one step of the named optimisers along gradients of what they train."""
        parameters = self.trained_by(names)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.contiguous()
        self.world.average([p.grad for p in parameters if p.grad is not None])
        self.before_step(parameters)
        take_steps(self.optimizers[name] for name in names)

    def move_targets(self, *names: str) -> None:
        """Q' <- (1 - tau) Q' + tau Q of slow copies, all or these: tau is the critic's."""
        for name in names or self.slow_copies:
            critic = option_of(self, "critic", "CriticConfig", f"slow copy of {name}")
            moving, towards = self.targets[name].parameters(), self.networks[name].parameters()
            with torch.no_grad():
                torch._foreach_lerp_(list(moving), list(towards), critic.target_update_rate)

    # What the learner asks for.

    def acting(self) -> Acting:
        """The policy of now; its arrays are those in training."""
        return Acting(self.config.policy_spec(self.task.spec), self.actor.arrays())

    def act(self, observations: Tensor, noise: Tensor) -> Tensor:
        """What that policy does [B, A], for its noise [B, N]."""
        return cast("Tensor", self.actor(observations).at(noise))

    def adopt(self, arrays: Mapping[str, Any]) -> None:
        """Start from the policy with these arrays, which is of the actor's shape."""
        names = [name for name in ("actor", *self.clones) if name in self.networks]
        begun = {name: cast("Actor", self.networks[name]) for name in names}
        for network in begun.values():
            if network.spec == self.actor.spec:
                network.load_arrays(arrays)
        for name, original in self._copied.items():
            if original in begun:
                self.targets[name].load_state_dict(begun[original].state_dict())

    def training_state(self) -> dict[str, Any]:
        """Everything that learns or is random, as it is now: see `state.py`."""
        return state_of(self)

    def load_training_state(self, state: Mapping[str, Any]) -> bool:
        """Go on where `training_state` was taken; returns whether exactly."""
        return load_state(self, state)
