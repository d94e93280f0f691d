"""`python -m awac_dist.evaluation`: a thin door to `awac-dist evaluate`."""

import sys

from awac_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
