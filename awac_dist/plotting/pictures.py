"""Figures -> files."""

from __future__ import annotations

import io
from pathlib import PurePath

from matplotlib.figure import Figure

from awac_dist.errors import InputError
from awac_dist.files import write_file


def write_picture(figure: Figure, path: PurePath | str, option: str = "") -> None:
    """Write a figure to a path or URI, whole or not at all, in the format that its ending tells.

    Args:
        figure: What is drawn.
        path: Of the file; what was there before stays until the picture is whole.
        option: By which a person named it, for errors.

    Raises:
        InputError: No format of pictures has this ending.
        OSError: It cannot be written.
    """
    ending, drawn = PurePath(path).suffix[1:].lower(), io.BytesIO()
    if ending not in figure.canvas.get_supported_filetypes():
        place = f"{option} {path}".strip()
        raise InputError(f"{place}: its ending tells no format: name it FILE.png, .svg or .pdf")
    figure.savefig(drawn, format=ending)
    write_file(str(path), drawn.getvalue())
