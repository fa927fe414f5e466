"""Results kept as folders of files under the digest of what they depend on.

An entry is written under another name and renamed, so that it is there whole or not at all, and carries the SHA-256 of
each of its files, so that a damaged one counts as none and is replaced. Processes may share the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from orbital_train.errors import InputWarning

T = TypeVar("T")

LIMIT_BYTES = 1 << 30
_SUMS = "sha256.json"
_ABANDONED_S = 86_400.0  # an unfinished entry of this age is nobody's


def file_sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(
    folder: Path,
    key: str,
    make: Callable[[], T],
    *,
    read: Callable[[Path], T],
    write: Callable[[T, Path], None],
    limit_bytes: int = LIMIT_BYTES,
) -> tuple[T, bool]:
    """What is kept under a key; if there is nothing, it is made and kept.

    Args:
        folder: of the cache; it is made when something is kept.
        key: digest of all that the result depends on.
        make: makes the result.
        read: reads it from an entry's folder.
        write: writes it to an empty folder.
        limit_bytes: size of the whole cache; what was used longest ago goes first. A result that is larger by itself is
            not kept, and nothing goes for it.

    Returns:
        The result, and whether it was kept. Where nothing can be written there is an InputWarning.
    """
    entry = folder / key
    if _is_whole(entry):
        with suppress(FileNotFoundError):  # another process has just removed it
            found = read(entry)
            with suppress(PermissionError):  # a cache that may only be read serves all the same
                os.utime(entry)
            return found, True
    made = make()
    try:
        _keep(entry, made, write, limit_bytes)
    except OSError as error:
        warnings.warn(
            f"{folder}: results cannot be kept for the next time: {error.strerror}", InputWarning, stacklevel=2
        )
    return made, False


def _is_whole(entry: Path) -> bool:
    try:
        sums = json.loads((entry / _SUMS).read_bytes())
        return isinstance(sums, dict) and all(file_sha256(entry / name) == digest for name, digest in sums.items())
    except (OSError, ValueError):
        return False


def _keep(entry: Path, made: T, write: Callable[[T, Path], None], limit_bytes: int) -> None:
    folder = entry.parent
    folder.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        write(made, part)
        sums = {path.name: file_sha256(path) for path in part.iterdir()}
        (part / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
        if _size_bytes(part) > limit_bytes:
            return
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(entry):  # else another process was a little faster
                shutil.rmtree(entry, ignore_errors=True)
                part.rename(entry)
            _prune(folder, limit_bytes)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _prune(folder: Path, limit_bytes: int) -> None:
    """Remove what was used longest ago until the rest is within the limit, and what was never finished."""
    used = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # an unfinished entry that another process has just removed
            used += [(path.stat().st_mtime, path)] if path.is_dir() else []
    used.sort()
    for last_s, path in used:
        if path.name.startswith(".") and time.time() - last_s > _ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
    entries = [path for _, path in used if not path.name.startswith(".")]
    sizes = [_size_bytes(path) for path in entries]
    excess = sum(sizes) - limit_bytes
    for path, size in zip(entries, sizes, strict=True):
        if excess <= 0:
            break
        shutil.rmtree(path)
        excess -= size


def _size_bytes(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.iterdir())
