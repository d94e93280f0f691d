"""Success counted by hand, episodes tied to their numbers, and the command that plays them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import ray
import yaml
from environments import BURNS, FAILS, TERMINATES, VARIES, Failing
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.spaces import Box
from running import Witness

from awac_dist.cli.main import main as awac_dist
from awac_dist.envs.make import env_spec
from awac_dist.errors import RunFailed
from awac_dist.evaluation import evaluator as evaluator_module
from awac_dist.evaluation.evaluator import Evaluator, stream_of
from awac_dist.evaluation.result import Evaluation, Share, evaluation_of, sustained_steps
from awac_dist.learner.checkpoint import save_checkpoint
from awac_dist.messages import Finished, Weights
from awac_dist.policies import make_policy
from awac_dist.policies.noise import UniformNoise
from awac_dist.policies.policy import UnitPolicy
from awac_dist.policies.spec import PolicySpec
from awac_dist.rollout import collector as collector_module
from awac_dist.rollout.collector import MAX_FAULTS, Collector
from awac_dist.runs.evaluating import EvaluatorSupervisor
from awac_dist.runs.event_loop import EventLoop
from awac_dist.runs.weights import WeightStore
from awac_dist.types import Array


def main(words: Sequence[str]) -> int:
    return awac_dist(["evaluate", *words])


PENDULUM = PolicySpec("gaussian", (3, 8, 1), (-2.0,), (2.0,), state_dependent_std=True)


class Reports(gymnasium.Env[np.ndarray, np.ndarray]):
    """Reports 1, 0 or nothing (a dot) at each step of a pattern."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._step = 0
        return np.zeros(1, np.float32), {"success": True}  # a reset is no step

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        word = self._pattern[self._step]
        self._step += 1
        ended = self._step == len(self._pattern)
        info = {} if word == "." else {"success": np.array([word == "1"])}
        return np.zeros(1, np.float32), -1.0, False, ended, info


def register(pattern: str) -> str:
    env_id = f"tests/Reports{pattern.replace('.', 'x')}-v0"
    if env_id not in gymnasium.registry:
        options = {"pattern": pattern}
        gymnasium.register(env_id, Reports, max_episode_steps=100, kwargs=options)
    return env_id


def play(env_id: str, first: int, count: int, seed: int = 3, width: int = 10) -> list[Finished]:
    spec, faults = env_spec(env_id), list[str]()
    collector = Collector(spec, width, stream_of(seed), noise=UniformNoise)
    played = list(evaluator_module.play(collector, UnitPolicy(spec), first, count, faults))
    assert faults == []
    return played


def make_vector(spec: PolicySpec = PENDULUM) -> Array:
    return np.random.default_rng(0).normal(0, 0.5, spec.size).astype(np.float32)


# --- success


@pytest.mark.parametrize(
    ("pattern", "steps", "last"),
    [("0110", 2, False), ("0011", 2, True), ("0000", 0, False), ("1", 1, True)],
)
def test_success_is_counted_step_by_step(pattern: str, steps: int, last: bool) -> None:
    (found,) = play(register(pattern), 0, 1)
    assert found == Finished(-float(len(pattern)), len(pattern), steps, last)


@pytest.mark.parametrize(
    ("pattern", "steps", "last"), [("....", None, False), ("1..1", 2, True), (".11.", 2, False)]
)
def test_what_is_not_reported_is_not_counted(pattern: str, steps: int | None, last: bool) -> None:
    (found,) = play(register(pattern), 0, 1)
    assert found[2:] == (steps, last)


PLAYED = [
    Finished(-1.0, 40, 27, True),
    Finished(-2.0, 40, 26, False),  # just sustained
    Finished(-3.0, 40, 25, True),  # just not
    Finished(-4.0, 40, 1, False),
    Finished(-5.0, 40, 0, False),
]


def test_three_definitions_by_hand() -> None:
    found = evaluation_of("online", 7, "awac_dist/DoorBinary-v0", PLAYED)
    assert found.successes == {
        "success_final": Share(2, 5),
        "success_any": Share(4, 5),
        "success_sustained": Share(2, 5),
    }
    metrics = found.metrics("awac_dist/DoorBinary-v0")
    assert metrics == pytest.approx(
        {
            "eval/return": -3.0,
            "eval/return_half_width": 2.776445 * np.sqrt(2.5 / 5),  # Student's t of 4
            "eval/length": 40.0,
            "eval/episodes": 5,
            "eval/success_final": 0.4,
            "eval/success_any": 0.8,
            "eval/success_sustained": 0.4,
        }
    )


