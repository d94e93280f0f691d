"""Every command in README and docs could run; every option, metric and error they name is real."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pages
import pytest
import yaml
from gymnasium.envs.classic_control import PendulumEnv
from pages import PAGES, ROOT

from awac_dist.cli.commands import COMMANDS
from awac_dist.cli.main import main
from awac_dist.cli.options import Launch, parse, to_mapping
from awac_dist.cli.parser import read, walk
from awac_dist.cli.settings import known_options
from awac_dist.config import RunConfig
from awac_dist.data.arguments import split
from awac_dist.data.parquet import write_episodes
from awac_dist.data.sources import EMBEDDED
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.types import EnvSpec, Episode, Origin

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MARKERS = {its.partition(":")[0] for its in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
DOORS = {"launch": "launch", "data": "data", "evaluation": "evaluate", "plotting": "plot"}
OPTION = re.compile(r"(?<![\w-])--[a-z](?:\w|[.-]\w)*+(?!-)")  # no arrow of a diagram
FOREIGN = {"--dashboard-host", "--idle-minutes", "--target", "--working-dir"}  # of Ray and Docker
FOREIGN |= {"--help", "--version"}
PARTS = {its.partition(".")[0] for its in known_options()[1] if "." in its} - {"env", "clone"}
DOTTED = re.compile(rf"(?:{'|'.join(PARTS)})\.[a-z_.0-9]+")
METRICS = (ROOT / "docs" / "metrics.md").read_text()
NAMED = [line.strip("| ").split(" | ") for line in METRICS.splitlines() if line.startswith("| `")]
METRIC = re.compile(
    r"(?:eval|critic|actor|value|behaviour|prior|ratio|learner|replay|rollout|faults)/\w+"
)
GOALS = ("desired_goals", "achieved_goals")
OWN_TASKS = ("Reach-v0", "Arm-v0", "MyTask-v0", "my/Lift-v0")
FILE = re.compile(r"(?:cluster|configs|docker|docs|tests|awac_dist)/[\w./-]+\.\w+")


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_command_could_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the runs are made that commands go on with
    for words in pages.commands(page):
        try:
            check(words)
        except (AssertionError, InputError) as error:
            pytest.fail(f"{' '.join(words)}: {error}")
    for line in pages.rest(page).splitlines():
        assert not re.match(r" {4}(?:\$ )?(?:awac-dist|python -m) ", line), f"is no command: {line}"


def check(words: list[str]) -> None:
    """Refuse a command that could not run."""
    program, rest = Path(words[0]).name or words[0], words[1:]
    assert program in pages.PROGRAMS, program
    for word in filter(FILE.fullmatch, words):
        assert (ROOT / word).exists(), word
    if program == "awac-dist":
        check_ours(rest)
    elif program in ("python", "python3") and rest[0] == "-m":
        check_module(rest[1], rest[2:])
    elif program == "pip":
        extras = re.findall(r"(?:\.|awac_dist|\.whl)\[([\w,]+)\]", " ".join(rest))
        assert {*",".join(extras).split(",")} - {""} <= PROJECT["project"][
            "optional-dependencies"
        ].keys()
    elif program == "pytest":
        assert {word for option, word in pairwise(rest) if option == "-m"} <= MARKERS
    elif program == "uvx":
        assert rest[0] == "--from"
        check(rest[2:])
    elif rest[:2] == ["job", "submit"]:
        check(rest[rest.index("--") + 1 :])


def check_ours(words: list[str]) -> None:
    """Read the options of a command of ours."""
    words = [word for word in words if word not in ("--help", "--version")]
    name = next((its for its in COMMANDS if its.split() == words[: len(its.split())]), "")
    own = words[len(name.split()) :]
    if name == "launch":
        make_what_is_resumed(own)
        plan(own)
    elif own:
        read(COMMANDS[name].options, own, name)


def plan(words: list[str]) -> None:
    """Go through a launch to where it would begin, with data of the task at the places named."""
    config = parse(words).config
    if config.init is None and "--resume" not in words and config.reporting.track is None:
        make_data(config)
        assert main(["launch", *words, "--dry-run"]) == 0
        assert config.run_dir is None or not Path(config.run_dir).exists()


def make_data(config: RunConfig) -> None:
    """Write the data that a config names: an episode of one step in each file or folder."""
    for number, argument in enumerate(config.data):
        place = Path(split(argument)[0])
        file = place if place.suffix else place / "a.parquet"
        if argument not in EMBEDDED and not file.exists():
            spec = env_spec(config.env.id, **config.env.kwargs)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_episodes(str(file), [of_one_step(spec, number)], spec)


def of_one_step(spec: EnvSpec, reward: float) -> Episode:
    goals = {name: np.zeros((2, spec.goal_size), np.float32) for name in GOALS if spec.goal_size}
    return Episode(
        np.zeros((2, spec.observation_size), np.float32),
        np.zeros((1, spec.action_size), np.float32),
        np.full(1, reward, np.float32),
        terminated=False,
        truncated=True,
        origin=Origin("demonstration"),
        **goals,
    )


class Own(PendulumEnv):
    """A task of one's own, whatever it is told."""

    def __init__(self, **told: Any) -> None:
        super().__init__()


