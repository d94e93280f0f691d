"""Runs that cannot go on: one line, the right exit code, and everything that was safe still is."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from running import ALL_UPDATES, SMALL, run, small_config, write_demonstrations

from awac_dist import files
from awac_dist.algorithms.awac import AWAC
from awac_dist.cli import launch
from awac_dist.cli.main import main as awac_dist
from awac_dist.config import OnlineConfig
from awac_dist.data import journal
from awac_dist.data.sources import episodes, find
from awac_dist.envs.make import make_task
from awac_dist.errors import (
    ComponentDied,
    InputError,
    NotFinite,
    RunFailed,
    RuntimeLost,
    within_memory,
)
from awac_dist.evaluation import evaluator
from awac_dist.files import sealed
from awac_dist.learner.checkpoint import load_checkpoint, load_progress, save_checkpoint
from awac_dist.learner.learner import Learner
from awac_dist.messages import Future
from awac_dist.policies.gaussian import GaussianPolicy
from awac_dist.replay.shard import ReplayShard
from awac_dist.reporting.metrics import MetricsLog
from awac_dist.reporting.provenance import write_provenance
from awac_dist.reporting.recorder import Recorder
from awac_dist.runs.collecting import CALLS_AHEAD
from awac_dist.runs.runtime import InlineFuture, InlineHandle, InlineRuntime, Resources, Runtime
from awac_dist.tensors import Batch, Metrics
from awac_dist.types import Array


def main(words: Sequence[str]) -> int:
    return awac_dist(["launch", *words])


RESOURCES = Resources((2.0,), gpus=0)
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "demonstrations.parquet"
    return write_demonstrations(path)


@pytest.fixture
def begin(data: str, tmp_path: Path) -> Callable[..., int]:
    """Starts a run in `tmp_path/run`, with more options if given; returns its exit code."""
    words = ["--runtime", "inline", "--data", data, "--run-dir", str(tmp_path / "run")]
    return lambda *more: main([*SMALL, *words, *more])


def resume(folder: Path) -> int:
    return main(["--resume", str(folder)])


def only_line(capfd: pytest.CaptureFixture[str]) -> str:
    """What a run said that ended badly."""
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("awac_dist: ")
    return line


def all_finite(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return all(all_finite(item) for item in items)
    return True


def check_whole(folder: Path) -> None:
    """The newest checkpoint is good, nothing torn is left, and no fragment is there twice."""
    newest = load_checkpoint(sealed(str(folder / "checkpoints"))[-1])
    assert all_finite(newest)
    assert not list(folder.rglob("*.part"))
    fragments = [episode.origin for _, _, episode in episodes(find(str(folder)))]
    assert len({(origin.stream, origin.start) for origin in fragments}) == len(fragments)


def check_finished(folder: Path) -> None:
    """A run that was taken up again ended as it was meant to."""
    check_whole(folder)
    progress = load_progress(sealed(str(folder / "checkpoints"))[-1])
    assert (progress["grad_steps"], progress["env_steps"]) == (ALL_UPDATES, 120)
    table = pd.read_json(folder / "metrics.jsonl", lines=True)
    updates = table[table["critic/loss"].notna()]["grad_steps"]
    assert updates.is_monotonic_increasing
    assert updates.is_unique
    assert updates.iloc[-1] == ALL_UPDATES
    online = [e for _, _, e in episodes(find(str(folder))) if e.origin.kind == "online"]
    assert sum(map(len, online)) == 120


@pytest.mark.parametrize("made", [np.zeros, torch.zeros])
def test_what_finds_no_memory_is_told(made: Callable[[int], object]) -> None:
    told = r"^not enough memory: .*allocate"
    with pytest.raises(InputError, match=told), within_memory():
        made(1 << 50)


# Numbers gone wrong.


def spoil_loss(method: AWAC, loss: torch.Tensor, metrics: Metrics) -> tuple[torch.Tensor, Metrics]:
    return loss * torch.nan, {**metrics, "critic/loss": metrics["critic/loss"] * torch.nan}


def spoil_gradient(
    method: AWAC, loss: torch.Tensor, metrics: Metrics
) -> tuple[torch.Tensor, Metrics]:
    return loss + (loss - loss.detach()).sqrt(), metrics  # 0, with an infinite slope


def spoil_squared_gradient(
    method: AWAC, loss: torch.Tensor, metrics: Metrics
) -> tuple[torch.Tensor, Metrics]:
    return loss + 1e30 * (loss - loss.detach()), metrics  # 0; its slope is finite, squared not


def spoil_parameter(
    method: AWAC, loss: torch.Tensor, metrics: Metrics
) -> tuple[torch.Tensor, Metrics]:
    with torch.no_grad():
        next(method.target_critic.parameters())[0, 0] = torch.inf
    return loss, metrics


class Saboteur:
    """Spoils the n-th update of AWAC; remembers every batch and every published policy."""

    def __init__(self, patch: pytest.MonkeyPatch, spoil: Callable[..., Any], update: int) -> None:
        self.batches: list[Batch] = []
        self.published: list[Array] = []
        critic_loss, act = AWAC.critic_loss, GaussianPolicy.__init__

        def loss_of(method: AWAC, batch: Batch, q_data: torch.Tensor) -> Any:
            self.batches.append(batch)
            loss = critic_loss(method, batch, q_data)
            return spoil(method, *loss) if len(self.batches) == update else loss

        def remember(policy: GaussianPolicy, spec: Any, vector: Array, version: int) -> None:
            self.published.append(vector.copy())
            act(policy, spec, vector, version)

        patch.setattr(AWAC, "critic_loss", loss_of)
        patch.setattr(GaussianPolicy, "__init__", remember)


@pytest.mark.parametrize(
    ("spoil", "update", "told", "quantity"),
    [
        (spoil_loss, 3, 13, "critic/loss"),
        (spoil_loss, 28, 38, "critic/loss"),
        (spoil_gradient, 5, 15, "gradient of critic."),  # the last of its call
        (spoil_gradient, 7, 18, "critic/loss"),  # seen in the next update's loss
        (spoil_squared_gradient, 32, 45, "squared gradient of critic."),
        (spoil_parameter, 15, 25, "parameter target_critic."),
    ],
)
def test_numbers_gone_wrong_end_the_run_within_one_call(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[..., Any],
    update: int,
    told: int,
    quantity: str,
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        saboteur = Saboteur(patch, spoil, update)
        assert begin() == 1
    line = only_line(capfd)
    newest, evidence = sealed(str(folder / "checkpoints"))[-1], folder / "not-finite"
    assert line.startswith(f"awac_dist: {quantity}")
    assert f"is not finite after update {told}; " in line
    assert f"the batches around it are in {evidence}/{told:09d}.pt; " in line
    assert line.endswith(f"the last good checkpoint is {newest}")
    assert len(saboteur.batches) <= 5 * -(-update // 5)  # not beyond the call
    check_whole(folder)
    assert all(np.isfinite(vector).all() for vector in saboteur.published)
    saved = torch.load(evidence / f"{told:09d}.pt", weights_only=True)
    assert (saved["update"], line.split(": ")[1].startswith(saved["quantity"])) == (told, True)
    before = saboteur.batches[told - 10 - 1]  # 10 updates of the clone come first
    observations = before.observations.shape[1]
    torch.testing.assert_close(saved["blocks"][-1][:, :observations], before.observations)
    assert resume(folder) == 0
    check_finished(folder)


def poison(fetched: int) -> Callable[[ReplayShard, Array], Array]:
    """A `take` that finds a spoiled row once so many times 32 rows are fetched."""
    take, left = ReplayShard.take, [fetched]

    def spoiled(shard: ReplayShard, rows: Array, *rest: Any) -> Array:
        left[0] -= len(rows) // 32
        if left[0] < 0:
            shard.prior.ring._rows[:, 0] = np.nan
        return take(shard, rows, *rest)

    return spoiled


def test_a_spoiled_row_ends_the_run_and_is_kept_for_a_look(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ReplayShard, "take", poison(130))
        assert begin() == 1
    line = only_line(capfd)
    (evidence,) = (folder / "not-finite").iterdir()
    assert line.startswith("awac_dist: a batch is not finite after update ")
    assert ": replay shard 0: row " in line
    assert f"; the batches around it are in {evidence}; the last good checkpoint is " in line
    saved = torch.load(evidence, weights_only=True)
    assert saved["quantity"] == "batch"
    assert saved["blocks"][0][:, 0].isnan().any()
    assert saved["blocks"][0][:, 1].isfinite().all()
    check_whole(folder)
    assert resume(folder) == 0
    check_finished(folder)


def test_a_row_that_is_refused_goes_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(NotFinite("row 3", np.ones((2, 4)))))
    assert (str(error), error.block.shape) == ("row 3", (2, 4))


def test_a_policy_that_is_not_finite_is_not_published(data: str, tmp_path: Path) -> None:
    _, _, driver = run(small_config(data), InlineRuntime(RESOURCES), tmp_path)
    learner: Learner = driver.learner._handle.component  # type: ignore[attr-defined]
    with torch.no_grad():
        next(learner.method.actor.parameters())[0, 0] = torch.inf
    with pytest.raises(RunFailed, match="the policy after update 173 is not finite"):
        learner.publish()


def test_no_checkpoint_of_a_learner_that_failed(data: str, tmp_path: Path) -> None:
    """A call to save may wait behind the update that fails."""
    runtime, config = InlineRuntime(RESOURCES), small_config(data)
    _, _, driver = run(config, runtime, tmp_path)
    before = sealed(str(tmp_path / "checkpoints"))
    learner: Learner = driver.learner._handle.component  # type: ignore[attr-defined]
    with torch.no_grad():
        next(learner.method.networks["actor"].parameters())[0, 0] = torch.nan
    with pytest.raises(RunFailed, match=r"method\.networks\..* is not finite: update 173"):
        driver.learner.save({})
    assert sealed(str(tmp_path / "checkpoints")) == before


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_checkpoint_names_what_it_refuses(tmp_path: Path, bad: float) -> None:
    state = {"a": {"b": [torch.ones(2), torch.tensor([0.0, bad])]}, "n": torch.tensor([1 << 60])}
    with pytest.raises(RunFailed, match=r"^a\.b\.1 is not finite: update 1,234 is not kept$"):
        save_checkpoint(str(tmp_path), 1234, state, {}, (None, {}), keep=1)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_action_that_is_no_number_ends_the_run(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sample = GaussianPolicy.sample

    def spoiled(policy: GaussianPolicy, observations: Array, noise: Array, *memory: Array) -> Array:
        actions = sample(policy, observations, noise, *memory)
        return actions * np.float32(np.nan) if policy.version > 50 else actions

    with monkeypatch.context() as patch:
        patch.setattr(GaussianPolicy, "sample", spoiled)
        assert begin() == 1
    line = only_line(capfd)
    assert "gives NaN or infinite actions; the last good checkpoint is " in line
    check_whole(tmp_path / "run")
    assert resume(tmp_path / "run") == 0
    check_finished(tmp_path / "run")


def test_an_environment_that_fails_the_evaluator_ends_the_run(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(spec: Any) -> Any:
        env = make_task(spec)
        env.step = lambda action: 1 / 0  # type: ignore[method-assign]
        return env

    with monkeypatch.context() as patch:
        patch.setattr(evaluator, "Collector", partial(evaluator.Collector, make_env=broken))
        assert begin() == 1
    line = only_line(capfd)
    assert "failed in 5 episodes in a row; the last: ZeroDivisionError" in line
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "learner on cpu\n" in log  # what was on the screen
    assert "env.step = lambda action: 1 / 0" in log
    assert "\nawac_dist.errors.RunFailed: environment" in log
    assert resume(tmp_path / "run") == 0
    check_finished(tmp_path / "run")


# Files that cannot be written.


class Full:
    """A file or a file system on which every write from the n-th on stops half-way."""

    def __init__(self, inner: Any, left: list[int], number: int) -> None:
        self._inner, self._left, self._number = inner, left, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> "Full":
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.close()

    def open_output_stream(self, path: str) -> "Full":
        return Full(self._inner.open_output_stream(path), self._left, self._number)

    def write(self, content: Any) -> None:
        self._left[0] -= 1
        if self._left[0] < 0:
            self._inner.write(content[: len(content) // 2])
            raise OSError(self._number, os.strerror(self._number))
        self._inner.write(content)


def break_metrics(patch: pytest.MonkeyPatch, number: int) -> None:
    make, left = MetricsLog.__init__, [12]

    def made(log: MetricsLog, *arguments: Any, **named: Any) -> None:
        make(log, *arguments, **named)
        log._table = Full(log._table, left, number)  # type: ignore[assignment]

    patch.setattr(MetricsLog, "__init__", made)


def full(filesystem: Any, name: str) -> tuple[Full, str]:
    """What `files.resolve` returns where the first write stops half-way."""
    return Full(filesystem, [0], errno.ENOSPC), name


def break_checkpoints(patch: pytest.MonkeyPatch, number: int) -> None:
    resolve, left = files.resolve, [13]  # three checkpoints of four files, and a file

    def resolved(path: str) -> tuple[Any, str]:
        filesystem, name = resolve(path)
        return (Full(filesystem, left, number) if "/checkpoints/" in path else filesystem), name

    patch.setattr(files, "resolve", resolved)


def break_journal(patch: pytest.MonkeyPatch, number: int) -> None:
    write, left = os.write, [5]

    def half(file: int, content: Any) -> int:
        left[0] -= 1
        if left[0] == 0:
            return write(file, content[: len(content) // 2])
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return write(file, content)

    patch.setattr(journal.os, "write", half)


@pytest.mark.parametrize(
    ("destroy", "number", "words"),
    [
        (break_metrics, 28, "metrics.jsonl: cannot be written: No space left on device: make room"),
        (break_checkpoints, 28, "0: cannot be written: No space left on device: make room"),
        (
            break_checkpoints,
            30,
            "0: cannot be written: Read-only file system: make it writable",
        ),
        (break_checkpoints, 13, "0: cannot be written: Permission denied: make it writable"),
        (break_journal, 28, ".journal: cannot be written: No space left on device: make room"),
    ],
)
def test_a_disk_that_takes_no_more_ends_the_run_and_costs_nothing(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    destroy: Callable[[pytest.MonkeyPatch, int], None],
    number: int,
    words: str,
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        destroy(patch, number)
        assert begin() == 1
    line = only_line(capfd)
    assert f"awac_dist: {folder}/" in line
    assert words in line
    newest = sealed(str(folder / "checkpoints"))[-1]
    assert line.endswith(f"; the last good checkpoint is {newest}")
    check_whole(folder)
    assert resume(folder) == 0
    check_finished(folder)


def test_a_disk_that_takes_no_more_after_a_learners_death_ends_the_run_with_one_line(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Metrics of updates that are lost have to be forgotten then."""
    update, resolve, folder = Learner.update, files.resolve, tmp_path / "run"

    def dies(learner: Learner, *arguments: Any) -> Any:
        if learner.grad_steps >= ALL_UPDATES - 25:
            raise ComponentDied("it was killed")
        return update(learner, *arguments)

    def resolved(path: str) -> tuple[Any, str]:
        filesystem, name = resolve(path)
        return full(filesystem, name) if name.endswith("metrics.jsonl") else (filesystem, name)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", dies)
        patch.setattr(files, "resolve", resolved)
        assert begin() == 1
    line, newest = only_line(capfd), sealed(str(folder / "checkpoints"))[-1]
    told = f"{folder}/metrics.jsonl: cannot be written: No space left on device: make room"
    assert line.startswith(f"awac_dist: {told}")
    assert line.endswith(f"; the last good checkpoint is {newest}")
    check_whole(folder)
    assert resume(folder) == 0
    check_finished(folder)


