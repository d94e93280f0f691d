"""One's own task: module:Id from the working folder, arguments of it, and what errors advise."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
import yaml
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.spaces import Box, Discrete
from running import ENV, SMALL, write_demonstrations

import awac_dist
from awac_dist.cli.main import main
from awac_dist.cli.options import to_mapping
from awac_dist.config import RunConfig
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import make_env, space_spec
from awac_dist.envs.trial import trial
from awac_dist.errors import InputError

PAGE = Path(awac_dist.__file__).parents[1] / "docs" / "add-a-task.md"
OWN = "One's own is named with the module that registers it: --env my_module:"


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holds the page's example, and is not where Python looks."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "my_robot.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", ".")])
    yield
    sys.modules.pop("my_robot", None)
    gymnasium.registry.pop("Reach-v0", None)


def test_the_pages_example_works_from_the_working_folder(working_folder: None) -> None:
    found = trial(EnvConfig("my_robot:Reach-v0", {"reach": 9.0}), None)
    assert (found.spec.env_id, found.spec.action_size) == ("my_robot:Reach-v0", 2)
    assert dict(found.spec.kwargs) == {"reach": 9.0}
    assert found.observations.shape == (4, 4)
    assert (found.rewards < 0).all()


def test_an_unknown_argument_is_told(working_folder: None) -> None:
    with pytest.raises(InputError, match=r"tried: TypeError: .*unexpected keyword argument 'rech'"):
        trial(EnvConfig("my_robot:Reach-v0", {"rech": 9.0}), None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("MyReach-v0", rf"'MyReach-v0': {OWN}MyReach-v0$"),
        ("HalfCheeta-v5", rf"did you mean HalfCheetah-v5 or .*\? {OWN}HalfCheeta-v5$"),
        ("DoorBinary-v0", r"did you mean awac_dist/DoorBinary-v0\? "),
        ("HalfCheetah-v9", "'HalfCheetah-v9': Environment version `v9` .* doesn't exist"),
        ("nowhere:Mine-v0", "No module named 'nowhere'.* looked for in the working folder, too$"),
        ("own/Mine", "no environment .own/Mine.: it is a program.s own: give its class, by code$"),
        ("json:Mine-v0", "no environment json:Mine-v0: Importing json does not register it$"),
        *(
            (f"{module}:Mine-v0", f"'{module}' is no module's name: write it as Python imports it")
            for module in ("json.py", "./json", "json:Mine-v0")
        ),
    ],
)
def test_an_unknown_task_is_told_how_to_name_it(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_env(name)


def test_discrete_actions_are_not_told_to_flatten_observations() -> None:
    with pytest.raises(InputError, match=r"actions must be flat.*a wrapper of yours that takes"):
        space_spec("Mine-v0", Box(-1, 1, (3,)), Discrete(4))


def test_a_run_keeps_the_arguments_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, init = list[float](), PendulumEnv.__init__
    monkeypatch.setattr(
        PendulumEnv, "__init__", lambda it, *a, **k: made.append(k.get("g")) or init(it, *a, **k)
    )
    data, folder = write_demonstrations(tmp_path / "data.parquet"), str(tmp_path / "run")
    made.clear()
    words = [*SMALL, "--data", data, "--runtime", "inline", "--run-dir", folder]
    words += ["--offline.updates", "5", "--online.env_steps", "30", "--env.kwargs", '{"g": 5.0}']
    assert main(["launch", *words]) == 0
    config = yaml.safe_load(Path(folder, "config.yaml").read_text())
    assert config["env"] == {"id": ENV, "kwargs": {"g": 5.0}}
    assert main(["launch", "--resume", folder, "--dry-run"]) == 0
    assert main(["evaluate", folder, "--episodes", "1"]) == 0
    assert main(["evaluate", folder, "--episodes", "1", "--env", ENV]) == 0
    assert set(made) == {5.0}
    made.clear()
    assert main(["evaluate", folder, "--episodes", "1", "--env.kwargs", '{"g": 2.0}']) == 0
    assert set(made) == {2.0}


@pytest.mark.parametrize("words", [["launch", "--config"], ["launch", "--resume"], ["evaluate"]])
def test_arguments_in_a_file_name_no_module(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {"id": ENV, "kwargs": {"parts": [{"inner": "evil_module:Evil-v0"}], "url": "http://a:1"}}
    config = to_mapping(RunConfig()) | {"env": task}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    place = tmp_path / "config.yaml" if "--config" in words else tmp_path
    (tmp_path / "policy.npz").touch()
    assert main([*words, str(place)]) == 2
    told = capsys.readouterr().err
    assert "kwargs name 'evil_module:Evil-v0', and what a file names is not imported: " in told
    assert 'if you trust it, type --env.kwargs \'{"parts"' in told


def test_one_robot_is_never_held_twice_and_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = set[int](), list[int]()
    init, close = PendulumEnv.__init__, PendulumEnv.close

    def take(env: PendulumEnv, *arguments: object, **options: object) -> None:
        init(env, *arguments, **options)
        held.add(id(env))
        most.append(len(held))

    data, folder = write_demonstrations(tmp_path / "data.parquet"), str(tmp_path / "run")
    monkeypatch.setattr(PendulumEnv, "__init__", take)
    monkeypatch.setattr(PendulumEnv, "close", lambda it: held.discard(id(it)) or close(it))
    monkeypatch.setattr(gymnasium.registry[ENV], "nondeterministic", True)
    words = [*SMALL, "--data", data, "--runtime", "inline", "--run-dir", folder]
    words += ["--workers", "1", "--clone.episodes", "0", "--evaluation.episodes", "0"]
    assert main(["launch", *words, "--offline.updates", "5", "--online.env_steps", "30"]) == 0
    assert most == [1]  # the worker's: the trial's was gone with a process of its own
    assert not held
