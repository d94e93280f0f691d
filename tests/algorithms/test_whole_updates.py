"""Ten updates equal a slow reference: one member at a time, Adam and targets written out."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
from methods import ENV, flat, make_batch, make_method, next_draws
from torch import Tensor, tensor

from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.algorithms.bear import BEARConfig
from awac_dist.algorithms.iql import IQLConfig
from awac_dist.algorithms.rlpd import RLPDConfig
from awac_dist.algorithms.td3 import TD3Config
from awac_dist.nn.config import ActorConfig, CriticConfig, NetworkConfig
from awac_dist.tensors import Batch

LOW, HIGH = (tensor(b, dtype=torch.float64) for b in (ENV.action_low, ENV.action_high))
Parameters = list[Tensor]


class Slow:
    """A method's parameters, and all that is done to them, from scratch."""

    def __init__(self, method: Method) -> None:
        self.config: Any = method.config
        self.draws = next_draws(method)
        self.nets = {n: copies(net.parameters()) for n, net in method.networks.items()}
        self.targets = {n: copies(net.parameters()) for n, net in method.targets.items()}
        self.duals = {n: copies([dual])[0] for n, dual in method.duals.items()}
        self.moments: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.steps: dict[str, int] = {}

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.draws, dtype=torch.float64)

    def adam(self, name: str, loss: Tensor, rate: float, decay: float = 0.0) -> Callable[[], None]:
        """One step of Adam down a loss, to be taken later."""
        parameters = self.nets[name] if name in self.nets else [self.duals[name]]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        return lambda: self._adam(name, parameters, gradients, rate, decay)

    def _adam(self, name: str, parameters: Any, gradients: Any, rate: float, decay: float) -> None:
        t = self.steps[name] = self.steps.get(name, 0) + 1
        zeros = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
        before, self.moments[name] = self.moments.get(name, zeros), []
        for p, g, (m, v) in zip(parameters, gradients, before, strict=True):
            g = g + decay * p.data
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            self.moments[name].append((m, v))
            p.data -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)

    def move_target(self) -> None:
        tau = self.config.critic.target_update_rate
        for name, target in self.targets.items():
            for old, new in zip(target, self.nets[name], strict=True):
                old.data = (1 - tau) * old.data + tau * new.data

    def flat(self) -> Tensor:
        lists = (*self.nets.values(), *self.targets.values(), list(self.duals.values()))
        return torch.cat([p.detach().flatten() for parameters in lists for p in parameters])


def copies(parameters: Any) -> Parameters:
    return [p.detach().clone().requires_grad_() for p in parameters]


def value(net: Parameters, inputs: Tensor, member: int = 0) -> Tensor:
    """One member of an ensemble: weights and biases of two hidden layers and the head."""
    w1, b1, w2, b2, w3, b3 = (p[member] for p in net)
    return (torch.relu(torch.relu(inputs @ w1 + b1) @ w2 + b2) @ w3 + b3)[:, 0]


def q_values(net: Parameters, states: Tensor, actions: Tensor) -> list[Tensor]:
    inputs = torch.cat([states, actions], dim=1)
    return [value(net, inputs, e) for e in range(len(net[0]))]


def smallest(values: list[Tensor]) -> Tensor:
    return torch.stack(values).min(dim=0).values


def head(net: Parameters, states: Tensor, config: ActorConfig) -> tuple[Tensor, Tensor]:
    """What the last layer gives, and the standard deviation in half ranges."""
    w1, b1, w2, b2, w3, b3, *rest = net
    hidden = torch.relu(torch.relu(states @ w1.T + b1) @ w2.T + b2)
    logits = hidden @ rest[0].T + rest[1] if config.state_dependent_std else rest[0]
    share = 1 / (1 + torch.exp(-logits))
    log_std = config.log_std_min + (config.log_std_max - config.log_std_min) * share
    return hidden @ w3.T + b3, torch.exp(log_std)


def gaussian(net: Parameters, states: Tensor, config: ActorConfig) -> tuple[Tensor, Tensor]:
    raw, std = head(net, states, config)
    return (HIGH + LOW) / 2 + (HIGH - LOW) / 2 * torch.tanh(raw), std * (HIGH - LOW) / 2


def log_density(actions: Tensor, mean: Tensor, std: Tensor | float) -> Tensor:
    return torch.distributions.Normal(mean, std).log_prob(actions).sum(dim=1)


def bc(slow: Slow, batches: list[Batch]) -> None:
    s, a, actor = batches[0].observations, batches[0].actions, slow.config.actor
    loss = -log_density(a, *gaussian(slow.nets["actor"], s, actor)).mean()
    slow.adam("actor", loss, actor.learning_rate, actor.weight_decay)()


