"""Runs by code: the same as by the command line, in a process that stays its caller's."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import ray
import torch
import yaml
from running import ENV, write_demonstrations

import awac_dist
from awac_dist import api
from awac_dist.cli import launch
from awac_dist.cli.main import main
from awac_dist.cli.options import to_mapping
from awac_dist.config import RunConfig
from awac_dist.envs.make import env_spec
from awac_dist.envs.registration import able_to_travel, meaning, own_id
from awac_dist.errors import InputError, RunFailed
from awac_dist.files import sealed
from awac_dist.reporting.recorder import Recorder
from awac_dist.types import EnvSpec

NOTEBOOK = """
import gymnasium
import numpy as np

class InNotebook(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, first=0.0):
        self.first = first

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.float32([self.first, 0]), {}

    def step(self, action):
        return np.float32([self.first, action[0]]), 1.0, False, False, {}
"""
SMALL: dict[str, Any] = {
    "workers": 1,
    "clone.updates": 0,
    "offline.updates": 10,
    "online": {"env_steps": 30},
    "learner": {"batch_size": 8, "threads": 1},
    "evaluation": {"episodes": 1, "curve_episodes": 1},
}
INLINE = {**SMALL, "runtime": "inline", "mode": "sync"}
NO_DATA = {**INLINE, "data": [], "offline.updates": 0, "env.kwargs": {"max_episode_steps": 5}}
LONG = {**NO_DATA, "online": {"env_steps": 2_000}, "rollout.fragment_steps": 10}


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_demonstrations(tmp_path / "demonstrations.parquet", 1)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Ctrl-C is heard: a shell has what it runs aside ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def in_notebook() -> type[gymnasium.Env[Any, Any]]:
    """A class that no module holds, as one of a notebook."""
    there: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, there)
    found: type[gymnasium.Env[Any, Any]] = there["InNotebook"]
    return found


def policy_of(folder: Path) -> bytes:
    return Path(sealed(f"{folder}/checkpoints")[-1], "policy.npz").read_bytes()


# --- the same as by the command line


def test_a_run_by_code_is_the_commands(data: str, tmp_path: Path) -> None:
    run = awac_dist.train(
        env=ENV, data=Path(data), algorithm="iql", run_dir=tmp_path / "code", seed=3, **INLINE
    )
    words = f"--env {ENV} --data {data} --algorithm iql --run-dir {tmp_path}/words --seed 3"
    more = "--workers 1 --clone.updates 0 --offline.updates 10 --online.env_steps 30"
    rest = "--learner.batch_size 8 --learner.threads 1 --evaluation.episodes 1 --mode sync"
    last = "--evaluation.curve_episodes 1 --runtime inline"
    assert main(["launch", *f"{words} {more} {rest} {last}".split()]) == 0
    assert policy_of(tmp_path / "code") == policy_of(tmp_path / "words")
    code, typed = (
        yaml.safe_load((tmp_path / name / "config.yaml").read_text()) for name in ("code", "words")
    )
    assert code | {"run_dir": ""} == typed | {"run_dir": ""}
    facts = json.loads((tmp_path / "code" / "provenance.json").read_text())
    assert facts["argv"][:2] == ["awac_dist.train", "algorithm.name='iql'"]
    assert run.config == awac_dist.Run(tmp_path / "code").config
    assert (run.config.seed, run.config.env.id) == (3, ENV)


def test_a_run_tells_what_it_left(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    awac_dist.train(env=ENV, data=data, run_dir=tmp_path / "run", **INLINE)
    run, episodes = awac_dist.Run(tmp_path / "run"), awac_dist.load_data(tmp_path / "run")
    assert repr(run) == f"Run('{tmp_path}/run')"
    assert sum(map(len, episodes)) == 30
    table = run.metrics
    assert list(table["phase"].unique()) == ["offline", "online"]
    assert table["grad_steps"].max() == 40
    assert table["eval/return"].notna().sum() == 2
    assert run.policy.version == 40
    found = run.evaluate(episodes=2, seed=5)
    told = str(tmp_path / "told.json")
    words = ["evaluate", run.folder, "--episodes", "2", "--seed", "5", "--json", told]
    assert main(words) == 0
    assert json.loads(Path(told).read_text())["returns"] == list(found.returns)
    run.export(tmp_path / "p.npz")
    assert (tmp_path / "p.npz").read_bytes() == policy_of(tmp_path / "run")
    assert awac_dist.evaluate(tmp_path / "p.npz", env=ENV, episodes=2, seed=5) == found
    assert run.resume() is run
    again = run.resume(**{"online.env_steps": 50})
    assert again.metrics["env_steps"].max() == 50
    capsys.readouterr()


def test_options_are_over_a_config_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RunConfig] = []

    def train(options: Any, *_: object) -> launch.Trained:
        given.append(options.config)
        return launch.Trained(str(tmp_path), "")

    (tmp_path / "config.yaml").write_text("algorithm: iql\nseed: 4\nworkers: 3\n")
    monkeypatch.setattr(launch, "train", train)
    awac_dist.train(tmp_path / "config.yaml", seed=5, **{"algorithm.expectile": 0.9})
    awac_dist.train(RunConfig(seed=6, workers=2), workers=7)
    awac_dist.train(RunConfig(seed=6), algorithm={"name": "sac"})
    awac_dist.train(given[0], env={"id": ENV, "kwargs": {"g": 9.0}})
    first, second, third, fourth = given
    assert (first.seed, first.workers, vars(first.algorithm)["expectile"]) == (5, 3, 0.9)
    assert (second.seed, second.workers) == (6, 7)
    assert (third.seed, type(third.algorithm).__name__) == (6, "SACConfig")
    assert (fourth.algorithm, fourth.env.kwargs) == (first.algorithm, {"g": 9.0})


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: awac_dist.train(sede=1), "no option sede; did you mean seed?"),
        (lambda: awac_dist.train(seed="one"), "seed: 'one' is not a whole number"),
        (
            lambda: awac_dist.train(**{"offline.updates": -1}),
            "offline.updates: -1 is not 0 or more",
        ),
        (lambda: awac_dist.train(offline=0), "offline: 0 is not a mapping of options to values"),
        (lambda: awac_dist.train(algorithm="iqk"), "no algorithm iqk; did you mean iql?"),
        (
            lambda: awac_dist.train(**{"algorithm.expectile": 0.9}),
            "algorithm.expectile is iql's; this run's algorithm is awac",
        ),
        (lambda: awac_dist.train("nowhere.yaml"), "cannot read nowhere.yaml: No such file"),
        (
            lambda: awac_dist.train(env=gymnasium.make(ENV)),  # type: ignore[arg-type]
            "is neither an id nor what makes an environment: give its class",
        ),
        (lambda: awac_dist.train(env=in_notebook(), **INLINE), "InNotebook: has no step limit"),
        (lambda: awac_dist.train(env="nothing:Here-v0", **INLINE), "no environment 'nothing:Here"),
        (
            lambda: awac_dist.evaluate(awac_dist.load_policy, env=ENV),  # type: ignore[arg-type]
            "is no path or URI: give the folder of a run, or a file",
        ),
        (lambda: awac_dist.train(data=[7]), "7: is no path or URI"),  # type: ignore[list-item]
        (lambda: awac_dist.Run("nowhere"), "nowhere: holds no run: there is no config.yaml"),
        (lambda: awac_dist.evaluate("p.npz", episodes=0), "episodes: 0 is not 1 or more"),
        (lambda: awac_dist.load_data("nowhere"), "no dataset 'nowhere'"),
        (lambda: awac_dist.train(data=3), "3: is no path or URI"),  # type: ignore[arg-type]
        (lambda: awac_dist.train(RunConfig(seed="one")), "seed: 'one' is not a"),  # type: ignore[arg-type]
        (lambda: awac_dist.train(seed=np.float64(3.5)), "seed: np.float64(3.5) is not a whole"),
        (lambda: awac_dist.train(env={"ids": "x"}), "no option env.ids; did you mean env?"),
        (lambda: awac_dist.evaluate("p.npz", env={"ids": "x"}), "no option env.ids"),
        (lambda: awac_dist.evaluate("p.npz", env={"kwargs": 3}), "env.kwargs: 3 is not a mapping"),
        (
            lambda: awac_dist.evaluate("p.npz", episodes="three"),  # type: ignore[arg-type]
            "episodes: 'three' is not a whole number",
        ),
        (
            lambda: awac_dist.evaluate("p.npz", episodes=2.0),  # type: ignore[arg-type]
            "episodes: 2.0 is not a whole number",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    call: Callable[[], object], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        call()
    assert line in str(caught.value)
    assert not str(caught.value).startswith(":")
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_options_of_a_program_are_what_a_file_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[RunConfig] = []

    def train(options: Any, *_: object) -> launch.Trained:
        given.append(options.config)
        return launch.Trained("", "")

    monkeypatch.setattr(launch, "train", train)
    monkeypatch.setattr(api, "Run", lambda folder: SimpleNamespace(folder=folder))
    plain: dict[str, Any] = {
        "seed": 3,
        "workers": 2,
        "algorithm": {"name": "sac", "entropy_coef": 0.5, "actor": {"hidden": [8, 9]}},
        "replay.normalize_observations": True,
        "env": {"id": ENV, "kwargs": {"g": 9.5, "more": [1, 2]}},
    }
    computed: dict[str, Any] = {
        "seed": np.int64(3),
        "workers": np.int32(2),
        "algorithm": {
            "name": np.str_("sac"),
            "entropy_coef": np.float32(0.5),
            "actor": MappingProxyType({"hidden": np.array([8, 9])}),
        },
        "replay.normalize_observations": np.bool_(True),
        "env": MappingProxyType(
            {"id": ENV, "kwargs": {"g": np.float32(9.5), "more": np.arange(1, 3)}}
        ),
    }
    awac_dist.train(**plain)
    awac_dist.train(**computed)
    awac_dist.train(
        RunConfig(workers=np.int64(2)), **{n: x for n, x in plain.items() if n != "workers"}
    )
    assert given[0] == given[1] == given[2]
    assert [*map(to_mapping, given)] == [to_mapping(given[0])] * 3


def test_a_run_goes_on_by_nested_options_one_place_and_its_own_task(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {**INLINE, "env": {"id": ENV, "kwargs": {"g": 9.5}}}
    run = awac_dist.train(data=data, run_dir=tmp_path / "run", **more)
    monkeypatch.chdir(tmp_path)
    short = "./demonstrations.parquet"
    task = {"kwargs": {"g": np.float64(9.5)}}
    again = run.resume(env=task, data=short, online={"env_steps": np.int64(40)})
    assert again.metrics["env_steps"].max() == 40
    assert run.evaluate(env=task, episodes=np.int64(1), seed=np.int64(5)) == run.evaluate(
        env={"id": ENV}, episodes=1, seed=5
    )
    for call, line in (
        (lambda: run.resume(env={"kwargs": {"g": 1.0}}), "the run is of {'g': 9.5}, and keeps its"),
        (lambda: run.resume(online={"env_step": 50}), "no option online.env_step; did you mean"),
        (lambda: run.resume(algorithm="iql"), "algorithm.name: cannot change in a run that goes"),
        (lambda: run.resume(data=3), "3: is no path or URI"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert line in str(caught.value)


# --- what stays the caller's


def state() -> list[Any]:
    handlers = [signal.getsignal(number) for number in launch.POLITE]
    files = [os.fstat(descriptor).st_ino for descriptor in (1, 2)]
    drawn = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    draws = random.getstate(), drawn, torch.get_rng_state().tolist()
    return [handlers, files, draws, torch.get_num_threads(), sys.stdout, sys.stderr]


def test_nothing_is_printed_and_nothing_is_left_changed(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    before = state()
    more: dict[str, Any] = {**INLINE, "learner": {"batch_size": 8, "threads": 1}}
    awac_dist.train(env=ENV, data=data, run_dir=tmp_path / "quiet", **more).evaluate(episodes=1)
    assert state() == before
    torch.set_num_threads(1)
    assert capfd.readouterr() == ("", "")
    log = (tmp_path / "quiet" / "log.txt").read_text()
    assert "1 rollout worker, 1 replay shard, learner on cpu\n" in log
    awac_dist.train(env=ENV, data=data, run_dir=tmp_path / "loud", verbose=True, **INLINE)
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith(f"awac_dist: {ENV} -> {tmp_path}/loud\n1 rollout worker")
    assert out.endswith(f"Run folder: {tmp_path}/loud\n")


@contextmanager
def new_tensors_in(dtype: torch.dtype, device: str) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        yield
        assert torch.get_default_dtype() == dtype
        assert torch.get_default_device().type == device
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_a_run_is_the_same_however_its_program_has_set_torch(tmp_path: Path) -> None:
    ways = {
        "plain": nullcontext(),
        "no_grad": torch.no_grad(),
        "inference": torch.inference_mode(),
        "elsewhere": new_tensors_in(torch.float64, "meta"),
    }
    for name, way in ways.items():
        with way:
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            run = awac_dist.train(env=in_notebook(), run_dir=tmp_path / name, **NO_DATA)
            run.export(tmp_path / f"{name}.pt")
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
        assert policy_of(tmp_path / name) == policy_of(tmp_path / "plain")


@contextmanager
def signalled(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run is sent a signal in the midst of going online."""
    tick = Recorder.tick

    def strike(self: Recorder) -> None:
        tick(self)
        if self.grad_steps > 10:
            monkeypatch.undo()
            signal.raise_signal(number)

    monkeypatch.setattr(Recorder, "tick", strike)
    yield


