"""D4RL's normalised scores, by hand and row by row."""

import pytest

from awac_dist.evaluation.scores import (
    Reference,
    dataset_of_file,
    normalised_score,
    reference,
    references,
)

FAMILIES = {  # reference scores as FACTS-data 5.1 has them, and how many datasets share them
    "maze2d-umaze": (23.85, 161.86, 1),
    "maze2d-medium": (13.13, 277.39, 1),
    "maze2d-large": (6.7, 273.99, 1),
    "antmaze": (0.0, 1.0, 12),
    "kitchen": (0.0, 4.0, 3),
    "halfcheetah": (-280.178953, 12135.0, 6),
    "hopper": (-20.272305, 3234.3, 6),
    "walker2d": (1.629008, 4592.3, 6),
    "ant-": (-325.6, 3879.7, 6),
    "hammer": (-274.856578, 12794.134825156867, 3),
    "pen": (96.262799, 3076.8331017826877, 3),
    "relocate": (-6.425911, 4233.877797728884, 3),
    "door": (-56.512833, 2880.5693087298737, 3),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_holds_every_published_figure(family: str) -> None:
    low, high, count = FAMILIES[family]
    rows = [row for name, row in references().items() if name.startswith(family)]
    assert len(rows) == count
    assert {row[2:] for row in rows} == {(low, high)}


def test_no_row_is_of_another_family() -> None:
    assert len(references()) == sum(count for _, _, count in FAMILIES.values()) == 54


@pytest.mark.parametrize("row", references().values(), ids=lambda row: row.dataset)
def test_every_row_scores_0_and_100_at_its_ends(row: Reference) -> None:
    assert normalised_score(row.dataset, row.minimum) == 0.0
    assert normalised_score(row.dataset, row.maximum) == 100.0
    assert dataset_of_file(f"/some/folder/{row.file}") == row.dataset


def test_a_score_by_hand() -> None:
    assert normalised_score("kitchen-mixed-v0", 1.0) == 25.0
    assert normalised_score("antmaze-umaze-v2", 0.9) == pytest.approx(90.0)
    # (5927.410... + 280.178953) / 12415.178953 is one half
    assert normalised_score("halfcheetah-medium-v2", 5927.4105235) == pytest.approx(50.0)
    assert normalised_score("hopper-random-v2", -1000.0) == pytest.approx(-30.1, abs=0.01)


@pytest.mark.parametrize(
    ("task", "dataset"),
    [
        ("HalfCheetah-v5", "halfcheetah-medium-v2"),
        ("HalfCheetah-v2", "halfcheetah-medium-v2"),
        ("Hopper-v5", "hopper-expert-v2"),
        ("Walker2d-v4", "walker2d-random-v2"),
        ("Ant-v5", "ant-medium-v2"),
        ("hopper-mixed-v0", "hopper-medium-replay-v2"),
        ("ant-medium-v1", "ant-medium-v2"),
    ],
)
def test_tasks_with_the_reward_of_a_dataset_share_its_scores(task: str, dataset: str) -> None:
    assert reference(task) is not None
    assert normalised_score(task, 1234.5) == normalised_score(dataset, 1234.5)


@pytest.mark.parametrize(
    "task",
    [
        "",
        "Pendulum-v1",
        "HalfCheetah-v6",
        "HalfCheetah-v50",
        "MyHalfCheetah-v5",
        "halfcheetah",
        "halfcheetah-medium-v3",
        "AdroitHandDoor-v1",  # its reaching term has the other sign
        "AdroitHandPen-v1",
        "AntMaze_UMaze-v5",
        "D4RL/door/human-v2",
        "antmaze-umaze-v1",
    ],
)
def test_an_unknown_task_has_no_score(task: str) -> None:
    assert normalised_score(task, 100.0) is None


def test_another_file_is_of_no_dataset() -> None:
    assert dataset_of_file("runs/one/experience/shard-000-000000.parquet") is None
    assert dataset_of_file("medium-v2.hdf5") is None
