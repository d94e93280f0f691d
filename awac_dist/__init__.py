"""Distributed advantage-weighted actor-critic: prior data in, an improving policy out."""

from awac_dist.envs.registration import register_tasks
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

__version__ = "0.1.0"
__all__ = ["EnvSpec", "Episode", "InputError", "Origin", "__version__"]

register_tasks()
