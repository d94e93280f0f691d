"""Prior data recipes: what they write follows from the seed, and is what the recipe says."""

import errno
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from environments import VARIES
from running import ENV

from awac_dist.cli import recipe as command
from awac_dist.cli import report
from awac_dist.cli.collect import fit_clone
from awac_dist.cli.commands import Make
from awac_dist.cli.main import main as awac_dist
from awac_dist.cli.paper_table import paper_row
from awac_dist.cli.recipe import configured
from awac_dist.cli.recipes import RECIPES, Recipe, described, process
from awac_dist.cli.survey import survey
from awac_dist.data import sources
from awac_dist.data.parquet import read_episodes, write_episodes
from awac_dist.envs.adroit_rewards import HAND_TASKS
from awac_dist.envs.make import env_spec
from awac_dist.nn.config import ActorConfig
from awac_dist.policies.noise import WhiteNoise
from awac_dist.types import EnvSpec, Episode, Origin


def main(words: Sequence[str]) -> int:
    return awac_dist(["data", *words])


DOOR = Path(__file__).parents[3] / "shared" / "data" / "door-v0_demos.pickle"
SMALL = Recipe(
    env=VARIES,
    demonstrations=3,
    updates=20,
    episodes=7,
    noises=(WhiteNoise, None),
    actor=ActorConfig(hidden=(8,)),
    paper="a test",
)


@pytest.fixture(autouse=True)
def _small_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recipes that take no time, on three streams."""
    monkeypatch.setattr(command, "STREAMS", 3)
    monkeypatch.setitem(RECIPES, "small", SMALL)
    pushed = Recipe(env=VARIES, episodes=5, noises=(process(0.3),), paper="a test")
    monkeypatch.setitem(RECIPES, "pushed", pushed)


def make_policy(path: Path, env_id: str = VARIES) -> str:
    """A policy file that looks at the observation and is noisy; returns its path."""
    spec, rng = env_spec(env_id), np.random.default_rng(0)
    np.savez(
        path,
        weight_0=0.1 * rng.normal(size=(spec.action_size, spec.observation_size)),
        bias_0=np.zeros(spec.action_size),
        activation="relu",
        squash="none",
        observation_shift=np.zeros(spec.observation_size),
        observation_scale=np.ones(spec.observation_size),
        observation_clip=10.0,
        log_std=np.full(spec.action_size, -1.0),
    )
    return str(path)


def make(out: Path, words: str, *, inline: bool = True) -> dict[str, bytes]:
    """Run the command; returns the files that it left."""
    assert main(["recipe", *shlex.split(words), "--out", str(out), *["--inline"] * inline]) == 0
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small recipe, made with seed 0."""
    make(tmp_path / "made", f"small --policy {make_policy(tmp_path / 'policy.npz')}")
    return tmp_path / "made"


def read(path: Path) -> list[Episode]:
    return [episode for _, episode in read_episodes(str(path))]


def test_a_recipe_leaves_its_files_and_an_account_of_them(small: Path, tmp_path: Path) -> None:
    names = {"demonstrations.parquet", "clone.parquet", "recipe.json"}
    assert {path.name for path in small.iterdir()} == names
    assert not list(tmp_path.glob("*.part"))
    account = json.loads((small / "recipe.json").read_text())
    digest = hashlib.sha256((tmp_path / "policy.npz").read_bytes()).hexdigest()
    assert account["demonstrations"]["sha256"] == {"policy.npz": digest}
    assert account["noises"] == ["WhiteNoise", "none"]
    assert (account["seed"], account["clone"]["updates"]) == (0, 20)
    for name, kind, count in (("demonstrations", "demonstration", 3), ("clone", "prior", 7)):
        episodes, figures = read(small / f"{name}.parquet"), account["files"][f"{name}.parquet"]
        assert {episode.origin.kind for episode in episodes} == {kind}
        assert len(episodes) == figures["episodes"] == count
        lengths = [len(episode) for episode in episodes]  # T steps earn 1 + ... + T
        assert figures["steps"] == sum(lengths)
        assert figures["return"]["mean"] == np.mean([t * (t + 1) / 2 for t in lengths])
        solved = np.mean([t >= 4 for t in lengths])  # from the fourth step on
        assert figures["success"] == {"final step": solved, "any step": solved}


