"""Runs whose processes are killed, and that the judge of such runs sees what is wrong."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commit import SEED, commit_number
from running import run, small_config

from awac_dist.config import OfflineConfig
from awac_dist.data.experience import ExperienceLog
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import env_spec
from awac_dist.experiments import chaos
from awac_dist.experiments.campaign import Campaign, Death, RunSize, is_clean
from awac_dist.experiments.chaos import KINDS, VICTIMS, DisturbedRun, hold
from awac_dist.experiments.run_record import (
    EVALUATION,
    UPDATES,
    Verdict,
    judge,
    last_row,
    logged_fragments,
    seams,
    steps_that_differ,
)
from awac_dist.learner.checkpoint import save_checkpoint
from awac_dist.policies.spec import PolicySpec
from awac_dist.runs.runtime import InlineRuntime, Resources
from awac_dist.types import Episode, Origin

UNIT = PolicySpec("deterministic", (1, 1), (-1.0,), (1.0,))
SPEC = env_spec("Pendulum-v1")
SHORT = RunSize(100, 100, 2_000, every_updates=200, episodes=1)
DEATHS = 7
MINUTES = 90.0


def fragment(start: int, length: int, episode: int = 0) -> Episode:
    return Episode(
        np.zeros((length + 1, 3), np.float32),
        np.zeros((length, 1), np.float32),
        np.zeros(length, np.float32),
        terminated=False,
        truncated=False,
        origin=Origin("online", worker=1, episode=episode, start=start),
    )


def write_metrics(folder: Path, *rows: dict[str, float]) -> None:
    lines = [json.dumps({"env_steps": 0, "elapsed_s": 1.0} | row) for row in rows]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


def write_run(folder: Path, logged: list[Episode], registered: list[Episode]) -> None:
    """A run of 12 online steps and 5 updates."""
    log = ExperienceLog(str(folder / "experience"), 0, SPEC)
    for row, its in enumerate(logged):
        log.insert(its, "online", row)
        if row == 0:
            log.flush()  # one file of each kind
    keys = torch.tensor([(*its.origin.stream, its.origin.start) for its in registered])
    books = {"in_play": {"online": keys[1:]}, "forgotten": keys[:1]}
    state = {"books": books, "grad_steps": 5}
    progress, acting = {"env_steps": sum(map(len, registered))}, (UNIT, UNIT.unflatten(np.zeros(2)))
    save_checkpoint(str(folder / "checkpoints"), 5, state, progress, acting, keep=1)
    write_metrics(folder, {"grad_steps": 5, UPDATES: 1.0}, {"grad_steps": 5, EVALUATION: -7.0})


FRAGMENTS = [fragment(0, 5), fragment(5, 3), fragment(0, 4, episode=1)]


def test_a_whole_run_is_found_so(tmp_path: Path) -> None:
    write_run(tmp_path, FRAGMENTS, FRAGMENTS)
    seen = logged_fragments(tmp_path)
    assert sum(seen.values()) == 12
    verdict = judge(tmp_path, seen, env_steps=12, grad_steps=5)
    assert (verdict.lost, verdict.unknown, verdict.duplicated) == (0, 0, 0)
    assert (verdict.problems, verdict.result) == ([], -7.0)


def test_each_thing_that_can_go_wrong_is_seen(tmp_path: Path) -> None:
    seen = {("online", (1, 0, 0, 0)): 5, ("online", (1, 0, 9, 0)): 2}
    write_run(tmp_path, [*FRAGMENTS, fragment(6, 3)], [*FRAGMENTS[:2], fragment(0, 6, episode=3)])
    verdict = judge(tmp_path, seen, env_steps=15, grad_steps=6)
    assert verdict.lost == 2  # episode 9, which somebody saw
    assert verdict.unknown == 4 + 3  # the last two of the log
    assert verdict.duplicated == 2  # steps 6 and 7
    assert verdict.problems == [
        "('online', (1, 0, 3, 0)) was registered and is not in the log",
        "env_steps of the last checkpoint: 14, not 15",
        "grad_steps of the last checkpoint: 5, not 6",
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"grad_steps": 2, UPDATES: 1.0}, {"grad_steps": 2, UPDATES: 1.0}], "do not grow"),
        ([{"grad_steps": 1, "env_steps": 3}, {"grad_steps": 1, "env_steps": 2}], "env_steps"),
        ([{"grad_steps": 1, "elapsed_s": 3}, {"grad_steps": 1, "elapsed_s": 2}], "elapsed_s"),
    ],
)
def test_a_seam_in_the_metrics_is_seen(
    tmp_path: Path, rows: list[dict[str, float]], words: str
) -> None:
    write_metrics(tmp_path, *rows)
    (found,) = seams(tmp_path)
    assert words in found


def test_steps_are_done_again(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("env: {id: Pendulum-v1, kwargs: {g: 5.0}}")
    task = EnvConfig("Pendulum-v1", {"g": 5.0})
    config = replace(small_config(""), env=task, data=(), offline=OfflineConfig(0))
    run(config, InlineRuntime(Resources((2.0,), gpus=0)), tmp_path)
    assert sum(logged_fragments(tmp_path).values()) == 300
    assert steps_that_differ(tmp_path) == 0
    other = fragment(0, 5, episode=99)
    other = replace(other, origin=replace(other.origin, seed=0))
    ExperienceLog(str(tmp_path / "experience"), 7, SPEC).insert(other, "online", 0)
    assert steps_that_differ(tmp_path) == 5


def test_a_campaign_goes_on(tmp_path: Path) -> None:
    left, verdict = tmp_path / "chaos.json", Verdict(0, 0, 0, ["odd"], -7.0)
    done = Campaign(SHORT, [Death("stopped worker", 0, 7, 2.0)], ["exit 1"], [verdict], verdict)
    left.write_text(json.dumps(asdict(done)))
    assert Campaign.begun(left, RunSize()) == done
    assert Campaign.begun(tmp_path / "other.json", SHORT) == Campaign(SHORT)


@pytest.mark.parametrize(
    ("begun", "said", "clear"),
    [
        (True, "awac_dist: Ray is gone\nTo go on:\npython -m awac_dist.launch --resume run", True),
        (True, "awac_dist: Ray is gone", False),
        (True, "To go on:\npython -m awac_dist.launch --resume run", False),
        (False, "awac_dist: Ray does not start", True),
        (False, "RuntimeError", False),
        (False, "", False),
    ],
)
def test_a_run_that_ended_by_itself_goes_on_or_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool, said: str, clear: bool
) -> None:
    folder, launched, codes = tmp_path / "run", [], iter([2, 0, 0])
    folder.mkdir()
    folder.with_suffix(".out").write_text(said)

    def launch(words: list[str], log: Path) -> SimpleNamespace:
        launched.append(words[0])
        return SimpleNamespace(poll=lambda: next(codes))

    monkeypatch.setattr(chaos, "launch", launch)
    disturbed = DisturbedRun(folder, Campaign(SHORT), [], 1.0, Random(0), lambda: True)
    if begun:
        (folder / "config.yaml").touch()
    assert not disturbed._ended()
    assert disturbed._ended()
    assert launched == ["--run-dir", "--resume" if begun else "--run-dir"]
    assert bool(disturbed.campaign.told) == clear
    assert bool(disturbed.campaign.failures) != clear


def test_a_run_that_ended_has_no_torn_row(tmp_path: Path) -> None:
    write_metrics(tmp_path, {"grad_steps": 1, "env_steps": 0, "elapsed_s": 0.0})
    with (tmp_path / "metrics.jsonl").open("a") as table:
        table.write('{"grad_st')
    with pytest.raises(ValueError, match="Unterminated"):
        seams(tmp_path)


def test_the_newest_row_with_a_column(tmp_path: Path) -> None:
    assert last_row(tmp_path, UPDATES) == {}
    write_metrics(tmp_path, {"first": 0}, {UPDATES: 1.0}, {UPDATES: 2.0}, {EVALUATION: 3.0})
    with (tmp_path / "metrics.jsonl").open("a") as table:
        table.write('{"learner/upd')  # which is being written
    assert last_row(tmp_path, UPDATES)[UPDATES] == 2.0


def test_the_table_and_the_closing_lines() -> None:
    done = Campaign(
        RunSize(), [Death("shard", 0, 7, 2.0), Death("shard", 0, 9, 4.0), Death("driver", 0, 9)]
    )
    assert done.table().splitlines()[1].split() == ["shard", "2", "2", "3.0", "4.0"]
    assert done.table().splitlines()[2].split() == ["driver", "1", "0"]
    assert not is_clean(done)
    done.deaths[2].seconds = 30.0
    assert is_clean(done)
    done.failures.append("exit 1")
    assert not is_clean(done)


@pytest.mark.ray
def test_a_death_of_a_kind_that_moves_with_the_commit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = commit_number()
    kind = VICTIMS[number % len(VICTIMS)]
    with capsys.disabled():
        print(f"\n{SEED}={number} kills the {kind} again")
        done = hold(
            tmp_path, 2, every_s=4.0, kinds=[kind], seed=number, least=1, size=SHORT, compare=False
        )
    assert done.count(kind) == 1
    assert is_clean(done), done.closing()


@pytest.mark.ray
@pytest.mark.faults
def test_seven_deaths_and_stops_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        done = hold(tmp_path, MINUTES, every_s=2.0, kinds=KINDS, seed=0, least=DEATHS)
        print(f"\n{done.table()}\n{done.closing()}")
    assert min(done.count(kind) for kind in KINDS) >= DEATHS
    assert is_clean(done)
