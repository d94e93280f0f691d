"""`python -m awac_dist.data`: what it says, what it finds, what it writes."""

import errno
import io
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import gymnasium
import numpy as np
import pytest
from environments import CountingGoals
from gymnasium.envs.registration import EnvSpec as Registration
from gymnasium.wrappers import TransformReward

from awac_dist.cli import report, writers
from awac_dist.cli.convert import relabelled
from awac_dist.cli.main import main as awac_dist
from awac_dist.cli.survey import survey, together
from awac_dist.data import record, sources
from awac_dist.data.parquet import read_episodes, read_info, write_episodes
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.files import files_below, resolve, write_file
from awac_dist.reporting import screen
from awac_dist.types import EnvSpec, Episode, Origin


def main(words: Sequence[str]) -> int:
    return awac_dist(["data", *words])


SPEC = EnvSpec("Nowhere-v0", 3, 2, (-1.0, -1.0), (1.0, 1.0), 10)
UNBOUNDED = replace(SPEC, action_low=(-np.inf,) * 2, action_high=(np.inf,) * 2)
DOOR = Path(__file__).parents[3] / "shared" / "data" / "door-v0_demos.pickle"
FAR = [[1.5, 0], [0, -3], [-2, 2], [0, 0]]  # four entries outside [-1, 1], in three of four steps


def make_episode(rewards: Sequence[float], seed: int = 0, **changes: Any) -> Episode:
    rng, steps = np.random.default_rng(seed), len(rewards)
    columns: dict[str, Any] = {
        "observations": rng.normal(size=(steps + 1, 3)),
        "actions": rng.uniform(-1, 1, (steps, 2)),
        "rewards": rewards,
        "terminated": False,
        "truncated": True,
        "origin": Origin("prior"),
        **changes,
    }
    names = ("observations", "actions", "rewards", "successes")
    arrays = {name: np.float32(columns[name]) for name in names if name in columns}
    return Episode(**{**columns, **arrays})


def five_episodes() -> list[Episode]:
    """Returns 1, 2, 3, 4, 6; lengths 1, 2, 3, 4, 2; the second and the fourth end solved."""
    return [
        make_episode([1], 1, successes=[0], terminated=True, truncated=False),
        make_episode([1, 1], 2, successes=[0, 1], origin=Origin("demonstration", 7)),
        make_episode([1, 1, 1], 3, successes=[0, 1, 0]),
        make_episode([1, 1, 1, 1], 4, successes=[0, 0, 0, 1], actions=FAR),
        make_episode([2, 4], 5, successes=[0, 0], truncated=False),
    ]


def write(path: Path, episodes: Sequence[Episode], spec: EnvSpec = SPEC) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_episodes(str(path), episodes, spec)
    return str(path)


@pytest.fixture
def five(tmp_path: Path) -> str:
    return write(tmp_path / "five.parquet", five_episodes())


def read_folder(folder: Path) -> list[Episode]:
    return [e for path in sorted(folder.iterdir()) for _, e in read_episodes(str(path))]


