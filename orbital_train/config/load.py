"""From a TOML file and ``--set`` overrides to a recipe, and back; errors name the file, the key and the value."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from orbital_train.config.problems import problem_of
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.config.sites import read_sites
from orbital_train.config.tables.named import OTHER
from orbital_train.errors import InputError
from orbital_train.orbit.download import is_url
from orbital_train.train.corpora import KNOWN_CORPORA
from orbital_train.train.registry import BUILT_IN, accepted

_Kind = TypeVar("_Kind", bound=SkyRecipe)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; ``overrides`` are ``key=value`` with dotted keys and TOML values, and win over the file.

    Paths in the recipe that are relative are taken from the recipe's folder. The sites of its table follow its own.

    Raises:
        InputError: the file is missing or not TOML, a key is unknown, a value is not accepted, or the table of ground
            sites cannot be read; or the recipe has a fleet and its sky alone (key ``schedule``).
    """
    return recipe_of(_overridden(path, overrides), path.parent)


def recipe_of(tree: dict[str, Any], folder: Path) -> Recipe:
    """The recipe with this content, of which relative paths in it are taken from ``folder``.

    Raises:
        InputError: as :func:`load_recipe`.
    """
    _anchor_paths(tree, folder)
    if _is_sky(tree):
        parse_sky(tree)
        what = "a recipe without it and the other tables of training is for `orbital-train plan` alone"
        raise InputError("schedule", None, f"is required and missing; {what}")
    return _with_table(parse_recipe(tree))


def load_plan(path: Path, overrides: Sequence[str] = ()) -> SkyRecipe:
    """The same, for what can be planned: a :class:`Recipe`, unless the recipe has a fleet and its sky alone.

    Raises:
        InputError: as :func:`load_recipe`, but for the last.
    """
    tree = _overridden(path, overrides)
    _anchor_paths(tree, path.parent)
    return _with_table(parse_sky(tree) if _is_sky(tree) else parse_recipe(tree))


