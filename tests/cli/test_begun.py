"""Configs of runs that earlier versions began."""

import pytest

from awac_dist.algorithms import METHODS
from awac_dist.cli.begun import changes, filled
from awac_dist.cli.options import to_mapping
from awac_dist.cli.settings import defaults_of
from awac_dist.reporting.groups import flat


@pytest.mark.parametrize("method", METHODS)
def test_what_a_config_lacks_is_as_in_a_new_run_of_its_method(method: str) -> None:
    new = to_mapping(defaults_of(method))
    old = {"env": new["env"], "algorithm": {"name": method}}
    assert filled(old) == flat(new)
    assert not [*changes(old, new)]


def test_the_options_of_a_method_that_is_not_known_stay_as_they_are() -> None:
    found = filled({"algorithm": {"name": "mine", "odd": 1}})
    assert found["learner.batch_size"] == defaults_of("awac").learner.batch_size
    assert [path for path in found if path.startswith("algorithm.")] == [
        "algorithm.name",
        "algorithm.odd",
    ]


def test_a_change_is_of_an_option_that_there_is_and_of_a_mapping_as_a_whole() -> None:
    new = to_mapping(defaults_of("awac"))
    begun = new | {"run_dir": "elsewhere", "gone": 1, "algorithm": {"name": "awac", "gone": 2}}
    begun["replay"] = {"mixture": {"online": 1.0}}
    assert [*changes(begun, new)] == [
        ("replay.mixture", "unset", "None"),
        ("replay.mixture.online", 1.0, "unset"),
    ]
