"""The command line: what it reads, what it refuses, and how it says so."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import patch

import pytest
import yaml

from awac_dist.algorithms import METHODS, config_class
from awac_dist.algorithms.awac import AWACConfig
from awac_dist.algorithms.base import Method, MethodConfig
from awac_dist.algorithms.bc import BCConfig
from awac_dist.cli.commands import COMMANDS
from awac_dist.cli.options import Launch, parse, to_mapping
from awac_dist.cli.parser import walk
from awac_dist.config import RunConfig
from awac_dist.envs.config import EnvConfig
from awac_dist.errors import InputError
from awac_dist.plain_yaml import dump_yaml
from awac_dist.ranges import Count
from awac_dist.reporting.provenance import write_provenance


@dataclass(frozen=True)
class SteadyConfig(MethodConfig):
    """A method that waits.

    Attributes:
        patience: How long it waits, in % of a day.
    """

    patience: Count = 5


class Steady(Method):
    Config = SteadyConfig


BOMB = (
    "a: &a ["
    + ", ".join("x" * 9)
    + "]\n"
    + "".join(
        f"{later}: &{later} [{', '.join([f'*{earlier}'] * 9)}]\n"
        for earlier, later in pairwise("abcdefghij")
    )
)


def refusal(*words: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(words)
    line = str(caught.value)
    assert "\n" not in line
    return line


def write(folder: Path, text: str, name: str = "run.yaml") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


# What it reads.


def test_nothing_given_is_the_defaults() -> None:
    options = parse([])
    assert options.config == RunConfig()
    assert not options.dry_run


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        (["--env", "Ant-v5"], "env", "Ant-v5"),
        (["--env", "7"], "env", "7"),
        (["--env.kwargs", '{"gain": [1, null]}'], "env.kwargs", {"gain": [1, None]}),
        (["--workers", "32"], "workers", 32),
        (["--workers=32"], "workers", 32),
        (["--data", "a", "b", "7"], "data", ("a", "b", "7")),
        (["--run-dir", "runs/1"], "run_dir", "runs/1"),
        (["--run_dir", "2026"], "run_dir", "2026"),
        (["--run-dir=a-b"], "run_dir", "a-b"),
        (["--mode", "sync"], "mode", "sync"),
        (["--algorithm.temperature", "3"], "algorithm.temperature", 3.0),
        (["--algorithm.effective-batch", "0.3"], "algorithm.effective_batch", 0.3),
        (["--algorithm.effective_batch", "None"], "algorithm.effective_batch", None),
        (["--algorithm.effective_batch", "null"], "algorithm.effective_batch", None),
        (["--algorithm.max_q", "-1.5"], "algorithm.max_q", -1.5),
        (["--algorithm.max_q=-1e3"], "algorithm.max_q", -1000.0),
        (["--algorithm.max_q", "-1e-3"], "algorithm.max_q", -1e-3),
        (["--algorithm.actor.learning_rate", "1e-4"], "algorithm.actor.learning_rate", 1e-4),
        (["--learner.gpus", "0"], "learner.gpus", 0),
        *(
            (["--algorithm.actor.hidden", *words], "algorithm.actor.hidden", (64, 32))
            for words in (["64", "32"], ["64,32"], ["[64,32]"], ["[64,", "32]"], ["64,", "32"])
        ),
        (["--algorithm.actor.hidden", "[]"], "algorithm.actor.hidden", ()),
        (["--run-dir", "~/runs/1"], "run_dir", f"{Path.home()}/runs/1"),
        (["--data", "a", "~/b,weight=2"], "data", ("a", f"{Path.home()}/b,weight=2")),
        (["--clone.initialize_actor", "false"], "clone.initialize_actor", False),
        (
            ["--replay.mixture", '{"offline": 0.5, "online": 0.5}'],
            "replay.mixture",
            {"offline": 0.5, "online": 0.5},
        ),
    ],
)
def test_a_word_reaches_its_field_and_no_other(words: list[str], path: str, value: Any) -> None:
    given = {field.path: field.default for field in walk(parse(words).config)}
    assert given == {field.path: field.default for field in walk(RunConfig())} | {path: value}
    assert type(given[path]) is type(value)


@pytest.mark.parametrize("option", ["--dry-run", "--dry_run"])
def test_dry_run(option: str) -> None:
    assert parse([option]).dry_run


def test_later_files_win_and_the_command_line_wins_over_all(tmp_path: Path) -> None:
    first = write(tmp_path, "seed: 1\nworkers: 1\nlearner: {batch_size: 1, threads: 1}", "1.yaml")
    second = write(tmp_path, "workers: 2\nlearner:\n  batch_size: 2", "2.yaml")
    words = ["--learner.batch_size", "3", "--config", first, "--config", second]
    config = parse(words).config
    assert (config.seed, config.workers) == (1, 2)
    assert (config.learner.threads, config.learner.batch_size) == (1, 3)
    assert parse([*words[2:], *words[:2]]).config == config


def test_a_single_name_in_a_file_is_a_list_of_one(tmp_path: Path) -> None:
    file = write(tmp_path, "data: my demonstrations, 2026.hdf5")
    assert parse(["--config", file]).config.data == ("my demonstrations, 2026.hdf5",)


def test_a_part_given_in_part_keeps_the_run_s_own_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "algorithm: {critic: {target_update_rate: 0.5}}")
    wanted = replace(RunConfig().algorithm.critic, target_update_rate=0.5)
    assert parse(["--config", file]).config.algorithm.critic == wanted


def test_yaml_spellings(tmp_path: Path) -> None:
    text = "algorithm:\n  actor: {learning_rate: 1e-3}\nworkers: None\nshards:\nlearner:\n"
    config = parse(["--config", write(tmp_path, text)]).config
    assert config.algorithm.actor.learning_rate == 1e-3
    assert type(config.algorithm.actor.learning_rate) is float
    assert config.workers is None
    assert config.shards is None


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert parse(["--config", write(tmp_path, "# nothing\n")]).config == RunConfig()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--data", "a", "b"],
        ["--replay.mixture", '{"offline": 0.25, "online": 0.75}'],
        ["--algorithm.actor.learning_rate", "1e-5", "--algorithm.actor.weight_decay", "0.1"],
        ["--run-dir", "null", "--address", "auto", "--online.stop_at_return", "-1e5"],
        ["--run-dir", "1e5", "--env.kwargs", '{"a": 1e-3, "b": "1e-3", "c": "010", "d": "1:30"}'],
    ],
)
def test_a_written_config_reads_back_equal(words: list[str], tmp_path: Path) -> None:
    config = parse(words).config
    mapping = to_mapping(config)
    assert json.loads(json.dumps(mapping)) == mapping  # plain: no tuples
    file = write(tmp_path, dump_yaml(mapping))
    assert parse(["--config", file]).config == config


NUMBERS = '{"a": 1e-3, "b": -1E+5, "c": 1.5, "d": 10, "e": 1_000, "f": [0.5e1, -0]}'


@pytest.mark.parametrize("words", [["--env.kwargs", NUMBERS], ["--config", "a.yaml"]])
def test_numbers_within_a_mapping_are_those_of_json(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(f"env:\n  id: Ant-v5\n  kwargs: {NUMBERS}\n")
    found = parse(words).config.env.kwargs
    assert found == json.loads(NUMBERS.replace("1_000", "1000"))
    assert [*map(type, found.values())] == [float, float, float, int, int, list]


@pytest.mark.parametrize(("text", "seed"), [("010", 10), ("0", 0), ("+7", 7), ("1_000", 1000)])
def test_a_whole_number_of_a_file_is_that_of_the_command_line(
    text: str, seed: int, tmp_path: Path
) -> None:
    assert parse(["--config", write(tmp_path, f"seed: {text}")]).config.seed == seed
    assert parse(["--seed", text]).config.seed == seed


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("--data a b", ("a", "b")),
        ("--data a --seed 1 --data b c", ("a", "b", "c")),
        ("--data a --data", ()),
        ("--data a --data --data b", ("b",)),
    ],
)
def test_data_may_be_given_again_and_again(words: str, data: tuple[str, ...]) -> None:
    assert parse([*words.split(), "--offline.updates", "0"]).config.data == data


# What it refuses.


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--algorithm.temprature", "1"],
            "no option --algorithm.temprature; did you mean --algorithm.temperature?",
        ),
        (["--temperature=1"], "no option --temperature; did you mean --algorithm.temperature?"),
        (["--work", "1"], "no option --work; did you mean --workers?"),
        (["--qqq"], "no option --qqq; see --help"),
        (["-w", "1"], "no option -w; see --help"),
        (["--algorithm", "awak"], "no algorithm awak; did you mean awac?"),
        (["--algorithm", "IQL"], "no algorithm IQL; did you mean iql?"),
        (["--print_config"], "no option --print_config"),
        (["--lr", "1e-3"], "no option --lr; see --help"),
        (["--learner.device", "cuda"], "no option --learner.device; see --help"),
        (["--learner.batchsize", "3"], "no option --learner.batchsize; did you mean --learner.ba"),
        (["--learner", "3"], "no option --learner; see --help"),
        (
            ["--replay.goals", "future"],
            "--replay.goals: 'future' is not a mapping of names to numbers, such as {\"NAME\"",
        ),
        (["--mode", "fast"], "--mode: 'fast' is not one of async, sync"),
        (["--workers", "many"], "--workers: 'many' is not a whole number or None"),
        (["--workers", "1.5"], "--workers: '1.5' is not a whole number or None"),
        (["--seed", "None"], "--seed: 'None' is not a whole number"),
        (["--seed", "true"], "--seed: 'true' is not a whole number"),
        (["--learner.gpus", "2"], "--learner.gpus: '2' is not one of 0, 1 or None"),
        (["--learner.discount", "x"], "--learner.discount: 'x' is not a number"),
        (["--clone.initialize_actor", "1"], "--clone.initialize_actor: '1' is not true or false"),
        (
            ["--algorithm.actor.hidden", "64", "x"],
            "--algorithm.actor.hidden: ['64', 'x'] is not a list of whole numbers, such as [64",
        ),
        (["--replay.mixture", "0.5"], "--replay.mixture: '0.5' is not a mapping of names to num"),
        (["--workers"], "--workers: expected one argument; see --help"),
        (["--workers", "1", "2"], "'2' belongs to no option; see --help"),
        (["train"], "'train' belongs to no option; see --help"),
        (["--seed", "-1"], "--seed: -1 is not from 0 to 2**63 - 1"),
    ],
)
def test_wrong_words(words: list[str], line: str) -> None:
    assert refusal(*words).startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("env: [a\nseed: 1\n", "{file}, line 2: not YAML: "),
        ("seed: 1\n\tenv: a\n", "{file}, line 2: not YAML: "),
        ("seed: !!int ''", "{file}: not YAML: "),
        ("env: " + "[" * 600, "{file}, line 1: not YAML: more than 100 parts within each other"),
        (BOMB, "{file}, line 2: not YAML: *name is not read"),
        ("env: &a {b: *a}", "{file}, line 1: not YAML: *name is not read"),
        ("replay: {mixture: '" + BOMB + "'}", "{file}: replay.mixture: '"),
        ("algorithm: {actor: {hidden: 64}}", "{file}: algorithm.actor.hidden: 64 is not a list"),
        ("\x01", "{file}: not YAML: "),
        ("- env\n", "{file}: ['env'] is not a mapping of options to values"),
        ("learner: 3\n", "{file}: learner: 3 is not a mapping of options to values"),
        (
            "learner: {bach_size: 3}\n",
            "{file}: no option learner.bach_size; did you mean learner.batch_size?",
        ),
        ("lerner: {batch_size: 3}\n", "{file}: no option lerner; did you mean learner?"),
        ("env: 7\n", "{file}: env: 7 is not a name"),
        ("seed:\n", "{file}: seed: None is not a whole number"),
        ("data: 7\n", "{file}: data: 7 is not a list of names"),
        ("data: {a: 1}\n", "{file}: data: {{'a': 1}} is not a list of names"),
        ("data: ''\n", "{file}: data: '' is not a list of names"),
        ("data: []\n", "{file}: data: is empty: give some, or --offline.updates 0"),
        ("seed: 1\nmode: sync\nseed: 2\n", "{file}, line 1: not YAML: seed is given twice"),
        ("learner: {threads: 1, threads: 1}", "{file}, line 1: not YAML: threads is given twice"),
        ("online: {max_minutes: 1:30}", "{file}: online.max_minutes: '1:30' is not"),
        (
            "online.env_steps: 5\nonline: {env_steps: 6}\n",
            "{file}: online.env_steps is given twice: leave one out",
        ),
        ("mode: fast\n", "{file}: mode: 'fast' is not one of async, sync"),
        ("learner: {batch_size: 3.5}\n", "{file}: learner.batch_size: 3.5 is not a whole number"),
        ("learner: {batch_size: true}\n", "{file}: learner.batch_size: True is not a whole nu"),
        ("learner: {batch_size: 0}\n", "{file}: learner.batch_size: 0 is not 1 or more"),
        (
            "replay: {mixture: {online: x}}",
            "{file}: replay.mixture: {{'online': 'x'}} is not a map",
        ),
    ],
)
def test_wrong_files(text: str, line: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)
    assert refusal("--config", file).startswith(line.format(file=file))


def test_a_wrong_value_is_refused_even_where_a_later_one_wins(tmp_path: Path) -> None:
    file = write(tmp_path, "seed: x\n")
    assert refusal("--config", file, "--seed", "1") == f"{file}: seed: 'x' is not a whole number"


def test_a_missing_file(tmp_path: Path) -> None:
    line = refusal("--config", str(tmp_path / "none.yaml"))
    assert line == f"--config: cannot read {tmp_path}/none.yaml: No such file or directory"


TEXTS = [
    (field.option, command)
    for command in [RunConfig, Launch, *(command.options for command in COMMANDS.values())]
    for field in walk(command)
    if field.hint in (str, tuple[str, ...])
]


@pytest.mark.parametrize("field", TEXTS, ids=str)
def test_no_text_is_empty_and_a_tilde_is_the_home_folder(field: tuple[str, type]) -> None:
    option, command = field
    (found,) = [known for known in walk(command) if known.option == option]
    many = found.hint is not str
    for wrong in ("", " ", "a\0b", "\udcff"):
        with pytest.raises(InputError, match=f"^{option}: .* is not a (list of )?name"):
            found.typed([wrong] if many else wrong, option)
    for text, wanted in (("~/a", f"{Path.home()}/a"), ("a/~", "a/~"), ("s3://~/a", "s3://~/a")):
        assert found.typed([text] if many else text, option) == ((wanted,) if many else wanted)


@pytest.mark.parametrize("option", ["--resume", "--config", "--algorithm"])
def test_a_launch_takes_no_empty_text_either(option: str) -> None:
    assert f"{option}: " in refusal(option, "")


def test_a_run_needs_no_data() -> None:
    config = parse(["--data", "--offline.updates", "0"]).config
    assert (config.data, config.clones) == ((), False)
    assert refusal("--data", "--seed", "1").startswith("--data: is empty")
    assert (
        refusal("--data", ",kind=prior")
        == "',kind=prior': names no data: put its path before the comma"
    )


def test_a_file_that_is_far_too_long_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "long.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert "longer than 1,048,576 bytes" in refusal("--config", str(tmp_path / "long.yaml"))


def test_absurd_numbers_are_refused_at_once() -> None:
    assert refusal("--workers", "1000000000") == "--workers: 1000000000 is not from 1 to 10,000"
    assert refusal("--algorithm.max_q", "-1e999999999").startswith("no option -1e999999999")
    assert len(refusal("--seed", "9" * 5000)) < 300


# Ranges.

INFINITE = [math.inf, -math.inf, math.nan]
HUGE = 10**30
STEPS = RunConfig().online.env_steps


def changed(path: str, value: Any) -> RunConfig:
    config = RunConfig()
    return put(config, path, value)


@pytest.mark.parametrize(("capacity", "problems"), [(7_999, 1), (8_000, 0)])
def test_a_round_fits_into_the_replay(capacity: int, problems: int) -> None:
    """Its steps take a row each, and one more where a fragment of them ends."""
    config = changed("replay.capacity", capacity)
    config = put(put(config, "online.round_steps", 4_000), "rollout.fragment_steps", 1)
    assert len(list(config.problems())) == problems


def put(part: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    return replace(part, **{name: put(getattr(part, name), rest, value) if rest else value})


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("workers", [0, -1, 10_001, HUGE], [1, 10_000, None]),
        ("shards", [0, 10_001, HUGE], [1, 10_000]),
        ("seed", [-1, 2**63, HUGE], [0, 2**63 - 1]),
        (
            "data",
            [(), ("a", "a"), ("online",), ("a", "offline,kind=prior"), ("clone",)],
            [("a", "b"), ("./online", "clone/")],
        ),
        ("clone.updates", [-1], [0]),
        ("clone.episodes", [-1], [0]),
        ("clone.batch_size", [0], [1]),
        ("clone.learning_rate", [0.0, *INFINITE], [1e-9]),
        ("offline.updates", [-1], [0]),
        ("offline.batch_size", [0], [1]),
        ("online.env_steps", [-1], [0]),
        ("online.warmup_steps", [-1, STEPS], [0, STEPS - 1]),
        ("online.round_steps", [0, STEPS + 1], [1, STEPS]),
        ("online.updates_per_step", [0.0, *INFINITE], [0.1, 20.0]),
        ("online.pause_steps", [0], [None]),
        ("online.pause_updates", [0], [1]),
        ("online.pause_patience", [0], [1, None]),
        ("online.error_buffer", [-1], [0]),
        ("online.stop_at_return", INFINITE, [-200.0, 0.0]),
        ("online.max_minutes", [0.0, *INFINITE], [0.5]),
        ("rollout.step_timeout_s", [0.0, *INFINITE], [0.5, None]),
        ("rollout.cpus", [0.0, *INFINITE], [0.01, 2.0, None]),
        ("algorithm.temperature", [0.0, -1.0, *INFINITE], [0.3]),
        ("algorithm.effective_batch", [0.0, 1.0, *INFINITE], [0.05, None]),
        ("algorithm.max_weight", [0.0, *INFINITE], [20.0]),
        ("algorithm.num_value_samples", [0], [1]),
        ("algorithm.advantage_clip", INFINITE, [0.0, 0.5]),
        ("algorithm.max_q", INFINITE, [0.0, -1.0]),
        ("algorithm.actor.hidden", [(0,), (8, -1)], [(), (1,)]),
        ("algorithm.actor.exploration_std", [-1e-9, *INFINITE], [0.0]),
        ("algorithm.critic.hidden", [(0,)], [(1,)]),
        ("algorithm.critic.members", [0], [1]),
        ("algorithm.actor.log_std_min", [0.0, 1.0, *INFINITE], [-5.0]),
        ("algorithm.actor.log_std_max", [-6.0, *INFINITE], [1.0]),
        ("algorithm.actor.learning_rate", [0.0, *INFINITE], [1e-9]),
        ("algorithm.critic.learning_rate", [0.0, *INFINITE], [1e-9]),
        ("algorithm.actor.beta1", [0.0, 1.0, *INFINITE], [0.5]),
        ("algorithm.critic.beta1", [0.0, 1.0, *INFINITE], [0.5]),
        ("algorithm.critic.weight_decay", [-1e-9, *INFINITE], [0.0]),
        ("algorithm.actor.weight_decay", [-1e-9, *INFINITE], [0.0]),
        ("algorithm.critic.target_update_rate", [0.0, 1.1, *INFINITE], [1.0]),
        ("replay.capacity", [0, 250], [251]),
        ("replay.n_steps", [0], [1]),
        ("replay.reward_scale", [0.0, *INFINITE], [0.1]),
        ("replay.reward_shift", INFINITE, [-1.0]),
        (
            "replay.mixture",
            [
                {"online": 0.9},
                {"online": 1.5, "offline": -0.5},
                {"online": math.nan, "offline": 0.5},
                {"": 0.5, "online": 0.5},
                {"elsewhere": 1.0},
            ],
            [{}, {"online": 0.7, "clone": 0.2, "halfcheetah-demonstrations": 0.1}],
        ),
        ("rollout.envs_per_worker", [0], [1]),
        ("rollout.fragment_steps", [0], [1]),
        ("learner.batch_size", [0], [1]),
        ("learner.discount", [0.0, 1.01, *INFINITE], [1.0]),
        ("learner.threads", [0], [1]),
        ("learner.updates_per_call", [0], [1]),
        ("learner.batches_per_request", [0], [1]),
        ("learner.keep_checkpoints", [0], [1]),
        ("evaluation.episodes", [-1], [0]),
        ("evaluation.curve_episodes", [0], [1]),
        ("evaluation.every_updates", [0], [1]),
    ],
)
def test_ranges(path: str, wrong: list[Any], right: list[Any]) -> None:
    for value in right:
        assert list(changed(path, value).problems()) == []
    partner = path.replace("log_std_max", "log_std_min")  # which of two is wrong, nobody knows
    for value in wrong:
        assert {path, partner} & {found for found, _ in changed(path, value).problems()}


def unbounded(config: Any, prefix: str = "") -> list[str]:
    """Numbers of a config, by path, whose type names no range."""
    hints = get_type_hints(type(config), include_extras=True)
    found = []
    for field in fields(config):
        value, hint = getattr(config, field.name), repr(hints[field.name])
        if is_dataclass(value):
            found += unbounded(value, f"{prefix}{field.name}.")
        elif re.search(r"\b(int|float)\b", hint) and "Range(" not in hint:
            found.append(prefix + field.name)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_the_type_of_every_number_names_its_range(method: str) -> None:
    allowed = {"replay.mixture", "replay.goals"}  # shares, which are checked together
    assert set(unbounded(RunConfig(algorithm=config_class(method)()))) <= allowed


def test_every_number_has_a_range() -> None:
    marks = test_ranges.pytestmark
    tested = {path for path, _, _ in marks[0].args[1]}
    numbers = {field.path for field in walk(RunConfig()) if field.hint in (int, float)}
    assert numbers <= tested


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--mode", "sync", "--online.error_buffer", "5"], "--online.error_buffer: 5 has no eff"),
        (["--runtime", "inline", "--address", "auto"], "--address: auto has no effect"),
        (
            ["--algorithm.value", "mean", "--algorithm.num_value_samples", "4"],
            "--algorithm.num_value_samples: 4 has no effect",
        ),
        (["--algorithm", "awr", "--replay.n_steps", "3"], "--replay.n_steps: 3 has no effect"),
    ],
)
def test_what_would_silently_do_nothing(words: list[str], line: str) -> None:
    assert refusal(*words).startswith(line)
    parse(words[:2])
    parse(words[2:])


# Help.


@pytest.fixture
def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_every_field_with_its_text(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--help", "--algorithm", method])
    shown = capsys.readouterr().out.replace("--run-dir", "--run_dir")
    words = " ".join(shown.split())
    for field in walk(RunConfig(algorithm=config_class(method)())):
        assert f"--{field.path} " in shown, field.path
        assert field.help, field.path
        assert field.help[:40] in words, field.path
        assert field.legal


def test_help_is_fit_to_read(help_text: str) -> None:
    lines = help_text.splitlines()
    assert max(map(len, lines)) <= 100
    parts = ("common", "run", "algorithm", "algorithm.actor", "learner")
    assert all(f"\n{part}:\n" in help_text for part in parts)
    first = [line.split()[0] for line in lines if line.startswith("  --")][:8]
    assert first == [
        *("--env", "--data", "--workers", "--seed", "--run-dir"),
        *("--algorithm", "--config", "--dry-run"),
    ]
    assert "(default: halfcheetah-demonstrations)" in " ".join(help_text.split())
    assert help_text.count("  python -m awac_dist.launch") >= 2
    assert "class_path" not in help_text
    assert "print_config" not in help_text


def test_the_examples_of_the_help_are_legal(
    help_text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "runs/paper-1").mkdir(parents=True)
    (tmp_path / "runs/paper-1/config.yaml").write_text(yaml.safe_dump(to_mapping(RunConfig())))
    monkeypatch.chdir(tmp_path)
    start = "  python -m awac_dist.launch"
    examples = [line for line in help_text.splitlines() if line.startswith(start)]
    assert len(examples) == 4
    for example in examples:
        parse(example.removeprefix(start).split())


class TestResume:
    """A run that goes on keeps its options but for those that change nothing it learned."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        config = replace(RunConfig(), seed=7, workers=3)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_mapping(config)))
        return str(tmp_path)

    def test_the_options_are_the_folder_s_and_what_is_overridden(self, folder: str) -> None:
        found = parse(["--resume", folder, "--override", "workers=5", "online.env-steps=1_000"])
        assert found.resume is not None
        assert found.resume.local == Path(folder)
        changed = replace(RunConfig().online, env_steps=1000)
        assert found.config == replace(RunConfig(), seed=7, workers=5, online=changed)

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["--seed", "1"], "--seed: a run that is resumed keeps its options; see --override"),
            (["--config", "x.yaml"], "--config: a run that is resumed keeps"),
            (["--override", "seed=1"], "--override seed: cannot change in a run that goes on"),
            (["--override", "worker=1"], "no option worker; did you mean workers"),
            (["--override", "workers"], "is not OPTION=VALUE"),
            (["--override", "workers=0"], "--override workers: 0 is not from 1 to"),
        ],
    )
    def test_what_may_not_change_is_refused(
        self, folder: str, words: list[str], problem: str
    ) -> None:
        with pytest.raises(InputError, match=problem):
            parse(["--resume", folder, *words])

    def test_an_override_without_a_run_is_refused(self) -> None:
        with pytest.raises(InputError, match="give --resume RUN"):
            parse(["--override", "workers=3"])

    def test_a_config_that_lost_a_part_is_refused(self, folder: str) -> None:
        file = Path(folder, "config.yaml")
        config = parse(["--resume", folder]).config
        write_provenance(Path(folder), to_mapping(config), [])
        whole = file.read_text()
        parts = [found.start() for found in re.finditer(r"^\w", whole, re.MULTILINE)]
        for cut in (0, *parts[1:-1:4], parts[-1]):
            file.write_text(whole[:cut])
            with pytest.raises(
                InputError, match=r"says nothing of (\w+): it is damaged, or of .* add what \1 was"
            ):
                parse(["--resume", folder])

    def test_a_folder_that_holds_no_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no run: there is no config"):
            parse(["--resume", str(tmp_path)])


