"""Every method of the registry as one of RLlib's algorithms.

`from awac_dist.rllib import AWAC, AWACConfig`, `IQL, IQLConfig`, ...: a method is hosted under the
name of its class, and importing this package registers all of them with Ray Tune.
"""

from __future__ import annotations

import copyreg
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

from ray import tune

from awac_dist.algorithms import METHODS, adopt_method, no_method
from awac_dist.errors import InputError
from awac_dist.rllib.algorithm import OfflineToOnline
from awac_dist.rllib.config import HOSTS, OfflineToOnlineConfig


class Hosted(ABCMeta):
    """The class of the classes made here: where one is loaded, its method becomes known first."""

    method: str


def host(method: str) -> type[OfflineToOnline]:
    """The Algorithm that trains a method of the registry, registered with Ray Tune.

    Raises:
        InputError: There is no such method, or something else has the name of its class.
    """
    if method not in METHODS:
        raise no_method(method)
    title = METHODS[method].rpartition(":")[2]
    known: type[OfflineToOnline] | None = HOSTS.get(method)
    if known is not None and known.__name__ == title:
        return known
    _refuse_taken(method, title)
    named = {"__module__": __name__, "method": method}
    config = Hosted(f"{title}Config", (OfflineToOnlineConfig,), named)
    algorithm: Any = Hosted(title, (OfflineToOnline,), {**named, "config_class": config})
    HOSTS[method] = algorithm
    globals().update({config.__name__: config, title: algorithm})
    tune.register_trainable(title, algorithm)
    found: type[OfflineToOnline] = algorithm
    return found


def _refuse_taken(method: str, title: str) -> None:
    for name in (title, f"{title}Config"):
        if name in globals():
            owner = getattr(globals()[name], "method", None)
            whose = "no method's" if owner is None else f"that of {owner}"
            raise InputError(
                f"algorithm {method}: RLlib and Tune know a method by the name of its class, and "
                f"{name} is {whose}: give the class of {METHODS[method]} another name"
            )


def _loaded(method: str, path: str, part: str) -> type:
    """A hosted class in another process, which may know nothing of its method yet."""
    adopt_method(method, path)
    algorithm = host(method)
    return algorithm if part == "algorithm" else algorithm.config_class


def _reduced(cls: Hosted) -> str | tuple[Callable[..., type], tuple[str, str, str]]:
    """How one is pickled; of a class that somebody derives from it, only the name."""
    if cls.__module__ != __name__:
        return cls.__qualname__
    part = "algorithm" if issubclass(cls, OfflineToOnline) else "config"
    return _loaded, (cls.method, METHODS[cls.method], part)


copyreg.pickle(Hosted, _reduced)  # type: ignore[arg-type]

for _method in METHODS:
    host(_method)


def __getattr__(name: str) -> Any:
    """Host methods that were registered later, when their names are first asked for."""
    for method, path in METHODS.items():
        if path.endswith((f":{name}", f":{name.removesuffix('Config')}")):
            algorithm = host(method)
            return algorithm if path.endswith(f":{name}") else algorithm.config_class
    raise AttributeError(f"module {__name__} has no attribute {name}")
