"""`python -m awac_dist.plotting`: a thin door to `awac-dist plot`."""

import sys

from awac_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["plot", *sys.argv[1:]]))