def awac(slow: Slow, batches: list[Batch]) -> None:
    b, config = batches[0], slow.config
    s, a, s2 = b.observations, b.actions, b.next_observations
    mean, std = gaussian(slow.nets["actor"], s2, config.actor)
    next_q = smallest(q_values(slow.targets["critic"], s2, mean + std * slow.noise(*mean.shape)))
    y = (b.rewards + b.discounts * next_q).detach()
    q_data = q_values(slow.nets["critic"], s, a)
    critic_loss = sum(((q - y) ** 2).mean() for q in q_data)
    mean, std = gaussian(slow.nets["actor"], s, config.actor)
    drawn = mean + std * slow.noise(1, *mean.shape)[0]
    advantages = (smallest(q_data) - smallest(q_values(slow.nets["critic"], s, drawn))).detach()
    weights = torch.exp(advantages / slow.duals["log_temperature"].detach().exp())
    weights = weights / weights.sum() * len(weights)
    actor_loss = -(weights * log_density(a, mean, std)).mean()
    steps = [slow.adam("critic", critic_loss, config.critic.learning_rate)]
    steps += [slow.adam("actor", actor_loss, config.actor.learning_rate, config.actor.weight_decay)]
    for step in steps:
        step()
    slow.move_target()
    effective = weights.sum() ** 2 / (weights**2).sum()
    wanted = config.effective_batch * len(weights)
    slow.duals["log_temperature"].data += 0.02 * torch.log(wanted / effective).clamp(-1, 1)


def iql(slow: Slow, batches: list[Batch]) -> None:
    b, config = batches[0], slow.config
    s, a, s2 = b.observations, b.actions, b.next_observations
    q_data = smallest(q_values(slow.targets["critic"], s, a)).detach()
    u = q_data - value(slow.nets["value"], s)
    expectile = torch.where(u > 0, config.expectile, 1 - config.expectile)
    value_loss = (expectile * u**2).mean()
    y = (b.rewards + b.discounts * value(slow.nets["value"], s2)).detach()
    critic_loss = sum(((q - y) ** 2).mean() for q in q_values(slow.nets["critic"], s, a))
    weights = torch.exp(u.detach() / config.temperature).clamp(max=config.max_weight)
    density = log_density(a, *gaussian(slow.nets["actor"], s, config.actor))
    losses = {"value": value_loss, "critic": critic_loss, "actor": -(weights * density).mean()}
    steps = [
        slow.adam(name, loss, getattr(config, name).learning_rate) for name, loss in losses.items()
    ]
    for step in steps:
        step()
    slow.move_target()


def rlpd(slow: Slow, batches: list[Batch]) -> None:
    config, coef = slow.config, slow.duals["entropy_coef"].detach().exp()

    def sample(states: Tensor) -> tuple[Tensor, Tensor]:
        raw, std = head(slow.nets["actor"], states, config.actor)
        inner = raw + std * slow.noise(*raw.shape)
        log_cosh = inner.abs() + torch.log1p(torch.exp(-2 * inner.abs())) - log(2)
        slope = torch.log((HIGH - LOW) / 2) - 2 * log_cosh  # of half * tanh
        actions = (HIGH + LOW) / 2 + (HIGH - LOW) / 2 * torch.tanh(inner)
        return actions, log_density(inner, raw, std) - slope.sum(dim=1)

    for b in batches:
        a2, density = sample(b.next_observations)
        next_q = q_values(slow.targets["critic"], b.next_observations, a2)
        chosen = torch.randperm(len(next_q), generator=slow.draws)[: config.target_members]
        soft = smallest([next_q[e] for e in chosen]) - coef * density
        y = (b.rewards + b.discounts * soft).detach()
        q_data = q_values(slow.nets["critic"], b.observations, b.actions)
        loss = sum(((q - y) ** 2).mean() for q in q_data)
        slow.adam("critic", loss, config.critic.learning_rate)()
        slow.move_target()
    drawn, density = sample(b.observations)
    q = torch.stack(q_values(slow.nets["critic"], b.observations, drawn)).mean(dim=0)
    slow.adam("actor", (coef * density - q).mean(), config.actor.learning_rate)()
    wanted = config.target_entropy * 2 + torch.log((HIGH - LOW) / 2).sum()
    entropy = -density.mean().detach()
    alpha_loss = slow.duals["entropy_coef"].exp() * (entropy - wanted)
    slow.adam("entropy_coef", alpha_loss, config.entropy_coef_learning_rate)()