@pytest.mark.parametrize("number", [28, 30])
def test_a_folder_that_takes_nothing_is_told_before_anything_runs(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("awac_dist.cli.launch.write_provenance", refuse)
        assert begin() == 2
        assert f"{folder}: cannot be written: {os.strerror(number)}" in only_line(capfd)
        assert not folder.exists()  # the name stays free
    assert begin() == 0
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("awac_dist.learner.checkpoint.is_finished", lambda *_: False)
        patch.setattr("awac_dist.cli.launch.write_provenance", refuse)
        assert resume(folder) == 2
        assert "cannot be written" in only_line(capfd)
    check_finished(folder)


def test_a_full_disk_leaves_the_config_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = files.resolve
    (tmp_path / "config.yaml").write_text("as it was")
    monkeypatch.setattr(files, "resolve", lambda path: full(*resolve(path)))
    with pytest.raises(OSError, match="No space"):
        write_provenance(tmp_path, {"a": 1}, [], session=1)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "as it was"


def test_a_picture_that_finds_no_room_is_one_line(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("awac_dist.cli.launch.plot_learning_curve", refuse)
    assert begin() == 1
    assert "No space left on device" in only_line(capfd)
    check_finished(tmp_path / "run")


def test_prior_data_that_is_gone_is_one_line_when_the_run_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("awac_dist.learner.checkpoint.is_finished", lambda *_: False)
    path, folder = tmp_path / "demonstrations.parquet", tmp_path / "run"
    write_demonstrations(path)
    words = ["--runtime", "inline", "--data", str(path), "--run-dir", str(folder)]
    assert main([*SMALL, *words]) == 0
    aside = path.rename(tmp_path / "aside")
    capfd.readouterr()
    assert resume(folder) == 2
    assert str(path) in only_line(capfd)
    aside.rename(path)
    assert resume(folder) == 0
    check_finished(folder)


def test_a_run_that_is_resumed_with_fewer_steps_than_it_took_ends(
    begin: Callable[[], int], tmp_path: Path
) -> None:
    assert begin() == 0
    assert main(["--resume", str(tmp_path / "run"), "--override", "online.env_steps=50"]) == 0
    newest = load_progress(sealed(str(tmp_path / "run/checkpoints"))[-1])
    assert (newest["env_steps"], newest["grad_steps"]) == (120, ALL_UPDATES)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (None, "Ray does not start on this machine: The node timed out during startup."),
        ("auto", "no Ray cluster at auto: The node timed out during startup."),
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: Connection refused"),
    ],
)
def test_ray_that_does_not_answer_is_one_line(
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    address: str | None,
    says: str,
) -> None:
    import ray

    def init(**_: Any) -> None:
        raise Exception("The node timed out during startup.\nAnd more about it.")  # as Ray does

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    at = ["--address", address] if address else []
    assert main([*SMALL, "--data", data, "--run-dir", str(tmp_path / "run"), *at]) == 2
    assert says in only_line(capfd)


