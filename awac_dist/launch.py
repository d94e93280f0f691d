"""`python -m awac_dist.launch`: a thin door to `awac-dist launch`."""

from __future__ import annotations

import sys

from awac_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["launch", *sys.argv[1:]]))
