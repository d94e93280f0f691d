"""The law of the package: what lies in the tree is in the wheel, by way of the source archive."""

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

import awac_dist

ROOT = Path(awac_dist.__file__).parents[1]
NEEDED = (
    *("awac_dist/py.typed", "awac_dist/cli/compare.html", "awac_dist/envs/assets/sawyer_push.xml"),
    "awac_dist/evaluation/reference_scores.csv",
    "awac_dist/data/embedded/halfcheetah-demonstrations.parquet",
    *("awac_dist/configs/paper-locomotion.yaml", "awac_dist/configs/algorithms/iql.yaml"),
)


def built(kind: str, project: Path, out: Path) -> Path:
    """A wheel or a source archive, as pip has it made."""
    code = f"from hatchling import build; print(build.build_{kind}({str(out)!r}))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True)
    return out / done.stdout.splitlines()[-1]


def tree(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {f"{path.relative_to(ROOT)}" for path in paths}


def test_the_wheel_holds_what_the_tree_does(tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", built("sdist", ROOT, tmp_path), "-C", tmp_path], check=True)
    (project,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with ZipFile(built("wheel", project, tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (doors,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "awac-dist = awac_dist.cli.main:main" in wheel.read(doors).decode()
    presets = {f"awac_dist/{name}" for name in tree(ROOT / "configs")}
    assert held == tree(ROOT / "awac_dist") | presets
    assert held >= {*NEEDED}


def test_a_checkout_that_is_installed_has_one_package_of_that_name(tmp_path: Path) -> None:
    with ZipFile(built("editable", ROOT, tmp_path)) as wheel:  # of what pip puts beside others
        assert not [name for name in wheel.namelist() if name.startswith("awac_dist/")]


def test_every_scipy_that_pip_may_choose_has_what_is_called() -> None:
    """Until 1.14 `bootstrap` and `permutation_test` took no `rng`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (scipy,) = (its for its in map(Requirement, project["dependencies"]) if its.name == "scipy")
    assert not [*scipy.specifier.filter(["1.12.0", "1.13.1", "1.14.1"])]
    assert scipy.specifier.contains("1.15.0")
