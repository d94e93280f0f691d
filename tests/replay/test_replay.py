"""The replay on counting data: every observation is the number of its step in all the data."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import logging_fragments
import numpy as np
import pytest
from counting import GAMMA, LAYOUT, SPEC, Counter, check_counting, rows_of
from logging_fragments import insert
from scipy.stats import chisquare

from awac_dist.data import experience, journal, parquet
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.parquet import write_episodes
from awac_dist.data.shares import Part, Share
from awac_dist.data.sources import EXPERIENCE, Source, open_source
from awac_dist.messages import Placement
from awac_dist.replay.books import Books
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.replay.memory import ONLINE_ROWS
from awac_dist.replay.normalization import added, statistics
from awac_dist.replay.sampler import OFFLINE, ONLINE, Draw, Sampler
from awac_dist.replay.shard import ReplayShard
from awac_dist.runs.loading import PriorData
from awac_dist.runs.runtime import InlineHandle
from awac_dist.types import Array, EnvSpec, Episode, Origin


def make_shard(
    index: int = 0,
    of: int = 1,
    *,
    sources: Sequence[Source] = (),
    spec: EnvSpec = SPEC,
    **options: bool,
) -> ReplayShard:
    return ReplayShard(
        index,
        of,
        spec,
        discount=GAMMA,
        config=ReplayConfig(**options),
        log=None,
        sources=sources,
    )


# The shard.


@pytest.mark.parametrize("source", [ONLINE, "prior"])
def test_an_inserted_fragment_lies_where_the_placement_says(source: str) -> None:
    counter, shard = Counter(), make_shard(index=2, of=4)
    for steps in (4, 2):
        placement = insert(shard, counter.episode(steps), source)
        assert (placement.source, placement.shard, placement.length) == (source, 2, steps)
        check_counting(shard.take(rows_of(placement.row, steps)))


def test_a_shard_answers_in_the_order_of_the_question() -> None:
    counter, shard = Counter(), make_shard()
    prior = insert(shard, counter.episode(4), "prior")  # numbers 0-4
    online = insert(shard, counter.episode(4), ONLINE)  # numbers 5-9
    rows = np.array([online.row + 3, prior.row + 1, online.row, prior.row + 3])
    block = shard.take(rows)
    check_counting(block)
    assert block[:, 0].tolist() == [8, 1, 5, 3]


def test_inserting_a_fragment_again_changes_nothing() -> None:
    counter, shard = Counter(), make_shard()
    fragment, other = counter.episode(4), counter.episode(4)
    first = insert(shard, fragment, ONLINE)
    second = insert(shard, other, ONLINE)
    assert insert(shard, fragment, ONLINE) == first
    assert len(shard.since(None).placements) == 2
    assert insert(shard, counter.episode(4), ONLINE).row == second.row + 5


@pytest.mark.parametrize("name", ["worker", "incarnation", "episode", "start"])
def test_fragments_differ_by_worker_incarnation_episode_and_start(name: str) -> None:
    counter, shard = Counter(), make_shard()
    same = {"worker": 0, "incarnation": 0, "episode": 0, "start": 0}
    first = insert(shard, counter.episode(4, **same), ONLINE)
    assert insert(shard, counter.episode(4, **{**same, name: 1}), ONLINE) != first


@pytest.mark.parametrize("column", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("source", [ONLINE, "prior"])
def test_a_sampled_nan_names_shard_and_row(column: str, source: str) -> None:
    counter, shard = Counter(), make_shard(index=3, of=4)
    insert(shard, counter.episode(4), source)
    fragment = counter.episode(4)
    getattr(fragment, column)[2] = np.nan
    row = insert(shard, fragment, source).row + 2
    named = row - ONLINE_ROWS if source == ONLINE else row
    with pytest.raises(LookupError, match=f"replay shard 3: row {named} .*NaN"):
        shard.take(np.array([row]))


def test_a_nan_after_a_true_end_is_an_error_too() -> None:
    shard, fragment = make_shard(), Counter().episode(4, terminated=True)
    fragment.observations[4] = np.nan
    placement = insert(shard, fragment, ONLINE)
    check_counting(shard.take(rows_of(placement.row, 3)))
    with pytest.raises(LookupError, match="replay shard 0: row 3"):
        shard.take(rows_of(placement.row, 4))


def test_what_is_released_is_gone_and_prior_data_never() -> None:
    counter, shard = Counter(), make_shard()
    prior = [insert(shard, counter.episode(9), "prior") for _ in range(3)]
    online = [insert(shard, counter.episode(9), ONLINE) for _ in range(20)]
    assert shard.since(None, online[-1].row).held_from == online[-1].row
    for placement in [*prior, online[-1]]:
        check_counting(shard.take(rows_of(placement.row, 9)))
    with pytest.raises(LookupError, match="held"):
        shard.take(np.array([online[0].row]))


# The sampler.


def filled_shards(
    lengths: Sequence[Sequence[int]],
) -> tuple[list[ReplayShard], list[Placement], list[int]]:
    """Fill shards with episodes of these lengths: shards, placements, numbers of all steps."""
    counter, placements, numbers = Counter(), [], []
    shards = [make_shard(index, len(lengths)) for index in range(len(lengths))]
    for shard, mine in zip(shards, lengths, strict=True):
        for steps in mine:
            fragment = counter.episode(steps)
            numbers += fragment.observations[:-1, 0].astype(int).tolist()
            placements.append(insert(shard, fragment, ONLINE))
    return shards, placements, numbers


def fetch(shards: Sequence[ReplayShard], draw: Draw) -> Array:
    """Answer a draw as the learner does: each shard its rows, in the order of the draw."""
    block = np.full((len(draw.rows), LAYOUT.width), np.nan, np.float32)
    for index, shard in enumerate(shards):
        mine = draw.shards == index
        if mine.any():
            block[mine] = shard.take(draw.rows[mine])
    return block


def test_every_transition_of_unequal_shards_is_as_likely() -> None:
    shards, placements, numbers = filled_shards([[1, 9, 30], [2], [5, 5]])
    sampler = Sampler(seed=0, online_capacity=1000)
    sampler.add(placements)
    blocks = [fetch(shards, sampler.draw(number, 256)) for number in range(100)]
    drawn = np.concatenate(blocks)
    check_counting(drawn)
    counts = np.bincount(drawn[:, 0].astype(int), minlength=max(numbers) + 1)
    assert counts.sum() == counts[numbers].sum()  # nothing but transitions
    assert chisquare(counts[numbers]).pvalue > 0.01


def test_fragments_may_be_registered_a_few_at_a_time() -> None:
    _, placements, _ = filled_shards([[3, 2] * 60])
    whole, by_fragment = (Sampler(seed=0, online_capacity=1000) for _ in range(2))
    whole.add(placements)
    for placement in placements:
        by_fragment.add([placement])
    for ours, theirs in zip(whole.draw(5, 64), by_fragment.draw(5, 64), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_draws_depend_on_seed_number_and_order_only() -> None:
    _, placements, _ = filled_shards([[3, 2, 6, 4]])

    def rows(seed: int, number: int, order: Sequence[Placement], earlier: int = 0) -> list[int]:
        sampler = Sampler(seed, online_capacity=1000)
        sampler.add(order)
        for before in range(earlier):
            sampler.draw(before, 32)
        return sampler.draw(number, 32).rows.tolist()

    assert rows(0, 7, placements) == rows(0, 7, placements, earlier=7)
    assert rows(0, 7, placements) != rows(1, 7, placements)
    assert rows(0, 7, placements) != rows(0, 8, placements)
    assert rows(0, 7, placements) != rows(0, 7, placements[::-1])


@pytest.mark.parametrize("mixture", [{}, {"offline": 0.3, "online": 0.7}, {"b": 0.5, "a": 0.5}])
@pytest.mark.parametrize("goals", [{}, {"rollout": 0.2, "future": 0.3, "environment": 0.5}])
def test_batches_drawn_at_once_are_those_drawn_one_by_one(
    mixture: dict[str, float], goals: dict[str, float]
) -> None:
    sampler = Sampler(seed=3, online_capacity=60)
    for number, length in enumerate((3, 9, 1, 20, 4, 30, 7, 25)):
        source = ("a", ONLINE, "b")[number % 3]
        goal = (float(number), -float(number)) if goals else ()
        sampler.add([Placement(source, number % 2, 100 * number, length, goal)])
    sampler.set_mixture(mixture)
    sampler.set_goals(goals)
    one_by_one = [sampler.draw(number, 50) for number in range(4, 10)]
    for drawn, columns in zip(sampler.draw(4, 50, 6), zip(*one_by_one, strict=True), strict=True):
        np.testing.assert_array_equal(drawn, np.concatenate(columns))


def write_counting_file(path: Path, lengths: Sequence[int]) -> None:
    counter = Counter()
    episodes = [counter.episode(steps, terminated=steps % 2 == 0) for steps in lengths]
    write_episodes(str(path), episodes, SPEC)


def drawn_from_files(arguments: Sequence[str], num_shards: int) -> Array:
    """Return 20 batches of what the files hold, over a number of shards."""
    sources = [open_source(argument, SPEC) for argument in arguments]
    shards = [make_shard(index, num_shards, sources=sources) for index in range(num_shards)]
    sampler = Sampler(seed=4, online_capacity=1000, sources=dict.fromkeys(arguments, 1.0))
    for shard in shards[::-1]:  # in any order
        sampler.add(shard.since(None).placements)
    return np.concatenate([fetch(shards, sampler.draw(n, 50)) for n in range(20)])


def test_batches_are_the_same_for_any_number_of_shards(tmp_path: Path) -> None:
    write_counting_file(tmp_path / "a.parquet", [3, 1, 4, 1, 5, 9, 2, 6])
    write_counting_file(tmp_path / "b.parquet", [5, 3, 5, 8])
    arguments = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    expected = drawn_from_files(arguments, 1)
    check_counting(expected)
    for num_shards in (2, 3):
        np.testing.assert_array_equal(drawn_from_files(arguments, num_shards), expected)


def cut_log(folder: Path) -> Path:
    """The log of two sessions, a flushed one and a killed one, some of whose files came twice."""
    for session in (0, 1):
        log = ExperienceLog(str(folder / EXPERIENCE), 0, logging_fragments.SPEC, session)
        for fragment, name in logging_fragments.first(150, seed=session):
            log.insert(fragment, name)
        if not session:
            log.flush()
    for number, file in enumerate(sorted(folder.glob(f"{EXPERIENCE}/*.parquet"))):
        if number % 3 == 0:
            shutil.copy(file, f"{file.with_suffix('')}-copy.parquet")
    return folder


def test_what_follows_in_the_episode_of_a_log_is_the_same_for_any_number_of_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experience, "STEPS_PER_FILE", 25)
    spec, needs = logging_fragments.SPEC, ("returns", "next_actions", "initial_observations")
    source, wishes = open_source(str(cut_log(tmp_path)), spec), Wishes(frozenset(needs), n_steps=5)
    assert {file.format for file in source.files} == {parquet.FORMAT.name, journal.FORMAT.name}
    blocks = []
    for count in (1, 2, 3, 5):
        shards = [make_shard(index, count, sources=[source], spec=spec) for index in range(count)]
        held = [shard.since(None).placements for shard in shards]
        sizes = [sum(place.length for place in its) for its in held]
        assert max(sizes) < 2 * sum(sizes) / count
        lengths = [shard.load().transitions.total() for shard in shards]
        assert lengths == sizes
        places = sorted((place for its in held for place in its), key=lambda its: its.key)
        rows = [(place.shard, rows_of(place.row, place.length)) for place in places]
        blocks.append(np.concatenate([shards[n].take(its, None, wishes) for n, its in rows]))
    for block in blocks[1:]:
        np.testing.assert_array_equal(block, blocks[0])


def test_an_episode_s_parts_go_together_and_whole_episodes_in_turn() -> None:
    shares = [Share(index, 2) for index in range(2)]

    def home(episode: int, start: int = 0, *, ended: bool = False, worker: int = 0) -> int:
        part = Part((worker, 0, episode), start, ended)
        [index] = [index for index, share in enumerate(shares) if share.takes(part)]
        return index

    assert [home(n, ended=True) for n in range(4)] == [0, 1, 0, 1]
    for fragments in (2, 3, 4):  # as many of each episode: a file of an object store has one
        mine = [
            home(n, 9 * k, ended=k == fragments - 1) for n in range(4) for k in range(fragments)
        ]
        assert mine == [0] * fragments + [1] * fragments + [0] * fragments + [1] * fragments
    assert [home(0, worker=-1) for _ in range(4)] == [0, 1, 0, 1]  # of files of one row each
    assert [home(n, worker=-1) for n in (5, 6)] == [0, 1]
    assert [home(n, 9, worker=-1) for n in (6, 5)] == [1, 0]


def sampler_of(sizes: dict[str, int], mixture: dict[str, float]) -> Sampler:
    """Build a sampler of one fragment a source; rows from 1000 on, 2000 on ... tell the source."""
    sampler = Sampler(seed=0, online_capacity=10_000)
    sampler.add(
        Placement(source, 0, 1000 * (number + 1), size)
        for number, (source, size) in enumerate(sizes.items())
    )
    sampler.set_mixture(mixture)
    return sampler


def counts_by_source(sampler: Sampler, batch_number: int, batch_size: int) -> list[int]:
    thousands = sampler.draw(batch_number, batch_size).rows // 1000
    return np.bincount(thousands, minlength=4)[1:].tolist()


SIZES = {"demo": 10, "logs": 40, ONLINE: 500}


def test_without_a_mixture_sources_count_by_their_sizes() -> None:
    sampler = sampler_of(SIZES, {})
    counts = np.sum([counts_by_source(sampler, n, 550) for n in range(40)], axis=0)
    assert chisquare(counts, 40 * np.array([10, 40, 500])).pvalue > 0.01


def test_a_mixture_by_source_is_within_one_of_its_shares_and_exact_on_average() -> None:
    shares = {"demo": 0.15, "logs": 0.5, ONLINE: 0.35}
    sampler = sampler_of(SIZES, shares)
    counts = np.array([counts_by_source(sampler, n, 17) for n in range(2000)])
    wanted = 17 * np.array(list(shares.values()))
    assert (counts.sum(axis=1) == 17).all()
    assert (np.abs(counts - wanted) < 1).all()
    np.testing.assert_allclose(counts.mean(axis=0), wanted, atol=0.05)


def test_offline_stands_for_all_but_online_and_is_uniform_within() -> None:
    sampler = sampler_of(SIZES, {OFFLINE: 0.5, ONLINE: 0.5})
    counts = np.array([counts_by_source(sampler, n, 100) for n in range(100)])
    assert (counts[:, 2] == 50).all()
    assert chisquare(counts[:, :2].sum(axis=0), [1000, 4000]).pvalue > 0.01


def test_a_source_left_out_of_the_mixture_gives_nothing() -> None:
    sampler = sampler_of(SIZES, {"logs": 1.0})
    assert counts_by_source(sampler, 0, 100) == [0, 100, 0]


def test_an_empty_mixture_is_uniform_again() -> None:
    sampler = sampler_of(SIZES, {"logs": 1.0})
    sampler.set_mixture({})
    assert all(counts_by_source(sampler, 0, 1000))


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 0.75"):
        sampler_of(SIZES, {OFFLINE: 0.5, ONLINE: 0.25})


def test_a_mixture_of_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no source 'lgos'; there are .*'logs'"):
        sampler_of(SIZES, {"lgos": 0.5, ONLINE: 0.5})


def test_a_share_of_nothing_is_an_error_and_never_shrinks_the_batch() -> None:
    sampler = sampler_of({"demo": 10}, {OFFLINE: 0.5, ONLINE: 0.5})
    with pytest.raises(LookupError, match="online"):
        sampler.draw(0, 32)


def test_drawing_before_anything_was_loaded_is_an_error() -> None:
    with pytest.raises(LookupError, match="no transitions"):
        Sampler(seed=0, online_capacity=10).draw(0, 32)


def test_the_oldest_online_fragments_are_forgotten_whole_and_prior_data_never() -> None:
    sampler = Sampler(seed=0, online_capacity=10)
    sampler.add([Placement("prior", 0, 0, 100)])
    sampler.add(Placement(ONLINE, 0, 1000 * number, 4) for number in range(1, 5))
    assert sampler.sizes() == {"prior": 100, ONLINE: 8}
    rows = np.concatenate([sampler.draw(n, 200).rows for n in range(10)])
    assert set(rows) == {*range(100), *range(3000, 3004), *range(4000, 4004)}


def test_forgetting_keeps_draws_uniform() -> None:
    sampler = Sampler(seed=0, online_capacity=20)
    for number in range(30):
        sampler.add([Placement(ONLINE, 0, 10 * number, 1 + number % 4)])
    rows = np.concatenate([sampler.draw(n, 200).rows for n in range(20)])
    counts = np.unique(rows, return_counts=True)[1]
    assert len(counts) == sampler.sizes()[ONLINE]
    assert chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("steps", [1, 3, 9])
@pytest.mark.parametrize("num_shards", [1, 3])
def test_all_shards_together_hold_what_the_sampler_keeps_in_play(
    steps: int, num_shards: int
) -> None:
    counter = Counter()
    shards = [make_shard(index, num_shards) for index in range(num_shards)]
    sampler = Sampler(seed=0, online_capacity=300)
    books = Books(sampler, [InlineHandle(shard) for shard in shards], ())
    for number in range(1800 // steps):
        shards[number % num_shards].insert(counter.episode(steps), ONLINE)
        books.register()
    books.register()
    check_counting(fetch(shards, sampler.draw(0, 2000)))
    rings = [shard.online.ring for shard in shards]
    held = sum(ring.next_row - ring.oldest_row for ring in rings)
    assert 300 - steps - 1 <= held <= 300 + (num_shards - 1) * (steps + 1)


def test_only_the_newest_online_transitions_are_drawn_where_that_is_asked_for() -> None:
    sampler = Sampler(seed=0, online_capacity=1000)
    sampler.add([Placement("prior", 0, 0, 50)])
    sampler.add(Placement(ONLINE, 0, 1000 + 10 * number, 5) for number in range(20))
    sampler.set_mixture({}, newest=12)
    rows = np.concatenate([sampler.draw(n, 200).rows for n in range(10)])
    newest = {*range(1173, 1175), *range(1180, 1185), *range(1190, 1195)}
    assert set(rows) == {*range(50), *newest}
    sampler.set_mixture({ONLINE: 1.0}, newest=12)
    assert set(sampler.draw(0, 500).rows) == newest


def test_a_batch_of_a_rounds_size_is_the_round_and_demonstrations_beside_it() -> None:
    sampler = Sampler(seed=0, online_capacity=1000)
    sampler.add([Placement("prior", 0, 0, 3), Placement(ONLINE, 0, 1000, 40)])
    sampler.set_mixture({"offline": 0.2, ONLINE: 0.8}, newest=12)
    draws = [sampler.draw(number, 15).rows for number in range(300)]
    for rows in draws:
        assert sorted(rows[rows >= 1000]) == list(range(1028, 1040))  # each once
    assert len({tuple(rows) for rows in draws}) == 300
    assert {sum(rows < 1000) for rows in draws} == {3}
    assert any(len(set(rows[rows < 1000])) < 3 for rows in draws)  # these with replacement
    sampler.set_mixture({ONLINE: 1.0}, newest=12)
    parts = np.concatenate([sampler.draw(number, 5).rows for number in range(2400)])
    assert chisquare(np.bincount(parts - 1028, minlength=12)).pvalue > 1e-3
    assert set(np.bincount(sampler.draw(0, 30).rows - 1028)) == {2, 3}  # two and a half rounds


def test_a_weight_makes_each_transition_of_a_source_likelier() -> None:
    sampler = Sampler(seed=0, online_capacity=1000, sources={"light": 1.0, "heavy": 4.0})
    sampler.add([Placement("light", 0, 0, 100), Placement("heavy", 1, 0, 50)])
    draws = [sampler.draw(number, 30) for number in range(400)]
    heavy = np.array([np.sum(draw.shards == 1) for draw in draws])
    assert set(heavy) == {20}  # 4 x 50 of 4 x 50 + 100
    rows = np.concatenate([draw.rows[draw.shards == 1] for draw in draws])
    assert chisquare(np.bincount(rows, minlength=50)).pvalue > 1e-3


def test_weights_follow_the_sizes_and_leave_a_mixture_alone() -> None:
    sampler = Sampler(seed=0, online_capacity=1000, sources={"a": 1.0, "b": 3.0})
    sampler.add([Placement("a", 0, 0, 10), Placement("b", 1, 0, 10), Placement(ONLINE, 2, 0, 20)])
    sampler.set_mixture({OFFLINE: 0.5, ONLINE: 0.5})
    counts = np.bincount(sampler.draw(0, 80).shards)
    assert counts.tolist() == [10, 30, 40]


def test_a_weighted_mixture_that_cannot_be_had_is_an_error() -> None:
    sampler = Sampler(seed=0, online_capacity=1000, sources={"a": 2.0})
    sampler.add([Placement("a", 0, 0, 10)])
    sampler.set_mixture({OFFLINE: 0.5, ONLINE: 0.5})
    with pytest.raises(LookupError, match="online"):
        sampler.draw(0, 10)


def test_episodes_without_an_end_are_counted_and_the_remedy_helps(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    write_counting_file(Path(path), [12, 9, 35])
    limited = replace(SPEC, max_episode_steps=10)
    words = f"{path}: 2 of its episodes have more than the task's 10 steps: are ends missing? "
    for argument, expected in ((path, words), (f"{path},episode_steps=10", None)):
        source = open_source(argument, limited)
        shards = [make_shard(n, 2, sources=[source], spec=limited) for n in (0, 1)]
        prior = PriorData([source], [shard.load() for shard in shards])
        lines = list(prior.described(10, clipped=False))
        assert [line for line in lines if "are ends missing" in line] == (
            [f"{words}{path},episode_steps=10 cuts there"] if expected else []
        )
        keys = sorted(place.key for shard in shards for place in shard.since(None).placements)
    assert [len(key) for key in keys] == [2] * 7
    assert len(set(keys)) == 7  # 9 + 2, 9, 9 + 9 + 9 + 5 steps


def test_data_that_joins_a_run_leaves_its_normalisation(tmp_path: Path) -> None:
    for name, lengths in {"a": [3, 1, 4], "b": [50]}.items():
        write_counting_file(tmp_path / f"{name}.parquet", lengths)
    first, later = (open_source(str(tmp_path / f"{name}.parquet"), SPEC) for name in "ab")
    alone, both = (
        make_shard(sources=its, normalize_observations=True).load().sums
        for its in ([first], [first, replace(later, joined=True)])
    )
    assert statistics(added(alone))[0].tolist() == statistics(added(both))[0].tolist()


@pytest.mark.parametrize("clip", [True, False])
def test_actions_out_of_bounds_are_counted_and_clipped_or_kept(tmp_path: Path, clip: bool) -> None:
    path = tmp_path / "wild.parquet"
    actions = np.array([[0.0], [1.5], [-3.0]], np.float32)
    observations = np.zeros((4, SPEC.observation_size), np.float32)
    wide = np.tile(actions, (1, SPEC.action_size))
    episode = Episode(observations, wide, np.zeros(3, np.float32), False, True, Origin("prior"))
    write_episodes(str(path), [episode], SPEC)
    shard = make_shard(clip_prior_actions=clip, sources=[open_source(str(path), SPEC)])
    loaded = shard.load()
    assert loaded.out_of_range[str(path)] == 2
    [place] = shard.since(None).placements
    kept = shard.take(place.row + np.arange(3))[:, LAYOUT.actions]
    assert np.array_equal(kept, np.clip(wide, -1, 1) if clip else wide)


def test_fragments_of_runs_that_are_read_together_are_not_joined(tmp_path: Path) -> None:
    """Both runs cut the same episode over two files, which fall to different shards."""
    wishes = Wishes(frozenset(), n_steps=4)
    for name, value, before in (("a", 1, 0), ("b", 2, 1)):
        log = ExperienceLog(str(tmp_path / name / "experience"), 0, SPEC)
        for number in range(before):
            log.insert(run_fragment(value, 0, episode=number, truncated=True), ONLINE)
        for start in (0, 3):
            log.insert(run_fragment(value, start, episode=9, truncated=start == 3), ONLINE)
            log.flush()
    source = open_source(str(tmp_path / "*"), SPEC)
    for index in range(2):
        shard = make_shard(index, 2, sources=[source])
        for place in shard.since(None).placements:
            block = shard.take(rows_of(place.row, place.length), None, wishes)
            own, reached = block[:, 0] // 100, block[:, Layout.of(SPEC, wishes).next_observations]
            np.testing.assert_array_equal(own, reached[:, 0] // 100)


def run_fragment(run: int, start: int, *, episode: int, truncated: bool) -> Episode:
    steps = 100 * run + np.arange(start, start + 4, dtype=np.float32)
    return Episode(
        observations=np.tile(steps[:, None], (1, SPEC.observation_size)),
        actions=np.zeros((3, SPEC.action_size), np.float32),
        rewards=steps[:-1],
        terminated=False,
        truncated=truncated,
        origin=Origin("online", worker=0, episode=episode, start=start),
    )