def test_an_episode_that_says_nothing_is_none_where_others_do() -> None:
    silent = Finished(0.0, 40, None, False)
    assert evaluation_of("a", 0, VARIES, [PLAYED[0], silent]).success_steps == (27, 0)
    assert evaluation_of("a", 0, VARIES, [silent, silent]).successes == {}


@pytest.mark.parametrize(
    ("env_id", "steps"),
    [
        ("awac_dist/PenBinary-v0", 21),
        ("awac_dist/DoorBinary-v0", 26),
        ("awac_dist/DoorBinaryReleased-v0", 26),
        ("awac_dist/RelocateBinary-v0", 26),
        ("awac_dist/HammerBinary-v0", 26),
        ("AdroitHandPen-v1", 21),
        ("gymnasium_robotics:AdroitHandDoorSparse-v1", 26),
        ("awac_dist/SawyerPush-v0", 10),
        ("FetchPush-v4", 10),
        ("MyDoorBinary-v0", 10),
    ],
)
def test_steps_of_a_sustained_success(env_id: str, steps: int) -> None:
    assert sustained_steps(env_id) == steps


def test_wilson_interval_by_hand() -> None:
    # none of 20: from 0 to z^2 / (20 + z^2) with z = 1.96, z^2 = 3.8415
    assert Share(0, 20).interval == pytest.approx((0.0, 0.16113), abs=1e-5)
    assert Share(20, 20).interval == pytest.approx((0.83887, 1.0), abs=1e-5)
    # 8 of 10: (0.8 + 0.192073 -+ 1.96 sqrt(0.016 + 0.0096036)) / 1.384146
    assert Share(8, 10).interval == pytest.approx((0.49016, 0.94332), abs=1e-5)


# --- episodes


def test_an_episode_is_decided_by_its_number() -> None:
    together = play("Pendulum-v1", 0, 13)
    assert play("Pendulum-v1", 2, 10, width=1) == together[2:12]
    assert len({episode.episode_return for episode in together}) == 13
    assert play("Pendulum-v1", 2, 1, seed=4) != [together[2]]


def test_episodes_that_end_in_another_order_come_in_their_own() -> None:
    alone = [play(VARIES, number, 1)[0] for number in range(12)]
    assert len({episode.length for episode in alone}) > 2
    assert play(VARIES, 0, 12) == alone


def test_an_episode_that_fails_is_dropped_told_and_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collector_module, "MAX_FAULTS", 1000)
    spec, faults = env_spec(FAILS.format("Raises")), list[str]()
    collector = Collector(spec, 2, stream_of(3), noise=None)
    played = list(evaluator_module.play(collector, UnitPolicy(spec), 0, 6, faults))
    assert played == [(15.0, 5, 2, True)] * 6
    (told,) = set(faults)
    assert re.fullmatch(BURNS, told)
    found = evaluation_of("a", 0, VARIES, played, faults)
    assert found.metrics(VARIES)["eval/dropped_episodes"] == len(faults)


@pytest.mark.parametrize("state_dependent", [True, False])
def test_no_noise_is_the_mean_to_the_bit(state_dependent: bool) -> None:
    spec = PolicySpec("gaussian", (4, 8, 2), (-0.5, -1.0), (0.5, 2.0), state_dependent)
    policy = make_policy(spec, make_vector(spec), 0)
    observations = np.random.default_rng(1).normal(0, 3, (200, 4)).astype(np.float32)
    sampled = policy.sample(observations, np.zeros((200, 2), np.float32))
    np.testing.assert_array_equal(sampled, policy.mean(observations))


class Published:
    def __init__(self, spec: PolicySpec = PENDULUM) -> None:
        self._spec = spec

    def pull(self, newer_than: int) -> Weights | None:
        return Weights(0, 5, self._spec, make_vector(self._spec))


def evaluate_as_a_run(episodes: int, seed: int) -> Evaluation:
    evaluator = Evaluator(env_spec("Pendulum-v1"), Published(), seed=seed)
    evaluator.load()
    while (found := evaluator.run("online", episodes)) is None:
        """There are episodes left."""
    return found


def test_a_long_evaluation_comes_in_pieces_and_is_the_same() -> None:
    evaluator = Evaluator(env_spec("Pendulum-v1"), Published(), seed=3)
    evaluator.load()
    assert evaluator.run("online", 12) is None
    evaluator.load()  # begins anew
    assert evaluator.run("online", 12) is None
    found = evaluator.run("online", 12)
    assert found is not None
    collector = Collector(env_spec("Pendulum-v1"), 10, stream_of(3), noise=None)
    policy = make_policy(PENDULUM, make_vector(), 5)
    at_once = evaluator_module.play(collector, policy, 0, 12, [])
    assert found.returns == tuple(episode.episode_return for episode in at_once)


