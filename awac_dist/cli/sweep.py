"""`awac-dist sweep FILE`: a thin door to awac_dist.sweeps."""

from awac_dist.sweeps.commands import run as run
