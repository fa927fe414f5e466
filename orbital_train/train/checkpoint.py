"""Checkpoints on disk: either whole or ignored, and independent of the number of workers.

A checkpoint is a folder ``op-<cut>`` with one file per node, one of shared state and a manifest that holds the SHA-256
of each. Several workers write their nodes' files into a folder with a dotted name; one caller then commits it: the
manifest is written, everything is flushed to the disk, and the folder gets its final name in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy
import numpy.typing
import safetensors
import safetensors.torch
import torch

from orbital_train.train.state import Saved

MANIFEST = "manifest.json"
SHARED = "shared.safetensors"
PREFIX = "op-"

Content = numpy.typing.NDArray[numpy.uint8]  # of a file
Files = Mapping[str, Content]  # by name


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint holds and what it belongs to."""

    cut: int  # all operations with a lower id are done
    recipe_sha256: str
    trace_sha256: str
    metrics_bytes: int  # length of metrics.jsonl at the cut; on resume it is cut to this
    versions: dict[str, str]  # of the libraries, and the CPU; the same bits are promised for the same ones only
    files: dict[str, str]  # SHA-256 by name


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint."""

    path: Path
    manifest: Manifest

    def read_nodes(self, nodes: Iterable[int]) -> dict[int, Saved]:
        """State of those of ``nodes`` that have a replica of their own."""
        names = {node: _node_file(node) for node in nodes}
        return {node: _read(self.path / name) for node, name in names.items() if name in self.manifest.files}

    def read_shared(self) -> Saved:
        """State that all workers have in common."""
        return _read(self.path / SHARED)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder that looks like a checkpoint and is not one."""

    path: Path
    problem: str


def library_versions() -> dict[str, str]:
    """Versions of what the bits of a run depend on; ``cpu`` is the instruction set that torch computes with."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def begin(folder: Path, cut: int) -> Path:
    """An empty temporary folder for the checkpoint at this cut. No other attempt at it has the same name."""
    temporary = folder / f".{PREFIX}{cut:09d}-{secrets.token_hex(4)}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def pack_nodes(nodes: Mapping[int, Saved]) -> Files:
    """The files of some nodes, by name."""
    return {_node_file(node): _packed(saved) for node, saved in nodes.items()}


def pack_shared(shared: Saved) -> Files:
    """The file of shared state, by name."""
    return {SHARED: _packed(shared)}


def unpack_nodes(files: Files, nodes: Iterable[int]) -> dict[int, Saved]:
    """State of those of ``nodes`` whose files are there."""
    names = {node: _node_file(node) for node in nodes}
    return {node: _unpacked(files[name]) for node, name in names.items() if name in files}


def unpack_shared(files: Files) -> Saved:
    """State that all workers have in common."""
    return _unpacked(files[SHARED])


def write(temporary: Path, files: Files) -> dict[str, str]:
    """Put files on the disk; returns their SHA-256 by name.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    return {name: _write(temporary / name, content) for name, content in files.items()}


def commit(temporary: Path, manifest: Manifest) -> Path:
    """Make the checkpoint whole, replacing an earlier one at the same cut; returns its final path."""
    content = asdict(manifest)
    (temporary / MANIFEST).write_text(json.dumps({**content, "sha256": _digest(content)}, indent=1), encoding="utf-8")
    _flush(temporary / MANIFEST)
    _flush(temporary)
    final = temporary.with_name(temporary.name.removeprefix(".").rpartition("-")[0])
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    _flush(final.parent)
    return final


def newest_whole(folder: Path) -> tuple[Checkpoint | None, tuple[Broken, ...]]:
    """The whole checkpoint with the largest cut, and the broken ones that were passed over to find it."""
    broken: list[Broken] = []
    for path in _newest_first(folder):
        found = _check(path)
        if isinstance(found, Checkpoint):
            return found, tuple(broken)
        broken.append(found)
    return None, tuple(broken)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest checkpoints, and what an interrupted writer left."""
    for path in (*_newest_first(folder)[keep:], *folder.glob(f".{PREFIX}*")):
        shutil.rmtree(path)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*"), reverse=True)  # cuts are padded with zeros


def _check(path: Path) -> Checkpoint | Broken:
    """Compare a checkpoint with its manifest, down to every byte."""
    try:
        content = json.loads((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return Broken(path=path, problem=f"has no {MANIFEST}")
    except ValueError:
        return Broken(path=path, problem=f"{MANIFEST} is not JSON")
    if not isinstance(content, dict) or content.pop("sha256", None) != _digest(content):
        return Broken(path=path, problem=f"{MANIFEST} was changed")
    if content.keys() != {field.name for field in fields(Manifest)}:
        return Broken(path=path, problem=f"{MANIFEST} has the fields of another version")
    manifest = Manifest(**content)
    for name, sha256 in manifest.files.items():
        if not (path / name).exists():
            return Broken(path=path, problem=f"{name} is missing")
        if _sha256(path / name) != sha256:
            return Broken(path=path, problem=f"{name} was changed")
    return Checkpoint(path=path, manifest=manifest)


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _node_file(node: int) -> str:
    return f"node-{node:04d}.safetensors"


def _packed(saved: Saved) -> Content:
    metadata = {name: str(value) for name, value in saved.meta.items()}
    return numpy.frombuffer(safetensors.torch.save(saved.tensors, metadata=metadata), numpy.uint8)


def _unpacked(content: Content) -> Saved:
    """Tensors of a safetensors file in memory, and the integers among its metadata."""
    data = content.tobytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return Saved(tensors=safetensors.torch.load(data), meta={name: int(value) for name, value in metadata.items()})


def _write(path: Path, content: Content) -> str:
    with path.open("xb") as file:
        file.write(content.data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content.data).hexdigest()


def _read(path: Path) -> Saved:
    return _unpacked(numpy.fromfile(path, numpy.uint8))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