@pytest.fixture(autouse=True)
def modules_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules that the pages tell the reader to write, and their tasks."""
    for module in ("my_robot", "my_module"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    for name in OWN_TASKS:
        gymnasium.register(name, Own, max_episode_steps=9)
    yield
    for name in OWN_TASKS:
        gymnasium.registry.pop(name)


def make_what_is_resumed(words: list[str]) -> None:
    """Make the run that --resume names, of the task that --env does."""
    named = dict(pairwise(words))
    if "--resume" in named:
        config = RunConfig(env=EnvConfig(named.get("--env", EnvConfig.id)))
        Path(named["--resume"]).mkdir(parents=True, exist_ok=True)
        (Path(named["--resume"]) / "config.yaml").write_text(yaml.safe_dump(to_mapping(config)))


def check_module(module: str, words: list[str]) -> None:
    """A door of ours, or a tool whose file names each of its options."""
    package, _, name = module.partition(".")
    if package == "awac_dist" and name in DOORS:
        check_ours([DOORS[name], *words])
    elif package == "awac_dist":
        place = ROOT / module.replace(".", "/")
        source = (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
        for option in OPTION.findall(" ".join(words)):
            assert re.search(rf"\b{option[2:].replace('-', '_')}\b", source), option


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = {its.replace("-", "_") for its in options_in(pages.rest(page)) if its not in FOREIGN}
    assert named <= known_to(page.stem if page.parent.name == "methods" else "")


def options_in(text: str) -> Iterator[str]:
    """Those of ours, as they are given on the command line."""
    yield from OPTION.findall(pages.SPAN.sub("", text))
    for span in pages.spans(text):
        tool = re.match(r"python -m (awac_dist\.([\w.]+)) (.*)", span)
        if tool and tool[2] not in DOORS:
            check_module(tool[1], tool[3].split())
        elif tool or span.startswith(("--", "awac-dist ")):
            yield from OPTION.findall(span)
        elif (dotted := DOTTED.match(span)) and not is_of_a_file(span):
            yield f"--{dotted[0]}"


def is_of_a_file(span: str) -> bool:
    """Whether it names something of a module of ours, such as `replay.layout.NEEDS`."""
    room, module, *_ = span.split(".")
    return (ROOT / f"awac_dist/{room}/{module}.py").exists()


@cache
def known_to(method: str) -> set[str]:
    """Every option, with underscores for dashes; of one method only, where one is named."""
    methods, every = known_options()
    own = methods.get(method, every)
    of_commands = (its for command in COMMANDS.values() for its in walk(command.options))
    return {its.option.replace("-", "_") for its in (*own.values(), *walk(Launch), *of_commands)}


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_command_and_metric_that_is_named_exists(page: Path) -> None:
    metrics = {its for names, *_ in NAMED for its in pages.spans(names)}
    commands = {*COMMANDS, *(name.split()[0] for name in COMMANDS), "COMMAND"}
    for span in pages.spans(pages.rest(page)):
        assert not METRIC.fullmatch(span) or span in metrics, span
        if found := re.match(r"awac-dist ((?:(?:data|experiments) )?[^-]\S*)", span):
            assert found[1] in commands, span


def test_a_metric_that_is_not_healthy_has_a_remedy() -> None:
    remedies = METRICS.partition("## When a number is not healthy")[2].partition("\n## ")[0]
    for names, _, healthy in NAMED:
        for metric in METRIC.findall(names.partition(" (")[0]) if healthy else ():
            assert f"`{metric}`" in remedies, f"{metric}: what is to be done?"


def test_every_error_of_the_troubleshooting_is_said_somewhere() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## It does not fail")[0]
    lines = [" ".join(text.split()) for text in texts()]
    for row in re.findall(r"^\| (`.*?) \| ", page, re.MULTILINE):
        (said,) = pages.spans(row)
        assert any(said in line for line in lines), said


def texts() -> Iterator[str]:
    """All texts of the package, with … for what a text holds of something else."""
    for file in (ROOT / "awac_dist").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                parts = (its.value if isinstance(its, ast.Constant) else "…" for its in node.values)
                yield "".join(map(str, parts))
