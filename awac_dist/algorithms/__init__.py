"""The methods, one file each, and the registry that knows them by name.

A method's file holds its options beside its equations, and options are read long before anything
is learned: by --help, by a dry run, by the driver of a cluster. So importing a method must not
cost the 1.5 seconds and 200 MB of torch. Its file may say `import torch`, because here, before
any of them is imported, torch is deferred: it stands in `sys.modules` as a module that executes
itself when the first of its attributes is wanted.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.util import find_spec, module_from_spec
from pkgutil import resolve_name
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

from awac_dist.errors import InputError, did_you_mean, told

if TYPE_CHECKING:
    from awac_dist.algorithms.base import Method, MethodConfig

METHODS = {
    "abm": "awac_dist.algorithms.abm:ABM",
    "algae_dice": "awac_dist.algorithms.algae_dice:AlgaeDICE",
    "awac": "awac_dist.algorithms.awac:AWAC",
    "awr": "awac_dist.algorithms.awr:AWR",
    "bc": "awac_dist.algorithms.bc:BC",
    "bcq": "awac_dist.algorithms.bcq:BCQ",
    "bear": "awac_dist.algorithms.bear:BEAR",
    "brac": "awac_dist.algorithms.brac:BRAC",
    "cal_ql": "awac_dist.algorithms.cal_ql:CalQL",
    "cql": "awac_dist.algorithms.cql:CQL",
    "crossq": "awac_dist.algorithms.crossq:CrossQ",
    "dapg": "awac_dist.algorithms.dapg:DAPG",
    "ibrl": "awac_dist.algorithms.ibrl:IBRL",
    "iql": "awac_dist.algorithms.iql:IQL",
    "marwil": "awac_dist.algorithms.marwil:MARWIL",
    "mpo": "awac_dist.algorithms.mpo:MPO",
    "rlpd": "awac_dist.algorithms.rlpd:RLPD",
    "sac": "awac_dist.algorithms.sac:SAC",
    "sac_bc": "awac_dist.algorithms.sac_bc:SACBC",
    "sope": "awac_dist.algorithms.sope:SOPE",
    "td3": "awac_dist.algorithms.td3:TD3",
    "td3_bc": "awac_dist.algorithms.td3_bc:TD3BC",
    "wsrl": "awac_dist.algorithms.wsrl:WSRL",
}

_OURS = frozenset(METHODS.items())
_VARIABLE = "AWAC_DIST_METHODS"
_LOADING = RLock()


class _Deferred(ModuleType):
    """A module that is found but not executed yet.

    `importlib.util.LazyLoader` would do, but for `import torch`, which looks at `__spec__`.
    """

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        with _LOADING:
            if "__path__" not in self.__dict__:
                assert spec is not None
                assert spec.loader is not None
                self.__dict__["__path__"] = spec.submodule_search_locations
                spec.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
            return ModuleType.__getattribute__(self, name)


def _defer(name: str) -> None:
    if name not in sys.modules and (spec := find_spec(name)):
        module = module_from_spec(spec)
        del module.__path__  # so that importing a submodule executes it first
        module.__class__ = _Deferred
        sys.modules[name] = module


_defer("torch")


def method_class(name: str) -> type[Method]:
    """The method of a name; imports its file.

    Raises:
        InputError: There is none, and the nearest is named; or what was registered is none.
    """
    if name not in METHODS:
        raise no_method(name)
    target = METHODS[name]
    try:
        found: type[Method] = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"algorithm {name}: cannot be had of {target!r}: {told(error)}") from error
    if flaw := _flaw(found):
        raise InputError(f"algorithm {name}: {target} {flaw}: see docs/add-a-method.md")
    return found


@cache
def _flaw(found: Any) -> str:
    """What keeps options from choosing it, or from being read; empty if nothing does."""
    options = getattr(found, "Config", None)
    if not is_dataclass(options):
        return "is no method with a dataclass of options, Config"
    if (trains := getattr(options, "method", None)) is not found:
        whose = f": its options are {trains.__name__}'s, and would train that" if trains else ""
        return f"has no Config of its own{whose}"
    for field in fields(options):
        if field.default is MISSING and field.default_factory is MISSING:
            return f"has an option without a default, {field.name}: give it one that runs"
    try:
        get_type_hints(options)
    except Exception as error:  # whatever the words of an annotation raise
        return f"has an option whose type cannot be read: {told(error)}: import it at the top"
    return ""


def no_method(name: str, place: str = "") -> InputError:
    """What to raise where nobody knows a name, which stands in a place."""
    hint = did_you_mean(name, METHODS, f"there are {', '.join(METHODS)}.")
    own = "One of your own is registered first: see docs/add-a-method.md"
    return InputError(f"{place}no algorithm {name}; {hint} {own}")


def config_class(name: str) -> type[MethodConfig]:
    """The options of the method of a name. Errors as above."""
    return method_class(name).Config


def name_of(config: MethodConfig) -> str:
    """The name of the method whose options these are; an InputError if nobody registered it."""
    for name in METHODS:
        if config_class(name) is type(config):
            return name
    own = "its method is registered first: see docs/add-a-method.md"
    raise InputError(f"algorithm: {type(config).__name__} belongs to no algorithm: {own}")


def register_method(name: str, path: str) -> None:
    """Add a method of your own, such as "mine", "my_package.mine:Mine"."""
    METHODS[name] = path


def adopt_method(name: str, path: str) -> None:
    """Register what another process had registered, unless this one has its own of the name."""
    if name not in METHODS or (name, METHODS[name]) in _OURS:
        register_method(name, path)


def for_children() -> dict[str, str]:
    """Variables by which processes that this one starts know what it registered."""
    return {_VARIABLE: json.dumps(dict(METHODS.items() - _OURS))}


METHODS |= json.loads(os.environ.get(_VARIABLE, "{}"))
