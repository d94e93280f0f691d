"""What commands have in common that write a file where a person says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from awac_dist.ranges import Checked

FILES = ("json", "plot", "html")  # options that name one


@dataclass(frozen=True, kw_only=True)
class Writing(Checked):
    """A command that may write such files, in folders that there are."""

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        for option in FILES:
            file = getattr(self, option, None)
            if file and "://" not in file and not Path(file).parent.is_dir():
                yield option, f"there is no folder {Path(file).parent}: make it first"
