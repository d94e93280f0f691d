"""`python -m awac_dist.bench`: an entry point, and nothing else."""

from __future__ import annotations

import sys

from awac_dist.bench.command import Bench, run
from awac_dist.cli.main import call

if __name__ == "__main__":
    sys.exit(call(Bench, run, "python -m awac_dist.bench"))
