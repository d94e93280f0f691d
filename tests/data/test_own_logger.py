"""What docs/data.md tells people to write is what we read."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from awac_dist.data import sources
from awac_dist.errors import InputError
from awac_dist.types import Origin

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_example_of_the_docs_writes_what_we_read() -> None:
    (example,) = (text for text in EXAMPLES if "write_episodes" in text)
    exec(example, {})
    source = sources.find("mine.parquet")
    (info,) = sources.describe(source)
    assert (info.env_id, info.observation_size, info.action_size) == ("Pendulum-v1", 3, 1)
    found = [episode for _, _, episode in sources.episodes(source)]
    assert [len(episode) for episode in found] == [200] * 3
    assert all(episode.truncated and not episode.terminated for episode in found)
    assert [episode.origin for episode in found] == [
        Origin("demonstration", episode=number) for number in range(3)
    ]


def test_the_example_of_the_docs_for_pandas_is_read() -> None:
    (example,) = (text for text in EXAMPLES if "to_parquet" in text)
    exec(example, {})
    source = sources.find("by-pandas.parquet")
    (info,) = sources.describe(source)
    assert (info.env_id, info.observation_size, info.action_size) == (None, 3, 1)
    ((_, _, episode),) = sources.episodes(source)
    assert (len(episode), episode.truncated, episode.origin) == (
        5,
        True,
        Origin("prior", episode=0),
    )


def test_a_file_that_pandas_copied_is_what_it_was() -> None:
    exec(next(text for text in EXAMPLES if "write_episodes" in text), {})
    pd.read_parquet("mine.parquet").to_parquet("copy.parquet")
    ours, theirs = (
        [episode for _, _, episode in sources.episodes(sources.find(name))]
        for name in ("mine.parquet", "copy.parquet")
    )
    for mine, copied in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.observations, copied.observations)
        assert mine.origin == copied.origin


ODD = {
    "text": ({"observations": "abc"}, "write a row an episode, a list of vectors"),
    "flat": ({"observations": [0.0] * 6}, r"observations is of list<.*>: write a row an episode"),
    "deep": ({"rewards": [[0.0]] * 5}, "rewards is a list of list"),
    "ragged": ({"actions": [[0.0]] * 4 + [[0.0, 1.0]]}, "actions are not alike in width"),
    "kind": ({"kind": "expert"}, "kind is 'expert'"),
    "worker": ({"worker": "first"}, "worker is 'first'"),
    "no end": ({"terminated": None}, "terminated and truncated are not true or false"),
    "null": ({"observations": [[0.0]] * 5 + [None]}, "observations are not alike in width"),
    "short": ({"observations": [[0.0]] * 5}, "observations has 5 rows, 5 actions need 6"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_column_is_one_line(name: str) -> None:
    changes, wanted = ODD[name]
    whole = {"observations": [[0.0]] * 6, "actions": [[0.0]] * 5, "rewards": [0.0] * 5}
    whole |= {"terminated": False, "truncated": True}
    pd.DataFrame([{**whole, **changes}]).to_parquet("odd.parquet")
    with pytest.raises(InputError, match=wanted) as refused:
        list(sources.episodes(sources.find("odd.parquet")))
    assert "odd.parquet: " in str(refused.value)
    assert "\n" not in str(refused.value)
