"""`python -m awac_dist.evaluation`: an entry point, and nothing else."""

from __future__ import annotations

import sys

from awac_dist.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