def test_a_policy_at_a_uri_is_accounted_for(tmp_path: Path) -> None:
    policy = make_policy(tmp_path / "policy.npz")
    account = json.loads(make(tmp_path / "made", f"small --policy file://{policy}")["recipe.json"])
    digest = hashlib.sha256(Path(policy).read_bytes()).hexdigest()
    assert account["demonstrations"] == {
        "policy": f"file://{policy}",
        "sha256": {"policy.npz": digest},
    }


def test_equal_seeds_give_equal_bytes(small: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.npz"
    first = {path.name: path.read_bytes() for path in small.iterdir()}
    assert make(tmp_path / "again", f"small --policy {policy}") == first
    other = make(tmp_path / "other", f"small --policy {policy} --seed 1")
    assert all(other[name] != content for name, content in first.items())


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_and_one_process_write_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(RECIPES, "small", replace(SMALL, env=ENV))  # workers know it, too
    words = f"small --policy {make_policy(tmp_path / 'policy.npz', ENV)}"
    posted = make(tmp_path / "ray", words, inline=False)
    assert posted == make(tmp_path / "inline", words)


def test_no_two_episodes_share_a_start(small: Path) -> None:
    episodes = [*read(small / "demonstrations.parquet"), *read(small / "clone.parquet")]
    assert len({episode.origin.seed for episode in episodes}) == 10
    assert len({episode.origin.stream for episode in episodes}) == 10


def test_episodes_stand_in_the_order_of_their_numbers(small: Path) -> None:
    places = [(e.origin.episode, e.origin.worker) for e in read(small / "clone.parquet")]
    assert places == [(0, 3), (0, 4), (0, 5), (1, 3), (1, 4), (1, 5), (2, 3)]


def test_streams_take_turns_to_act_by_the_mean(small: Path) -> None:
    policy = fit_clone(
        str(small / "demonstrations.parquet"),
        env_spec(VARIES),
        SMALL.actor,
        SMALL.clone,
        seed=0,
        stream=StringIO(),
    )
    for episode in read(small / "clone.parquet"):
        mean = policy.mean(episode.observations[:-1])
        by_the_mean = np.allclose(episode.actions, mean, atol=1e-6)
        assert by_the_mean == (episode.origin.worker == 4)  # the second of 3, 4, 5


def test_only_demonstrations_that_reach_the_return_are_kept(tmp_path: Path) -> None:
    policy = make_policy(tmp_path / "policy.npz")
    make(tmp_path / "made", f"small --policy {policy} --min-return 21")  # 6 steps, every fifth
    kept = read(tmp_path / "made" / "demonstrations.parquet")
    assert [episode.total_reward for episode in kept] == [21, 21, 21]
    make(tmp_path / "all", f"small --policy {policy}")
    unfiltered = read(tmp_path / "all" / "demonstrations.parquet")
    early = [e.origin for e in unfiltered if e.total_reward >= 21]
    assert [e.origin for e in kept][: len(early)] == early  # the first that are good enough
    assert max(e.origin.episode for e in kept) > 0


def test_a_policy_that_cannot_reach_it_is_tried_for_a_while(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy, out = make_policy(tmp_path / "policy.npz"), tmp_path / "made"
    words = f"small --policy {policy} --min-return 21.5 --out {out} --inline"
    assert main(["recipe", *shlex.split(words)]) == 2
    error = capfd.readouterr().err
    assert f"{policy}: 0 of 30 episodes have a return of 21.5 or more, but 3 are wanted" in error
    assert "returns came from 3.00 to 21.0" in error
    assert not out.exists()
    assert not list(tmp_path.glob("*.part"))


def test_demonstrations_that_nobody_can_learn_from_are_named(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By their own file, not by the one that is made of them, which nobody will find."""
    found, path = read(small / "demonstrations.parquet"), str(tmp_path / "theirs.parquet")
    spoilt = found[1].observations.copy()
    spoilt[2, 0] = np.nan
    found[1] = replace(found[1], observations=spoilt)
    write_episodes(path, found, env_spec(VARIES))
    words = f"small --demonstrations {path} --out {tmp_path}/out --inline"
    assert main(["recipe", *shlex.split(words)]) == 2
    error = capfd.readouterr().err
    assert f"{path}: episode 1, row 2: observations is NaN: drop that episode" in error


def test_nothing_is_written_over(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = f"small --policy {small.parent / 'policy.npz'} --out {small}"
    assert main(["recipe", *shlex.split(words)]) == 2
    assert "exists already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("/proc/a/b", "--out /proc/a/b: cannot be written: "),
        ("s3://a/b", "--out: s3://a/b is no folder of this machine"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_line(
    small: Path, capfd: pytest.CaptureFixture[str], out: str, words: str
) -> None:
    given = f"small --policy {small.parent / 'policy.npz'} --out {out}"
    assert main(["recipe", *shlex.split(given)]) == 2
    assert f"awac_dist: {words}" in capfd.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "write_episodes", no_room)
    given = f"small --policy {small.parent / 'policy.npz'} --inline --out {tmp_path / 'more'}"
    assert main(["recipe", *shlex.split(given)]) == 2
    told = f"--out {tmp_path / 'more'}: cannot be written: No space left on device: make room"
    assert capfd.readouterr().err == f"awac_dist: {told}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"made", "policy.npz"}


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no room")


def door_episode(hinges: Sequence[float]) -> Episode:
    """What somebody recorded in the door task, with rewards and actions of another kind."""
    observations = np.zeros((len(hinges), 39), np.float32)
    observations[:, 28] = hinges
    steps = len(hinges) - 1
    actions = np.full((steps, 28), 1.5, np.float32)
    rewards = np.full(steps, 7, np.float32)
    return Episode(
        observations, actions, rewards, False, True, Origin("prior", episode=len(hinges))
    )


def test_recorded_demonstrations_are_relabelled_clipped_and_kept_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hand = replace(RECIPES["door"], demonstrations=2, episodes=1, actor=SMALL.actor)
    monkeypatch.setitem(RECIPES, "door", hand)
    closed, opened = door_episode([0.0] * 251), door_episode([0.0, 1.5, 1.39, 1.41])
    path = tmp_path / "recorded.parquet"
    more_than_wanted = door_episode([0.0] * 300)
    write_episodes(str(path), [opened, closed, more_than_wanted], env_spec(hand.env))
    make(tmp_path / "made", f"door --demonstrations {path} --clone-updates 1")
    found = read(tmp_path / "made" / "demonstrations.parquet")
    assert [e.rewards.tolist() for e in found] == [[0, -1, 0], [-1] * 250]
    assert [e.origin.kind for e in found] == ["demonstration"] * 2
    assert {float(e.actions.max()) for e in found} == {1.0}
    (trajectory,) = read(tmp_path / "made" / "clone.parquet")
    assert trajectory.rewards.tolist() == [-1] * 200


@pytest.mark.skipif(not DOOR.exists(), reason="the human demonstrations lie outside the project")
def test_six_of_the_human_demonstrations_open_the_door(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hand = replace(RECIPES["door"], episodes=1, actor=SMALL.actor)
    monkeypatch.setitem(RECIPES, "door", hand)
    make(tmp_path / "made", f"door --demonstrations {DOOR} --clone-updates 1")
    account = json.loads((tmp_path / "made" / "recipe.json").read_text())
    figures = account["files"]["demonstrations.parquet"]
    assert (figures["episodes"], figures["steps"]) == (25, 6729 - 25)
    assert figures["success"]["any step"] == 6 / 25
    lengths = [len(e) for e in read(tmp_path / "made" / "demonstrations.parquet")]
    assert (min(lengths), max(lengths)) == (222, 299)


def test_random_trajectories_follow_the_process(tmp_path: Path) -> None:
    make(tmp_path / "narrow", "pushed")
    make(tmp_path / "wide", "pushed --sigma 0.6")
    account = json.loads((tmp_path / "wide" / "recipe.json").read_text())
    assert account["noises"] == ["OrnsteinUhlenbeck(sigma=0.6)"]
    for narrow, wide in zip(
        read(tmp_path / "narrow" / "random.parquet"),
        read(tmp_path / "wide" / "random.parquet"),
        strict=True,
    ):
        inside = np.abs(wide.actions[:, 0]) < 0.5  # the bounds are -0.5 to 0.5 and -1 to 2
        assert np.allclose(2 * narrow.actions[inside, 0], wide.actions[inside, 0])
        assert inside.any()
        assert narrow.origin.kind == "prior"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("smal --policy x.npz", "NAME: 'smal' is not one of pen, door"),
        ("small", "small clones demonstrations: give --policy or --demonstrations"),
        ("small --policy nowhere.npz", "nowhere.npz: there is no such file"),
        ("small --demonstrations nowhere", "no dataset 'nowhere'"),
        ("small --policy a --demonstrations b", "--demonstrations: not allowed with --policy"),
        ("small --policy a --sigma 0.5", "--sigma has no effect on small"),
        ("small --policy a --clone-updates 0", "--clone-updates: 0 is not 1 or more"),
        ("pushed --policy a", "--policy has no effect on pushed"),
        ("pushed --min-return 3", "--min-return has no effect on pushed"),
        ("pushed --sigma -1", "--sigma: -1.0 is not above 0"),
        ("pushed --seed -1", "--seed: -1 is not from 0 to 2"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    out = tmp_path / "made"
    assert main(["recipe", *shlex.split(words), "--out", str(out)]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_run_takes_the_whole_folder(small: Path, tmp_path: Path) -> None:
    words = shlex.split(
        f"--env {VARIES} --runtime inline --workers 1 --clone.updates 0 --offline.updates 3 "
        f"--learner.batch_size 8 --online.env_steps 5 --evaluation.episodes 1 --data {small} "
        "--learner.threads 1"
    )
    assert awac_dist(["launch", *words, "--dry-run"]) == 0
    assert awac_dist(["launch", *words, "--run-dir", str(tmp_path / "run")]) == 0
    found = [
        (Path(file.path).stem, e.origin.kind)
        for file, _, e in sources.episodes(sources.find(str(small)))
    ]
    assert found == [("clone", "prior")] * 7 + [("demonstrations", "demonstration")] * 3


def test_every_recipe_fits_its_task() -> None:
    for name in ("pen", "door", "relocate", "halfcheetah", "walker2d", "ant", "push"):
        recipe = RECIPES[name]
        assert recipe.env in gymnasium.registry
        assert recipe.relabel is None or recipe.relabel in HAND_TASKS
        assert recipe.clone.updates == recipe.updates
        assert name == "push" or paper_row(recipe.env)


def test_what_the_user_changes_of_a_recipe() -> None:
    asked = Make(name="ant", demonstrations="x", out="y")
    assert configured(RECIPES["ant"], asked) == RECIPES["ant"]
    changed = configured(RECIPES["ant"], replace(asked, min_return=0.0, clone_updates=7))
    assert (changed.min_return, changed.updates) == (0.0, 7)
    assert [described(noise) for noise in RECIPES["push"].noises] == [
        "OrnsteinUhlenbeck(sigma=0.3)"
    ]


# inspect


@pytest.mark.parametrize(
    ("env_id", "expert"),
    [
        ("HalfCheetah-v5", 9962),
        ("Walker2d-v2", 5062),
        ("Ant-v5", 5207),
        ("awac_dist/AntPaper-v0", 5207),
        ("awac_dist/DoorBinary-v0", 1),
        ("awac_dist/DoorBinaryReleased-v0", None),
        ("AdroitHandDoor-v1", None),
        ("Hopper-v5", None),
        ("MyHalfCheetah-v5", None),
    ],
)
def test_the_paper_has_figures_for_its_own_tasks(env_id: str, expert: float | None) -> None:
    row = paper_row(env_id)
    assert (row and row.expert) == expert


def test_inspect_shows_each_kind_beside_the_paper(tmp_path: Path) -> None:
    spec = EnvSpec("awac_dist/DoorBinary-v0", 1, 1, (-1.0,), (1.0,), 200)
    kinds = [("demonstration", [0, 1, 1]), ("demonstration", [0, 1, 0]), ("prior", [0, 0, 0])]
    episodes = [
        Episode(
            np.zeros((4, 1), np.float32),
            np.zeros((3, 1), np.float32),
            np.float32(solved) - 1,
            terminated=False,
            truncated=True,
            origin=Origin(kind, episode=number),
            successes=np.float32(solved),
        )
        for number, (kind, solved) in enumerate(kinds)
    ]
    write_episodes(str(tmp_path / "a.parquet"), episodes, spec)
    found = dict(report.facts(survey(sources.find(str(tmp_path / "a.parquet")))))
    shares = "50 % in their last step, 100 % in any step"
    assert found["demonstrations"] == f"2 episodes, mean return -1.50; success: {shares}"
    assert found["prior data"].startswith("1 episode, mean return -3.00; success: 0 % in their")
    assert found["paper, Table 3"].startswith(
        "expert 1, BC on expert 0.1, BC on expert and BC data 0 (share of successes; quoted from"
    )