def test_a_stop_while_ray_starts_names_the_command_that_goes_on(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: sys.exit(15))  # its answer to SIGTERM
    assert main([*SMALL, "--data", data, "--run-dir", str(tmp_path / "run")]) == 130
    assert (
        f"To go on:\npython -m awac_dist.launch --resume {tmp_path}/run" in capfd.readouterr().out
    )


@pytest.mark.parametrize("name", ["ObjectStoreFullError", "OutOfDiskError"])
@pytest.mark.parametrize("where", ["here", "there", "argument"])
def test_an_object_store_that_is_full_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    import ray

    from awac_dist.distributed.handles import RayFuture, RayHandle

    full = getattr(ray.exceptions, name)("full")

    class Actor:
        def __getattr__(self, method: str) -> Any:
            return self

        def remote(self, *_: Any) -> None:
            raise full

    def get(_: Any) -> None:
        raise full if where == "here" else ray.exceptions.RayTaskError("f", "traceback", full)

    monkeypatch.setattr(ray, "get", get)
    call = (
        RayFuture(None, "").result
        if where != "argument"
        else lambda: RayHandle(Actor(), "").post("take")
    )
    with pytest.raises(RunFailed, match=r"object store is full.*: make room in .*RAY_TMPDIR"):
        call()


# A learner that is slow.