def fragments_of(episode: Episode, steps: Sequence[int]) -> list[Episode]:
    """An episode cut into fragments, as a rollout worker sends it to shards in turn."""
    found, start = [], 0
    for length in steps:
        stop, last = start + length, start + length == len(episode)
        part = slice(start, stop)
        fragment = replace(
            episode,
            observations=episode.observations[start : stop + 1],
            actions=episode.actions[part],
            rewards=episode.rewards[part],
            truncated=episode.truncated and last,
            origin=replace(episode.origin, start=start),
        )
        found.append(fragment)
        start = stop
    return found


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A run whose two shards hold the fragments of two episodes crosswise; the second is cut."""
    one = make_episode(range(6), 1, origin=Origin("online", worker=0, episode=0))
    two = make_episode([5] * 4, 2, origin=Origin("online", worker=0, episode=1), truncated=False)
    a, b, c = fragments_of(one, (2, 2, 2))
    d, e = fragments_of(two, (2, 2))
    write(tmp_path / "run/experience/shard-000-000000.parquet", [a, c, e])
    write(tmp_path / "run/experience/shard-001-000000.parquet", [b, d])
    return str(tmp_path / "run")


def facts(argument: str, env_id: str | None = None) -> dict[str, str]:
    return dict(report.facts(survey(sources.find(argument), env_id)))


# inspect


def test_inspect_counts_what_is_there(five: str) -> None:
    found = facts(five)
    assert found["task"] == "Nowhere-v0"
    assert found["episodes"] == "5"
    assert found["transitions"] == "12"
    assert found["ended"] == "1 terminated, 3 truncated, 1 cut"
    assert found["success"] == "40 % in their last step, 60 % in any step"
    assert found["actions"].startswith("16.7 % of all entries, in 3 of 12 steps, lie outside")
    assert "the bounds that the data states; the furthest is 3 from 0" in found["actions"]
    assert found["NaN, too large"] == found["duplicates"] == "none"
    assert found["made by"] == "demonstration (1), prior (4); 1 policy version 7 to 7"
    assert found["D4RL score"] == "no reference scores for this task"


def test_inspect_prints_quartiles(five: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", five]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start = lines.index(["length", "return"])
    assert lines[start + 1 : start + 7] == [
        ["min", "1", "1.00"],
        ["25", "%", "2", "2.00"],
        ["median", "2", "3.00"],
        ["75", "%", "3", "4.00"],
        ["max", "4", "6.00"],
        ["mean", "2.4", "3.20"],
    ]


def test_nan_and_duplicates_are_counted(tmp_path: Path) -> None:
    broken = make_episode([1, np.nan, np.inf], 1, actions=[[0, 0], [np.nan, 0], [0, 0]])
    twice = make_episode([1], 2)
    other = replace(twice, origin=Origin("demonstration"))  # who made it does not matter
    found = facts(write(tmp_path / "a.parquet", [broken, twice, other, make_episode([1], 3)]))
    assert found["NaN, too large"] == "1 in actions, 2 in rewards"
    assert found["duplicates"] == "1 episode equal to an earlier one"


def test_fragments_are_put_together_over_the_files_of_all_shards(log: str) -> None:
    found = survey(sources.find(log))
    assert found.lengths.tolist() == [6, 4]
    assert found.returns.tolist() == [15, 20]
    assert facts(log)["episodes"] == "2 (in 5 fragments)"
    assert facts(log)["ended"] == "0 terminated, 1 truncated, 1 cut"


def test_what_nobody_can_learn_from_is_summed_up_over_fragments(tmp_path: Path) -> None:
    rewards = [np.nan, 1, 1, 1e30, 1, np.inf]
    whole = make_episode(rewards, 1, origin=Origin("online", worker=0, episode=0))
    path = write(tmp_path / "a.parquet", fragments_of(whole, (2, 2, 2)))
    (episode,) = survey(sources.find(path)).episodes
    assert episode.unusable == {"rewards": 3}


def test_nothing_follows_an_end_or_a_gap(tmp_path: Path) -> None:
    origin = Origin("online", worker=0, episode=0)
    ended = make_episode([1, 1], 1, origin=origin)
    after_it = make_episode([1], 2, origin=replace(origin, start=2), truncated=False)
    after_a_gap = make_episode([1], 3, origin=replace(origin, start=4))
    path = write(tmp_path / "a.parquet", [ended, after_it, after_a_gap])
    assert survey(sources.find(path)).lengths.tolist() == [2, 1, 1]


def test_sources_are_summed_up_together(five: str, log: str) -> None:
    both = together([survey(sources.find(five)), survey(sources.find(log))])
    assert len(both.episodes) == 7
    assert both.transitions == 22
    assert sum(episode.outside for episode in both.episodes) == 4
    assert both.solved_last is None  # the log does not say


def test_a_known_task_is_scored_and_its_bounds_are_used(tmp_path: Path) -> None:
    spec = replace(SPEC, env_id="HalfCheetah-v5", observation_size=17, action_size=6)
    half = (12135.0 - -280.178953) / 2 - 280.178953
    columns = {"observations": np.eye(3, 17)[[0, 1]], "actions": np.full((1, 6), 2.0)}
    path = write(tmp_path / "a.parquet", [make_episode([half], **columns)], spec)
    found = facts(path)
    assert found["D4RL score"].startswith("50.0 for the mean return")
    assert "outside the bounds of HalfCheetah-v5" in found["actions"]


def test_a_name_without_a_version_is_taken_without_a_word(tmp_path: Path) -> None:
    spec = replace(UNBOUNDED, env_id="Pendulum", observation_size=3, action_size=1)
    columns = {"observations": np.zeros((2, 3)), "actions": np.zeros((1, 1))}
    with warnings.catch_warnings(action="error"):
        found = facts(write(tmp_path / "a.parquet", [make_episode([1], **columns)], spec))
    assert found["actions"] == "all inside the bounds of Pendulum"


def test_a_task_id_that_would_import_a_module_is_not_made(tmp_path: Path) -> None:
    spec = replace(UNBOUNDED, env_id="antigravity:Foo-v0")
    found = facts(write(tmp_path / "a.parquet", [make_episode([1])], spec))
    assert found["actions"] == (
        "not checked: their bounds are not known, as antigravity:Foo-v0 is not a plain id: "
        "give --env ID"
    )
    assert "antigravity" not in sys.modules


# The drawing.


def test_bins_end_on_round_numbers_and_lose_nothing() -> None:
    counts, edges = report.histogram(np.array([0.0, 0.1, 9.9, 10.0, np.nan, np.inf]))
    assert counts.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert edges.tolist() == list(range(12))
    labels = report.range_labels(np.array([-0.25, 0.0, 0.25]))
    assert labels == ["-0.25 to  0.00", " 0.00 to  0.25"]


@pytest.mark.parametrize("scale", [1e-7, 0.003, 1.0, 77.0, 1e9])
def test_any_scale_gives_few_bins_that_hold_everything(scale: float) -> None:
    values = np.random.default_rng(0).normal(size=1000) * scale
    counts, edges = report.histogram(values)
    assert counts.sum() == 1000
    assert 5 <= len(counts) <= 12
    assert (values >= edges[0]).all() and (values <= edges[-1]).all()  # noqa: PT018
    assert len(set(report.range_labels(edges))) == len(counts)


def test_bars_are_as_long_as_their_counts() -> None:
    values = np.array([0.0] * 4 + [1.0] * 2 + [2.0])
    drawn = [line.split()[-2:] for line in report.bars(values, width=39, blocks=False)]
    lengths = {int(count): len(bar) for bar, count in drawn if "#" in bar}
    assert lengths[4] == 2 * lengths[2] == 4 * lengths[1]


@pytest.mark.parametrize("values", [[], [np.nan]])
def test_no_finite_value_draws_nothing(values: list[float]) -> None:
    assert report.bars(np.array(values), width=40, blocks=True) == ["  (no finite value)"]


@pytest.mark.parametrize("width", [40, 57, 80, 100])
@pytest.mark.parametrize("blocks", [True, False])
def test_no_line_is_wider_than_the_terminal(five: str, width: int, blocks: bool) -> None:
    found = replace(survey(sources.find(five)), name="five")
    lines = report.text(found, width=width, blocks=blocks).splitlines()
    assert max(map(len, lines)) <= width
    assert max(len(line) for line in lines if line.endswith(" 1")) == width  # and bars fill it
    assert ("█" in "".join(lines)) == blocks


def test_what_has_a_long_label_stands_below_it_rather_than_in_pieces(
    five: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = "a label of thirty-one letters !"
    monkeypatch.setattr(report, "facts", lambda _: [(label, "1,234,567 of them"), ("short", "2")])
    lines = report.text(survey(sources.find(five)), width=40, blocks=True).splitlines()
    assert [f"  {label}", f"{'':24}1,234,567 of"] == lines[lines.index(f"  {label}") :][:2]
    wide = report.text(survey(sources.find(five)), width=80, blocks=True)
    assert f"\n  {label}  1,234,567 of them\n" in wide


def test_a_pipe_and_ascii_get_plain_lines(five: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    command = [sys.executable, "-m", "awac_dist.data", "inspect", five]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines()[1:])) == screen.WIDTH_OF_A_PIPE
    assert "#" in done.stdout
    assert done.stdout.isascii()


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        for columns, wanted in ((57, 57), (500, screen.WIDEST), (1, screen.NARROWEST)):
            size = os.terminal_size((columns, 24))
            monkeypatch.setattr(os, "get_terminal_size", lambda _, size=size: size)
            assert screen.width_of(terminal) == wanted
    os.close(leader)
    assert screen.width_of(io.StringIO()) == screen.WIDTH_OF_A_PIPE


def test_the_picture_is_drawn(five: str, log: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert main(["inspect", five, log, "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_one_line(
    five: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "a.png").mkdir()
    for path, told in {
        tmp_path / "no" / "such.png": f"there is no folder {tmp_path / 'no'}: make it first",
        tmp_path / "noend": "noend: its ending tells no format: name it FILE.png, .svg or .pdf",
        folder: f"--plot {folder}: cannot be written",
    }.items():
        assert main(["inspect", five, "--plot", str(path)]) == 2
        assert_one_line(capsys, told)
    assert [*tmp_path.glob("*.png")] == [folder]


# validate


def problems(capsys: pytest.CaptureFixture[str], *arguments: str, count: bool = False) -> list[str]:
    code = main(["validate", *arguments])
    lines = capsys.readouterr().out.splitlines()
    assert code == (0 if lines[-1].startswith("nothing wrong") else 1)
    return lines if count else lines[:-1]


def test_sound_data_passes(tmp_path: Path, log: str, capsys: pytest.CaptureFixture[str]) -> None:
    sound = write(
        tmp_path / "sound.parquet",
        [make_episode([1, 2], n, successes=[np.nan, n]) for n in range(2)],
    )
    assert problems(capsys, sound, log) == []
    assert main(["inspect", sound]) == 0
    assert "50 % in their last step, 50 % in any step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"rewards": [1, np.nan, 2]}, "row 1, column rewards: NaN"),
        ({"rewards": [1, 2, -np.inf]}, "row 2, column rewards: infinite"),
        ({"rewards": [1, 3e38, 2]}, "row 1, column rewards: too large for float32"),
        (
            {"observations": [[0, 0, 0], [0, 0, np.nan], [0, np.nan, 0], [1, 1, 1]]},
            "row 1, column observations[2] and 1 more entries: NaN",
        ),
        ({"observations": np.ones((4, 3))}, "column observations: never change"),
        (
            {"actions": [[0, 0], [0, 2], [0, 0]]},
            "row 1, column actions[1]: outside the bounds that the data states, by magnitude up "
            "to 2: scale them if their unit is another one, or convert with --clip-actions",
        ),
    ],
)
def test_what_is_wrong_with_an_episode_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], wanted: str
) -> None:
    episodes = [make_episode([1, 2, 3], 1), make_episode(**{"rewards": [1, 2, 3], **changes})]
    path = write(tmp_path / "a.parquet", episodes)
    (line,) = problems(capsys, path)
    assert line.startswith(f"{path}: episode 1")
    assert wanted in line


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0, 0), (1, -1), (np.nan, 1)])
def test_bounds_that_nobody_knows_are_not_guessed(
    bounds: tuple[float, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = ((edge,) * 2 for edge in bounds)
    spec = replace(UNBOUNDED, action_low=low, action_high=high)
    path = write(tmp_path / "a.parquet", [make_episode([1, 2], actions=FAR[1:3])], spec)
    (line,) = problems(capsys, path)
    unknown = "not known, as Nowhere-v0 cannot be made here: give --env ID"
    assert line == f"not checked: actions, whose bounds are {unknown}"
    assert facts(path)["actions"] == f"not checked: their bounds are {unknown}"
    target = str(tmp_path / "b.parquet")
    assert main(["convert", path, "--to", target, "--clip-actions"]) == 2
    assert_one_line(capsys, f"--clip-actions: the bounds are {unknown}")
    assert main(["convert", path, "--to", target]) == 0
    assert read_info(f"{target}/episodes-000000.parquet").bounds is None


def test_the_user_may_name_the_task_and_equal_faults_are_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = replace(UNBOUNDED, env_id="Pendulum-v1", action_size=1)
    far = [make_episode([1] * 201, n, actions=np.full((201, 1), 3 + n)) for n in range(30)]
    far[0].rewards[0] = 0
    path = write(tmp_path / "a.parquet", far, spec)
    too_long, outside, total = problems(capsys, path, "--env", "Pendulum-v1", count=True)
    assert too_long == (
        f"{path}: episode 0: has 201 steps, the task at most 200: is an end missing? "
        "episode_steps=200 behind the source cuts there (and 29 places more like it)"
    )
    assert outside.startswith(f"{path}: episode 0, row 0, column actions[0] and 200 more entries: ")
    assert "outside the bounds of Pendulum-v1, by magnitude up to 3: " in outside
    assert outside.endswith("(and 29 places more like it)")
    assert total == "60 problems found"
    for command in ("validate", "inspect"):
        assert main([command, path, "--env", "No-v0"]) == 2
        assert_one_line(capsys, "no environment 'No-v0'")


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (replace(SPEC, env_id="Pendulum-v1"), "[T+1, 3] and actions [T, 2] of Pendulum-v1 do not"),
        (SPEC, "is of Nowhere-v0, not of Pendulum-v1"),
    ],
)
def test_what_a_run_of_the_task_would_refuse_is_a_fault(
    spec: EnvSpec, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = 2 if "[T, 2]" in wanted else 1
    episode = make_episode([1, 2], actions=np.zeros((2, size)))
    path = write(tmp_path / "a.parquet", [episode], replace(spec, action_size=size))
    (line,) = problems(capsys, path, "--env", "Pendulum-v1")
    assert line.startswith(f"{path}: ")
    assert wanted in line


@pytest.mark.parametrize("origin", [Origin("online"), Origin("prior", worker=0, episode=3)])
def test_our_own_actions_may_leave_the_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], origin: Origin
) -> None:
    episode = make_episode([1, 2, 3, 4], actions=FAR, origin=origin)
    assert problems(capsys, write(tmp_path / "a.parquet", [episode])) == []


def test_what_is_wrong_with_a_source_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = [make_episode([3, 3], n, truncated=False) for n in (1, 2, 1)]
    path = write(tmp_path / "a.parquet", cut)
    twice, constant, ends = problems(capsys, path)
    assert twice.startswith(f"{path}: episode 2: is equal to episode 0 of {path}")
    assert constant.startswith(f"{path}: column rewards: always 3: ")
    assert "all 3 episodes are cut" in ends


PENDULUM = replace(UNBOUNDED, env_id="Pendulum-v1", action_size=1)


def pendulum(seed: int) -> Episode:
    return make_episode([1, 2, 3], seed, actions=np.zeros((3, 1)))


@pytest.mark.parametrize("way", ["a copy", "a copy in a folder", "named twice", "options"])
def test_what_a_run_would_draw_twice_is_found_over_all_sources(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words in which the run refuses it."""
    first = write(tmp_path / "a.parquet", [pendulum(1), pendulum(2)], PENDULUM)
    second = {"named twice": first, "options": f"{first},weight=2,episode_steps=2"}.get(way)
    if second is None:
        second = str(tmp_path / "more/b.parquet")
        Path(second).parent.mkdir()
        Path(second).write_bytes(Path(first).read_bytes())
    if way == "a copy in a folder":
        second = str(Path(second).parent)
    with pytest.raises(InputError, match="would be drawn twice") as refused:
        record.begin([first, second], env_spec("Pendulum-v1"))
    (line,) = problems(capsys, first, second, "--env", "Pendulum-v1")
    assert line == f"{refused.value}: the rest of this file was not checked"


