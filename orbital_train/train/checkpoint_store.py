"""Where the checkpoints of a run are kept: a folder on a disk, or a URL of an object store.

A checkpoint is a folder of files. It is whole once it has its manifest, which is written last. On a disk all of it gets
its final name in one step; object stores cannot rename, and there a folder without a manifest is not a checkpoint yet.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fsspec
import numpy

from orbital_train.train.packing import Content

MANIFEST = "manifest.json"
PREFIX = "op-"


class Store(Protocol):
    """Folders of files. Every method raises OSError where the place cannot be read or written."""

    def names(self) -> list[str]:
        """Folders of checkpoints, those with the largest cut first."""

    def unfinished(self) -> list[str]:
        """Folders that were begun and never committed."""

    def begin(self, cut: int) -> str:
        """A new folder for the checkpoint at a cut. No other attempt at it has the same name."""

    def write(self, folder: str, file: str, content: Content) -> None:
        """Write one file."""

    def reuse(self, source: str, folder: str, file: str, sha256: str) -> bool:
        """Take a file with this digest over from another folder, without its bytes; False if that cannot be done."""

    def commit(self, folder: str, manifest: bytes) -> str:
        """Make a folder a checkpoint; returns its final name."""

    def read(self, folder: str, file: str) -> Content:
        """Content of a file; FileNotFoundError if there is no such file."""

    def size_bytes(self, folder: str) -> int:
        """Of all its files together."""

    def remove(self, folder: str) -> None:
        """Remove a folder."""

    def discard(self, folder: str) -> None:
        """Remove a folder that was begun, as far as possible; what stays of it is :meth:`unfinished`."""


@dataclass(frozen=True)
class DiskStore:
    """A folder on a disk. Files that a checkpoint shares with the one before are hard links."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def names(self) -> list[str]:
        """Folders of checkpoints, those with the largest cut first."""
        found = (path.name for path in self.folder.glob(f"{PREFIX}[0-9]*") if path.is_dir())
        return sorted(found, reverse=True)  # cuts are padded with zeros

    def unfinished(self) -> list[str]:
        """Folders that were begun: their names start with a dot."""
        return [path.name for path in self.folder.glob(f".{PREFIX}*")]

    def begin(self, cut: int) -> str:
        """A new folder, with a dotted name."""
        name = f".{_attempt(cut)}"
        (self.folder / name).mkdir(parents=True)
        return name

    def write(self, folder: str, file: str, content: Content) -> None:
        """Write one file, down to the disk."""
        with (self.folder / folder / file).open("xb") as opened:
            opened.write(content.data)
            opened.flush()
            os.fsync(opened.fileno())

    def reuse(self, source: str, folder: str, file: str, sha256: str) -> bool:
        """Link a file, unless it is not what it was, or the file system has no links."""
        old = self.folder / source / file
        try:
            if _sha256(old) != sha256:
                return False
            (self.folder / folder / file).hardlink_to(old)
        except OSError:
            return False
        return True

    def commit(self, folder: str, manifest: bytes) -> str:
        """Write the manifest and rename the folder, replacing an earlier checkpoint at the same cut."""
        temporary = self.folder / folder
        self.write(folder, MANIFEST, numpy.frombuffer(manifest, numpy.uint8))
        _flush(temporary)
        final = temporary.with_name(folder.removeprefix(".").rpartition("-")[0])
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        _flush(self.folder)
        return final.name

    def read(self, folder: str, file: str) -> Content:
        """Content of a file."""
        return numpy.fromfile(self.folder / folder / file, numpy.uint8)

    def size_bytes(self, folder: str) -> int:
        """Of all its files; those that are links too."""
        return sum(path.stat().st_size for path in (self.folder / folder).iterdir())

    def remove(self, folder: str) -> None:
        """Remove a folder."""
        shutil.rmtree(self.folder / folder)

    def discard(self, folder: str) -> None:
        """Remove what was begun, as far as possible."""
        shutil.rmtree(self.folder / folder, ignore_errors=True)


@dataclass(frozen=True)
class ObjectStore:
    """A URL that fsspec knows. Files that a checkpoint shares with the one before are copied where they lie."""

    url: str

    def __str__(self) -> str:
        return self.url

    def names(self) -> list[str]:
        """Folders with a manifest, those with the largest cut first."""
        return sorted((name for name, files in self._folders().items() if MANIFEST in files), reverse=True)

    def unfinished(self) -> list[str]:
        """Folders without a manifest."""
        return [name for name, files in self._folders().items() if MANIFEST not in files]

    def begin(self, cut: int) -> str:
        """A new folder with its final name."""
        name = _attempt(cut)
        with self._opened() as (files, root):
            files.makedirs(f"{root}/{name}", exist_ok=True)
        return name

    def write(self, folder: str, file: str, content: Content) -> None:
        """Write one object."""
        with self._opened() as (files, root):
            files.pipe_file(f"{root}/{folder}/{file}", content.tobytes())

    def reuse(self, source: str, folder: str, file: str, sha256: str) -> bool:
        """Copy an object within the store, which checks its objects itself."""
        with self._opened() as (files, root):
            try:
                files.cp_file(f"{root}/{source}/{file}", f"{root}/{folder}/{file}")
            except FileNotFoundError:
                return False
        return True

    def commit(self, folder: str, manifest: bytes) -> str:
        """Write the manifest."""
        self.write(folder, MANIFEST, numpy.frombuffer(manifest, numpy.uint8))
        return folder

    def read(self, folder: str, file: str) -> Content:
        """Content of an object."""
        with self._opened() as (files, root):
            return numpy.frombuffer(files.cat_file(f"{root}/{folder}/{file}"), numpy.uint8)

    def size_bytes(self, folder: str) -> int:
        """Of all its objects."""
        with self._opened() as (files, root):
            return int(files.du(f"{root}/{folder}"))

    def remove(self, folder: str) -> None:
        """Remove a folder; its manifest first, so that it is not a checkpoint any more."""
        with self._opened() as (files, root):
            with suppress(FileNotFoundError):
                files.rm_file(f"{root}/{folder}/{MANIFEST}")
            files.rm(f"{root}/{folder}", recursive=True)

    def discard(self, folder: str) -> None:
        """Remove what was begun, as far as possible."""
        with suppress(OSError):
            self.remove(folder)

    def _folders(self) -> dict[str, set[str]]:
        """Names of the files of all folders."""
        found: dict[str, set[str]] = {}
        with self._opened() as (files, root):
            files.invalidate_cache()
            for path in files.find(root):
                folder, _, file = path.removeprefix(root).strip("/").partition("/")
                if folder.startswith(PREFIX):
                    found.setdefault(folder, set()).add(file)
        return found

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path of the URL on it; its own errors are told as OSError, of which it is one."""
        try:
            files, root = fsspec.url_to_fs(self.url)
            yield files, root.rstrip("/")
        except OSError:
            raise
        except Exception as error:  # every kind of store has errors of its own
            raise OSError(errno.EIO, str(error).splitlines()[0]) from error


def store_at(url: str | None, folder: Path) -> Store:
    """The store of a URL; ``file://`` is a folder on a disk, and so is none: ``folder``."""
    if url is None:
        return DiskStore(folder)
    return DiskStore(Path(url.removeprefix("file://"))) if url.startswith("file://") else ObjectStore(url.rstrip("/"))


def _attempt(cut: int) -> str:
    return f"{PREFIX}{cut:09d}-{secrets.token_hex(4)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Wait until a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
