"""The policy of one run as the beginning of another one, whatever their methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from awac_dist.errors import InputError
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.policies.spec import PolicySpec
from awac_dist.types import Array

OF_STD = ("kind", "state_dependent_std", "log_std_min", "log_std_max")  # what it is read by


def open_initial(name: str, wanted: PolicySpec) -> NetworkPolicy:
    """The actor of a policy of ours, named as for `find_policy`, with the layers of another one.

    An InputError says that there is none, or where it differs.
    """
    policy = read_policy(find_policy(name))
    if not isinstance(policy, NetworkPolicy):
        raise InputError(f"{name}: is no policy of ours: a run starts from a run's, or from none")
    actor = policy.actor()
    if actor is None:
        raise InputError(f"{name}: no network of it acts by itself: give another policy")
    found, of_task = actor.spec, (wanted.input_size, wanted.action_size)
    if (found.input_size, found.action_size) != of_task:
        raise InputError(
            f"{name}: reads {found.input_size} observations and gives {found.action_size} actions, "
            f"but the task has {of_task[0]} and {of_task[1]}: give a policy of this task"
        )
    if (found.action_low, found.action_high) != (wanted.action_low, wanted.action_high):
        raise InputError(
            f"{name}: its actions are from {found.action_low} to {found.action_high}, but those of "
            f"the task from {wanted.action_low} to {wanted.action_high}: give one of this task"
        )
    if found.layer_sizes != wanted.layer_sizes:
        hidden = (spec.layer_sizes[1:-1] for spec in (found, wanted))
        own, others = (" ".join(map(str, sizes)) or "[]" for sizes in hidden)
        raise InputError(
            f"{name}: has hidden layers of {own}, this run's policy has {others}: "
            f"give --algorithm.actor.hidden {own}"
        )
    return actor


def arrays_of(
    policy: NetworkPolicy,
    spec: PolicySpec,
    observation_shift: Array | float = 0.0,
    observation_scale: Array | float = 1.0,
) -> dict[str, Array]:
    """Its parameters for an actor of `spec`, which sees (observation - shift) / scale.

    How far samples spread is taken along between policies of one kind and equal bounds of it; else
    it is left out, and begins anew.
    """
    arrays = adapted(policy.arrays, observation_shift, observation_scale)
    if any(getattr(policy.spec, name) != getattr(spec, name) for name in OF_STD):
        return {name: array for name, array in arrays.items() if not name.startswith("log_std")}
    return arrays


def adapted(
    arrays: Mapping[str, Array],
    observation_shift: Array | float = 0.0,
    observation_scale: Array | float = 1.0,
) -> dict[str, Array]:
    """The parameters of a policy for a network that sees (observation - shift) / scale [O].

    Whether the policy normalises or not, and by what: its mean actions stay what they were.
    """
    layers = {name: its for name, its in arrays.items() if not name.startswith("observation_")}
    its_shift = np.asarray(arrays.get("observation_shift", 0.0), np.float64)
    weight = layers["weight_0"] / np.asarray(arrays.get("observation_scale", 1.0), np.float64)
    moved = np.broadcast_to(observation_shift - its_shift, weight.shape[1])  # [O]
    layers["bias_0"] = (layers["bias_0"] + weight @ moved).astype(np.float32)
    layers["weight_0"] = (weight * observation_scale).astype(np.float32)
    return layers
