"""`awac-dist export`: the policy of a run, as a file that acts anywhere."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from awac_dist.cli.commands import Export
from awac_dist.data.sources import episodes, find
from awac_dist.errors import InputError, writable
from awac_dist.files import read_file, write_file
from awac_dist.policies.network import NetworkPolicy
from awac_dist.policies.npz import find_policy, read_policy, run_of
from awac_dist.reporting.screen import say
from awac_dist.types import Array


def run(options: Export) -> None:
    """Write the file, and say so."""
    say(export(options))


def export(options: Export) -> str:
    """Copy the policy of a checkpoint, if it is whole, or translate and check it; says which."""
    source = find_policy(options.policy)
    policy, suffix = read_policy(source), options.out.rpartition(".")[2]
    told = f"wrote {options.out}: the policy of {source}, after {policy.version:,} updates"
    if suffix == "npz":
        content = read_file(source)
    elif isinstance(policy, NetworkPolicy):
        from awac_dist.learner.device import torch_put_back
        from awac_dist.nn.export import FORMATS, checked  # torch: slow to import

        recorded = _recorded(run_of(options.policy), policy.input_size)
        with torch_put_back():
            content, off = checked(FORMATS[suffix](policy), policy, recorded)
        told += f"\nchecked: at most {off:.0e} half ranges from what it does in NumPy"
        told += f", on {len(recorded):,} recorded observations, too" if len(recorded) else ""
    else:
        raise InputError(f"{source}: is no policy of ours: only a copy of it can be made (.npz)")
    with writable(options.out):
        write_file(options.out, content)
    return told


def _recorded(run: str, size: int) -> Array:
    """What a policy saw [n, O] in an episode of its run; none where it did not, or has no run.

    With the goal, where the task has one.
    """
    with suppress(InputError, OSError, StopIteration):
        *_, episode = next(episodes(find(run)))
        goals = [] if episode.desired_goals is None else [episode.desired_goals]
        seen = np.concatenate([episode.observations, *goals], axis=1)
        if seen.shape[1] == size:
            return seen
    return np.empty((0, size), np.float32)
