"""Models of the data's actions, and what is learned beside them, in NumPy."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from methods import BANDIT, ENV, build, next_draws, normal, numpy_batch, numpy_q
from running import small

from awac_dist.policies import make_policy
from awac_dist.tensors import Batch
from awac_dist.types import Array

LOW, HIGH = np.array(ENV.action_low), np.array(ENV.action_high)


def of_units(units: np.ndarray) -> np.ndarray:
    return LOW + (units + 1) * (HIGH - LOW) / 2


def numpy_mlp(network: Any, inputs: np.ndarray) -> np.ndarray:
    """Of two hidden layers: [B, m]."""
    w1, b1, w2, b2, w3, b3 = (parameter.detach().numpy() for parameter in network.parameters())
    hidden = np.maximum(np.maximum(inputs @ w1.T + b1, 0) @ w2.T + b2, 0)
    return hidden @ w3.T + b3


def numpy_decoded(vae: Any, states: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """Before the tanh: [B, A]."""
    return numpy_mlp(vae.decoder, np.concatenate([states, latents], axis=1))


def numpy_behaviour_loss(method: Any, batch: Batch) -> float:
    s, a, *_ = numpy_batch(batch)
    units = 2 * (a - LOW) / (HIGH - LOW) - 1
    code = numpy_mlp(method.vae.encoder, np.concatenate([s, units], axis=1))
    mean, std = code[:, :4], np.exp(np.clip(code[:, 4:], -4, 15))
    decoded = np.tanh(
        numpy_decoded(method.vae, s, mean + std * normal(next_draws(method), len(s), 4))
    )
    divergence = -0.5 * (1 + np.log(std**2) - mean**2 - std**2)
    return float(np.mean((decoded - units) ** 2) + 0.5 * np.mean(divergence))


def numpy_soft_target(method: Any, batch: Batch, proposals: Sequence[np.ndarray]) -> float:
    """The critics' loss where the next actions are proposed [B, A]."""
    (s, a, r, d, s2), share = numpy_batch(batch), method.config.min_share
    each = [numpy_q(method.target_critic, s2, actions) for actions in proposals]
    values = [share * q.min(axis=0) + (1 - share) * q.max(axis=0) for q in each]
    y = r + d * np.max(values, axis=0)
    return float(sum(np.mean((q - y) ** 2) for q in numpy_q(method.critic, s, a)))


def two_modes(rows: int, rng: np.random.Generator) -> Batch:
    """Actions near -0.6 and 0.6, of rewards 0 and 1; between and beyond them nobody has been."""
    best = rng.integers(2, size=(rows, 1))
    actions = (1.2 * best - 0.6 + 0.05 * rng.normal(size=(rows, 1))).clip(-1, 1)
    states = rng.uniform(-1, 1, size=(rows, 1))
    columns = states, actions, best[:, 0] * 1.0, np.zeros(rows), states
    return Batch(*(torch.from_numpy(column.astype(np.float32)) for column in columns))


def learned_from_two_modes(config: Any) -> Array:
    """What the policy that acts does after 200 updates, in states everywhere: [n, 1]."""
    names = ("actor", "critic", "behaviour")
    parts = {name: replace(getattr(config, name), learning_rate=5e-3) for name in names}
    env = BANDIT
    method = build(small(replace(config, **parts), 16), env, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        method.update([two_modes(64, rng)])
    acting = method.acting()
    policy = make_policy(acting.spec, acting.vector(), 0)
    return policy.mean(np.linspace(-1, 1, 21, dtype=np.float32)[:, None])
