"""Where a run lives: in a folder, or at a URI with a local folder for what grows line by line.

`shared` holds checkpoints and experience, which the processes of the run write, wherever they
are. `local` holds config, metrics, log and picture, which the driver writes; where `shared` is a
URI they are copied there each time before a checkpoint is asked for, and at the end.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from awac_dist.errors import InputError
from awac_dist.files import resolve
from awac_dist.reporting.run_folder import LOCK_FILE, create_run_folder

REMOTE_ONLY = ("checkpoints", "experience")  # what never comes to the driver's machine


@dataclass
class RunPlace:
    """The folders of one run.

    Attributes:
        local: What only the driver writes.
        shared: Path or URI of what every process of the run writes; `local` unless it is a URI.
    """

    local: Path
    shared: str
    _kept: dict[Path, tuple[int, int]] = field(default_factory=dict)  # size, time of what is there

    @classmethod
    def at(cls, name: str) -> RunPlace:
        """The place that a path or URI names; a URI has its local folder below runs/."""
        if "://" not in name:
            path = Path(name).resolve()
            return cls(path, str(path))
        shared = name.rstrip("/")
        return cls(Path("runs", shared.rsplit("/", 1)[-1]).resolve(), shared)

    @property
    def is_remote(self) -> bool:
        return self.shared != str(self.local)

    def create(self) -> None:
        """Make the folders of a new run.

        Raises:
            InputError: Something is there already, or they cannot be made.
        """
        if self.is_remote:
            self._create_shared()
        create_run_folder(self.local)

    def _create_shared(self) -> None:
        try:
            filesystem, name = resolve(self.shared)
            filesystem.create_dir(name, recursive=True)
            taken = filesystem.get_file_info(fs.FileSelector(name, allow_not_found=True))
        except (OSError, ValueError) as error:
            raise _no_access(self.shared, error) from error
        if taken:
            raise InputError(
                f"the run folder {self.shared} exists already and is not empty; choose another one "
                "with --run-dir"
            )

    def keep(self) -> None:
        """Copy the driver's files that have changed to the URI."""
        if not self.is_remote:
            return
        filesystem, name = resolve(self.shared)
        for path in sorted(self.local.rglob("*")):
            if not path.is_file() or path.name == LOCK_FILE:
                continue
            state = path.stat().st_size, path.stat().st_mtime_ns
            if self._kept.get(path) != state:
                there = f"{name}/{path.relative_to(self.local)}"
                filesystem.create_dir(there.rsplit("/", 1)[0], recursive=True)
                with path.open("rb") as here, filesystem.open_output_stream(there) as copy:
                    shutil.copyfileobj(here, copy)
                self._kept[path] = state

    def fetch(self) -> None:
        """Copy the driver's files from the URI, for a run that goes on.

        Raises:
            InputError: They cannot be read.
        """
        if not self.is_remote:
            return
        try:
            filesystem, name = resolve(self.shared)
            everything = fs.FileSelector(name, recursive=True, allow_not_found=True)
            for info in filesystem.get_file_info(everything):
                inside = Path(info.path).relative_to(name)
                if info.type != fs.FileType.File or inside.parts[0] in REMOTE_ONLY:
                    continue
                (self.local / inside).parent.mkdir(parents=True, exist_ok=True)
                with (
                    filesystem.open_input_stream(info.path) as there,
                    (self.local / inside).open("wb") as here,
                ):
                    shutil.copyfileobj(there, here)
        except (OSError, ValueError) as error:
            raise _no_access(self.shared, error) from error

    def remove(self) -> None:
        """Leave nothing of a run that never ran, so that its name stays free."""
        shutil.rmtree(self.local)
        if self.is_remote:
            filesystem, name = resolve(self.shared)
            filesystem.delete_dir(name)


def _no_access(uri: str, error: Exception) -> InputError:
    return InputError(f"the run folder {uri} cannot be reached: {str(error).splitlines()[0]}")
