"""The law of the tree: who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import awac_dist

ROOT = Path(awac_dist.__file__).parent
MAY_IMPORT_RAY = {"bench", "distributed", "experiments", "rllib", "sweeps"}
MAY_IMPORT_TORCH = {
    *("tensors", "nn", "losses", "algorithms", "learner", "rllib"),
    *("bench", "experiments"),
}
SHARED_BY_METHODS = {
    *("base", "gradients", "promises", "state", "world"),
    *("skeletons", "soft", "conservative", "support", "em", "twin_delayed"),
}

FOUNDATIONS = {
    "types",
    "messages",
    "errors",
    "files",
    "floats",
    "interrupts",
    "plain_yaml",
    "ranges",
}
STAGES = {"rollout", "learner", "evaluation", "reporting", "envs", "replay", "data", "policies"}
COMPONENTS = STAGES | {"algorithms", "nn", "plotting", "tensors", "config"} | FOUNDATIONS
MAY_IMPORT = {
    "types": set(),
    "errors": set(),
    "files": {"errors"},
    "floats": set(),
    "interrupts": set(),
    "plain_yaml": {"errors", "files"},
    "messages": {"types"},
    "allocator": set(),
    "ranges": set(),
    "tensors": {"replay"},
    "losses": {"tensors"},
    "policies": FOUNDATIONS,
    "nn": {"policies", "tensors", *FOUNDATIONS},
    "algorithms": {"losses", "nn", "policies", "tensors", *FOUNDATIONS},
    "envs": FOUNDATIONS,
    "data": FOUNDATIONS,
    "replay": {"allocator", "data", *FOUNDATIONS},
    "rollout": {"envs", "policies", "replay", *FOUNDATIONS},
    "learner": {
        *("algorithms", "allocator", "data", "nn", "policies", "replay", "tensors"),
        *FOUNDATIONS,
    },
    "evaluation": {"envs", "policies", "rollout", *FOUNDATIONS},
    "reporting": {"data", "evaluation", *FOUNDATIONS},
    "plotting": {"errors", "files"},
    "config": COMPONENTS - {"config", "plotting"},
    "runs": COMPONENTS,
    "distributed": COMPONENTS | {"runs"},
    "cli": COMPONENTS | {"distributed", "runs"},
    "launch": {"cli"},
    "bench": COMPONENTS | {"allocator", "cli", "distributed", "rllib", "runs"},
    "rllib": COMPONENTS | {"allocator", "distributed", "losses", "runs"},
    "experiments": COMPONENTS | {"bench", "cli", "distributed", "runs"},
    "sweeps": COMPONENTS | {"cli", "distributed", "experiments", "runs"},
    "api": COMPONENTS | {"cli"},
    "__init__": {"api", "data", "envs", "policies", *FOUNDATIONS},
}
# `python -m`, or `awac-dist`, looks for them there; they only call
ENTRY_POINTS = {
    **{f"{room}.__main__": "cli" for room in ("data", "evaluation", "plotting")},
    "cli.experiments": "experiments",
    "cli.sweep": "sweeps",
}


def imports(source: str) -> Iterator[str]:
    """Yield the full name of every module and name that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def offences(module: str, source: str) -> list[str]:
    """Imports that a module such as "losses.td" may not have."""
    room = ENTRY_POINTS.get(module, module.split(".")[0])
    found = []
    for name in imports(source):
        package, *path = name.split(".")
        own = package == "awac_dist" and path not in ([], ["__version__"])
        if (
            not package  # relative: the table could not see it
            or (package == "ray" and room not in MAY_IMPORT_RAY)
            or (package == "torch" and room not in MAY_IMPORT_TORCH)
            or (own and path[0] != room and path[0] not in MAY_IMPORT[room])
            or (own and path[0] == room == "algorithms" and not allowed_sibling(module, path[1:2]))
        ):
            found.append(f"{module}: {name}")
    return found


def allowed_sibling(module: str, sibling: list[str]) -> bool:
    """Methods share their base and never each other; the registry knows them all."""
    return sibling[0] in SHARED_BY_METHODS or module == "algorithms.__init__"


def modules() -> list[tuple[str, Path]]:
    found = sorted(ROOT.rglob("*.py"))
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in found]


def picture() -> list[list[str]]:
    """Rows of rooms in the docs, the highest first."""
    blocks = (ROOT.parent / "docs" / "architecture.md").read_text().split("\n\n")
    drawn = next(block for block in blocks if block.startswith("    api"))
    return [line.split() for line in drawn.splitlines()]


def test_the_picture_in_the_docs_is_the_law() -> None:
    rows = picture()
    depth = {room: number for number, row in enumerate(rows) for room in row}
    assert sum(map(len, rows)) == len(depth)
    assert depth.keys() == MAY_IMPORT.keys() - {"__init__"}
    for room, below in MAY_IMPORT.items():
        assert all(depth[other] > depth.get(room, -1) for other in below), room


def test_every_room_has_its_place() -> None:
    assert {module.split(".")[0] for module, _ in modules()} <= set(MAY_IMPORT)


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_a_module_imports_only_what_lies_below_it(module: str, path: Path) -> None:
    assert offences(module, path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("losses.td", "import ray"),
        ("data.sources", "from awac_dist.cli import data"),
        ("data.__main__", "import torch"),
        ("cli.report", "import ray"),
        ("runs.driver", "import ray"),
        ("runs.driver", "from awac_dist.cli.launch import main"),
        ("losses.td", "from ray import remote"),
        ("losses.td", "from awac_dist.nn import critics"),
        ("losses.td", "from awac_dist.algorithms import base"),
        ("losses.td", "def late():\n    import ray"),
        ("rollout.worker", "import torch"),
        ("rollout.worker", "from torch.nn import Module"),
        ("replay.ring", "from awac_dist.tensors import Batch"),
        ("algorithms.bc", "from awac_dist.algorithms.awac import AWAC"),
        ("algorithms.bc", "from awac_dist.algorithms import awac"),
        ("nn.actors", "from awac_dist import losses"),
        ("types", "import awac_dist.errors"),
        ("replay.ring", "from . import shard"),
        ("learner.learner", "from awac_dist.config import RunConfig"),
        ("learner.learner", "from awac_dist.runs.runtime import Runtime"),
    ],
)
def test_the_walk_sees_an_offence(module: str, line: str) -> None:
    assert offences(module, line)


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_an_entry_point_only_calls(module: str) -> None:
    """It may look upwards, so it holds nothing that somebody could want to import."""
    tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text())
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.If}
    importers = [
        name for name, path in modules() if f"awac_dist.{module}" in set(imports(path.read_text()))
    ]
    assert importers == []
