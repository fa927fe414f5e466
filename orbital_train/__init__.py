"""Train models across compute that is split over intermittently connected orbital nodes.

docs/python.md describes what is here for programs. It is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import orbital_train.train as _train_package

if TYPE_CHECKING:
    from orbital_train.api import Comparison as Comparison
    from orbital_train.api import Plan as Plan
    from orbital_train.api import Run as Run
    from orbital_train.api import compare as compare
    from orbital_train.api import plan as plan
    from orbital_train.api import train as train
    from orbital_train.errors import InputError as InputError
    from orbital_train.train.follow import Turn as Turn
    from orbital_train.train.follow import follow as follow
    from orbital_train.train.spec import OuterSpec as OuterSpec

__version__ = "0.1.0.dev0"

# Modules by name, so that no layer depends on the one above all through this one.
_WHERE = {
    **dict.fromkeys(("Comparison", "Plan", "Run", "compare", "plan"), "orbital_train.api"),
    **dict.fromkeys(("Turn", "follow"), "orbital_train.train.follow"),
    "InputError": "orbital_train.errors",
    "OuterSpec": "orbital_train.train.spec",
}


class _TrainPackage(ModuleType):
    """The package ``orbital_train.train``, which can be called as the function ``orbital_train.api.train``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Plan and train a recipe, as ``orbital_train.api.train`` does."""
        return import_module("orbital_train.api").train(*args, **kwargs)


_train_package.__class__ = _TrainPackage


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*globals(), *_WHERE))
