"""Checkpoints: either whole or ignored, and independent of the number of workers.

A checkpoint is a folder with one file per node, one of shared state, and a manifest that holds the SHA-256 of each;
where nodes span several devices, one file for each device's shard.
Several workers write their nodes' files into a folder that was begun; one caller then commits it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy
import safetensors
import torch

from orbital_train.errors import InputError
from orbital_train.train.checkpoint_store import MANIFEST, Store
from orbital_train.train.packing import Files, node_file, shared_file, unpack
from orbital_train.train.state import Saved

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint holds and what it belongs to."""

    format: int = FORMAT
    cut: int  # all operations with a lower id are done
    recipe_sha256: str
    trace_sha256: str
    metrics_bytes: int  # length of metrics.jsonl at the cut; on resume it is cut to this
    written_s: float  # when, in seconds since 1970 (UTC)
    versions: dict[str, str]  # of the libraries, and the CPU; the same bits are promised for the same ones only
    files: dict[str, str]  # SHA-256 by name


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint."""

    store: Store
    name: str
    manifest: Manifest

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"

    def read_nodes(self, nodes: Iterable[int], device: int = 0) -> dict[int, Saved]:
        """State of those of ``nodes`` that have a replica of their own, as one of their devices has it."""
        names = {node: node_file(node, device) for node in nodes}
        return {node: self._read(name) for node, name in names.items() if name in self.manifest.files}

    def read_shared(self, device: int = 0) -> Saved:
        """State that all workers have in common, as those at one place among the devices of their nodes have it."""
        return self._read(shared_file(device))

    def _read(self, file: str) -> Saved:
        return unpack(self.store.read(self.name, file))


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder that looks like a checkpoint and is not one that can be used."""

    store: Store
    name: str
    problem: str
    other_format: bool = False  # another version of the program may use it

    def __str__(self) -> str:
        return f"{self.store}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which checkpoints stay."""

    last: int
    every_s: float | None = None  # beside the last ones, those that are at least so far apart


def library_versions() -> dict[str, str]:
    """Versions of what the bits of a run depend on; ``cpu`` is the instruction set that torch computes with."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def write(store: Store, folder: str, files: Files, previous: Checkpoint | None = None) -> dict[str, str]:
    """Put files into a folder that was begun; those that are as in the previous checkpoint are taken from there.

    Returns:
        SHA-256 of the files, by name.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    found = {}
    for name, content in files.items():
        found[name] = sha256 = hashlib.sha256(content.data).hexdigest()
        same = previous is not None and previous.manifest.files.get(name) == sha256
        if not (same and previous and store.reuse(previous.name, folder, name, sha256)):
            store.write(folder, name, content)
    return found


def commit(store: Store, folder: str, manifest: Manifest) -> Checkpoint:
    """Make the checkpoint whole, replacing an earlier one at the same cut."""
    content = asdict(manifest)
    text = json.dumps({**content, "sha256": _digest(content)}, indent=1)
    return Checkpoint(store=store, name=store.commit(folder, text.encode()), manifest=manifest)


def newest_whole(store: Store) -> tuple[Checkpoint | None, tuple[Broken, ...]]:
    """The whole checkpoint with the largest cut, and the broken ones that were passed over to find it.

    Raises:
        InputError: one was written by another version of the program (``checkpoint``).
    """
    broken: list[Broken] = []
    for found in examine(store):
        if isinstance(found, Checkpoint):
            return found, tuple(broken)
        if found.other_format:
            raise InputError("checkpoint", str(found), f"{found.problem}; go on with the version that wrote it")
        broken.append(found)
    return None, tuple(broken)


def examine(store: Store) -> Iterator[Checkpoint | Broken]:
    """Compare every checkpoint with its manifest, down to every byte; those with the largest cut come first."""
    return (_check(store, name) for name in store.names())


def prune(store: Store, keep: Keep) -> None:
    """Remove all but the checkpoints to keep, and what an interrupted writer left."""
    found = {name: _manifest(store, name) for name in store.names()}
    times_s = {name: manifest.written_s for name, manifest in found.items() if isinstance(manifest, Manifest)}
    stay = kept(list(times_s.items()), keep)
    for name in (*(name for name in found if name not in stay), *store.unfinished()):
        store.remove(name)


def kept(newest_first: Sequence[tuple[str, float]], keep: Keep) -> set[str]:
    """Names of checkpoints that stay, given their names and when they were written.

    What is kept for its distance from the one before stays so, whatever is written later.
    """
    stay = {name for name, _ in newest_first[: keep.last]}
    if keep.every_s is not None:
        last_s = -float("inf")
        for name, written_s in reversed(newest_first):
            if written_s - last_s >= keep.every_s:
                stay.add(name)
                last_s = written_s
    return stay


def _check(store: Store, name: str) -> Checkpoint | Broken:
    manifest = _manifest(store, name)
    if isinstance(manifest, Broken):
        return manifest
    for file, sha256 in manifest.files.items():
        try:
            content = store.read(name, file)
        except FileNotFoundError:
            return Broken(store=store, name=name, problem=f"{file} is missing")
        if hashlib.sha256(content.data).hexdigest() != sha256:
            return Broken(store=store, name=name, problem=f"{file} was changed")
    return Checkpoint(store=store, name=name, manifest=manifest)


def _manifest(store: Store, name: str) -> Manifest | Broken:
    try:
        content = json.loads(store.read(name, MANIFEST).tobytes())
    except FileNotFoundError:
        return Broken(store=store, name=name, problem=f"has no {MANIFEST}")
    except ValueError:
        return Broken(store=store, name=name, problem=f"{MANIFEST} is not JSON")
    if not isinstance(content, dict) or content.pop("sha256", None) != _digest(content):
        return Broken(store=store, name=name, problem=f"{MANIFEST} was changed")
    if content.get("format") != FORMAT:
        problem = f"has format {content.get('format', 0)}, and this version of the program reads format {FORMAT}"
        return Broken(store=store, name=name, problem=problem, other_format=True)
    return Manifest(**content)


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
