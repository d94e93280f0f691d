"""The command line from end to end: what it prints, what it leaves behind, how it refuses."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from running import ENV, write_demonstrations

from awac_dist import load_policy
from awac_dist.cli.main import main as awac_dist
from awac_dist.cli.main import told
from awac_dist.config import OnlineConfig
from awac_dist.data.parquet import write_episodes
from awac_dist.envs.make import env_spec
from awac_dist.errors import RunFailed
from awac_dist.runs.runtime import InlineRuntime
from awac_dist.types import Episode, Origin

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = shlex.split(
    "--env Pendulum-v1 --workers 2 --clone.updates 20 --clone.episodes 2 --offline.updates 20 "
    "--online.env_steps 100 --algorithm.actor.hidden 16 16 --algorithm.critic.hidden 16 16 "
    "--rollout.fragment_steps 25 --learner.batch_size 32 --learner.threads 1 "
    "--evaluation.episodes 2 --evaluation.curve_episodes 1 --evaluation.every_updates 30"
)


def main(words: Sequence[str]) -> int:
    return awac_dist(["launch", *words])


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_demonstrations(tmp_path / "demonstrations.parquet")


def test_an_inline_run_prints_its_summary_and_fills_its_folder(
    data: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    code = main([*SMALL, "--runtime", "inline", "--data", data, "--run-dir", str(folder)])
    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    assert "Run finished" in out
    for label in ("clone", "offline", "online"):
        assert any(line.startswith(label) and "±" in line for line in out.splitlines()), label
    assert str(folder) in out.splitlines()[-1]
    left = {path.name for path in folder.iterdir()}
    assert left == {
        ".lock",
        "checkpoints",
        "config.yaml",
        "experience",
        "learning_curve.png",
        "log.txt",
        "metrics.jsonl",
        "provenance.json",
        "sessions",
        "sources.json",
        "tensorboard",
    }
    table = pd.read_json(folder / "metrics.jsonl", lines=True)
    assert set(table["phase"]) == {"clone", "collect", "offline", "online"}
    assert table["eval/return"].notna().sum() >= 3
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"] == [data]
    monkeypatch.chdir(tmp_path)
    assert awac_dist(["export", str(folder), "policy.npz"]) == 0
    newest = max((folder / "checkpoints").glob("*/policy.npz"))
    assert Path("policy.npz").read_bytes() == newest.read_bytes()
    assert f"wrote policy.npz: the policy of {newest}, after 140" in capfd.readouterr().out


@pytest.mark.parametrize(
    "preset",
    sorted(set(CONFIGS.glob("*.yaml")) - {CONFIGS / "release-push.yaml"}),  # see test_hindsight.py
    ids=lambda path: path.stem,
)
def test_every_preset_runs(
    preset: Path, data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = shlex.split(
        "--env Pendulum-v1 --runtime inline --workers 1 --clone.updates 3 --clone.episodes 1 "
        "--offline.updates 3 --offline.batch_size 8 --learner.batch_size 8 --online.env_steps 5 "
        "--evaluation.episodes 1 --learner.threads 1"
    )
    folder = tmp_path / "run"
    words = ["--config", str(preset), *small, "--data", data, "--run-dir", str(folder)]
    assert main(words) == 0
    assert "11 updates" in capfd.readouterr().out  # 3 cloning, 3 offline, 5 online


def test_a_dry_run_prints_config_and_plan_and_leaves_nothing(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main([*SMALL, "--data", data, "--run-dir", str(folder), "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert yaml.safe_load(out)["learner"]["batch_size"] == 32  # the plan is in comments
    for word in ("2 rollout workers", "1 replay shard,", "MB in all", "100 env_steps"):
        assert word in out
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--algorithm", "rlpd"], True),
        (["--config", "rlpd"], False),
        (["--algorithm", "rlpd", "--config", "rlpd"], False),
        (["--algorithm", "awac"], False),  # whose preset is the defaults
    ],
)
def test_a_dry_run_tells_a_method_without_its_preset(
    words: list[str], told: bool, data: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*words, "--online.env_steps", "6000"]  # rlpd's first 5,000 are a warm-up
    assert main([*SMALL, "--data", data, *words, "--dry-run"]) == 0
    out = capfd.readouterr().out
    line = "preset    none: --algorithm rlpd changes the losses alone, --config rlpd the run, too"
    assert (f"\n# {line}\n" in out) == told
    assert yaml.safe_load(out)["env"]


def test_a_dry_run_refuses_a_folder_that_the_run_would(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "something").touch()
    for place in (tmp_path, tmp_path / "something"):
        assert main([*SMALL, "--data", data, "--run-dir", str(place), "--dry-run"]) == 2
        assert "choose another one with --run-dir" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        ("--data {data}", ["clone 20 updates on {data}", "collect 2 episodes with the clone"]),
        ("--data {prior}", ["clone nothing to clone: no source"]),
        ("--data {prior},kind=demonstration", ["clone 20 updates on {prior}", "collect 2 epi"]),
        ("--data {data} {prior}", ["clone 20 updates on {data}", "collect 2"]),
        ("--data {data},kind=prior", ["clone nothing to clone: no source"]),
        ("--data {data} --clone.updates 0", []),
        ("--data {data} --clone.episodes 0", ["clone 20 updates on {data}"]),
    ],
)
def test_a_plan_clones_what_the_run_will_clone(
    options: str,
    plan: list[str],
    data: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prior = str(tmp_path / "prior.parquet")
    assert awac_dist(["data", "convert", data, "--kind", "prior", "--to", prior]) == 0
    capfd.readouterr()
    places = {"data": data, "prior": prior}
    words = [*SMALL, *options.format(**places).split(), "--runtime", "inline"]
    assert main([*words, "--dry-run"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("# memory"))
    told = [*plan, "offline 20 updates", "online 100 env_steps, 100 updates (async)"]
    for line, wanted in zip(lines[start + 1 :], told, strict=True):
        assert line.startswith("# " + wanted.format(**places))
        assert ("kind=demonstration" in line) == ("nothing to clone" in line)
    if plan != []:
        return
    mixture = '{"clone": 0.5, "online": 0.5}'
    assert main([*words, "--replay.mixture", mixture, "--dry-run"]) == 2
    assert "no transitions of 'clone'" in capfd.readouterr().err


def test_a_run_goes_on_with_its_data_wherever_it_is_and_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, episodes in {"a": 1, "new": 2}.items():
        write_demonstrations(tmp_path / f"{name}.parquet", episodes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    small = shlex.split(
        "--env Pendulum-v1 --runtime inline --workers 1 --clone.updates 0 --offline.updates 3 "
        "--learner.batch_size 8 --online.env_steps 5 --evaluation.episodes 1 --learner.threads 1"
    )
    assert main([*small, "--data", "a.parquet,kind=prior", "--run-dir", "run"]) == 0
    monkeypatch.chdir(tmp_path / "below")
    resume = ["--resume", "../run", "--override", "online.env_steps=10"]
    capfd.readouterr()
    assert main([*resume, "--data", "../new.parquet"]) == 0
    told = (tmp_path / "run/config.yaml").read_text()
    assert yaml.safe_load(told)["data"] == ["a.parquet,kind=prior", "../new.parquet"]
    assert "../new.parquet: 2 episodes, 400 transitions" in capfd.readouterr().out
    monkeypatch.setattr("awac_dist.learner.checkpoint.is_finished", lambda *_: False)
    sizes = pd.read_json(tmp_path / "run/metrics.jsonl", lines=True)["replay/size"].dropna()
    assert sizes.iloc[-1] == 3 * 200 + 10
    assert main([*resume, "--data", "../run", "--dry-run"]) == 2
    assert "the run learns from what it collected: leave it out" in capfd.readouterr().err
    moved = (tmp_path / "a.parquet").rename(tmp_path / "moved.parquet")
    assert main([*resume, "--dry-run"]) == 2
    gone = f"{tmp_path}/a.parquet: is not there any more: bring it back, or say with --data where"
    assert gone in capfd.readouterr().err
    assert main([*resume, "--data", str(moved), "--dry-run"]) == 0
    assert "a.parquet: 1 episodes" in capfd.readouterr().out
    write_demonstrations(tmp_path / "a.parquet", 3)
    assert main(resume) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"{tmp_path}/a.parquet: is not what it was when the run began" in line


def empty_dataset(folder: Path) -> str:
    path = str(folder / "empty.parquet")
    write_episodes(path, [], env_spec(ENV))
    return path


def dataset_with_nan(folder: Path) -> str:
    rewards = np.array([1, np.nan], np.float32)
    observations, actions = np.zeros((3, 3), np.float32), np.zeros((2, 1), np.float32)
    episode = Episode(observations, actions, rewards, False, True, Origin("prior"))
    write_episodes(str(folder / "nan.parquet"), [episode], env_spec(ENV))
    return str(folder / "nan.parquet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "HalfCheeta-v5"], ["HalfCheeta-v5", "HalfCheetah-v5"]),
        (["--env", "FrozenLake-v1"], ["FrozenLake-v1", "flat vectors", "FlattenObservation"]),
        (["--algorithm.temprature", "1"], ["--algorithm.temprature", "--algorithm.temperature"]),
        (["--mode", "fast"], ["fast", "async", "sync"]),
        (["--data", "nowhere.parquet"], ["nowhere.parquet", "halfcheetah-demonstrations"]),
        (["--data", "{empty}"], ["empty.parquet", "no episodes"]),
        (["--data", "{text}"], ["text.parquet", "Parquet"]),
        (
            ["--data", "{data}", "--env", "HalfCheetah-v5"],
            ["[T+1, 3]", "[T, 1]", "17 and 6", "HalfCheetah-v5"],
        ),
        (["--run-dir", "{taken}"], ["taken", "exists already"]),
        (["--learner.gpus", "1"], ["--learner.gpus 1", "more GPUs than there are"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--config", "nosuch://bucket/x.yaml"], ["Unrecognized", "nosuch://bucket/x.yaml"]),
        (["--env", "Walker2d-v5", "--data", "halfcheetah-demonstrations"], ["Walker2d-v5"]),
        (["--run-dir", "nosuch://bucket/run"], ["nosuch://bucket/run", "cannot be reached"]),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    words: list[str],
    data: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.parquet").write_text("these are words")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "something").touch()
    places = {
        "{data}": data,
        "{empty}": empty_dataset(tmp_path),
        "{text}": str(tmp_path / "text.parquet"),
        "{taken}": str(tmp_path / "taken"),
    }
    given = [places.get(word, word) for word in arguments]
    base = ["--run-dir", str(tmp_path / "run"), "--env", ENV]
    prior = [] if "--data" in given else ["--data", data]
    assert main([*base, *prior, "--runtime", "inline", *given]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("runtime", "options", "words"),
    [
        ("inline", "--data {nan}", "nan.parquet: episode 0, row 1: rewards is NaN"),
        ("inline", "--replay.mixture {clone} --clone.updates 0", "no transitions of 'clone'"),
        pytest.param("ray", "--data {nan}", "rewards is NaN", marks=pytest.mark.ray),
    ],
)
def test_wrong_input_that_shows_late_is_one_line_too(
    request: pytest.FixtureRequest,
    runtime: str,
    options: str,
    words: str,
    data: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if runtime == "ray":
        request.getfixturevalue("ray_session")
    mixture = '{"clone": 0.5, "online": 0.5}'
    places = {"{nan}": dataset_with_nan(tmp_path), "{clone}": mixture}
    given = [places.get(word, word) for word in options.split()]
    folder = tmp_path / "run"
    base = [*SMALL, "--runtime", runtime, "--data", data, "--run-dir", str(folder)]
    assert main([*base, *given]) == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert words in err
    assert not folder.exists()  # its name stays free


def test_a_run_without_data_learns_from_what_it_collects_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    base = [*SMALL, "--offline.updates", "0", "--data", "--runtime", "inline"]
    half = '{"offline": 0.5, "online": 0.5}'
    assert main([*base, "--replay.mixture", half, "--dry-run"]) == 2
    assert "no transitions of 'offline', only of online" in capfd.readouterr().err
    assert main([*base, "--run-dir", str(folder)]) == 0
    out, err = capfd.readouterr()
    assert ("nothing to clone" in out, err) == (False, "")
    assert "100 env steps online, 100 updates" in out


def test_what_was_started_ends_where_the_metrics_cannot_be_opened(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RunFailed("metrics.jsonl: cannot be written")

    closed = list[InlineRuntime]()
    monkeypatch.setattr("awac_dist.cli.launch.MetricsLog", refuse)
    monkeypatch.setattr(InlineRuntime, "close", lambda self: closed.append(self))
    folder = tmp_path / "run"
    assert main([*SMALL, "--runtime", "inline", "--data", data, "--run-dir", str(folder)]) == 1
    out, err = capfd.readouterr()
    assert err == "awac_dist: metrics.jsonl: cannot be written\n"
    assert out.splitlines()[-1] == f"python -m awac_dist.launch --resume {folder}"
    assert len(closed) == 1


def pasted(line: str) -> int:
    """Run the line that a run ends with, as a shell would."""
    python, *words = shlex.split(line)
    assert [python, *words[:2]] == ["python", "-m", "awac_dist.launch"]
    return main(words[2:])


def test_a_run_that_was_stopped_says_how_it_goes_on_and_does_until_it_is_finished(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a run"
    words = ["--runtime", "inline", "--data", data, "--run-dir", str(folder)]
    assert main([*SMALL, *words, "--online.max_minutes", "0.003"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert "Run stopped early: 0.003 minutes are over" in out
    assert out[-3:-1] == [f"Run folder: {folder}", "To go on:"]
    with (folder / "metrics.jsonl").open("ab") as table:  # what may become of a file
        table.write(b'{"phase": "off\nx\n\0\0\n\xff\n[]\n{"phase": "offl')
    assert pasted(f"{out[-1]} --override online.max_minutes=None") == 0
    ended = capfd.readouterr().out
    assert "Run finished" in ended
    assert "5 damaged lines of metrics.jsonl left out" in ended
    assert "--resume" not in ended
    assert pd.read_json(folder / "metrics.jsonl", lines=True)["grad_steps"].max() == 140
    before = sorted(folder.rglob("*"))
    assert pasted(out[-1]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == f"{folder}: this run is finished, nothing is left to do"
    assert said[-1] == f"{out[-1]} --override online.env_steps={OnlineConfig().env_steps}"
    assert sorted(folder.rglob("*")) == before
    assert pasted(f"{out[-1]} --override online.env_steps=110") == 0
    assert "150 updates" in capfd.readouterr().out


def test_a_second_ctrl_c_says_how_the_run_goes_on(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("awac_dist.cli.launch.Components", interrupt)
    words = ["--runtime", "inline", "--data", data, "--run-dir", str(tmp_path / "run")]
    assert main([*SMALL, *words]) == 130
    out, err = capfd.readouterr()
    assert (out.splitlines()[-1].endswith(f"--resume {tmp_path}/run"), err) == (
        *(True, "awac_dist: interrupted\n"),
    )


def test_a_run_starts_from_the_policy_of_another_one(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "--runtime", "inline", "--data", data, "--online.env_steps", "0"]
    first, second = (tmp_path / name for name in ("first", "second"))
    assert main([*words, "--run-dir", str(first)]) == 0
    observations = np.random.default_rng(0).normal(size=(9, 3))
    wanted = load_policy(first)(observations)
    still = "--offline.updates 1 --algorithm.actor.learning_rate 1e-30"
    begun = [*words, *still.split(), "--replay.normalize_observations", "true"]
    begun += ["--init", str(first), "--run-dir", str(second)]
    capfd.readouterr()
    assert main([*begun, "--dry-run"]) == 0
    assert f"# start     from the policy of {first}, without a clone" in capfd.readouterr().out
    assert main([*begun, "--online.max_minutes", "1e-9"]) == 0
    shutil.rmtree(first / "checkpoints")  # it is in the new run's folder by now
    command = capfd.readouterr().out.splitlines()[-1]
    assert pasted(f"{command} --override online.max_minutes=None") == 0
    out = capfd.readouterr().out
    assert "Run finished" in out
    assert not any(line.startswith("clone") for line in out.splitlines())
    np.testing.assert_allclose(load_policy(second)(observations), wanted, rtol=1e-4)


def test_no_escape_in_a_name_of_a_file_reaches_the_screen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = "\x1b]0;owned\x07\x9b31m"
    path, rewards = str(tmp_path / f"{odd}.parquet"), np.float32([1, 2])
    columns = np.zeros((3, 3), np.float32), np.zeros((2, 1), np.float32), rewards
    episode = Episode(*columns, False, True, Origin("prior"))
    write_episodes(path, [episode], replace(env_spec(ENV), env_id=odd))
    run = tmp_path / "run"
    (run / odd).mkdir(parents=True)
    (run / "config.yaml").write_text(json.dumps({"env": odd, odd: 1}))
    for words in (
        ["data", "inspect", path],
        ["data", "validate", path],
        ["data", "convert", path, "--to", f"{path}-new.parquet"],
        ["launch", "--data", path, "--env", "Walker2d-v5", "--dry-run"],
        ["launch", "--data", path, "--env", ENV, "--dry-run"],
        ["launch", "--config", str(run / "config.yaml")],
        ["evaluate", path, "--env", odd],
        ["evaluate", str(run)],
        ["plot", str(run / odd)],
        [odd],
    ):
        awac_dist(words)
        out, err = capfd.readouterr()
        assert out + err != ""
        assert not {"\x1b", "\x07", "\x9b"} & set(out + err), words


def test_an_interrupted_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert told(interrupted) == 130
    assert capsys.readouterr().err == "awac_dist: interrupted\n"


def test_an_unexpected_fault_keeps_its_traceback(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("awac_dist.cli.launch.Components", fail)
    with pytest.raises(ZeroDivisionError):
        main([*SMALL, "--runtime", "inline", "--data", data, "--run-dir", str(tmp_path / "run")])


@pytest.mark.ray
def test_ctrl_c_ends_a_ray_run_in_order(data: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "awac_dist.launch", *SMALL, "--data", data]
    command += ["--run-dir", str(folder), "--online.env_steps", "1000000"]
    marker = {"AWAC_DIST_TEST_RUN": str(folder)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | marker,
    ) as process:
        _wait_for(folder / "metrics.jsonl", '"online"', seconds=120)
        family = _marked(marker)
        assert len(family) > 5  # Ray, workers, shards, learner
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Run stopped early: asked to stop" in out
    assert out.splitlines()[-1] == f"python -m awac_dist.launch --resume {folder}"
    assert (out.count("Ray"), err) == (0, "")
    assert list((folder / "checkpoints").glob("*/state.pt"))
    assert list((folder / "experience").glob("*.parquet"))
    time.sleep(2)
    assert [pid for pid in family if _is_alive(pid)] == []


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that its parent has not asked after does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(path: Path, words: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and words in path.read_text():
            return
        time.sleep(0.2)
    raise TimeoutError(f"no {words} in {path}")


def _marked(marker: dict[str, str]) -> set[int]:
    """Processes that inherited the marker."""
    found = set()
    for process in psutil.process_iter():
        try:
            if marker.items() <= process.environ().items():
                found.add(process.pid)
        except psutil.Error:
            continue
    return found
