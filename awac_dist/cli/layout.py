"""How help is laid out: as wide as the terminal, and no name broken."""

from __future__ import annotations

import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping

from awac_dist.reporting.screen import width_of


class Layout(RawDescriptionHelpFormatter):
    """Of one command; a name that is broken could not be copied."""

    def __init__(self, prog: str) -> None:
        width = width_of(sys.stdout)
        super().__init__(prog, width=width, max_help_position=width // 3)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """A text of lines: those that are indented are commands, and stay whole."""
        lines: list[str] = []
        for line in text.splitlines():
            whole = not line or line.startswith(" ")
            lines += [line] if whole else self._split_lines(line, width - len(indent))
        return textwrap.indent("\n".join(lines), indent)


def overview(program: str, commands: Mapping[str, str]) -> str:
    """The help of many commands, each with what it does."""
    lines = [f"usage: {program} COMMAND ...", "", "commands:"]
    margin = max(map(len, commands)) + 4
    for name, what in commands.items():
        begin = f"  {name}".ljust(margin)
        lines += textwrap.wrap(begin + what, width_of(sys.stdout), subsequent_indent=" " * margin)
    return "\n".join([*lines, "", f"See {program} COMMAND --help."])
