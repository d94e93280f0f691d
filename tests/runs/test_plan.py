import pytest

from awac_dist.errors import InputError
from awac_dist.runs.plan import make_plan
from awac_dist.runs.runtime import Resources


def test_what_is_left_open_follows_from_the_cluster() -> None:
    plan = make_plan(Resources((32.0, 16.0, 16.0), gpus=2), workers=None, shards=None, gpus=None)
    assert (plan.workers, plan.shards, plan.learner_gpus, plan.device) == (64, 4, 1, "cuda")


def test_what_is_asked_for_is_kept() -> None:
    plan = make_plan(Resources((2.0,), gpus=1), workers=5, shards=3, gpus=0)
    assert (plan.workers, plan.shards, plan.device) == (5, 3, "cpu")


@pytest.mark.parametrize("nodes", [(2.0,), (2.0, 2.0), (16.0, 2.0, 1.0), (0.5,)])
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 32, 200])
def test_all_workers_find_a_place_at_once(nodes: tuple[float, ...], workers: int) -> None:
    plan = make_plan(Resources(nodes, gpus=0), workers=workers, shards=1, gpus=None)
    assert 0 < plan.worker_cpus <= 1
    assert sum(int(cpus / plan.worker_cpus + 1e-9) for cpus in nodes) >= workers


def test_where_nodes_are_added_on_demand_a_worker_books_a_core() -> None:
    some = Resources((2.0,), gpus=0, grows=True)
    assert make_plan(some, workers=8, shards=None, gpus=None).worker_cpus == 1
    none = Resources((), gpus=1, grows=True)
    plan = make_plan(none, workers=8, shards=None, gpus=None)
    assert (plan.worker_cpus, plan.shards, plan.learner_gpus) == (1, 1, 1)


def test_a_worker_books_what_is_asked_for() -> None:
    here = Resources((2.0,), gpus=0)
    plan = make_plan(here, workers=8, shards=None, gpus=None, worker_cpus=0.5)
    assert plan.worker_cpus == 0.5


def test_an_empty_cluster_does_not_tell_how_many_workers() -> None:
    with pytest.raises(InputError, match="say how many: --workers"):
        make_plan(Resources((), gpus=0, grows=True), workers=None, shards=None, gpus=None)


def test_more_gpus_than_there_are_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="asks for more GPUs than there are"):
        make_plan(Resources((2.0,), gpus=0), workers=1, shards=1, gpus=1)
