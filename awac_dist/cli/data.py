"""`python -m awac_dist.data`: inspect, validate, convert, collect and make episodes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TextIO

from awac_dist.cli import convert, report, validate
from awac_dist.cli.arguments import Parser, nearest
from awac_dist.cli.survey import survey, together
from awac_dist.data import sources
from awac_dist.errors import InputError

PROGRAM = "python -m awac_dist.data"
SOURCE_HELP = (
    "a file, a folder, a glob, an embedded dataset, a Minari id or the folder of an earlier run; "
    "options follow after commas, such as kind=demonstration"
)


class Command(NamedTuple):
    """One thing that can be done with data."""

    help: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[Namespace, TextIO], int]  # returns the exit code


def main(argv: Sequence[str]) -> int:
    """Run the command line, without the program's name.

    Returns:
        The exit code: 0, 1 where `validate` found something wrong, 2 for wrong input.
    """
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_overview())
            return 0 if argv else 2
        name, *rest = argv
        command = _command(name)
        parser = Parser(f"{PROGRAM} {name}", command.help)
        command.add_arguments(parser)
        return command.run(parser.read(rest), sys.stdout)
    except InputError as error:
        print(f"awac_dist: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _inspect_arguments(parser: Parser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument("--plot", metavar="FILE.png", type=Path, help="draw the same as a picture")


def _inspect(args: Namespace, stream: TextIO) -> int:
    width, blocks = report.width_of(stream), report.draws_blocks(stream)
    surveys = []
    for argument in args.sources:
        surveys.append(survey(sources.find(argument)))
        print(report.text(surveys[-1], width=width, blocks=blocks), "\n", file=stream, sep="")
    if len(surveys) > 1:
        print(report.text(together(surveys), width=width, blocks=blocks), "\n", file=stream, sep="")
    if args.plot:
        from awac_dist.cli.picture import draw  # matplotlib is slow to import

        print(f"drawn: {draw(surveys, args.plot)}", file=stream)
    return 0


def _validate_arguments(parser: Parser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)


def _validate(args: Namespace, stream: TextIO) -> int:
    return validate.run(args.sources, stream)


def _convert_arguments(parser: Parser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    convert.add_arguments(parser)


LATE = {  # these need environments, which are slow to import
    "collect": "roll out a policy and keep its episodes",
    "recipe": "make the prior data of one of the paper's tasks",
}
COMMANDS = {
    "inspect": Command("say what some data holds", _inspect_arguments, _inspect),
    "validate": Command("list what is wrong with some data", _validate_arguments, _validate),
    "convert": Command("write episodes anew, some or all", _convert_arguments, convert.run),
}


def _command(name: str) -> Command:
    """The command of that name."""
    if name in LATE:
        module = import_module(f"awac_dist.cli.{name}")
        return Command(LATE[name], module.add_arguments, module.run)
    if name not in COMMANDS:
        names = [*COMMANDS, *LATE]
        near = nearest(name, names) or f"; there are {', '.join(names)}"
        raise InputError(f"no command {name!r}{near}")
    return COMMANDS[name]


def _overview() -> str:
    texts = {name: command.help for name, command in COMMANDS.items()} | LATE
    lines = [f"usage: {PROGRAM} COMMAND ...", "", "commands:"]
    lines += [f"  {name:<10}{text}" for name, text in texts.items()]
    return "\n".join([*lines, "", f"See {PROGRAM} COMMAND --help."])
