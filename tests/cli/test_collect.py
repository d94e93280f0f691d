"""Collecting with any policy: what the command writes, and what it refuses."""

import re
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import BURNS, FAILS
from running import ENV, run, small_config, write_demonstrations

from awac_dist.cli import collect
from awac_dist.cli.commands import Collect
from awac_dist.cli.parser import read
from awac_dist.data.sources import episodes, find
from awac_dist.errors import ComponentDied, InputError, RunFailed
from awac_dist.policies.noise import OrnsteinUhlenbeck, UniformNoise
from awac_dist.policies.npz import read_policy
from awac_dist.policies.plain import PlainPolicy
from awac_dist.policies.policy import UnitPolicy
from awac_dist.reporting import run_place
from awac_dist.rollout import collector
from awac_dist.rollout.worker import RolloutWorker
from awac_dist.runs.runtime import InlineRuntime, Resources
from awac_dist.types import EnvSpec, Episode


def collected(out: Path, *words: str, task: str = ENV) -> tuple[list[Episode], str]:
    """Run the command in this process; returns what it wrote and what it said."""
    stream = StringIO()
    with redirect_stdout(stream):
        words = ("--env", task, "--out", str(out), "--inline", *words)
        collect.run(read(Collect, words, "collect"))
    return [episode for _, _, episode in episodes(find(str(out)))], stream.getvalue()


def policy_arrays(seed: int = 0, observations: int = 3, actions: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "weight_0": rng.normal(size=(5, observations)).astype(np.float32),
        "bias_0": rng.normal(size=5).astype(np.float32),
        "weight_1": rng.normal(size=(actions, 5)).astype(np.float32),
        "bias_1": rng.normal(size=actions).astype(np.float32),
        "activation": np.array("relu"),
        "squash": np.array("tanh"),
        "observation_shift": np.full(observations, 0.5, np.float32),
        "observation_scale": np.full(observations, 2.0, np.float32),
        "observation_clip": np.array(0.2, np.float32),
        "log_std": np.full(actions, -1.0, np.float32),
    }


def test_whole_episodes_of_the_kind_that_was_asked_for(tmp_path: Path) -> None:
    words = ["--policy", "random", "--episodes", "5", "--workers", "2", "--kind", "demonstration"]
    found, said = collected(tmp_path / "out", *words)
    assert [len(episode) for episode in found] == [200] * 5
    assert all(episode.truncated and not episode.terminated for episode in found)
    assert {episode.origin.kind for episode in found} == {"demonstration"}
    assert said.startswith("5 episodes, 1,000 steps, returns from ")


def test_episodes_that_the_task_spoilt_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collector, "MAX_FAULTS", 100)
    words = ("--policy", "random", "--episodes", "5", "--workers", "1")
    found, _ = collected(tmp_path / "out", *words, task=FAILS.format("Raises"))
    told = re.fullmatch(rf"(\d+) episodes dropped: {BURNS}\n", capfd.readouterr().out)
    assert told
    episodes = [episode.origin.episode for episode in found]
    assert int(told[1]) == max(episodes) + 1 - len(episodes)


def test_episodes_go_to_a_uri(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/out"
    words = ["--policy", "random", "--episodes", "1", "--out", uri]
    found, said = collected(tmp_path / "out", *words)
    assert (len(found), said.endswith(f": {uri}\n")) == (1, True)


def test_the_same_seed_collects_the_same_and_another_one_does_not(tmp_path: Path) -> None:
    words = ["--policy", "ornstein-uhlenbeck", "--episodes", "2", "--workers", "2"]
    first, again, other = (
        collected(tmp_path / str(number), *words, "--seed", seed)[0]
        for number, seed in enumerate("001")
    )
    for a, b, c in zip(first, again, other, strict=True):
        assert np.array_equal(a.actions, b.actions)
        assert np.array_equal(a.observations, b.observations)
        assert not np.array_equal(a.actions, c.actions)


def test_random_actions_fill_the_bounds_of_the_task(tmp_path: Path) -> None:
    (episode,), _ = collected(tmp_path / "out", "--policy", "random", "--episodes", "1")
    assert np.abs(episode.actions).max() <= 2  # Pendulum's bounds
    assert np.abs(episode.actions).mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("theta", "sigma"), [(0.15, 0.3), (0.4, 0.8)])
def test_ornstein_uhlenbeck_noise_is_correlated_as_its_theta_says(
    theta: float, sigma: float
) -> None:
    options = {} if sigma == 0.3 else {"theta": theta, "sigma": sigma}  # the paper's by default
    process = OrnsteinUhlenbeck(np.random.default_rng(0), 1, **options)
    noise = np.array([of_step[0] for of_step in islice(process, 20_000)])
    assert np.corrcoef(noise[:-1], noise[1:])[0, 1] == pytest.approx(1 - theta, abs=0.02)
    assert noise.std() == pytest.approx(sigma / np.sqrt(1 - (1 - theta) ** 2), rel=0.05)


def test_uniform_noise_is_uniform() -> None:
    process = UniformNoise(np.random.default_rng(0), 2)
    noise = np.array(list(islice(process, 5_000)))
    assert noise.std() == pytest.approx(1 / np.sqrt(3), rel=0.03)


def test_a_blind_policy_acts_in_units_of_half_the_range() -> None:
    policy = UnitPolicy(EnvSpec("x", 1, 2, (0.0, -2.0), (4.0, 2.0), 10))
    noise = np.array([[0.5, -3.0]], np.float32)
    assert policy.sample(np.zeros((1, 1), np.float32), noise).tolist() == [[3.0, -2.0]]


