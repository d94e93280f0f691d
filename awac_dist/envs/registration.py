"""The ids of tasks: ours, known to Gymnasium as soon as awac_dist is imported, and a program's own.

Entry points of ours are text, so that a process that makes none of these tasks never loads a
simulator. What a program registered is unknown to other processes, and has to travel.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pkgutil import resolve_name
from threading import Lock
from typing import Any, TypeAlias

import cloudpickle
import gymnasium
from gymnasium.envs.registration import EnvSpec as Registration

from awac_dist.envs.config import OWN
from awac_dist.errors import InputError, told
from awac_dist.types import EnvSpec

Maker: TypeAlias = "Callable[..., gymnasium.Env[Any, Any]]"
KNOWN_EVERYWHERE = ("gymnasium", "gymnasium_robotics", "awac_dist")  # packages of entry points
HAND = "awac_dist.envs.adroit"
TASKS: dict[str, tuple[str, int, dict[str, Any]]] = {  # entry point, steps, options
    "awac_dist/PenBinary-v0": (f"{HAND}:PenBinaryEnv", 200, {}),
    "awac_dist/DoorBinary-v0": (f"{HAND}:DoorBinaryEnv", 200, {}),
    "awac_dist/DoorBinaryReleased-v0": (f"{HAND}:DoorBinaryEnv", 200, {"conditions": "released"}),
    "awac_dist/RelocateBinary-v0": (f"{HAND}:RelocateBinaryEnv", 200, {}),
    "awac_dist/HammerBinary-v0": (f"{HAND}:HammerBinaryEnv", 200, {}),
    "awac_dist/SawyerPush-v0": ("awac_dist.envs.sawyer_push:SawyerPushEnv", 200, {}),
    "awac_dist/AntPaper-v0": ("awac_dist.envs.ant:AntPaperEnv", 1000, {}),
}

_LOCK, _IN_USE = Lock(), Counter[str]()  # what goes on in this process, by the id of its task


def register_tasks() -> None:
    """Make every task known to `gymnasium.make`; a second call changes nothing."""
    for env_id, (entry_point, steps, options) in TASKS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point, max_episode_steps=steps, kwargs=dict(options))


def own_id(make: Maker) -> str:
    """The id of a program's own task, of its class or of a function that makes it: own/NAME.

    A bare name would not do: Gymnasium takes Pendulum for the newest version of Pendulum, its own.
    """
    if isinstance(make, gymnasium.Env) or not callable(make):
        raise InputError(
            f"env: {make!r} is neither an id nor what makes an environment: give its class, or a "
            "function that returns one: each worker makes its own"
        )
    name = getattr(make, "__name__", type(make).__name__).strip("<>")  # of a lambda
    return f"{OWN}{name}"


@contextmanager
def meaning(make: Maker | None) -> Iterator[None]:
    """Have its id mean this class or function, whatever had that name before, such as itself anew.

    Raises:
        InputError: Another one has that name in something that goes on, in a thread.
    """
    if make is None:
        yield
        return
    env_id = own_id(make)
    with _LOCK:
        if _IN_USE[env_id] and gymnasium.registry[env_id].entry_point is not make:
            raise InputError(
                f"env: another environment that is in use is called {env_id.removeprefix(OWN)}, "
                "too: give a class or a function of another name"
            )
        gymnasium.registry[env_id] = Registration(env_id, entry_point=make)
        _IN_USE[env_id] += 1
    try:
        yield
    finally:
        with _LOCK:
            _IN_USE[env_id] -= 1


def able_to_travel(spec: EnvSpec) -> EnvSpec:
    """The same task, for processes that this one's own registrations are unknown to.

    An InputError says that it cannot be pickled.
    """
    known = gymnasium.registry.get(spec.env_id)
    if known is None:
        return spec
    entry_point = known.entry_point
    if isinstance(entry_point, str):
        if entry_point.partition(":")[0].partition(".")[0] in KNOWN_EVERYWHERE:
            return spec
        if entry_point.startswith("__main__:"):  # which is another program there
            known = replace(known, entry_point=resolve_name(entry_point))
    try:
        return replace(spec, registration=cloudpickle.dumps(known))
    except Exception as error:  # whatever pickling its parts raises
        raise InputError(
            f"environment {spec.env_id} cannot be sent to other processes: {told(error)}: make "
            f"what it needs inside, name a module that registers it (module:{spec.env_id}), or "
            "stay in this process (runtime inline)"
        ) from error


def make_known(spec: EnvSpec) -> None:
    """Register a task here as it was where it comes from, unless its id is known."""
    if spec.registration and spec.env_id not in gymnasium.registry:
        gymnasium.registry[spec.env_id] = pickle.loads(spec.registration)
