"""`python -m awac_dist.launch`: a thin door to `cli.launch`, and nothing else."""

from __future__ import annotations

import sys

from awac_dist.cli.launch import main

if __name__ == "__main__":
    sys.exit(main())
