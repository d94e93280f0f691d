"""Random damage to a valid file, and what a reader may make of it."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from awac_dist.data.format import Format
from awac_dist.errors import InputError


def damaged(whole: bytes, data: st.DataObject) -> bytes:
    """The file with up to eight bytes changed, perhaps cut off."""
    content = bytearray(whole)
    places = st.integers(0, len(whole) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = byte
    return bytes(content[: data.draw(st.one_of(st.none(), places))])


def assert_episodes_or_a_clear_error(known: Format, path: Path) -> None:
    """Read a file that may be damaged: either outcome is right, nothing else is."""
    known.recognises(str(path))
    try:
        info = known.describe(str(path))
        for _, episode in known.read(str(path), (0, 1)):
            assert episode.observations.shape == (len(episode) + 1, info.observation_size)
            assert np.isfinite(episode.observations).all()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  either outcome is right
