"""Where transitions lie, beside a plain list of them."""

import numpy as np

from awac_dist.messages import Placement
from awac_dist.replay.table import FIRST_TRANSITIONS, Table


def test_every_transition_is_found_while_fragments_come_and_are_forgotten() -> None:
    rng = np.random.default_rng(0)
    table, there = Table(), []  # of transitions in play: shard, row, goal, number of the fragment
    fragments, row = 0, 0
    for _ in range(3_000):
        shard, length = int(rng.integers(3)), int(rng.integers(1, 12))
        goal = (float(fragments), -float(fragments))
        table.append(Placement("online", shard, row, length, goal, (0, 0, fragments, 0)))
        there += [(shard, row + step, goal, fragments) for step in range(length)]
        fragments, row = fragments + 1, row + length + 1
        while len(there) > 2 * FIRST_TRANSITIONS + int(rng.integers(400)):
            oldest = there[0][-1]
            there = [its for its in there if its[-1] != oldest]
            table.forget_oldest()
        positions = rng.integers(len(there), size=20)
        shards, rows, goals = table.locate(positions)
        wanted = [there[position] for position in positions]
        assert list(zip(shards.tolist(), rows.tolist(), strict=True)) == [its[:2] for its in wanted]
        assert goals.tolist() == [list(its[2]) for its in wanted]
    assert table.total == len(there)
    assert table.keys[:, 2].tolist() == sorted({its[-1] for its in there})


def test_room_is_for_what_is_in_play_only() -> None:
    table = Table()
    for number in range(1_000):
        table.append(Placement("online", 0, 101 * number, 100, (), (0, 0, number, 0)))
        while table.total > 1_000:
            table.forget_oldest()
    assert table.total == 1_000
    assert len(table._fragments) <= 3_000
