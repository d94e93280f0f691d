"""The law of the table of formats: each is silent about what is another's, or nobody's."""

from importlib import resources
from pathlib import Path

import pytest

from awac_dist.data.sources import FORMATS

NOBODYS = {
    "empty.hdf5": b"",
    "empty.parquet": b"",
    "text.pickle": b"hello\n",
    "noise.npy": bytes(range(256)),
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "table.csv": b"a,b\n1,2\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_silent_about_what_is_nobodys(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for file, content in NOBODYS.items():
        (tmp_path / file).write_bytes(content)
    for path in (*tmp_path.iterdir(), tmp_path / "absent", tmp_path / "absent.hdf5"):
        assert not FORMATS[name].recognises(str(path)), path.name


def test_one_format_and_no_other_recognises_our_parquet() -> None:
    folder = resources.files("awac_dist.data") / "embedded"
    files = [str(file) for file in folder.iterdir() if file.name.endswith(".parquet")]
    assert files
    for file in files:
        assert [name for name, one in FORMATS.items() if one.recognises(file)] == [
            "awac_dist Parquet"
        ]
