"""Models and data sets by name: those that are built in, those of installed packages, and code of the user's own.

A recipe alone never runs code: what is not built in must have been installed as an entry point, or its module named
on the command line.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from orbital_train.errors import InputError
from orbital_train.train.spec import Named

Builder = Callable[..., Any]

# In what follows ``what`` is "model" or "data": the recipe's table.

BUILT_IN: dict[str, dict[str, str]] = {
    "model": {
        "gpt": "orbital_train.train.models.gpt:gpt",
        "llama": "orbital_train.train.models.llama:llama",
        "mlp": "orbital_train.train.models.mlp:mlp",
        "cnn": "orbital_train.train.models.cnn:cnn",
        "hf": "orbital_train.train.models.hf:hf",
    },
    "data": {
        "text": "orbital_train.train.data.text:text",
        "shards": "orbital_train.train.data.shards:shards",
        "hf": "orbital_train.train.data.hf:hf",
        "digits": "orbital_train.train.data.digits:digits",
    },
}
ENTRY_POINTS: dict[str, str] = {"model": "orbital_train.models", "data": "orbital_train.data"}


def accepted(what: str) -> str:
    """What a ``kind`` may be, in words."""
    names = ", ".join((*BUILT_IN[what], *sorted(_installed(what))))
    return f"one of {names}, or package.module:function with --import package.module"


def is_known(what: str, kind: str) -> bool:
    """Whether a kind is built in, installed, or of the form of an import path; no code is run."""
    return kind in BUILT_IN[what] or kind in _installed(what) or is_import_path(kind)


def is_import_path(kind: str) -> bool:
    """Whether it is ``package.module:function``."""
    module, colon, function = kind.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def builder(what: str, named: Named, imports: tuple[str, ...]) -> Builder:
    """The function of a name; its module is imported.

    Raises:
        InputError: there is none of that name, or its module is not among ``imports`` (``model.kind``, ``data.kind``),
            or cannot be imported.
    """
    key, kind = f"{what}.kind", named.kind
    if kind in BUILT_IN[what]:
        return _function(key, kind, BUILT_IN[what][kind])
    if is_import_path(kind):
        module = kind.partition(":")[0]
        if module not in imports:
            raise InputError(key, kind, f"a recipe alone runs no code: allow this module with --import {module}")
        return _function(key, kind, kind)
    if kind not in _installed(what):
        raise InputError(key, kind, f"must be {accepted(what)}")
    return _function(key, kind, _installed(what)[kind])


def call(what: str, named: Named, function: Builder, offered: object) -> Any:
    """Build it: with the arguments of the recipe, and for those that it wants beside them, attributes of ``offered``.

    Raises:
        InputError: the function wants an argument that is in neither (``model.kind``), or does not take one that is
            given (``model.arguments``).
    """
    signature = inspect.signature(function)
    arguments = dict(named.arguments)
    for name in _wanted(signature):
        if name not in arguments and not hasattr(offered, name):
            also = "the data" if what == "model" else "the run"
            raise InputError(f"{what}.kind", named.kind, f"needs {name}, which neither {what}.arguments nor {also} has")
        arguments.setdefault(name, getattr(offered, name, None))
    try:
        signature.bind(**arguments)
    except TypeError as error:
        given = dict(named.arguments)
        raise InputError(f"{what}.arguments", given, f"{named.kind}{_shown(signature)}: {error}") from None
    return function(**arguments)


def _wanted(signature: inspect.Signature) -> list[str]:
    """Arguments without a default."""
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in rest]


def _shown(signature: inspect.Signature) -> str:
    return f"({', '.join(signature.parameters)})"


def _installed(what: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS[what])}


def _function(key: str, kind: str, path: str) -> Builder:
    name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise InputError(key, kind, f"{name} cannot be imported: {error}") from None
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(key, kind, f"{name} has no function {attribute}")
    return function  # type: ignore[no-any-return]
