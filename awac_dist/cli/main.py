"""`awac-dist COMMAND ...`: the one door to everything that a person runs."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from awac_dist import __version__
from awac_dist.cli.layout import overview
from awac_dist.errors import InputError, RunFailed, cannot_write, did_you_mean
from awac_dist.interrupts import PROGRAM, ends_at_once
from awac_dist.reporting.screen import UnheardError, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name.

    Returns:
        The exit code: 0; 2 for wrong input, before anything ran; 1 for a run that cannot go on,
        or where `data validate` found something wrong; or 128 and the signal that ended a run.
    """
    return told(lambda: _run(sys.argv[1:] if argv is None else argv))


def call(kind: type[Any], run: Callable[[Any], int | None], program: str) -> int:
    """Run a tool of its own with the options that this process was given; its exit code."""
    from awac_dist.cli.parser import read

    return told(lambda: run(read(kind, sys.argv[1:], program)))


def told(run: Callable[[], int | None]) -> int:
    """The exit code of `run`; what a person can mend is said in one line, whatever the command."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 where it was closed before
    try:
        try:
            return run() or 0
        except (InputError, RunFailed) as error:
            _tell(" ".join(str(error).split()), error)
            return 2 if isinstance(error, InputError) else 1
        except KeyboardInterrupt as error:  # of a run, the second: the first is a polite request
            _tell("interrupted", error)
            return 128 + signal.SIGINT
        finally:
            sys.stdout.flush()
    except OSError as error:
        closed = _is_closed(sys.stdout.fileno())
        if not closed and not isinstance(error, UnheardError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is not written
        if closed:
            return 128 + signal.SIGPIPE
        _tell(cannot_write("standard output", error), error)
        return 1


def _is_closed(descriptor: int) -> bool:
    """Whether nobody reads what is written there: of `| head`, or a terminal that is gone."""
    look = select.poll()
    look.register(descriptor, 0)
    return bool(look.poll(0))


def _tell(line: str, error: BaseException) -> None:
    """One line of what went wrong; then what may be done, which whoever raised it notes."""
    say(f"awac_dist: {line}", sys.stderr)
    for note in getattr(error, "__notes__", ()):
        say(note)


def _run(argv: Sequence[str]) -> int | None:
    with ends_at_once():
        from awac_dist.cli.commands import COMMANDS
        from awac_dist.cli.parser import read

    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    group = f"{argv[0]} " if argv and argv[0] in groups else ""
    words = list(argv)[bool(group) :]
    names = [name.removeprefix(group) for name in COMMANDS if name.startswith(group)]
    if not words or words[0] in ("-h", "--help"):
        whole = f"{PROGRAM} {group}".strip()
        say(overview(whole, {name: COMMANDS[group + name].what for name in names}))
        return 0 if words else 2
    if words == ["--version"]:
        say(f"awac_dist {__version__}")
        return 0
    if words[0] not in names:
        hint = did_you_mean(words[0], names, f"there are {', '.join(names)}")
        raise InputError(f"no command {words[0]!r}; {hint}")
    command = COMMANDS[name := group + words[0]]
    if command.parse is not None:
        options = command.parse(words[1:])
    else:
        options = read(command.options, words[1:], f"{PROGRAM} {name}")
    module = getattr(options, "module", command.module)
    with ends_at_once():
        run: Callable[[Any], int | None] = import_module(f"awac_dist.cli.{module}").run
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
