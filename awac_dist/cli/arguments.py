"""Command lines read strictly: one line says what is wrong and names the nearest option."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import NoReturn

from awac_dist.errors import InputError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises InputError rather than exit, and abbreviates nothing."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Read a command line.

        Raises:
            InputError: An option or a value is wrong.
            SystemExit: --help was asked for, and printed.
        """
        return self.parse_args([self._spelled(word) for word in argv])

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def _spelled(self, word: str) -> str:
        """The word, an option's name or a number spelled as argparse knows it."""
        if not word.startswith("-"):
            return word
        with suppress(InvalidOperation):
            return format(Decimal(word), "f")  # argparse would take -1e3 for an option
        name, equals, value = word.partition("=")
        name = name if name.startswith("--") else word
        for option in self._option_string_actions:
            if option.replace("-", "_") == name.replace("-", "_"):
                return option + equals + value
        near = nearest(name, self._option_string_actions)
        raise InputError(f"no option {name}{near or f'; see {self.prog} --help'}")


def nearest(name: str, names: Sequence[str] | dict[str, argparse.Action]) -> str:
    """What to add to an error about an unknown name; nothing where no name is near."""
    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]}?" if found else ""
