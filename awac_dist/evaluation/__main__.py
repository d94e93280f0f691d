"""`python -m awac_dist.evaluation`: a thin door to `awac-dist evaluate`."""

from __future__ import annotations

import sys

from awac_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
