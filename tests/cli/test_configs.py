"""The presets in configs/: that they load, and that they are what their sources say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from awac_dist.algorithms import METHODS, config_class
from awac_dist.cli.options import parse, to_mapping
from awac_dist.cli.parser import walk
from awac_dist.cli.presets import FOLDER, find, presets
from awac_dist.config import RunConfig
from awac_dist.errors import InputError

PRESETS = ("paper-locomotion", "paper-hand", "release-locomotion", "release-hand")
ENV = {"paper-hand": "awac_dist/PenBinary-v0", "release-hand": "awac_dist/PenBinary-v0"}
PUSH = {  # the authors' script of 2020; what it shares with the others is in SHARED
    "env": "awac_dist/SawyerPush-v0",
    "clone.updates": 0,
    "clone.episodes": 0,
    "offline.updates": 25_000,
    "offline.batch_size": 128,
    "online.env_steps": 501_000,
    "online.updates_per_step": 4.0,
    "algorithm.temperature": 1e-3,
    "algorithm.actor.hidden": (256,) * 4,
    "algorithm.critic.hidden": (256,) * 2,
    "algorithm.actor.state_dependent_std": True,
    "replay.goals": {"rollout": 0.2, "future": 0.3, "environment": 0.5},
    "replay.normalize_observations": False,
}

# What the paper and the release have in common on all tasks.
SHARED: dict[str, Any] = {
    "online.updates_per_step": 1.0,
    "algorithm.effective_batch": None,
    "algorithm.weights": "softmax",
    "algorithm.num_value_samples": 1,
    "algorithm.critic.members": 2,
    "algorithm.critic.layer_norm": False,
    "algorithm.actor.state_dependent_std": False,
    "algorithm.actor.log_std_min": -6.0,
    "algorithm.actor.log_std_max": 0.0,
    "algorithm.actor.learning_rate": 3e-4,
    "algorithm.critic.learning_rate": 3e-4,
    "algorithm.actor.weight_decay": 1e-4,
    "algorithm.critic.target_update_rate": 5e-3,
    "replay.capacity": 1_000_000,
    "replay.mixture": None,
    "replay.normalize_observations": False,
    "learner.batch_size": 1024,
    "learner.discount": 0.99,
    "clone.batch_size": 256,
    "clone.learning_rate": 1e-3,
}
COLUMNS = {  #                     paper-loc.  paper-hand  release-loc.  release-hand
    "clone.updates": (5_000, 10_000, 5_000, 10_000),
    "clone.episodes": (100, 500, 100, 500),
    "clone.initialize_actor": (True, True, False, False),
    "offline.updates": (25_000, 25_000, 50_000, 25_000),
    "offline.batch_size": (1024, 1024, 128, 128),
    "online.env_steps": (500_000, 500_000, 501_000, 501_000),
    "algorithm.temperature": (1.0, 0.3, 2.0, 0.5),
    "algorithm.value": ("sample", "sample", "sample", "mean"),
    "algorithm.advantage_clip": (None, None, None, 0.5),
    "algorithm.max_q": (None, 0.0, None, 0.0),
    "algorithm.actor.hidden": ((256,) * 4, (256,) * 4, (256,) * 4, (256,) * 2),
    "algorithm.critic.hidden": ((256,) * 4, (256,) * 4, (256,) * 2, (256,) * 2),
}


def load(preset: str) -> RunConfig:
    return parse(["--config", preset]).config


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        values |= inner
    return values


def settings(config: RunConfig) -> dict[str, Any]:
    return {field.path: field.default for field in walk(config)}


def test_a_preset_is_found_by_its_name_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iql").mkdir()  # of runs, say
    assert find("iql") == str(FOLDER / "algorithms" / "iql.yaml")
    assert len(presets()) == len([*FOLDER.rglob("*.yaml")])  # names are their own
    (tmp_path / "awac").write_text("seed: 7")
    assert load("awac").seed == 7
    for typed in ("iqll", "IQL"):
        with pytest.raises(InputError, match=rf"cannot read {typed}: No .*; did you mean iql\?"):
            load(typed)


def test_every_file_is_a_preset() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == {*PRESETS, "release-push"}


def test_the_pushing_preset_holds_its_source_s_settings() -> None:
    shared = {path: value for path, value in SHARED.items() if not path.startswith("clone.")}
    assert settings(load("release-push")) == settings(RunConfig()) | shared | PUSH


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_holds_its_source_s_settings_and_else_the_defaults(preset: str) -> None:
    column = {path: values[PRESETS.index(preset)] for path, values in COLUMNS.items()}
    env = {"env": ENV.get(preset, RunConfig().env.id)}
    assert settings(load(preset)) == settings(RunConfig()) | SHARED | column | env


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_states_all_of_them_whatever_the_defaults_become(preset: str) -> None:
    stated = set(flat(yaml.safe_load((FOLDER / f"{preset}.yaml").read_text())))
    task = {"env", "data"} if preset.endswith("locomotion") else {"env"}
    assert stated == SHARED.keys() | COLUMNS.keys() | task | {"algorithm.name"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_written_out_reads_back_equal(preset: str, tmp_path: Path) -> None:
    config = load(preset)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(to_mapping(config)))
    assert parse(["--config", str(file)]).config == config


@pytest.mark.parametrize("preset", [*PRESETS, "release-push"])
def test_a_preset_says_how_it_is_run(preset: str) -> None:
    text = (FOLDER / f"{preset}.yaml").read_text()
    assert f"python -m awac_dist.launch --config {preset}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_every_method_has_a_preset_of_its_own() -> None:
    files = {file.stem: file for file in (FOLDER / "algorithms").glob("*.yaml")}
    assert files.keys() == METHODS.keys()
    for name, file in files.items():
        assert type(load(name).algorithm) is config_class(name)
        text = file.read_text()
        assert f"awac-dist launch --config {name}" in text
        assert max(map(len, text.splitlines())) <= 100