def test_ctrl_c_is_the_callers_once_the_run_has_ended_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with signalled(signal.SIGINT, monkeypatch), pytest.raises(KeyboardInterrupt) as caught:
        awac_dist.train(env=in_notebook(), run_dir=folder, **LONG)
    (note,) = caught.value.__notes__
    assert note == f"the run ended in order; Run('{folder}').resume(env=InNotebook) goes on with it"
    run = awac_dist.Run(folder)
    done = run.metrics["env_steps"].max()
    assert 10 <= done < 2_000
    assert run.policy.version > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (
        run.resume(**{"online.env_steps": int(done) + 40}).metrics["env_steps"].max() == done + 40
    )


def test_a_run_that_fails_tells_its_program_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Recorder) -> None:
        raise RunFailed("it cannot go on")

    monkeypatch.setattr(Recorder, "tick", fails)
    with pytest.raises(RunFailed) as caught:
        awac_dist.train(env=in_notebook(), run_dir=tmp_path / "run", **NO_DATA)
    assert caught.value.__notes__ == [f"To go on:\nRun('{tmp_path}/run').resume(env=InNotebook)"]


def test_another_signal_is_given_to_whoever_handled_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with signalled(signal.SIGTERM, monkeypatch):
            run = awac_dist.train(env=in_notebook(), run_dir=tmp_path / "run", **LONG)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert run.policy.version > 0


