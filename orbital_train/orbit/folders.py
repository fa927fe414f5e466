"""Where what was fetched or computed once is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """This user's folder for one kind of cached file: under ``$ORBITAL_TRAIN_CACHE``, or the system's own place."""
    named = os.environ.get("ORBITAL_TRAIN_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orbital_train"
    return base / kind