class TestMethods:
    """The method decides what else may be said under `algorithm`."""

    @pytest.fixture(autouse=True)
    def _another(self) -> Iterator[None]:
        few = {name: METHODS[name] for name in ("awac", "bc")}  # others may have any option, too
        with patch.dict(METHODS, few | {"steady": f"{__name__}:Steady"}, clear=True):
            yield

    @pytest.mark.parametrize("words", [[], ["--patience", "1"]])
    def test_its_config_is_its_own(self, words: list[str], tmp_path: Path) -> None:
        words = [word.replace("--p", "--algorithm.p") for word in words]
        file = write(tmp_path, "algorithm: {patience: 3}")
        for given in (
            parse(["--algorithm", "steady", "--config", file, *words]),
            parse([*words, "--config", file, "--algorithm=steady"]),
            parse(["--config", write(tmp_path, "algorithm: {name: steady, patience: 3}"), *words]),
        ):
            assert given.config.algorithm == SteadyConfig(patience=1 if words else 3)

    def test_the_command_line_names_it_over_a_file_and_a_later_file_over_another(
        self, tmp_path: Path
    ) -> None:
        files = [write(tmp_path, f"algorithm: {{name: {n}}}", n) for n in ("bc", "steady", "awac")]
        words = [word for file in files for word in ("--config", file)]
        assert type(parse(words).config.algorithm) is AWACConfig
        assert type(parse(words[:-2]).config.algorithm) is SteadyConfig
        assert type(parse([*words, "--algorithm", "bc"]).config.algorithm) is BCConfig

    def test_an_option_of_another_is_refused_and_says_whose_it_is(self, tmp_path: Path) -> None:
        line = refusal("--algorithm.patience", "1")
        assert line == "--algorithm.patience is steady's; this run's algorithm is awac"
        line = refusal("--algorithm", "steady", "--algorithm.effective_batch", "0.1")
        assert line == "--algorithm.effective_batch is awac's; this run's algorithm is steady"
        file = write(tmp_path, "algorithm: {name: bc, critic: {members: 3}}")
        line = refusal("--config", file)
        assert line.startswith(f"{file}: algorithm.critic.members is awac's")
        assert line.endswith("this run's algorithm is bc")

    def test_unknown_names_and_options_name_the_nearest(self, tmp_path: Path) -> None:
        told = (
            "no algorithm stedy; did you mean steady? One of your own is registered first: see "
            "docs/add-a-method.md"
        )
        assert refusal("--algorithm", "stedy") == told
        file = write(tmp_path, "algorithm: {name: stedy}")
        assert refusal("--config", file) == f"{file}: {told}"
        line = refusal("--algorithm", "steady", "--algorithm.patence", "1")
        assert line == "no option --algorithm.patence; did you mean --algorithm.patience?"

    def test_a_range_of_its_own(self) -> None:
        line = refusal("--algorithm", "steady", "--algorithm.patience", "0")
        assert line == "--algorithm.patience: 0 is not 1 or more"

    @pytest.mark.parametrize(
        "words", [["--help", "--algorithm", "steady"], ["--algorithm=bc", "-h"]]
    )
    def test_the_help_is_its_own(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            parse(words)
        shown = capsys.readouterr().out
        assert ("How long it waits, in % of a day." in shown) == ("steady" in words)
        assert "--algorithm.actor.hidden" in shown
        assert "--algorithm.temperature" not in shown
        assert "one of awac, bc" in " ".join(shown.split())

    def test_a_run_goes_on_with_its_own(self, tmp_path: Path) -> None:
        config = RunConfig(algorithm=SteadyConfig(patience=7))
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_mapping(config)))
        assert to_mapping(config)["algorithm"]["name"] == "steady"
        assert parse(["--resume", str(tmp_path)]).config == config
        line = refusal("--resume", str(tmp_path), "--algorithm", "awac")
        assert line.startswith("--algorithm: a run that is resumed keeps its options")