class Never(Failing):
    def __init__(self) -> None:
        super().__init__("Raises", share=1.0)


def always_fails() -> str:
    env_id = "tests/NeverEnds-v0"
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, Never, max_episode_steps=100)
    return env_id


def test_an_evaluator_whose_environment_always_fails_says_so_in_one_line() -> None:
    spec = PolicySpec("gaussian", (4, 8, 2), (-0.5, -1.0), (0.5, 2.0))
    env = env_spec(always_fails())
    evaluator = Evaluator(env, Published(spec), seed=0, num_envs=2)
    evaluator.load()
    line = f"{env.env_id} failed in {MAX_FAULTS} episodes in a row; the last: ValueError: the motor"
    with pytest.raises(RunFailed, match=line):
        evaluator.run("online", 2)


def test_an_evaluator_whose_environment_hangs_ends_its_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "in hanging_step" in done.stderr
    assert done.stdout == "loaded\n"


HANGING = """
import time
import numpy as np
from awac_dist.envs.make import env_spec
from awac_dist.evaluation.evaluator import Evaluator
from awac_dist.messages import Weights
from awac_dist.policies.spec import PolicySpec
from gymnasium.envs.classic_control import PendulumEnv

def hanging_step(env, action):
    time.sleep(100)

policy = PolicySpec("gaussian", (3, 8, 1), (-2.0,), (2.0,))

class Published:
    def pull(self, newer_than):
        return Weights(0, 0, policy, np.zeros(policy.size, np.float32))

Evaluator.owns_process = True
evaluator = Evaluator(env_spec("Pendulum-v1"), Published(), seed=0, step_timeout_s=0.5)
evaluator.load()
print("loaded", flush=True)
PendulumEnv.step = hanging_step
evaluator.run("online", 2)
"""


# --- the command


def make_run(folder: Path, env_id: str = "Pendulum-v1") -> str:
    """Write what the command reads of a run: its config and a checkpoint."""
    (folder / "config.yaml").write_text(yaml.safe_dump({"env": env_id, "seed": 9}))
    acting = PENDULUM, PENDULUM.unflatten(make_vector())
    return save_checkpoint(str(folder / "checkpoints"), 5, {}, {}, acting, keep=3)


