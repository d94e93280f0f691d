"""`awac-dist export`: the policy of a run, as a file that acts anywhere."""

from __future__ import annotations

from awac_dist.cli.commands import Export
from awac_dist.errors import InputError
from awac_dist.files import first_line, resolve, written_aside
from awac_dist.policies.npz import find_policy, read_policy


def run(options: Export) -> None:
    """Copy the policy that lies beside a checkpoint, if it is whole.

    Raises:
        InputError: There is none, it is damaged, or the file cannot be written.
    """
    source = find_policy(options.policy)
    policy = read_policy(source)
    filesystem, name = resolve(source)
    with filesystem.open_input_file(name) as file:
        content = file.read()
    try:
        with written_aside(options.out) as (target, aside), target.open_output_stream(aside) as out:
            out.write(content)
    except OSError as error:
        raise InputError(f"{options.out}: cannot be written: {first_line(error)}") from error
    print(f"wrote {options.out}: the policy of {source}, after {policy.version:,} updates")