# The task.


@pytest.mark.parametrize(
    "text",
    [
        "env: Ant-v5\n",
        "env: {id: Ant-v5}\n",
        "env:\n  id: Ant-v5\n  kwargs: {}\n",
    ],
)
def test_a_task_has_a_short_form(text: str, tmp_path: Path) -> None:
    config = parse(["--config", write(tmp_path, text)]).config
    assert config == replace(RunConfig(), env=EnvConfig("Ant-v5")) == RunConfig(env="Ant-v5")
    assert to_mapping(config)["env"] == "Ant-v5"


def test_a_tasks_arguments_are_read_written_and_changed(tmp_path: Path) -> None:
    kwargs = {"gain": 0.5, "names": ["a", None], "inner": {"on": True}}
    file = write(tmp_path, yaml.safe_dump({"env": {"id": "Ant-v5", "kwargs": kwargs}}))
    config = parse(["--config", file]).config
    assert config.env == EnvConfig("Ant-v5", kwargs)
    again = write(tmp_path, yaml.safe_dump(to_mapping(config)))
    assert parse(["--config", again]).config == config
    assert parse(["--config", file, "--env.kwargs", '{"gain": 1}']).config.env.kwargs == {"gain": 1}


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"kwargs": [1]}, r"env\.kwargs: \[1\] is not a mapping of names to values, such as"),
        ({"kwargs": {"when": date(2026, 1, 1)}}, "is not a mapping of names to values"),
        ({"ids": "Ant-v5"}, r"no option env\.ids; did you mean env"),
        ({"id": 7}, "env: 7 is not a name or a path"),
    ],
)
def test_a_task_that_is_none_is_refused(stated: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        parse(["--config", write(tmp_path, yaml.safe_dump({"env": stated}))])