def test_a_thread_may_train(tmp_path: Path) -> None:
    runs: list[awac_dist.Run] = []

    def work() -> None:
        runs.append(awac_dist.train(env=in_notebook(), run_dir=tmp_path / "run", **NO_DATA))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert runs[0].policy.version == 30


# --- an environment of the program


def test_a_class_written_anew_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    first, second = in_notebook(), in_notebook()
    assert own_id(first) == own_id(second) == "own/InNotebook"
    for its in (first, second):
        with meaning(its):
            assert isinstance(gymnasium.make("own/InNotebook").unwrapped, its)
    with meaning(limited := lambda **more: gymnasium.wrappers.TimeLimit(second(**more), 7)):
        assert env_spec(own_id(limited), first=0.5).max_episode_steps == 7
    run = awac_dist.train(env=second, run_dir=tmp_path / "run", **NO_DATA)
    gymnasium.registry.pop("own/InNotebook")
    with pytest.raises(InputError, match="no environment 'own/InNotebook'"):
        awac_dist.Run(run.folder).evaluate(episodes=1)
    assert run.evaluate(env=second, episodes=1).lengths == (5,)


def test_each_run_keeps_its_own_task_whatever_has_the_same_name(tmp_path: Path) -> None:
    def rewarded(reward: float) -> Any:
        transform = partial(gymnasium.wrappers.TransformReward, func=lambda _: reward)
        return lambda **more: transform(in_notebook()(**more))

    first, second = (
        awac_dist.train(env=rewarded(reward), run_dir=tmp_path / f"{reward}", **NO_DATA)
        for reward in (1.0, 2.0)
    )
    assert first.config.env.id == second.config.env.id
    assert first.evaluate(episodes=1).returns == (5.0,)
    assert second.evaluate(episodes=1).returns == (10.0,)
    again = first.resume(**{"online.env_steps": 40})
    assert {*again.metrics["eval/return"].dropna()} == {5.0}


