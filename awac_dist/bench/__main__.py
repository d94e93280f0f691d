"""`python -m awac_dist.bench`: an entry point, and nothing else."""

from __future__ import annotations

import sys

from awac_dist.bench.command import main
from awac_dist.cli.main import told

if __name__ == "__main__":
    sys.exit(told(main, sys.argv[1:]))
