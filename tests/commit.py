"""A number that moves with the commit: what is sampled in every test run, is so by this."""

import os
import subprocess
from pathlib import Path

SEED = "AWAC_DIST_TEST_SEED"


def commit_number() -> int:
    """The first digits of the commit; what the environment says, to repeat a test run."""
    told = os.environ.get(SEED)
    if told is not None:
        return int(told)
    words = ["git", "rev-parse", "HEAD"]
    said = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True)
    return int(said.stdout[:8] or "0", 16)
