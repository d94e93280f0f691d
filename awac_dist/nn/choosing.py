"""The torch side of policies that choose among candidates: `policies.choosing`."""

from __future__ import annotations

from torch import Tensor

from awac_dist.nn.critics import CriticEnsemble
from awac_dist.policies.beside_clone import TINY
from awac_dist.policies.choosing import CRITIC
from awac_dist.tensors import check_shapes


def critic_arrays(critic: CriticEnsemble, members: int) -> dict[str, Tensor]:
    """The first `members` critics as such a policy has them; they share their memory."""
    named = critic.named_parameters()
    return {f"{CRITIC}{name}": weight.detach()[:members] for name, weight in named}


def by_candidate(noise: Tensor, candidates: int) -> Tensor:
    """The noise of a step [B, N * n] as that of each candidate: [N, B, n]."""
    return noise.reshape(len(noise), candidates, -1).transpose(0, 1)


def gumbel(noise: Tensor) -> Tensor:
    """Standard Gumbel numbers [B, N] of standard normal ones [B, 2 N]."""
    squares = noise.square().reshape(len(noise), -1, 2).sum(dim=-1)
    return -(squares.clamp(min=float(TINY)) / 2).log()


def best(values: Tensor, candidates: Tensor) -> Tensor:
    """Of actions [N, B, A] those [B, A] whose least value, of [E, N, B], is highest."""
    check_shapes("E N B, N B A", values, candidates)
    number = values.amin(dim=0).argmax(dim=0)  # [B]
    number = number[None, :, None].expand(1, -1, candidates.shape[-1])  # ONNX has no take_along_dim
    return candidates.gather(0, number).squeeze(0)
