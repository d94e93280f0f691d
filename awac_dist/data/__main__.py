"""`python -m awac_dist.data`: a thin door to `awac-dist data`."""

import sys

from awac_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["data", *sys.argv[1:]]))