class Slow:
    """An answer that is there after some looks."""

    def __init__(self, answer: Future, looks: int) -> None:
        self._answer, self.looks = answer, looks

    def result(self) -> Any:
        assert self.looks <= 0
        return self._answer.result()


class SlowHandle(InlineHandle):
    """A learner whose updates take their time."""

    def post(self, method: str, *arguments: Any, **named: Any) -> Any:
        answer = super().post(method, *arguments, **named)
        return Slow(answer, looks=7) if method == "update" else answer


class SlowRuntime(InlineRuntime):
    """Workers that are done at once, and a learner that is not."""

    def start(
        self, component: type, *arguments: Any, cpus: float = 0.0, gpus: float = 0.0, **named: Any
    ) -> InlineHandle:
        handle = super().start(component, *arguments, **named)
        return SlowHandle(handle.component) if component is Learner else handle

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        slow = [future for future in futures if isinstance(future, Slow)]
        if slow:
            slow[0].looks -= 1  # the learner does one call after the other
        return [f for f in futures if isinstance(f, InlineFuture) or (f in slow and f.looks <= 0)]


def test_workers_wait_for_a_slow_learner(data: str, tmp_path: Path) -> None:
    config = replace(small_config(data), mode="async")
    config = replace(config, online=OnlineConfig(env_steps=300))
    round_steps = 2 * config.rollout.fragment_steps
    behind: list[int] = []
    waiting: list[int] = []

    def look(driver: Any) -> None:
        if driver.progress.phase == "online" and driver._collecting is not None:
            behind.append(steps_behind(driver))
            waiting.append(len(driver._collecting._updates))

    _, _, driver = run(config, SlowRuntime(RESOURCES), tmp_path, look=look)
    assert (driver.progress.env_steps, driver.counts().updates) == (300, 300)
    assert round_steps < max(behind) <= round_steps + round_steps  # the buffer and one round
    assert max(waiting) <= CALLS_AHEAD


