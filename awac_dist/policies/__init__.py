"""What acts, in NumPy: no torch, no Ray. A kind of policy is one file here, named in `POLICIES`."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from awac_dist.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from awac_dist.policies.network import NetworkPolicy
    from awac_dist.policies.spec import PolicySpec
    from awac_dist.types import Array

POLICIES = {  # kind -> its class; one that is no `ChoosingPolicy` has a twin in `nn.actors.ACTORS`
    "best_of_n": "awac_dist.policies.best_of_n:BestOfNPolicy",
    "beside_clone": "awac_dist.policies.beside_clone:BesideClonePolicy",
    "gaussian": "awac_dist.policies.gaussian:GaussianPolicy",
    "squashed_gaussian": "awac_dist.policies.squashed_gaussian:SquashedGaussianPolicy",
    "deterministic": "awac_dist.policies.deterministic:DeterministicPolicy",
    "perturbed_vae": "awac_dist.policies.perturbed_vae:PerturbedVAEPolicy",
}


def policy_class(kind: str) -> type[NetworkPolicy]:
    """The class of a kind; an InputError names the nearest if there is no such kind."""
    if kind not in POLICIES:
        every = f"did you mean {' or '.join(POLICIES)}?"
        raise InputError(f"no policy kind {kind!r}: {did_you_mean(kind, POLICIES, every)}")
    found: type[NetworkPolicy] = resolve_name(POLICIES[kind])
    return found


def make_policy(spec: PolicySpec, vector: Array, version: int) -> NetworkPolicy:
    """The policy that a flat vector [P] of parameters describes."""
    return policy_class(spec.kind)(spec, vector, version)
