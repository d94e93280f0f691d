"""The option files that come with the package: `--config NAME` reads them by name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "configs"  # in a checkout a link to what lies at the top


def presets() -> dict[str, Path]:
    """Name -> file."""
    return {path.stem: path for path in sorted(FOLDER.rglob("*.yaml"))}


def find(given: str) -> str:
    """What `--config` means: a file, by path or URI, else the preset of that name."""
    return given if Path(given).is_file() else str(presets().get(given, given))