@pytest.mark.ray
def test_the_object_store_stays_small_while_the_learner_is_slow(
    ray_session: None, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from awac_dist.distributed.actors import ACTORS
    from awac_dist.distributed.ray_runtime import RayRuntime

    class SleepyLearner(Learner):
        """Takes 50 ms for an update."""

        def update(self, count: int, *others: Any) -> Any:
            time.sleep(0.05 * count)
            return super().update(count, *others)

    monkeypatch.setitem(ACTORS, Learner, ray.remote(SleepyLearner))
    config = small_config(data)
    config = replace(
        config,
        mode="async",
        clone=replace(config.clone, updates=0),
        offline=replace(config.offline, updates=0),
        online=OnlineConfig(env_steps=60),
        rollout=replace(config.rollout, fragment_steps=10),
    )
    used: list[int] = []
    behind: list[int] = []

    def look(driver: Any) -> None:
        if driver.progress.phase == "online" and driver._collecting is not None:
            used.append(object_store_bytes())
            behind.append(steps_behind(driver))

    _, _, driver = run(config, RayRuntime(), tmp_path, look=look)
    assert driver.progress.env_steps == 60
    assert len(used) > 20
    assert max(behind) <= 2 * 10 + 2 * 10  # the buffer and one round
    assert max(used) < 2_000_000


def steps_behind(driver: Any) -> int:
    """Steps that are inserted or under way, less the updates that are done."""
    steps: int = driver.counts().steps - driver.counts().updates + driver._collecting._under_way()
    return steps


def object_store_bytes() -> int:
    """What the objects of the node take."""
    import ray
    from ray._private.internal_api import node_stats

    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False)
    used: int = stats.store_stats.object_store_bytes_used
    return used


