"""Where a command's components run."""

from __future__ import annotations

from collections.abc import Callable

from awac_dist.runs.plan import local_resources
from awac_dist.runs.runtime import InlineRuntime, Runtime


def start_runtime(
    *,
    inline: bool,
    address: str | None = None,
    last_word: Callable[[str], object] | None = None,
) -> Runtime:
    """This process; or Ray at an address, at that of the environment, or on this machine.

    The last word is why Ray is gone, where nobody but another thread can say so.
    """
    if inline:
        return InlineRuntime(local_resources())
    from awac_dist.distributed.ray_runtime import RayRuntime

    return RayRuntime(address, last_word)
