"""The option files that come with the package: `--config NAME` reads them by name."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
INSIDE = PACKAGE / "configs"  # of a wheel
FOLDER = INSIDE if INSIDE.is_dir() else PACKAGE.parent / "configs"  # beside it, in a checkout


def presets() -> dict[str, Path]:
    """Name -> file."""
    return {path.stem: path for path in sorted(FOLDER.rglob("*.yaml"))}


def find(given: str) -> str:
    """What `--config` means: a file, by path or URI, else the preset of that name."""
    return given if Path(given).is_file() else str(presets().get(given, given))
