"""A policy by its name on the command line: a checkpoint, a file, or a random process."""

from __future__ import annotations

from awac_dist.errors import InputError
from awac_dist.policies.noise import MakeNoise, OrnsteinUhlenbeck, UniformNoise
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.policies.policy import Policy, UnitPolicy
from awac_dist.types import EnvSpec

BLIND: dict[str, MakeNoise] = {"random": UniformNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeck}


def open_policy(name: str, spec: EnvSpec) -> Policy:
    """A checkpoint or a run folder of ours, an .npz policy, or a key of `BLIND`, for a task.

    Raises InputError where there is no such policy, or it is for a task of other sizes.
    """
    if name in BLIND:
        return UnitPolicy(spec)
    policy = read_policy(find_policy(name))
    if (policy.input_size, policy.action_size) != (spec.input_size, spec.action_size):
        raise InputError(
            f"{name}: reads {policy.input_size} observations and gives {policy.action_size} "
            f"actions, but {spec.env_id} has {spec.input_size} and {spec.action_size}"
        )
    return policy
