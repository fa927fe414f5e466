"""State as files: the bytes of a safetensors file per node, and of one with what all workers share, by name.

Equal state gives equal bytes, so that files can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy
import numpy.typing
import safetensors.torch

from orbital_train.train.state import Saved

_META = "meta"  # a safetensors file has its metadata in any order: ours is one entry

Content = numpy.typing.NDArray[numpy.uint8]  # of a file
Files = Mapping[str, Content]  # by name


def node_file(node: int, device: int = 0) -> str:
    """Name of the file of a node, or of the shard that a later one of its devices has."""
    return _file(f"node-{node:04d}", device)


def shared_file(device: int = 0) -> str:
    """Name of the file of what all workers have in common that have this place among the devices of their node."""
    return _file("shared", device)


def _file(name: str, device: int) -> str:
    return f"{name}-device-{device}.safetensors" if device else f"{name}.safetensors"


def pack(saved: Saved) -> Content:
    """The bytes of a file."""
    metadata = {_META: json.dumps(saved.meta, sort_keys=True)}
    return numpy.frombuffer(safetensors.torch.save(saved.tensors, metadata=metadata), numpy.uint8)


def unpack(content: Content) -> Saved:
    """The state in a file."""
    data = content.tobytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    return Saved(tensors=safetensors.torch.load(data), meta=json.loads(metadata[_META]))


def pack_nodes(nodes: Mapping[int, Saved]) -> Files:
    """The files of some nodes, by name."""
    return {node_file(node): pack(saved) for node, saved in nodes.items()}


def pack_shared(shared: Saved, device: int = 0) -> Files:
    """The file of shared state, by name."""
    return {shared_file(device): pack(shared)}


def unpack_nodes(files: Files, nodes: Iterable[int], device: int = 0) -> dict[int, Saved]:
    """State of those of ``nodes`` whose files are there."""
    names = {node: node_file(node, device) for node in nodes}
    return {node: unpack(files[name]) for node, name in names.items() if name in files}


def unpack_shared(files: Files, device: int = 0) -> Saved:
    """State that all workers have in common."""
    return unpack(files[shared_file(device)])
