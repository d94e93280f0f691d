"""Every method of the registry as one of RLlib's algorithms.

`from awac_dist.rllib import AWAC, AWACConfig`, `IQL, IQLConfig`, ...: a method is hosted under the
name of its class, and importing this package registers all of them with Ray Tune.
"""

from __future__ import annotations

from typing import Any

from ray import tune

from awac_dist.algorithms import METHODS
from awac_dist.rllib.algorithm import OfflineToOnline
from awac_dist.rllib.config import HOSTS, OfflineToOnlineConfig


def host(method: str) -> type[OfflineToOnline]:
    """The Algorithm that trains a method of the registry, registered with Ray Tune."""
    title = METHODS[method].rpartition(":")[2]
    if title not in globals():
        named = {"__module__": __name__, "method": method}
        config = type(f"{title}Config", (OfflineToOnlineConfig,), named)
        algorithm = type(title, (OfflineToOnline,), {**named, "config_class": config})
        HOSTS[method] = algorithm
        globals().update({config.__name__: config, title: algorithm})
        tune.register_trainable(title, algorithm)
    return globals()[title]


for _method in METHODS:
    host(_method)


def __getattr__(name: str) -> Any:
    """Host methods that were registered later, when their names are first asked for."""
    for method, path in METHODS.items():
        if path.endswith((f":{name}", f":{name.removesuffix('Config')}")):
            host(method)
            return globals()[name]
    raise AttributeError(f"module {__name__} has no attribute {name}")
