import pytest

from awac_dist.distributed.plan import make_plan
from awac_dist.distributed.runtime import Resources
from awac_dist.errors import InputError


def test_what_is_left_open_follows_from_the_cluster() -> None:
    plan = make_plan(Resources(cpus=64, gpus=2, nodes=3), workers=None, shards=None, gpus=None)
    assert (plan.workers, plan.shards, plan.learner_gpus, plan.device) == (64, 4, 1, "cuda")


def test_what_is_asked_for_is_kept() -> None:
    plan = make_plan(Resources(cpus=2, gpus=1, nodes=1), workers=5, shards=3, gpus=0)
    assert (plan.workers, plan.shards, plan.device) == (5, 3, "cpu")


@pytest.mark.parametrize("workers", [1, 2, 32, 200])
def test_everything_fits_into_the_cores_at_once(workers: int) -> None:
    plan = make_plan(Resources(cpus=2, gpus=0, nodes=1), workers=workers, shards=1, gpus=None)
    assert 0 < plan.worker_cpus <= 1
    assert plan.workers * plan.worker_cpus + 0.4 <= 2 + 1e-9


def test_more_gpus_than_there_are_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="asks for more GPUs than there are"):
        make_plan(Resources(cpus=2, gpus=0, nodes=1), workers=1, shards=1, gpus=1)