def test_another_task_of_the_name_is_refused_while_one_is_in_use(tmp_path: Path) -> None:
    mine, other = in_notebook(), in_notebook()
    with meaning(mine):
        with pytest.raises(InputError, match="environment that is in use is called InNotebook"):
            awac_dist.train(env=other, run_dir=tmp_path / "run", **NO_DATA)
        with meaning(mine):
            assert isinstance(gymnasium.make("own/InNotebook").unwrapped, mine)
    with meaning(other):
        assert isinstance(gymnasium.make("own/InNotebook").unwrapped, other)


def test_a_class_named_like_a_known_task_is_the_one_that_is_trained(tmp_path: Path) -> None:
    pendulum = type("Pendulum", (in_notebook(),), {})
    run = awac_dist.train(env=pendulum, run_dir=tmp_path / "run", **NO_DATA)
    assert run.config.env.id == "own/Pendulum"
    assert run.evaluate(episodes=1).returns == (5.0,)  # 1 a step, where Gymnasium's has costs
    assert run.evaluate(env=pendulum, episodes=1).returns == (5.0,)
    again = run.resume(env=pendulum, **{"online.env_steps": 40})
    assert {*again.metrics["eval/return"].dropna()} == {5.0}
    assert awac_dist.load_data(run.folder)[0].observations.shape == (6, 2)