def bear(slow: Slow, batches: list[Batch]) -> None:
    (b,), config, nets, targets = batches, slow.config, slow.nets, slow.targets
    s, a, s2, size = b.observations, b.actions, b.next_observations, len(b.rewards)
    half = (HIGH - LOW) / 2

    def plain(net: Parameters, *inputs: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3 = net
        hidden = torch.relu(torch.relu(torch.cat(inputs, dim=1) @ w1.T + b1) @ w2.T + b2)
        return hidden @ w3.T + b3

    def sampled(net: Parameters, states: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        raw, std = head(net, states, config.actor)
        inner = raw + std * noise
        return inner, (HIGH + LOW) / 2 + half * torch.tanh(inner)

    units = (a - (HIGH + LOW) / 2) / half
    code = plain(nets["behaviour"][:6], s, units)
    mean, std = code[:, :4], code[:, 4:].clamp(-4, 15).exp()
    decoded = torch.tanh(plain(nets["behaviour"][6:], s, mean + std * slow.noise(size, 4)))
    divergence = 0.5 * (mean**2 + std**2 - 1 - 2 * torch.log(std))
    loss = ((decoded - units) ** 2).mean() + 0.5 * divergence.mean()
    slow.adam("behaviour", loss, config.behaviour.learning_rate)()

    values = []
    for noise in slow.noise(config.target_candidates, size, 2):
        _, a2 = sampled(targets["actor"], s2, noise)
        q = torch.stack(q_values(targets["critic"], s2, a2))
        values.append(0.75 * q.min(dim=0).values + 0.25 * q.max(dim=0).values)
    y = (b.rewards + b.discounts * torch.stack(values).max(dim=0).values).detach()
    loss = sum(((q - y) ** 2).mean() for q in q_values(nets["critic"], s, a))
    slow.adam("critic", loss, config.critic.learning_rate)()

    count = config.divergence_samples
    samples = [sampled(nets["actor"], s, noise) for noise in slow.noise(count, size, 2)]
    latents = slow.noise(count, size, 4).clamp(-0.5, 0.5)
    modelled = [plain(nets["behaviour"][6:], s, its).detach() for its in latents]

    def likeness(one: list[Tensor], other: list[Tensor]) -> Tensor:
        apart = [(x - y).abs().sum(dim=1) for x in one for y in other]
        return torch.stack([torch.exp(-its / (2 * config.bandwidth)) for its in apart]).mean(dim=0)

    inner = [its for its, _ in samples]
    squares = likeness(inner, inner) + likeness(modelled, modelled) - 2 * likeness(inner, modelled)
    mmd = torch.sqrt(squares + 1e-6).mean()
    q = torch.stack([smallest(q_values(nets["critic"], s, its)) for _, its in samples]).mean()
    climbs = 1.0 if slow.duals["updates"].item() >= config.divergence_updates else 0.0
    weight = slow.duals["penalty_weight"]
    loss = weight.exp().detach() * mmd - climbs * q
    slow.adam("actor", loss, config.actor.learning_rate)()
    slow.move_target()
    loss = -weight.exp() * (mmd.detach() - config.epsilon)
    slow.adam("penalty_weight", loss, config.penalty_weight_learning_rate)()
    slow.duals["updates"].data += 1


def td3(slow: Slow, batches: list[Batch]) -> None:
    config = slow.config

    def act(net: Parameters, states: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3 = net
        hidden = torch.relu(torch.relu(states @ w1.T + b1) @ w2.T + b2)
        return LOW + (HIGH - LOW) / 2 * (torch.tanh(hidden @ w3.T + b3) + 1)

    for b in batches:
        a2 = act(slow.targets["actor"], b.next_observations)
        noise = (config.target_noise * slow.noise(*a2.shape)).clamp(-0.5, 0.5)
        a2 = torch.minimum(torch.maximum(a2 + noise * (HIGH - LOW) / 2, LOW), HIGH)
        next_q = smallest(q_values(slow.targets["critic"], b.next_observations, a2))
        y = (b.rewards + b.discounts * next_q).detach()
        q_data = q_values(slow.nets["critic"], b.observations, b.actions)
        loss = sum(((q - y) ** 2).mean() for q in q_data)
        slow.adam("critic", loss, config.critic.learning_rate)()
    s = b.observations
    loss = -q_values(slow.nets["critic"], s, act(slow.nets["actor"], s))[0].mean()
    slow.adam("actor", loss, config.actor.learning_rate)()
    slow.move_target()


RATES = {"learning_rate": 1e-2}
CRITIC = CriticConfig(**RATES, members=3, target_update_rate=0.1)
REFERENCES: dict[str, tuple[Callable[[Slow, list[Batch]], None], MethodConfig]] = {
    "bc": (bc, BCConfig(ActorConfig(**RATES, weight_decay=0.1))),
    "awac": (awac, AWACConfig(ActorConfig(**RATES, weight_decay=0.1), CRITIC, temperature=0.4)),
    "bear": (
        bear,
        BEARConfig(
            actor=replace(BEARConfig().actor, **RATES),
            critic=CRITIC,
            behaviour=NetworkConfig(**RATES),
            penalty_weight_learning_rate=0.1,
            bandwidth=1.0,
            epsilon=0.3,
        ),
    ),
    "iql": (iql, IQLConfig(ActorConfig(**RATES, state_dependent_std=True), CRITIC)),
    "rlpd": (rlpd, RLPDConfig(replace(RLPDConfig().actor, **RATES), CRITIC, critic_batches=3)),
    "td3": (td3, TD3Config(replace(TD3Config().actor, **RATES), CRITIC)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_ten_updates_equal_the_slow_reference(name: str) -> None:
    reference, config = REFERENCES[name]
    method = make_method(config)
    slow, count = Slow(method), method.batches_per_update
    start = flat(method)
    for update in range(10):
        batches = [make_batch(seed=update * count + number) for number in range(count)]
        method.update(batches)
        reference(slow, batches)
    assert (flat(method) - start).abs().max() > 0.05
    torch.testing.assert_close(flat(method), slow.flat(), rtol=1e-9, atol=1e-9)