def test_an_episode_that_two_sources_hold_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "a.parquet", [pendulum(1), pendulum(2)], PENDULUM)
    second = write(tmp_path / "b.parquet", [pendulum(3), pendulum(2)], PENDULUM)
    (line,) = problems(capsys, first, second)
    assert line == f"{second}: episode 1: is equal to episode 1 of {first}: leave one of them out"


@pytest.mark.parametrize(("others", "found"), [(1, True), (2, False)])
def test_true_ends_where_the_clock_cuts_are_doubted(
    others: int, found: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = replace(UNBOUNDED, env_id="Pendulum-v1", action_size=1)
    episodes = [
        make_episode(
            [0, 1] * (steps // 2), n, actions=np.zeros((steps, 1)), terminated=True, truncated=False
        )
        for n, steps in enumerate([200, 200] + [6] * others)
    ]
    lines = problems(capsys, write(tmp_path / "a.parquet", episodes, spec))
    doubted = [line for line in lines if ": 2 episodes ended in the step in which" in line]
    assert len(doubted) == len(lines) == found


def test_it_goes_on_after_a_damaged_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    good = [make_episode([1, 2], 1)]
    write(folder / "0.parquet", good)
    whole = Path(write(folder / "1.parquet", good)).read_bytes()
    (folder / "2.parquet").write_bytes(whole[: len(whole) // 2])
    write(folder / "3.parquet", [make_episode([1, np.nan], 4)])
    passed_over, equal, nan = problems(capsys, str(folder))
    assert passed_over.startswith(f"{folder / '2.parquet'}: is passed over")
    assert equal.startswith(f"{folder / '1.parquet'}: would be drawn twice: {folder / '0.parquet'}")
    assert nan.startswith(f"{folder / '3.parquet'}: episode 0, row 1, column rewards: NaN")


def test_an_error_of_a_reader_ends_that_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.parquet", [make_episode([1, 2], ord(name))])
    healthy = sources.episodes

    def episodes(source: sources.Source) -> Any:
        yield from healthy(source)
        if source.files[0].path.endswith("a.parquet"):
            raise InputError("a.parquet: row 7: rewards is missing")

    monkeypatch.setattr(sources, "episodes", episodes)
    (line,) = problems(capsys, str(tmp_path))
    assert line == "a.parquet: row 7: rewards is missing: the rest of this file was not checked"


def test_files_that_do_not_fit_the_first_are_named(
    tmp_path: Path, five: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = make_episode([1, 2], observations=np.eye(3, 5))
    wider = write(tmp_path / "wider.parquet", [wide], replace(SPEC, observation_size=5))
    other = write(tmp_path / "o.parquet", [make_episode([1, 2])], replace(SPEC, env_id="Other-v0"))
    lines = problems(capsys, five, wider, other)
    assert lines[-2].startswith(f"{wider}: observations [T+1, 5] and actions [T, 2], but {five}")
    assert lines[-1].startswith(f"{other}: is of Other-v0, but {five} is of Nowhere-v0")


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("a.parquet", "not a table", "not a parquet file.: copy it again"),
        ("a.hdf5", "", "a.hdf5: is empty: fetch or write it again"),
        ("a.txt", "nor this", "it is damaged: write or fetch it again"),
    ],
)
def test_a_file_that_is_no_data_is_found_wrong(
    name: str, content: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    (line,) = problems(capsys, str(tmp_path / name))
    assert line.startswith(f"{tmp_path / name}: ")
    assert line.endswith(remedy)


# convert


def convert(five: str, tmp_path: Path, *options: str) -> list[float]:
    """Returns of the episodes that are kept."""
    target = tmp_path / "out.parquet"
    assert main(["convert", five, "--to", str(target), *options]) == 0
    return [episode.total_reward for episode in read_folder(target)]


@pytest.mark.parametrize(
    ("options", "returns"),
    [
        ([], [1, 2, 3, 4, 6]),
        (["--min-return", "3"], [3, 4, 6]),
        (["--min-return", "-1e3", "--max-return", "3"], [1, 2, 3]),
        (["--min-length", "2", "--max_length", "3"], [2, 3, 6]),
        (["--successful"], [2, 4]),
        (["--first", "2"], [1, 2]),
        (["--best", "2"], [4, 6]),
        (["--best", "1", "--max-return", "5"], [4]),
        (["--first", "99"], [1, 2, 3, 4, 6]),
    ],
)
def test_filters_keep_what_they_say(
    five: str, tmp_path: Path, options: list[str], returns: list[float]
) -> None:
    assert convert(five, tmp_path, *options) == returns


def test_it_says_what_was_dropped_and_why(
    five: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(five, tmp_path, "--min-return", "2", "--min-length", "3", "--best=1", "--clip-actions")
    assert capsys.readouterr().out.splitlines() == [
        "kept     1 of 5 episodes, 4 of 12 transitions",
        "dropped  1 that fail --min-return 2",
        "dropped  2 that fail --min-length 3",
        "dropped  1 that are not among the --best 1",
        "clipped  50 % of all action entries, to the bounds that the data states",
        f"wrote    {tmp_path / 'out.parquet'}, of Nowhere-v0",
    ]


def test_an_episode_comes_out_as_it_went_in(five: str, tmp_path: Path) -> None:
    convert(five, tmp_path)
    folder = tmp_path / "out.parquet"
    assert read_info(str(folder / "episodes-000000.parquet")).env_id == "Nowhere-v0"
    for found, wanted in zip(read_folder(folder), five_episodes(), strict=True):
        for name in ("observations", "actions", "rewards", "successes"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert found.origin == wanted.origin
        assert (found.terminated, found.truncated) == (wanted.terminated, wanted.truncated)


def test_kind_and_clipping_change_only_that(five: str, tmp_path: Path) -> None:
    convert(five, tmp_path, "--kind", "demonstration", "--clip-actions")
    found = read_folder(tmp_path / "out.parquet")
    assert {episode.origin.kind for episode in found} == {"demonstration"}
    assert found[1].origin.policy_version == 7
    assert found[3].actions.tolist() == [[1, 0], [0, -1], [-1, 1], [0, 0]]
    np.testing.assert_array_equal(found[0].actions, five_episodes()[0].actions)


def test_bounds_of_a_task_that_the_user_names_are_not_guessed(
    five: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", five, "--to", str(tmp_path / "x.parquet"), "--clip-actions", "--env"]
    assert main([*command, "No-v0"]) == 2
    assert_one_line(capsys, "no environment 'No-v0'")
    assert main([*command, "Pendulum-v1"]) == 2
    assert_one_line(capsys, "actions of 2 numbers are not those of Pendulum-v1, which has 1")


def test_fragments_come_out_whole(log: str, tmp_path: Path) -> None:
    assert convert(log, tmp_path, "--min-length", "5") == [15]
    (episode,) = read_folder(tmp_path / "out.parquet")
    assert episode.rewards.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(episode.observations, make_episode(range(6), 1).observations)
    assert episode.truncated


def test_the_result_is_the_same_each_time_and_in_several_files(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "STEPS_PER_FILE", 4)
    contents = []
    for name in ("one", "two"):
        assert main(["convert", five, "--to", str(tmp_path / f"{name}.parquet")]) == 0
        files = sorted((tmp_path / f"{name}.parquet").iterdir())
        contents.append([file.read_bytes() for file in files])
    assert len(contents[0]) == 3  # 1 + 2 + 3 steps, 4 steps, 2 steps
    assert contents[0] == contents[1]


def test_a_conversion_that_dies_leaves_nothing(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(writers, "write_episodes", fail)
    with pytest.raises(RuntimeError):
        main(["convert", five, "--to", str(tmp_path / "out.parquet")])
    assert [path.name for path in tmp_path.iterdir()] == ["five.parquet"]


# Two at once.


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_who_fill_one_folder_at_once_the_first_has_it(
    tmp_path: Path, first: int, as_uri: bool
) -> None:
    folder = tmp_path / "out"
    target = f"file://{folder}" if as_uri else str(folder)
    both = [writers.new_folder("--to", target) for _ in range(2)]
    for number, making in enumerate(both):
        place = Path(making.__enter__().removeprefix("file://"))
        (place / "whose").write_text(str(number))
    both[first].__exit__(None, None, None)
    with pytest.raises(InputError, match=f"^--to {target}: exists already: remove it, or name"):
        both[1 - first].__exit__(None, None, None)
    assert list(tmp_path.rglob("*")) == [folder, folder / "whose"]
    assert (folder / "whose").read_text() == str(first)


def another_at_the_first(
    monkeypatch: pytest.MonkeyPatch, step: str, words: Sequence[str]
) -> list[int]:
    """Let the same command run as a whole at a step of one; returns its exit code, once it has."""
    codes, take = list[int](), getattr(writers, step)

    def both(*arguments: Any) -> Any:
        monkeypatch.setattr(writers, step, take)
        codes.append(main(words))
        return take(*arguments)

    monkeypatch.setattr(writers, step, both)
    return codes


def test_of_two_conversions_at_once_the_last_is_refused_in_one_line(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writers, "STEPS_PER_FILE", 4)
    words = ["convert", five, "--to", str(tmp_path / "out.parquet")]
    codes = another_at_the_first(monkeypatch, "write_episodes", words)
    assert main(words) == 2
    assert codes == [0]
    assert_one_line(capsys, "out.parquet: exists already: remove it, or name another one")
    assert [e.total_reward for e in read_folder(tmp_path / "out.parquet")] == [1, 2, 3, 4, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["five.parquet", "out.parquet"]


@pytest.mark.parametrize("step", ["_minari_buffer", "_recoverable"])
def test_of_two_conversions_to_one_minari_id_the_last_leaves_the_first_alone(
    five: str,
    step: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    words = ["convert", five, "--to", "minari:test/five-v0"]
    codes = another_at_the_first(monkeypatch, step, words)
    assert main(words) == 2
    assert codes == [0]
    assert_one_line(capsys, "minari:test/five-v0: exists already: name another version")
    assert len(minari.load_dataset("test/five-v0")) == 5


# In an object store, which moves no folders.


def there(uri: str) -> list[str]:
    """Names of the files below a URI, without what says who writes there."""
    names = [info.path.rpartition("/")[2] for info in files_below(*resolve(uri))]
    return [name for name in names if not name.startswith(".lock")]


def test_a_conversion_writes_to_a_bucket_and_never_twice(
    five: str, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(writers, "STEPS_PER_FILE", 4)
    target = f"{bucket}/{uuid4().hex}.parquet"
    assert main(["convert", five, "--to", target]) == 0
    assert there(target) == [f"episodes-{number:06d}.parquet" for number in range(3)]
    rows = list(sources.episodes(sources.find(target)))
    assert [episode.total_reward for *_, episode in rows] == [1, 2, 3, 4, 6]
    capsys.readouterr()
    assert main(["convert", five, "--to", target]) == 2
    assert_one_line(capsys, f"--to {target}: exists already: remove it, or name another one")
    assert len(there(target)) == 3


def test_a_conversion_to_a_bucket_that_dies_leaves_its_place_free(
    five: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, target = writers.write_episodes, f"{bucket}/{uuid4().hex}.parquet"

    def fail(path: str, *others: Any) -> None:
        if path.endswith("1.parquet"):
            raise RuntimeError("the network is gone")
        written(path, *others)

    with monkeypatch.context() as patch:
        patch.setattr(writers, "STEPS_PER_FILE", 4)
        patch.setattr(writers, "write_episodes", fail)
        with pytest.raises(RuntimeError):
            main(["convert", five, "--to", target])
    assert there(target) == []
    assert main(["convert", five, "--to", target]) == 0


def test_of_two_who_fill_one_place_in_a_bucket_the_first_has_it(bucket: str) -> None:
    target = f"{bucket}/{uuid4().hex}.parquet"
    with writers.new_folder("--to", target) as place:
        with pytest.raises(InputError, match="exists already"):
            writers.new_folder("--to", target).__enter__()
        write_file(f"{place}/whose", b"mine")
    assert there(target) == ["whose"]


@pytest.mark.parametrize("name", ["out.parquet.part", "out.parquet.0123abcd.part"])
def test_what_a_person_keeps_beside_a_target_stays(five: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("kept")
    convert(five, tmp_path)
    assert (tmp_path / name / "mine.txt").read_text() == "kept"


DIES = """
import os, sys
from awac_dist.cli.writers import new_folder
with new_folder("--to", sys.argv[1]) as aside:
    open(f"{aside}/half", "w").close()
    os._exit(9)
"""


def test_what_a_process_left_that_died_is_gone_after_the_next(five: str, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    subprocess.run([sys.executable, "-c", DIES, target], check=False)
    (left,) = tmp_path.glob("out.parquet.*.part")
    assert (left / "half").exists()
    convert(five, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"five.parquet", target.name}


@pytest.mark.parametrize(
    ("task", "wanted"), [("DoorBinary", [0, 0, 1, 0, 1]), ("DoorBinaryReleased", [0, 1, 1, 0, 1])]
)
def test_the_door_task_pays_for_an_open_door(task: str, wanted: list[int]) -> None:
    observations = np.zeros((6, 39), np.float32)
    observations[:, 28] = [2.0, 1.3, 1.36, 1.5, 0.0, 1.41]
    found = relabelled(task, "here", make_episode([9] * 5, observations=observations))
    assert found.successes is not None
    assert found.rewards.tolist() == [success - 1 for success in wanted]  # after each step
    assert found.successes.tolist() == wanted
    assert found.rewards.dtype == found.successes.dtype == np.float32


@pytest.mark.parametrize(("width", "words"), [(38, "too narrow"), (40, "too wide")])
def test_observations_of_another_width_are_refused(width: int, words: str) -> None:
    episode = make_episode([0], observations=np.zeros((2, width)))
    with pytest.raises(InputError, match=f"here: DoorBinary: observations of {width} .*{words}"):
        relabelled("DoorBinary", "here", episode)


def test_filters_see_the_new_rewards(tmp_path: Path) -> None:
    spec = replace(SPEC, observation_size=39)
    shut, opened = np.eye(3, 39), np.eye(3, 39)
    opened[2, 28] = 2
    episodes = [make_episode([9, 9], observations=o) for o in (shut, opened)]
    path = write(tmp_path / "door.parquet", episodes, spec)
    assert convert(path, tmp_path, "--relabel", "DoorBinary", "--successful") == [-1]
    info = read_info(str(tmp_path / "out.parquet" / "episodes-000000.parquet"))
    assert info.env_id == "awac_dist/DoorBinary-v0"


def test_minari_reads_what_was_converted(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setattr(writers, "STEPS_PER_FILE", 4)  # the dataset grows in three goes
    assert main(["convert", five, "--to", "minari:test/five-v0"]) == 0
    dataset = minari.load_dataset("test/five-v0")
    for found, wanted in zip(dataset, five_episodes(), strict=True):
        np.testing.assert_array_equal(found.observations, wanted.observations)
        np.testing.assert_array_equal(found.actions, wanted.actions)
        np.testing.assert_array_equal(found.rewards, wanted.rewards)
        assert found.terminations.tolist()[-1] == wanted.terminated
        assert found.truncations.tolist()[-1] == wanted.truncated
        assert not found.terminations[:-1].any()
    assert main(["convert", five, "--to", "minari:test/five-v0"]) == 2


class Plain(gymnasium.Wrapper):
    """Does not record what it was made with."""


def wrapped(**_: Any) -> Any:
    return Plain(CountingGoals())


COUNTING, HALVED = "environments:CountingGoals", TransformReward.wrapper_spec(func=lambda r: r / 2)


@pytest.mark.parametrize(
    ("registration", "recovered"),
    [
        ({"entry_point": COUNTING}, True),
        ({"entry_point": f"{__name__}:wrapped"}, True),
        ({"entry_point": COUNTING, "additional_wrappers": (HALVED,)}, False),
        ({"entry_point": CountingGoals}, False),
        (None, False),
    ],
)
def test_minari_gets_any_task_and_the_environment_if_it_can_be_made_again(
    registration: Any, recovered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari, spec = pytest.importorskip("minari"), SPEC
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    if registration:
        known = Registration("tests/Mine-v0", max_episode_steps=9, **registration)
        monkeypatch.setitem(gymnasium.registry, known.id, known)
        spec = env_spec(known.id)
    goals = np.ones((2, spec.goal_size), np.float32) if spec.goal_size else None
    whole = make_episode(
        [1],
        observations=np.ones((2, spec.observation_size)),
        actions=np.zeros((1, spec.action_size)),
        desired_goals=goals,
        achieved_goals=goals,
    )
    path = write(tmp_path / "a.parquet", [whole], spec)
    assert main(["convert", path, "--to", "minari:test/mine-v0"]) == 0
    dataset = minari.load_dataset("test/mine-v0")
    assert (dataset.env_spec is not None) == recovered
    if recovered:
        with closing(dataset.recover_environment()) as env:
            assert set(env.observation_space) == set(dataset[0].observations)


# Wrong input.


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str) -> None:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("awac_dist: ")
    assert words in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspct", "FIVE"], "no command 'inspct'; did you mean inspect?"),
        (["frobnicate"], "there are inspect, validate, convert, collect"),
        (["inspect"], "SOURCE"),
        (["inspect", "FIVE", "--plott", "a.png"], "no option --plott; did you mean --plot?"),
        (["inspect", "no/such/file"], "no dataset 'no/such/file'"),
        (["validate", "no/such/file"], "no dataset 'no/such/file'"),
        (["convert", "FIVE"], "--to"),
        (["convert", "FIVE", "--to", "x.parquet", "--min-retrun=2"], "did you mean --min-return?"),
        (["convert", "FIVE", "--to", "x.parquet", "--first", "a"], "--first"),
        (["convert", "FIVE", "--to", "x.parquet", "--first", "1", "--best", "1"], "not allowed"),
        (["convert", "FIVE", "--to", "x.csv"], "neither NAME.parquet nor minari:ID"),
        (["convert", "FIVE", "--to", "FIVE"], "exists already"),
        (
            ["convert", "FIVE", "--to", "s4://a/b.parquet"],
            "Unrecognized filesystem type in URI: s4://a/b.parquet",
        ),
        (["convert", "FIVE", "--to", "/proc/a/b.parquet"], "--to /proc/a/b.parquet: cannot be"),
        (["inspect", "s4://a/b"], "Unrecognized filesystem type in URI: s4://a/b"),
        (["convert", "FIVE", "FIVE", "--to", "x.parquet"], "name it once"),
        (["convert", "FIVE", "--to", "x.parquet", "--min-return", "99"], "nothing is left"),
        (["convert", "FIVE", "--to", "x.parquet", "--relabel", "DoorBinary"], "too narrow"),
        (["convert", "FIVE", "--to", "minari:no/version"], "is no Minari id"),
    ],
)
def test_wrong_input_is_one_line(
    five: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    if words == "is no Minari id":
        pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    assert main([five if word == "FIVE" else word for word in arguments]) == 2
    assert_one_line(capsys, words)
    assert [path.name for path in tmp_path.iterdir()] == ["five.parquet"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(writers, "write_episodes", no_room)
    assert main(["convert", five, "--to", str(tmp_path / "x.parquet")]) == 2
    assert_one_line(capsys, "x.parquet: cannot be written: No space left on device: make room")
    assert [path.name for path in tmp_path.iterdir()] == ["five.parquet"]


def test_sources_of_two_tasks_need_a_name(
    five: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "o.parquet", [make_episode([1])], replace(SPEC, env_id="Other-v0"))
    target = str(tmp_path / "out.parquet")
    assert main(["convert", five, other, "--to", target]) == 2
    assert_one_line(capsys, "the sources are of Nowhere-v0, Other-v0: give --env ID")
    assert main(["convert", five, other, "--to", target, "--env", "Third-v0"]) == 0


def test_success_that_is_not_known_cannot_be_asked_for(
    log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", log, "--to", str(tmp_path / "x.parquet"), "--successful"]) == 2
    assert_one_line(capsys, "leave --successful out, or give --relabel TASK")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("inspect", "validate", "convert", "collect"))


# The real door demonstrations.


@pytest.fixture
def door() -> str:
    if not DOOR.exists():
        pytest.skip(f"{DOOR} is not here")
    try:
        sources.find(str(DOOR))
    except InputError:
        pytest.skip("no reader of demonstration pickles yet")
    return str(DOOR)


def test_the_door_demonstrations(door: str) -> None:
    assert facts(door)["actions"].startswith("not checked: ")
    found = facts(door, "awac_dist/DoorBinary-v0")
    assert found["episodes"] == "25"
    assert found["transitions"] == "6,704"  # 6,729 steps, less the last of each
    assert found["actions"].startswith("5.63 % of all entries")
    assert "the furthest is 1.37 from 0" in found["actions"]
    assert found["made by"] == "demonstration (25)"


def test_six_door_demonstrations_open_the_door(door: str, tmp_path: Path) -> None:
    returns = convert(door, tmp_path, "--relabel", "DoorBinary", "--successful")
    assert len(returns) == 6
    successes = [episode.successes for episode in read_folder(tmp_path / "out.parquet")]
    assert sum(float(column.sum()) for column in successes if column is not None) == 352
