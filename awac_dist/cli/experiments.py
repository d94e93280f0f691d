"""`awac-dist experiments ...`: a thin door to awac_dist.experiments."""

from awac_dist.experiments.commands import run as run
