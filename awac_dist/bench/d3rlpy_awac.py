"""d3rlpy's AWAC with the settings of ours, to be measured beside."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import torch

from awac_dist.algorithms.awac import AWACConfig as OurConfig
from awac_dist.bench.products import CRITICS, HALF_CHEETAH, HIDDEN

NO_BONUS = -30.0  # logarithm of the weight of its entropy bonus


def their_algorithm(batch_size: int, temperature: float = 1.0) -> Any:
    """Their AWAC for HalfCheetah, its networks built; the entropy bonus of its target is off."""
    with redirect_stderr(StringIO()):  # gym, which it imports, asks its users to leave
        from d3rlpy.algos import AWACConfig
        from d3rlpy.models.encoders import VectorEncoderFactory
        from d3rlpy.optimizers import AdamFactory

    networks = VectorEncoderFactory(list(HIDDEN))
    decay = OurConfig().actor.weight_decay * batch_size  # its loss is a sum over the batch
    algorithm = AWACConfig(
        actor_encoder_factory=networks,
        critic_encoder_factory=networks,
        actor_optim_factory=AdamFactory(weight_decay=decay),
        n_critics=CRITICS,
        batch_size=batch_size,
        lam=temperature,
    ).create(device="cpu:0")
    algorithm.create_impl((HALF_CHEETAH.observation_size,), HALF_CHEETAH.action_size)
    with torch.no_grad():
        for parameter in algorithm.impl.modules.log_temp.parameters():
            parameter.fill_(NO_BONUS)
    return algorithm