# SIGTERM.


@pytest.mark.parametrize("phase", ["load", "clone", "collect", "offline", "online"])
def test_a_polite_request_checkpoints_in_every_phase(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    phase: str,
) -> None:
    folder, tell = tmp_path / "run", Recorder.phase

    def interrupt(recorder: Recorder, name: str, *rest: Any) -> None:
        tell(recorder, name, *rest)
        if name == phase:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "phase", interrupt)
        assert begin() == 128 + signal.SIGTERM
    out, err = capfd.readouterr()
    assert ("Run stopped early: asked to stop" in out, err) == (True, "")
    found = sealed(str(folder / "checkpoints"))
    assert bool(found) == (phase != "load")
    if found:
        assert load_progress(found[-1])["phase"] == phase
    assert resume(folder) == 0
    check_finished(folder)


@pytest.mark.parametrize(
    ("number", "before", "heard"),
    [
        (signal.SIGHUP, signal.SIG_DFL, True),
        (signal.SIGHUP, signal.SIG_IGN, False),  # of nohup
        (signal.SIGINT, signal.SIG_IGN, True),
    ],
)
def test_who_is_asked_to_stop_by_what(number: Any, before: Any, heard: bool) -> None:
    kept = signal.signal(number, before)
    screen = SimpleNamespace(is_gone=False)
    try:
        with launch.StopRequest(screen) as stop:  # type: ignore[arg-type]
            signal.raise_signal(number)
            assert stop.asked() == heard
            if number == signal.SIGHUP:
                signal.raise_signal(number)  # shells send it twice
            else:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(number)
    finally:
        signal.signal(number, kept)


