"""Names of the values of a trace. Each is written once:

- ``global/F@V``: version V of fragment F of the global model, with its outer optimizer state. Version 0 is given.
- ``local/N@K``: the K-th state of node N's replica and inner optimizer. State 0 is given (it equals version 0).
- ``snap/N/F@K``: node N's outer gradient of fragment F, taken when its replica was in state K.
- ``sum/N/F@K``: the K-th sum of outer gradients of fragment F that was formed at node or site N.
- ``group/G/N/F@V``: group G's outer gradient of fragment F, taken at node N when the group's model was version V. Where
  there are groups, ``global`` has the versions of their models too: all are one tree.
- ``own/N/F@V``: version V of fragment F of node N's own slow weights, with an outer optimizer state of its own, where
  there is no global model (gossip). Version 0 is given (it equals version 0 of the global model).

A name that ends in ``#c/C`` is that of part c of C equal parts: of an outer gradient on its way, or of a sum of such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Part = tuple[int, int]
"""Number, of how many equal parts of a vector."""
WHOLE: Part = (0, 1)
OwnVersions = tuple[tuple[int, ...], ...]
"""Of each node: its number, and the version of each fragment of its own slow weights."""
GLOBAL: Final = "global"  # the scope of the global model


def group_scope(group: int) -> str:
    """The scope of the model of a group."""
    return f"group/{group}"


def own_scope(node: int) -> str:
    """The scope of a node's own slow weights."""
    return f"own/{node}"


def version_value(scope: str, fragment: int, version: int) -> str:
    """Name of a version of a fragment of a scope's model."""
    return f"{scope}/{fragment}@{version}"


def global_value(fragment: int, version: int) -> str:
    """Name of a version of a fragment of the global model."""
    return version_value(GLOBAL, fragment, version)


def local_value(node: int, state: int) -> str:
    """Name of a state of a node's replica."""
    return f"local/{node}@{state}"


def snapshot_value(node: int, fragment: int, state: int) -> str:
    """Name of an outer gradient, taken from a node's replica in this state."""
    return f"snap/{node}/{fragment}@{state}"


def group_snapshot_value(group: int, node: int, fragment: int, version: int) -> str:
    """Name of a group's outer gradient, taken at one of its nodes when its model was this version."""
    return f"group/{group}/{node}/{fragment}@{version}"


def sum_value(site: int, fragment: int, number: int) -> str:
    """Name of a partial sum."""
    return f"sum/{site}/{fragment}@{number}"


def part_value(value: str, part: Part) -> str:
    """Name of a part (number, of how many) of a value; of the only part, and of what is that part, its own name."""
    number, parts = part
    return value if parts == 1 or "#" in value else f"{value}#{number}/{parts}"


def part_of(value: str) -> Part:
    """Which part of how many a name stands for: the first of one where it stands for the whole."""
    number, _, parts = value.partition("#")[2].partition("/")
    return (int(number), int(parts)) if parts else WHOLE


def parts_of(values: Iterable[str]) -> list[Part]:
    """The parts that these stand for together, in their order; those of nothing are the whole."""
    return sorted({part_of(value) for value in values} or {WHOLE})


def result_value(fragment: int, version: int) -> str:
    """Name of the averaged outer gradient that made a version, as it is sent to those that apply it."""
    return f"result/{fragment}@{version}"


def state_value(fragment: int, version: int) -> str:
    """Name of a version's parameters, as they are sent to those that hold no version before it."""
    return f"state/{fragment}@{version}"


def offer_value(node: int, fragment: int, state: int) -> str:
    """Name of what a node sends to one that it mixes with: its outer gradient, and the slow weights it started from."""
    return f"offer/{node}/{fragment}@{state}"


def restored_value(node: int, request: int) -> str:
    """Name of the copy of the whole model that a node is sent when it asks for one, for the ``request``-th time."""
    return f"restored/{node}@{request}"


FIRST_MODEL = "stage/model"  # as it is sent up to all nodes


def data_value(node: int) -> str:
    """Name of a node's own training data, as it is sent up."""
    return f"stage/data/{node}"


def final_value(versions: tuple[int, ...]) -> str:
    """Name of the final model, as it is sent down."""
    return "final/" + "/".join(map(str, versions))


def own_values(own: OwnVersions) -> tuple[str, ...]:
    """Names of the slow weights of nodes."""
    return tuple(version_value(own_scope(node), f, v) for node, *versions in own for f, v in enumerate(versions))
