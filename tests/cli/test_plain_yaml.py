"""YAML that would fill the memory or the stack is one line."""

from pathlib import Path

import pytest

from awac_dist.cli.options import parse
from awac_dist.errors import InputError

LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
HOSTILE = {
    "aliases": (f"a0: &a0 [x]\n{LAUGHS}\n", "line 2: not YAML: .*is not read: repeat it"),
    "merged": ("a: &a {x: 1}\nb:\n  <<: *a\n", "line 3: not YAML: .*is not read: repeat it"),
    "deep": ("[" * 20_000, "not YAML"),
    "digits": (f"seed: {'9' * 10_000}\n", "not YAML: Exceeds the limit"),
    "no date": ("seed: 2020-13-45\n", "not YAML: month must be"),
    "long": ("# " + "x" * (1 << 20), "longer than 1,048,576 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_one_line(tmp_path: Path, name: str) -> None:
    content, wanted = HOSTILE[name]
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(InputError, match=wanted) as refused:
        parse(["--config", str(tmp_path / "a.yaml")])
    assert "\n" not in str(refused.value)
