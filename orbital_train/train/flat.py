"""All parameters and buffers of a replica as one flat float32 vector, of which every tensor is a view.

Snapshots, merges and adoptions then are single vector operations. Suffix P: all of the model; F: one fragment.
Matrices come first, so that weight decay, which is for matrices only, covers one stretch; then other parameters, then
floating buffers (as BatchNorm's statistics), then integer ones (as its count of batches; exact up to 2^24).

A fragment is a set of whole tensors: a few stretches of the vector, which one after the other are its own vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from orbital_train.errors import InputError
from orbital_train.schedule.values import Part


def refuse_too_many(fragments: int, tensors: int) -> None:
    """Refuse more fragments than a model has tensors.

    Raises:
        InputError: key ``schedule.fragments``.
    """
    if fragments > tensors:
        problem = f"a fragment is made of whole tensors, and the model has {tensors}; take at most that many"
        raise InputError("schedule.fragments", fragments, problem)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where every named tensor lies in the vector; the same for all replicas of a model."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    dtypes: tuple[torch.dtype, ...]  # in the module
    matrices: int  # parameters with two or more dimensions, which come first
    parameters: int  # all of them; behind them are the buffers
    matrix_size: int  # elements of the matrices
    trained: int  # elements of all parameters
    averaged: int  # elements of all that is floating; behind them are the integer buffers
    embeddings: frozenset[str]  # matrices of which a batch uses single rows
    members: tuple[tuple[int, ...], ...]  # the tensors of each fragment, by their place in ``names``
    fragments: tuple[tuple[slice, ...], ...]  # the stretches of each fragment

    @classmethod
    def of(cls, module: nn.Module, fragments: int = 1) -> Layout:
        """Layout of a module: matrices, vectors and buffers that it saves, each in the module's own order.

        Fragments have about equal sizes: the largest tensor left goes to the fragment that is the smallest so far.

        Raises:
            InputError: there are more fragments than parameters (``schedule.fragments``).
        """
        named = sorted(module.named_parameters(), key=lambda item: item[1].dim() < 2)
        refuse_too_many(fragments, len(named))
        buffers = sorted(saved_buffers(module).items(), key=lambda item: not item[1].is_floating_point())
        tensors = [*named, *buffers]
        sizes = [tensor.numel() for _, tensor in tensors]
        trained = sum(p.numel() for _, p in named)
        matrices = [p for _, p in named if p.dim() >= 2]
        members = _packed(sizes, fragments)
        return cls(
            names=tuple(name for name, _ in tensors),
            shapes=tuple(tensor.shape for _, tensor in tensors),
            dtypes=tuple(tensor.dtype for _, tensor in tensors),
            matrices=len(matrices),
            parameters=len(named),
            matrix_size=sum(p.numel() for p in matrices),
            trained=trained,
            averaged=trained + sum(b.numel() for _, b in buffers if b.is_floating_point()),
            embeddings=frozenset(
                f"{n}.weight".lstrip(".") for n, m in module.named_modules() if isinstance(m, nn.Embedding)
            ),
            members=members,
            fragments=tuple(stretches_of(sizes, tensors) for tensors in members),
        )

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(shape.numel() for shape in self.shapes)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.names[: self.parameters]

    @property
    def buffer_names(self) -> tuple[str, ...]:
        """Names of the buffers."""
        return self.names[self.parameters :]

    def fragment_size(self, fragment: int) -> int:
        """Length of the vector of a fragment."""
        return _length_below(self.fragments[fragment], self.size)

    def fragment_trained(self, fragment: int) -> int:
        """Elements of a fragment's parameters; behind them are its buffers."""
        return _length_below(self.fragments[fragment], self.trained)

    def fragment_averaged(self, fragment: int) -> int:
        """Elements of all that is floating of a fragment; behind them are its integer buffers."""
        return _length_below(self.fragments[fragment], self.averaged)

    def part(self, fragment: int, part: Part) -> slice:
        """Where one part (number, of how many) of the vector of a fragment lies in it; parts differ by at most one."""
        (number, parts), size = part, self.fragment_size(fragment)
        return slice(number * size // parts, (number + 1) * size // parts)

    def take(self, flat_P: Tensor, fragment: int) -> Tensor:
        """The vector of a fragment: a view where it is one stretch, a copy where it is several."""
        stretches = self.fragments[fragment]
        return flat_P[stretches[0]] if len(stretches) == 1 else torch.cat([flat_P[where] for where in stretches])

    def put(self, flat_P: Tensor, fragment: int, fragment_F: Tensor) -> None:
        """Write the vector of a fragment into that of the model."""
        stretches = self.fragments[fragment]
        parts = torch.split(fragment_F, [where.stop - where.start for where in stretches])
        for where, part in zip(stretches, parts, strict=True):
            flat_P[where].copy_(part)

    def views(self, flat_P: Tensor) -> dict[str, Tensor]:
        """The named tensors of a vector, sharing its memory; a vector may end behind the parameters."""
        ends = list(accumulate(shape.numel() for shape in self.shapes))
        starts = [0, *ends[:-1]]
        parts = zip(self.names, starts, ends, self.shapes, strict=True)
        return {name: flat_P[start:end].view(shape) for name, start, end, shape in parts if end <= flat_P.numel()}

    def tensors(self, flat_P: Tensor) -> dict[str, Tensor]:
        """The same as the module has them: integers as such."""
        kinds = zip(self.views(flat_P).items(), self.dtypes, strict=True)
        return {name: view if dtype.is_floating_point else view.round().to(dtype) for (name, view), dtype in kinds}


def saved_buffers(module: nn.Module) -> dict[str, Tensor]:
    """The buffers of a module that are part of its state; others are constants, as tables of positions."""
    state = module.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in module.named_buffers() if name in state}


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and saved buffers of a module."""
    return {**dict(module.named_parameters()), **saved_buffers(module)}


def flatten(module: nn.Module, layout: Layout) -> Tensor:
    """A new vector with the module's parameters and buffers, on their device."""
    named = named_tensors(module)
    return torch.cat([named[name].detach().float().flatten() for name in layout.names])


def _length_below(stretches: Sequence[slice], end: int) -> int:
    return sum(max(0, min(where.stop, end) - where.start) for where in stretches)


def _packed(sizes: Sequence[int], bins: int) -> tuple[tuple[int, ...], ...]:
    """Indices of ``sizes``, dealt to bins of about equal sums; equal ones go by their order, to the first such bin."""
    packed: list[list[int]] = [[] for _ in range(bins)]
    sums = [0] * bins
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        smallest = sums.index(min(sums))
        packed[smallest].append(index)
        sums[smallest] += sizes[index]
    return tuple(tuple(sorted(indices)) for indices in packed)


def stretches_of(sizes: Sequence[int], tensors: Sequence[int]) -> tuple[slice, ...]:
    """Where some tensors lie in the vector of all, whose sizes are given; neighbours are one stretch."""
    ends = list(accumulate(sizes))
    stretches: list[slice] = []
    for tensor in tensors:
        start, end = ends[tensor] - sizes[tensor], ends[tensor]
        if stretches and stretches[-1].stop == start:
            start = stretches.pop().start
        stretches.append(slice(start, end))
    return tuple(stretches)
