"""Surveys of scenarios that were surveyed before, from the cache of this user.

``ORBITAL_TRAIN_PLAN_CACHE=off`` turns it off. It is kept in the folder ``plans`` of ``ORBITAL_TRAIN_CACHE``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import orbital_train
from orbital_train.cli.folder_cache import cached, file_sha256
from orbital_train.cli.survey import Survey, read_survey, write_survey
from orbital_train.config import build
from orbital_train.config.recipe import SkyRecipe
from orbital_train.errors import InputWarning
from orbital_train.orbit.download import is_url
from orbital_train.orbit.folders import cache_folder
from orbital_train.orbit.sun import sun_source

T = TypeVar("T")

SWITCH = "ORBITAL_TRAIN_PLAN_CACHE"

# Tables that no survey depends on. What is not named here makes another survey, as do keys that are yet to come.
_NO_MATTER: dict[str, Any] = {
    **dict.fromkeys(("name", "description", "assumptions"), True),
    **dict.fromkeys(
        ("power", "workload", "schedule", "model", "data", "inner", "outer", "cluster", "compare", "faults", "staging"),
        True,
    ),
    "seeds": {"init", "data", "faults", "clouds"},
    "ground_sites": {"__all__": {"cloud_fraction", "cloudy_h"}},
}
_PACKAGES = ("numpy", "scipy", "sgp4", "skyfield")
_CODE = ("orbit", "windows", "config", "cli")


def survey_or_cached(recipe: SkyRecipe, what: str, make: Callable[[], Survey]) -> Survey:
    """A survey of a recipe from the cache, or made and kept; what it warned of is repeated."""
    sky, kept = made_or_kept(recipe, what, make, read=read_survey, write=write_survey)
    if kept:
        for note in sky.notes:
            warnings.warn(note, InputWarning, stacklevel=3)
    return sky


def made_or_kept(
    recipe: SkyRecipe, what: str, make: Callable[[], T], *, read: Callable[[Path], T], write: Callable[[T, Path], None]
) -> tuple[T, bool]:
    """What depends on a recipe's sky alone, and whether it came from the cache; see :func:`cached`."""
    key = None if os.environ.get(SWITCH) == "off" else survey_key(recipe, what)
    if key is None:
        return make(), False

    def write_unchanged(found: T, folder: Path) -> None:
        # A file that changed while it was being read would otherwise be kept under its old content's name.
        if survey_key(recipe, what) != key:
            raise OSError(errno.EAGAIN, "a file that the recipe names has just changed")
        write(found, folder)

    return cached(cache_folder("plans"), key, make, read=read, write=write_unchanged)


def survey_key(recipe: SkyRecipe, what: str) -> str | None:
    """Digest of all that a survey depends on: recipe, files that it names, code, libraries and the Sun.

    None if the recipe names an address: what is there may change.
    """
    tree = recipe.model_dump(mode="json", exclude=_NO_MATTER)
    names = list(_strings(tree))
    if any(is_url(name) for name in names):
        return None
    files = [Path(name) for name in names if Path(name).is_absolute()]
    content = {
        "what": what,
        "recipe": tree,
        "array_mount": build.array_mount(recipe),  # the rest of its table is the schedule's
        "files": {str(path): file_sha256(path) for path in files if path.is_file()},
        "code": [orbital_train.__version__, _code_sha256()],
        "packages": {name: version(name) for name in _PACKAGES},
        "sun": sun_source(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _strings(tree: Any) -> Iterator[str]:
    """All strings in the values of a tree."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _strings(part)


@cache
def _code_sha256() -> str:
    """Digest of the code that a survey is made with."""
    package = Path(orbital_train.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for room in _CODE for path in (package / room).rglob("*.py")):
        digest.update(f"{path.relative_to(package)} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