def first_seen_elsewhere(spec: EnvSpec, folder: Path) -> bytes:
    """What a process that knows nothing of this one sees first."""
    there = (
        "import pickle, sys; from awac_dist.envs.make import make_task;"
        "env = make_task(pickle.load(sys.stdin.buffer)); print(env.reset()[0][0])"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.run([sys.executable, "-c", there], input=pickle.dumps(spec), check=True,
                          capture_output=True, env={**os.environ, **path}).stdout  # fmt: skip


def test_a_class_of_this_program_reaches_other_processes(tmp_path: Path) -> None:
    with meaning(in_notebook()):
        spec = able_to_travel(env_spec("own/InNotebook", max_episode_steps=5, first=0.25))
    assert first_seen_elsewhere(spec, tmp_path) == b"0.25\n"
    assert able_to_travel(env_spec(ENV)).registration == b""


@pytest.mark.parametrize("module", ["__main__", "a_robot_of_mine"])
def test_what_this_program_registered_by_words_reaches_other_processes(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_robot_of_mine.py").write_text(NOTEBOOK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("__main__.InNotebook", in_notebook(), raising=False)
    gymnasium.register("Words-v0", f"{module}:InNotebook", max_episode_steps=5)
    spec = able_to_travel(env_spec("Words-v0", first=0.25))
    assert first_seen_elsewhere(spec, tmp_path) == b"0.25\n"


def test_what_cannot_travel_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "start_runtime", None)
    lock, make = threading.Lock(), in_notebook()

    def with_lock(**more: Any) -> gymnasium.Env[Any, Any]:
        assert lock
        return make(**more)

    line = "environment own/with_lock cannot be sent to other processes: TypeError: cannot pickle"
    with pytest.raises(InputError, match=line):
        awac_dist.train(env=with_lock, run_dir=tmp_path / "run", **{**NO_DATA, "runtime": "ray"})
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("ray_session")
def test_a_class_of_a_notebook_is_trained_on_ray(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = {**NO_DATA, "runtime": "ray", "mode": "async", "env.kwargs": {"max_episode_steps": 5}}
    capfd.readouterr()
    run = awac_dist.train(env=in_notebook(), run_dir=tmp_path / "run", **more)
    assert run.metrics["env_steps"].max() == 30
    assert ray.is_initialized()  # whoever began it
    assert capfd.readouterr() == ("", "")


def test_who_acts_or_reads_data_imports_nothing_that_trains() -> None:
    there = (
        "import sys, awac_dist; awac_dist.load_data('halfcheetah-demonstrations');"
        "print({'torch._C', 'ray', 'matplotlib', 'scipy', 'awac_dist.api'} & {*sys.modules})"
    )
    words = [sys.executable, "-c", there]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
