"""`awac-dist COMMAND ...`: the one door to everything that a person runs.

A command is a row of `COMMANDS` and a module with `main(words)`, which is imported when it is
asked for. Wrong input is one line, whatever the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

from awac_dist.errors import InputError, RunFailed

PROGRAM = "awac-dist"


class Command(NamedTuple):
    """One thing that can be done."""

    module: str  # in this room
    what: str


COMMANDS = {
    "launch": Command("launch", "train: prior data in, an improving policy out"),
    "evaluate": Command("evaluate", "play whole episodes with a policy, and say how it did"),
    "export": Command("export", "write the policy of a run as a file of NumPy arrays"),
    "plot": Command("plot", "draw the figures of a run again"),
    "data inspect": Command("inspect", "say what some data holds"),
    "data validate": Command("validate", "list what is wrong with some data"),
    "data convert": Command("convert", "write episodes anew, some or all"),
    "data collect": Command("collect", "roll out a policy and keep its episodes"),
    "data recipe": Command("recipe", "make the prior data of one of the paper's tasks"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name.

    Returns:
        The exit code: 0; 2 for wrong input, before anything ran; 1 for a run that cannot go on,
        or where `data validate` found something wrong; or 128 and the signal that ended a run.
    """
    return told(_run, sys.argv[1:] if argv is None else argv)


def told(run: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """What `run` returns for some words; what a person can mend is said in one line."""
    try:
        return run(argv)
    except (InputError, RunFailed) as error:
        print(f"awac_dist: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _run(argv: Sequence[str]) -> int:
    group = "data " if argv[:1] == ["data"] else ""
    words = list(argv)[bool(group) :]
    names = [name.removeprefix(group) for name in COMMANDS if name.startswith(group)]
    if not words or words[0] in ("-h", "--help"):
        print(_overview(group, names))
        return 0 if words else 2
    if words[0] not in names:
        near = get_close_matches(words[0], names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise InputError(f"no command {words[0]!r}; {hint}")
    module = COMMANDS[group + words[0]].module
    code: int = import_module(f"awac_dist.cli.{module}").main(words[1:])
    return code


def _overview(group: str, names: Sequence[str]) -> str:
    lines = [f"usage: {PROGRAM} {group}COMMAND ...", "", "commands:"]
    lines += [f"  {name:<15}{COMMANDS[group + name].what}" for name in names]
    return "\n".join([*lines, "", f"See {PROGRAM} {group}COMMAND --help."])


if __name__ == "__main__":
    sys.exit(main())
