"""`awac-dist export`: the policy of a run, as a file that acts anywhere."""

from __future__ import annotations

from awac_dist.cli.commands import Export
from awac_dist.errors import writable
from awac_dist.files import read_file, write_file
from awac_dist.policies.npz import find_policy, read_policy
from awac_dist.reporting.screen import say


def run(options: Export) -> None:
    """Copy the policy of a checkpoint, if it is whole."""
    source = find_policy(options.policy)
    policy = read_policy(source)
    with writable(options.out):
        write_file(options.out, read_file(source))
    say(f"wrote {options.out}: the policy of {source}, after {policy.version:,} updates")
