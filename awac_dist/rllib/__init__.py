"""AWAC as one of RLlib's algorithms; importing it registers "AWAC" with Ray Tune."""

from ray import tune

from awac_dist.rllib.algorithm import AWAC
from awac_dist.rllib.config import AWACConfig

__all__ = ["AWAC", "AWACConfig"]

tune.register_trainable("AWAC", AWAC)