def test_a_policy_file_acts_as_its_arrays_say(tmp_path: Path) -> None:
    arrays = policy_arrays()
    np.savez(tmp_path / "policy.npz", **arrays)
    policy = read_policy(str(tmp_path / "policy.npz"))
    observation, noise = np.array([0.6, -3.0, 1.1], np.float32), np.array([0.7], np.float32)
    inputs = np.array([0.05, -0.2, 0.2])  # shifted, scaled, clipped by hand: 0.05, -1.75, 0.3
    hidden = np.maximum(arrays["weight_0"] @ inputs + arrays["bias_0"], 0)
    mean = arrays["weight_1"] @ hidden + arrays["bias_1"]
    expected = np.tanh(mean + np.exp(-1.0) * noise)
    np.testing.assert_allclose(policy.sample(observation[None], noise[None])[0], expected, 1e-5)


def test_the_head_of_a_policy_file_sets_the_spread_by_the_state() -> None:
    arrays = policy_arrays()
    del arrays["log_std"]
    head = {"log_std_weight": np.zeros((1, 5)), "log_std_bias": np.array([-2.0])}
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    observations = np.zeros((1, 3), np.float32)
    silent = PlainPolicy(arrays, "p")
    assert np.array_equal(silent.sample(observations, one), silent.sample(observations, zero))
    spread = PlainPolicy(arrays | head, "p")
    pre = [np.arctanh(spread.sample(observations, noise)) for noise in (zero, one)]
    assert (pre[1] - pre[0]).item() == pytest.approx(np.exp(-2.0), rel=1e-3)


def test_a_clone_and_a_checkpoint_can_be_rolled_out(tmp_path: Path) -> None:
    data = write_demonstrations(tmp_path / "demonstrations.parquet")
    words = ["--clone", data, "--clone-updates", "3", "--episodes", "1"]
    (clone,), _ = collected(tmp_path / "clone", *words)
    assert clone.origin.policy_version == 3
    run(small_config(data), InlineRuntime(Resources((2.0,), gpus=0)), tmp_path / "run")
    words = ["--policy", str(tmp_path / "run"), "--episodes", "1", "--deterministic"]
    (episode,), _ = collected(tmp_path / "checkpoint", *words)
    assert episode.origin.policy_version == 173


def test_a_worker_that_dies_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise ComponentDied("killed")

    monkeypatch.setattr(RolloutWorker, "collect_episodes", die)
    with pytest.raises(RunFailed, match="a rollout worker died: killed"):
        collected(tmp_path / "out", "--policy", "random", "--episodes", "1")


@pytest.mark.parametrize("step", ["recording", "_record"])
@pytest.mark.parametrize("at", ["folder", "uri", "bucket"])
def test_of_two_who_collect_into_one_folder_at_once_the_second_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    at: str,
    step: str,
) -> None:
    """It comes when the first has just begun, or has its workers and nothing on disk yet."""
    folder = str(tmp_path / "out")
    if at == "bucket":
        folder = f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    words = ["--policy", "random", "--episodes", "2"]
    words += ["--out", folder if at != "uri" else f"file://{folder}"]
    first, second = (
        read(Collect, ("--env", ENV, "--inline", *words, "--seed", seed), "collect")
        for seed in "01"
    )
    take, told = getattr(collect, step), list[str]()

    def both(*arguments: Any) -> Any:
        monkeypatch.setattr(collect, step, take)
        with pytest.raises(InputError) as refused:
            collect.run(second)
        told.append(str(refused.value))
        return take(*arguments)

    monkeypatch.setattr(collect, step, both)
    with redirect_stdout(StringIO()):
        collect.run(first)
    (line,) = told
    just_now = "another process fills it just now" if at != "bucket" else "is not empty; choose"
    assert just_now in line
    assert folder in line
    assert "\n" not in line
    assert len([*episodes(find(folder))]) == 2


def test_who_waited_at_the_door_does_not_add_to_what_another_has_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one looked while the folder was empty, and goes on once the first is done."""
    out, make = tmp_path / "out", run_place.create_folder
    words = ["--policy", "random", "--episodes", "1"]

    def late(path: str, option: str) -> None:
        make(path, option)
        monkeypatch.setattr(run_place, "create_folder", make)
        collected(out, *words)

    monkeypatch.setattr(run_place, "create_folder", late)
    with pytest.raises(InputError, match="is not empty; choose another one with --out"):
        collected(out, *words)
    assert len([*episodes(find(str(out)))]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy", "nowhere.npz"], "nowhere.npz: there is no such file"),
        (["--policy", "{text}"], "cannot be read as a policy file"),
        (["--policy", "{partial}"], "'activation' is missing"),
        (["--policy", "{wide}"], "reads 4 observations and gives 1 actions"),
        (["--policy", "nowhere"], "neither a policy"),
        (["--policy", "random", "--episodes", "0"], "--episodes: 0 is not 1 or more"),
        (["--policy", "random", "--env", "Pendulam-v1"], "Pendulum-v1"),
        (["--clone", "nowhere"], "no dataset 'nowhere'"),
        (["--policy", "random", "--out", "{here}"], "not empty; choose another one with --out"),
        (["--policy", "random", "--out", "s4://a/b"], "s4://a/b cannot be reached: Unrecognized"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "text.npz").write_text("words")
    partial, wide = policy_arrays(), policy_arrays(observations=4)
    del partial["activation"]
    np.savez(tmp_path / "partial.npz", **partial)
    np.savez(tmp_path / "wide.npz", **wide)
    places = {f"{{{name}}}": str(tmp_path / f"{name}.npz") for name in ("text", "partial", "wide")}
    places["{here}"] = str(tmp_path)
    given = [places.get(word, word) for word in words]
    with pytest.raises(InputError, match=message) as caught:
        collected(tmp_path / "out", "--episodes", "1", *given)
    assert "\n" not in str(caught.value)
