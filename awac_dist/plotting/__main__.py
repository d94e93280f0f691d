"""Draw the figures of a run again: `python -m awac_dist.plotting RUN_FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from awac_dist.errors import InputError
from awac_dist.plotting.learning_curve import plot_learning_curve


def main() -> int:
    """Draw what the command line names, and return the exit code."""
    parser = argparse.ArgumentParser("python -m awac_dist.plotting", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="holds metrics.jsonl")
    try:
        print(plot_learning_curve(parser.parse_args().folder))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