def test_a_screen_that_is_gone_asks_to_stop() -> None:
    with launch.StopRequest(SimpleNamespace(is_gone=True)) as stop:  # type: ignore[arg-type]
        assert stop.asked()
        assert stop.signal_number == signal.SIGPIPE


# What everything runs on is gone.


class Losing(InlineRuntime):
    """Is lost at its n-th wait."""

    def __init__(self, waits: int, *, again: bool) -> None:
        super().__init__(RESOURCES)
        self._waits, self._again = waits, again

    def wait(self, futures: Sequence[Future], timeout_s: float) -> list[Future]:
        self._waits -= 1
        if self._waits < 0:
            raise RuntimeLost("Ray's raylet died", again=self._again)
        return super().wait(futures, timeout_s)


@pytest.mark.parametrize("waits", [(3,), (20,), (40, 9), (40, 0, 0, 3)])
def test_a_run_goes_on_where_ray_is_started_again(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    waits: Sequence[int],
) -> None:
    runtimes = [*(Losing(count, again=True) for count in waits), InlineRuntime(RESOURCES)]
    monkeypatch.setattr(launch, "start_runtime", lambda **_: runtimes.pop(0))
    assert begin() == 0
    out, err = capfd.readouterr()
    assert err == ""
    told = out.count("Ray's raylet died: Ray is started again, and the run goes on")
    assert (told, runtimes) == (len(waits), [])
    check_finished(tmp_path / "run")


def test_minutes_are_those_of_the_whole_call(
    begin: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """They do not begin anew with Ray: it is lost after 0.6 of them, twice."""
    clock, ahead_s = time.monotonic, [0.0]

    class Late(Losing):
        def close(self) -> None:
            super().close()
            ahead_s[0] += 0.6 * 60

    runtimes = [Late(40, again=True), Late(9, again=True), InlineRuntime(RESOURCES)]
    monkeypatch.setattr(launch, "start_runtime", lambda **_: runtimes.pop(0))
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead_s[0])
    assert begin("--online.max_minutes", "1") == 0
    out, _ = capfd.readouterr()
    assert "Run stopped early: 1 minutes are over" in out
    assert not runtimes


def lost(count: int, *, again: bool) -> Iterator[Runtime]:
    yield Losing(count, again=again)
    raise InputError("Ray does not start")


LOST = {
    "joined": (lambda: repeat(Losing(40, again=False)), "Ray's raylet died"),
    "does not stay": (lambda: repeat(Losing(0, again=True)), "Ray's raylet died"),
    "does not come again": (lambda: lost(40, again=True), "Ray does not start"),
}


@pytest.mark.parametrize("way", LOST)
def test_a_run_that_cannot_go_on_names_the_command_that_does(
    begin: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    way: str,
) -> None:
    """On a cluster, which is not ours to start; where Ray does not stay, or come again."""
    runtimes, why = LOST[way][0](), LOST[way][1]
    with monkeypatch.context() as patch:
        patch.setattr(launch, "start_runtime", lambda **_: next(runtimes))
        assert begin() == 1
    out, err = capfd.readouterr()
    command = out.splitlines()[-1]
    assert err == f"awac_dist: {why}\n"
    assert command == f"python -m awac_dist.launch --resume {tmp_path}/run"
    assert main(command.split()[3:]) == 0
    check_finished(tmp_path / "run")


@pytest.fixture
def pre_empted(data: str, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A run on Ray that is in its online phase."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "awac_dist.launch", *SMALL, "--data", data]
    command += ["--run-dir", str(folder), "--online.env_steps", "1000000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        metrics = folder / "metrics.jsonl"
        while not (metrics.exists() and '"online"' in metrics.read_text()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        yield folder, process
        process.kill()


@pytest.mark.faults
@pytest.mark.ray
def test_a_run_that_is_pre_empted_ends_within_half_a_minute(
    pre_empted: tuple[Path, subprocess.Popen[str]],
) -> None:
    folder, process = pre_empted
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert (process.returncode, err) == (128 + signal.SIGTERM, "")
    assert "Run stopped early: asked to stop" in out
    check_whole(folder)
    newest = sealed(str(folder / "checkpoints"))[-1]
    progress = load_progress(newest)
    assert progress["phase"] == "online"
    logged = [e for _, _, e in episodes(find(str(folder))) if e.origin.kind == "online"]
    assert sum(map(len, logged)) >= progress["env_steps"]