def _overridden(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    tree = read_tree(path)
    for override in overrides:
        _override(tree, override)
    return tree


def read_tree(path: Path) -> dict[str, Any]:
    """The content of a recipe, not validated.

    Raises:
        InputError: the file is missing or not TOML (``RECIPE``).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("RECIPE", str(path), "no such file; `orbital-train recipes` lists those that ship") from None
    except (OSError, UnicodeDecodeError):
        raise InputError("RECIPE", str(path), "must be a TOML file that can be read") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError("RECIPE", str(path), f"is not valid TOML: {error}") from None


def _with_table(recipe: _Kind) -> _Kind:
    """The sites of its table among the recipe's own."""
    if recipe.ground_site_file is None:
        return recipe
    sites = (*recipe.ground_sites, *read_sites(Path(recipe.ground_site_file)))
    return recipe.model_copy(update={"ground_sites": sites, "ground_site_file": None})


def _is_sky(tree: Mapping[str, Any]) -> bool:
    """Whether a recipe has nothing that only a whole one has."""
    return not tree.keys() & (Recipe.model_fields.keys() - SkyRecipe.model_fields.keys())


def parse_recipe(tree: Mapping[str, Any]) -> Recipe:
    """Validate the content of a recipe.

    Raises:
        InputError: a key is unknown, or a value is not accepted; the first of them is named.
    """
    return _validated(Recipe, tree)


def parse_sky(tree: Mapping[str, Any]) -> SkyRecipe:
    """The same for a recipe of a fleet and its sky alone."""
    return _validated(SkyRecipe, tree)


def _validated(kind: type[_Kind], tree: Mapping[str, Any]) -> _Kind:
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _explain(error) from None


def dump_recipe(recipe: SkyRecipe) -> str:
    """The recipe as TOML, with every default written out."""
    return tomli_w.dumps(recipe.model_dump(mode="python", exclude_none=True))


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The same recipe with some dotted keys changed, validated again."""
    tree = recipe.model_dump(mode="python", exclude_none=True)
    for key, value in values.items():
        put(tree, key, value)
    return parse_recipe(tree)


def changed_keys(old: SkyRecipe, new: SkyRecipe) -> list[tuple[str, Any, Any]]:
    """(dotted key, old value, new value) wherever two recipes differ."""
    before, after = (_leaves(r.model_dump(mode="python")) for r in (old, new))
    return [(k, before.get(k), after.get(k)) for k in sorted(before | after) if before.get(k) != after.get(k)]


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError("--set", override, "must be key=value, as schedule.inner_steps=50")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    put(tree, key.strip(), value)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key.

    Raises:
        InputError: what should be a table of it is none (``--set``).
    """
    *tables, last = key.split(".")
    for table in tables:
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise InputError("--set", key, f"{table} is a value and not a table")
    tree[last] = value


_PATHS = (
    (None, "ground_site_file"),
    ("fleet", "path"),
    ("links", "plan"),
    ("model", "folder"),
    ("data", "corpus"),
    ("data", "folder"),
    ("data", "path"),
    ("data", "tokenizer"),
    ("compare", "tuning"),
)


def _anchor_paths(tree: dict[str, Any], folder: Path) -> None:
    for table, key in _PATHS:
        keys = tree if table is None else tree.get(table)
        if not isinstance(keys, dict):
            continue
        value = keys.get(key)
        if isinstance(value, str) and not is_url(value) and not (key == "corpus" and value in KNOWN_CORPORA):
            if "://" in value:
                problem = "is no address that can be read; accepted is a file, or http:// or https:// for element sets"
                raise InputError(f"{table}.{key}" if table else key, value, problem)
            keys[key] = str((folder / value).resolve())


def _explain(error: ValidationError) -> InputError:
    """The first problem, but a key that does not exist before one that is missing: it is often the same one."""
    first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    key, value = _dotted(first["loc"]), first.get("input")
    if first["type"] == "extra_forbidden":
        return InputError(key, _shown(value), f"unknown key{_near(first['loc'])}")
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):
        return InputError(_dotted(first["loc"][:-1]), value, f"is too short: entry {first['loc'][-1] + 1} is missing")
    if first["type"] == "missing":
        return InputError(key, None, "is required and missing")
    if first["type"] == "union_tag_not_found":
        return InputError(f"{key}.kind", None, f"is required: {_kinds(key)}")
    if first["type"] == "union_tag_invalid":
        return InputError(f"{key}.kind", first["ctx"]["tag"], f"must be {_kinds(key)}")
    return InputError(key, _shown(value), problem_of(first))


_FLEET_KINDS = ("walker_delta", "walker_star", "sun_synchronous", "layered", "cluster", "tle", "omm")
_TAGS: dict[str, tuple[str, ...]] = {"fleet": _FLEET_KINDS} | {what: (*n, OTHER) for what, n in BUILT_IN.items()}


def _kinds(table: str) -> str:
    return accepted(table) if table in BUILT_IN else f"one of {', '.join(_FLEET_KINDS)}"


def _shown(value: Any) -> Any:
    """As it stood in the recipe, in one short piece."""
    if isinstance(value, date):
        return value.isoformat()
    return "a table" if isinstance(value, dict) else value


def _dotted(loc: tuple[int | str, ...]) -> str:
    """The key as the user writes it; the location also names the kind of a table, and the check of a table's key."""
    parts = [str(part) for part in loc]
    if len(parts) > 1 and parts[1] in _TAGS.get(parts[0], ()):
        del parts[1]
    return ".".join(parts[: parts.index("[key]")] if "[key]" in parts else parts)


def _near(loc: tuple[int | str, ...]) -> str:
    """What was probably meant, or what is accepted there."""
    tables: list[type[BaseModel]] = [Recipe]
    for part in loc[:-1]:
        name = str(part)
        if inner := [t.model_fields[name].annotation for t in tables if name in t.model_fields]:
            tables = [table for annotation in inner for table in _tables(annotation)]
        elif name in _TAGS.get(str(loc[0]), ()):
            tables = [t for t in tables if name in (get_args(t.model_fields["kind"].annotation) or (OTHER,))]
    fields = list(dict.fromkeys(name for table in tables for name in table.model_fields))
    near = difflib.get_close_matches(str(loc[-1]), fields, n=1)
    return f"; did you mean {near[0]}?" if near else f"; accepted: {', '.join(fields)}"


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The tables in the type of a field."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves
