"""`python -m awac_dist.bench`: an entry point, and nothing else."""

from __future__ import annotations

import sys

from awac_dist.bench.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
