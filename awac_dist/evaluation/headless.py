"""How MuJoCo draws on a machine without a screen: MUJOCO_GL, found by trying.

A library that can be loaded may still find no driver, so each way is tried in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

BY_WINDOW, HEADLESS = "glfw", ("egl", "osmesa")
TRY_S = 60
TRIAL = """
import mujoco
context = mujoco.GLContext(16, 16)
context.make_current()
empty = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(empty, mujoco.mjtFontScale.mjFONTSCALE_100).free()
context.free()
"""
INSTALL = "apt-get install libegl1 libgl1-mesa-dri, or libosmesa6"


def prepare_drawing() -> str | None:
    """Set MUJOCO_GL to the first way that works, before anybody imports `mujoco`.

    A MUJOCO_GL that the user has set stays. Elsewhere than on Linux there is nothing to choose.

    Returns:
        None, or in one line why MuJoCo cannot draw here and what helps.
    """
    if sys.platform != "linux":
        return None
    failures = []
    for way in ways():
        reason = why_not(way)
        if reason is None:
            os.environ["MUJOCO_GL"] = way
            return None
        failures.append(f"{way}: {reason}")
    wished = os.environ.get("MUJOCO_GL")
    remedy = "set MUJOCO_GL to what works here, or unset it" if wished else INSTALL
    return f"MuJoCo cannot draw here ({'; '.join(failures)}): {remedy}"


def ways() -> tuple[str, ...]:
    """The values of MUJOCO_GL to try, in order."""
    if wish := os.environ.get("MUJOCO_GL"):
        return (wish,)
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return (BY_WINDOW, *HEADLESS) if has_screen else HEADLESS


def why_not(way: str) -> str | None:
    """Draw nothing this way in a new process; None if it worked, else the last line it said."""
    words, environment = [sys.executable, "-c", TRIAL], os.environ | {"MUJOCO_GL": way}
    try:
        subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=TRY_S, check=True
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TRY_S} s"
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        return str(said[-1])
    return None