@pytest.mark.parametrize("given", ["run", "checkpoint"])
def test_a_run_is_evaluated_as_it_was(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = make_run(tmp_path)
    policy = checkpoint if given == "checkpoint" else f"{tmp_path}/"
    out = tmp_path / "found.json"
    assert main([policy, "--episodes", "12", "--json", str(out)]) == 0
    wanted, found = evaluate_as_a_run(12, seed=9), json.loads(out.read_text())
    assert tuple(found["returns"]) == wanted.returns
    assert found["metrics"] == wanted.metrics("Pendulum-v1")
    assert (found["env"], found["seed"], found["policy_version"]) == ("Pendulum-v1", 9, 5)
    assert (found["actions"], found["success_steps"]) == ("mean", [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("(5 updates) on Pendulum-v1: 12 episodes of the mean action, seed 9")
    assert [line.split("  ")[0] for line in lines[3:]] == ["return", "length"]
    assert main([policy, "--episodes", "2", "--stochastic", "--json", str(out)]) == 0
    sampled = json.loads(out.read_text())
    assert sampled["actions"] == "sampled"
    assert not set(sampled["returns"]) & set(found["returns"])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("", "."),
        ("", "./checkpoints/000000005"),
        ("", "checkpoints/000000005/"),
        ("", "checkpoints/000000005/policy.npz"),
        ("checkpoints", "000000005"),
        ("checkpoints/000000005", "."),
        ("..", "checkpoints/checkpoints/000000005"),
        ("..", "checkpoints"),  # a run of that name
    ],
)
def test_a_policy_knows_its_run_from_wherever_it_is_named(
    place: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "checkpoints").mkdir()
    make_run(folder)
    env = {"id": "Pendulum-v1", "kwargs": {"g": 1.0}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"env": env, "seed": 9}))
    monkeypatch.chdir(folder / place)
    out = tmp_path / "found.json"
    assert main([name, "--episodes", "1", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert main([str(folder), "--episodes", "1", "--json", str(out)]) == 0
    assert found == json.loads(out.read_text()) | {"policy": name}
    assert found["seed"] == 9


def test_success_is_told_by_each_definition(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["random", "--env", TERMINATES, "--episodes", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "random on tests/CountingTerminates-v0: 4 episodes of sampled actions, seed 0",
        "",
        "                            mean  95 % interval",
        "success, last step         100 %    51 to 100 %",
        "success, any step          100 %    51 to 100 %",
        "success, 10 steps or more    0 %      0 to 49 %",
        "return                      15.0   15.0 to 15.0",
        "length                      5.00",
    ]


def test_figures_are_written_to_a_uri(tmp_path: Path) -> None:
    words = ["random", "--env", VARIES, "--episodes", "1", "--json"]
    assert main([*words, f"file://{tmp_path}/new/found.json"]) == 0
    assert json.loads((tmp_path / "new/found.json").read_text())["policy"] == "random"


def test_one_episode_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    words = ["random", "--env", register("...."), "--episodes", "1", "--json", str(out)]
    assert main(words) == 0
    assert "unknown" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["metrics"]["eval/return_half_width"] is None
    assert found["intervals"] == {}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["random"], "random does not say which task it is for: give --env ID"),
        (["nowhere", "--env", VARIES], "nowhere: is neither a policy"),
        (["nowhere"], "that has one: there is no such path"),
        (["nowhere.npz"], "nowhere.npz: there is no such file"),
        (["random", "--env", "tests/CountingVarie-v0"], "did you mean tests/CountingVaries-v0"),
        (["random", "--env", VARIES, "--episodes", "0"], "--episodes: 0 is not 1 or more"),
        (["random", "--env", VARIES, "--seed", "-1"], "--seed: -1 is not from 0 to 2"),
        (["random", "--env", VARIES, "--video-episodes", "2"], "no effect without --video"),
        (["random", "--env", VARIES, "--json", "no/such/x.json"], "there is no folder no/such"),
        (["s4://a/b", "--env", VARIES], "Unrecognized filesystem type in URI: s4://a/b"),
        (["random", "--env", VARIES, "--vido", "x.gif"], "did you mean --video?"),
        ([], "the following arguments are required: POLICY"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert said.err.count("\n") == 1


def test_an_environment_that_always_fails_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["random", "--env", always_fails(), "--episodes", "2"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(f"fails when it is tried: {BURNS}\n$", said.err)
    assert said.err.count("\n") == 1


def test_a_task_that_ends_the_process_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PendulumEnv, "step", lambda *_: os._exit(3))
    assert main(["random", "--env", "Pendulum-v1", "--episodes", "2"]) == 2
    assert capsys.readouterr().err.endswith("when it is tried: its process died: exit code 3\n")


def test_dropped_episodes_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collector_module, "MAX_FAULTS", 1000)
    assert main(["random", "--env", FAILS.format("Raises"), "--episodes", "3"]) == 0
    assert re.search(f"the last: {BURNS}\n$", capsys.readouterr().out)


def test_a_policy_of_another_task_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path)
    assert main([str(tmp_path), "--env", VARIES]) == 2
    assert "reads 3 observations and gives 1 actions" in capsys.readouterr().err


@pytest.mark.ray
def test_a_hanging_evaluator_is_replaced_and_the_evaluation_done_again(ray_session: None) -> None:
    from awac_dist.distributed.ray_runtime import RayRuntime

    runtime = RayRuntime()
    store = runtime.start(WeightStore)
    store.post("publish", 5, PENDULUM, make_vector()).result()
    reader, spec = runtime.weights_reader(store), env_spec("Pendulum-v1")
    handles: list[Any] = []

    def start() -> Any:
        options = {"seed": 9, "num_envs": 2, "step_timeout_s": 1.0}
        handles.append(runtime.start(Evaluator, spec, reader, **options))
        return handles[-1]

    def hang(evaluator: Any) -> None:
        from awac_dist.rollout.slot import Slot

        Slot.step = lambda *arguments: time.sleep(1000)  # type: ignore[method-assign]

    witness = Witness()
    loop = EventLoop(runtime, witness, None, lambda: False)
    supervisor = EvaluatorSupervisor(start, witness.died, loop, lambda: None)
    supervisor.start()
    ray.get(handles[0].actor.__ray_call__.remote(hang))
    found = supervisor.result("online", 2)
    runtime.close()
    assert [component for component, _ in witness.deaths] == ["evaluator"]
    assert found.returns == evaluate_as_a_run(2, seed=9).returns
