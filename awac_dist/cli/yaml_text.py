"""YAML as options are written in: small, and read as data."""

from __future__ import annotations

from typing import Any

import yaml

LETTERS, VALUES = 100_000, 10_000  # at most; the config of a run has 3,000 and 100


def read_yaml(text: str | bytes) -> Any:
    """What YAML says, nothing of which is executed.

    Raises:
        ValueError: It is none, or grows beyond what options need; in one line.
    """
    if len(text) > LETTERS:
        raise ValueError(f"not YAML: it is longer than {LETTERS:,} letters")
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        if tree is not None and _size(tree, {}) > VALUES:
            raise ValueError(f"it holds more than {VALUES:,} values")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "")
        line = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{line}not YAML: {problem or 'not text'}") from None
    except (ValueError, LookupError, RecursionError) as error:  # of a value, or of its depth
        raise ValueError(f"not YAML: {error}") from None


def _size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Values in a node, those of an alias each time that it is named."""
    if node not in known:
        known[node] = VALUES  # should it hold itself
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        pairs = [part if isinstance(part, tuple) else (part,) for part in parts]
        known[node] = 1 + sum(_size(part, known) for pair in pairs for part in pair)
    return known[node]
