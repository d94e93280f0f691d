"""Between RLlib's episodes and the replay, without processes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rllib_recordings import ENDS, LENGTHS, WRITERS, recorded, three

from awac_dist.config import RunConfig
from awac_dist.data.parquet import write_episodes
from awac_dist.errors import InputError
from awac_dist.learner.config import LearnerConfig
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.layout import Wishes
from awac_dist.rllib import AWACConfig
from awac_dist.rllib.replay import Replay
from awac_dist.types import Array, EnvSpec, Episode, Origin

SPEC = EnvSpec("tests", 3, 2, (-9.0, -9.0), (9.0, 9.0), None)


def make_replay(*sources: str, capacity: int = 1_000) -> Replay:
    learner, replay = LearnerConfig(discount=0.9), ReplayConfig(capacity)
    return Replay(SPEC, RunConfig(data=sources, learner=learner, replay=replay), seed=0)


def transitions(replay: Replay) -> Array:
    """Each transition once, in order of its step."""
    return np.unique(replay.sample(0, 40, 10), axis=0)


def by_hand() -> Array:
    """observation, action, reward, discount, next observation of `three`, step by step."""
    rows = []
    for number, (length, (terminated, _)) in enumerate(zip(LENGTHS, ENDS, strict=True)):
        for step in range(length):
            now = 10 * number + step
            discount = 0.0 if terminated and step == length - 1 else 0.9
            rows.append(
                [now, -now, 0.5, now / 10, now / 100, now + 0.25, discount, now + 1, -now - 1, 0.5]
            )
    return np.array(rows, np.float32)


def test_episodes_become_transitions() -> None:
    replay = make_replay()
    assert replay.add(three()) == 9
    assert np.array_equal(transitions(replay), by_hand())
    assert replay.add([recorded(0, 0, (False, False))]) == 0


def test_batches_hold_what_the_method_needs() -> None:
    replay = make_replay()
    replay.wishes = Wishes(frozenset({"returns"}))
    replay.add(three())
    rows = transitions(replay)
    assert np.array_equal(rows[:, :-2], by_hand())
    last = np.cumsum(LENGTHS) - 1
    assert rows[last, -2] == pytest.approx(rows[last, 5])
    assert rows[0, -2] == pytest.approx(sum(0.9**k * rows[k, 5] for k in range(LENGTHS[0])))


def test_a_fragment_leaves_out_what_was_looked_back_at() -> None:
    begun = recorded(3, 0, (False, False))
    rest = begun.cut(len_lookback_buffer=2)
    rest.add_env_step(np.float32([4, -4, 0.5]), np.float32([0.3, 0.03]), 3.25, terminated=True)
    replay = make_replay()
    replay.add([begun.to_numpy(), rest.to_numpy()])
    rows = transitions(replay)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]
    assert rows[:, 6] == pytest.approx([0.9, 0.9, 0.9, 0.0])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "observations",
            "tests: after 7 steps of an episode, column 1 of the observation is NaN",
        ),
        ("rewards", "tests: after 8 steps of an episode, the reward is NaN: mend the environment"),
    ],
)
def test_a_number_of_the_task_that_is_not_finite_is_named(where: str, message: str) -> None:
    episode = recorded(5, 0, (False, False))
    episode.t_started = 4
    wrong = np.float32([0, np.nan, 0]) if where == "observations" else np.nan
    getattr(episode, where)[3] = wrong
    replay = make_replay()
    with pytest.raises(InputError, match=message):
        replay.add([recorded(4, 9, (False, False)), episode.to_numpy()])


def test_an_episode_that_is_longer_than_the_capacity_is_named() -> None:
    replay = make_replay(capacity=5)
    assert replay.add([recorded(4, 0, (False, True))]) == 4
    with pytest.raises(InputError, match="replay_capacity: 5 is not above the 5 steps"):
        replay.add([recorded(5, 0, (False, True))])


@pytest.mark.parametrize("write", WRITERS)
def test_rllibs_own_parquet_is_prior_data(tmp_path: Path, write: Callable[[Path], str]) -> None:
    assert np.array_equal(transitions(make_replay(write(tmp_path))), by_hand())


def test_a_state_holds_what_is_in_play_and_no_more(tmp_path: Path) -> None:
    prior = WRITERS[0](tmp_path)
    replay = make_replay(prior, capacity=9)  # the last two online fragments, with a row more each
    replay.add(three())
    assert replay.sampler.sizes() == {prior: 9, "online": 6}
    state = replay.state()
    assert state["lengths"].tolist() == LENGTHS[1:]
    again = make_replay(prior, capacity=9)
    again.add([recorded(3, 50, (False, False))])  # which a restore forgets
    again.restore(state)
    assert np.array_equal(again.sample(3, 2, 16), replay.sample(3, 2, 16))
    for one in (again, replay):
        one.add([recorded(2, 70, (True, False))])
    assert np.array_equal(again.sample(3, 2, 16), replay.sample(3, 2, 16))


def test_a_state_of_other_prior_data_is_refused(tmp_path: Path) -> None:
    state = make_replay(WRITERS[0](tmp_path)).state()
    with pytest.raises(InputError, match="put it back as it was"):
        make_replay().restore(state)


def test_prior_data_of_the_same_size_and_other_content_is_refused(tmp_path: Path) -> None:
    prior = str(tmp_path / "a.parquet")
    states = []
    for value in (0, 1):
        columns = np.zeros((3, 3), np.float32), np.zeros((2, 2), np.float32)
        rewards = np.full(2, value, np.float32)
        write_episodes(prior, [Episode(*columns, rewards, False, True, Origin("prior"))], SPEC)
        states.append(make_replay(prior).state())
    make_replay(prior).restore(states[1])
    with pytest.raises(InputError, match="is not what it was when the checkpoint was written"):
        make_replay(prior).restore(states[0])


def test_relative_prior_data_is_found_where_tune_runs_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[0](tmp_path)
    (tmp_path / "trial").mkdir()
    monkeypatch.chdir(tmp_path.parent)
    config = AWACConfig().environment("tests").prior_data([tmp_path.name])
    again = AWACConfig().update_from_dict(config.to_dict())
    monkeypatch.chdir(tmp_path / "trial")
    replay = Replay(SPEC, again.as_run(), 0, again.prior_folder)
    assert replay.sampler.sizes() == {tmp_path.name: 9}
