"""A policy by its name on the command line: a checkpoint, a file, or a random process."""

from __future__ import annotations

from awac_dist.policies.noise import NoiseProcess, OrnsteinUhlenbeck, UniformNoise
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.policies.policy import Policy, UnitPolicy, check_sizes
from awac_dist.types import EnvSpec

BLIND: dict[str, type[NoiseProcess]] = {
    "random": UniformNoise,
    "ornstein-uhlenbeck": OrnsteinUhlenbeck,
}


def open_policy(name: str, spec: EnvSpec) -> Policy:
    """A checkpoint or a run folder of ours, an .npz policy, or a key of `BLIND`, for a task.

    Raises:
        InputError: There is no such policy, or it is for a task of other sizes.
    """
    if name in BLIND:
        return UnitPolicy(spec)
    policy = read_policy(find_policy(name))
    check_sizes(name, policy.input_size, policy.action_size, spec)
    return policy
