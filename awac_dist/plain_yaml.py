"""YAML of a few kB that says what it holds: no aliases, by which 400 bytes fill the memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from awac_dist.errors import InputError, first_line, reason

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
DIGITS = "[0-9]+(_[0-9]+)*"
REAL = rf"[-+]?({DIGITS}(\.({DIGITS})?)?|\.{DIGITS})([eE][-+]?[0-9]+)?"
NO_NUMBER = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
LONGEST_BYTES = 1 << 20
DEEPEST = 100  # parts within parts, far below where Python's stack ends


def load_yaml(content: str | bytes) -> Any:
    """What YAML holds; a yaml.YAMLError if it is none, is too long, or repeats a part by name."""
    if len(content) > LONGEST_BYTES:
        raise yaml.MarkedYAMLError(problem=f"longer than {LONGEST_BYTES:,} bytes")
    try:
        return yaml.load(content, _Loader)
    except (ValueError, LookupError) as error:  # a date, !!int ''
        raise yaml.MarkedYAMLError(problem=first_line(error)) from error


def dump_yaml(content: Any) -> str:
    """Lists and mappings as YAML that `load_yaml` reads as they are."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def not_yaml(file: str, error: yaml.YAMLError) -> InputError:
    """What to raise where a file holds no YAML that is read here."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "")
    line = f", line {mark.line + 1}" if mark else ""
    return InputError(f"{file}{line}: not YAML: {problem or 'not text'}")


def config_of_run(folder: str) -> Mapping[str, Any]:
    """The config of the run in a folder, a path or URI; empty where there is none.

    Raises InputError where it cannot be read, or is damaged.
    """
    from awac_dist.files import read_file  # it reads object stores: slow to import

    file = f"{folder}/config.yaml"
    try:
        found = load_yaml(read_file(file, LONGEST_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from error
    except yaml.YAMLError as error:
        raise not_yaml(file, error) from error
    if not isinstance(found, dict):
        raise InputError(f"{file}: is damaged: holds no options")
    return found


class _Loader(yaml.SafeLoader):
    """Reads numbers as YAML 1.2 and JSON have them: 1e-3 is one, 010 is ten, 1:30 is a text."""

    depth = 0
    yaml_implicit_resolvers = {  # noqa: RUF012 - as the class above has it
        first: [its for its in resolvers if its[0] not in (INT, FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="*name is not read: repeat it", problem_mark=mark)
        if self.depth == DEEPEST:
            problem = f"more than {DEEPEST} parts within each other"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping whose names differ: of two alike YAML takes the last without a word."""
        names = Counter(str(name.value) for name, _ in node.value)
        if names.total() > len(names):
            told = f"{names.most_common(1)[0][0]} is given twice"
            raise yaml.MarkedYAMLError(problem=told, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts texts that anybody's YAML would take for numbers in quotes."""


_Loader.add_constructor(INT, lambda loader, node: int(node.value))
for its in (_Loader, _Dumper):
    its.add_implicit_resolver(INT, re.compile(rf"[-+]?{DIGITS}$"), [*"-+0123456789"])
    its.add_implicit_resolver(FLOAT, re.compile(rf"({REAL}|{NO_NUMBER})$"), [*"-+.0123456789"])
