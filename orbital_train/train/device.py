"""Device, backend and numerics of a worker, from what the machine has and what the recipe asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from orbital_train.errors import InputError
from orbital_train.train.spec import TrainSpec


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where a worker computes, and the ``torch.distributed`` backend that moves its tensors."""

    kind: Literal["cpu", "cuda"]
    backend: Literal["gloo", "nccl"]

    @property
    def name(self) -> str:
        """As reports name it: the GPU's model, or ``cpu``."""
        return torch.cuda.get_device_name() if self.kind == "cuda" else "cpu"


CPU = Device(kind="cpu", backend="gloo")
CUDA = Device(kind="cuda", backend="nccl")


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """The device of this process; ``auto`` is CUDA where there is one.

    Raises:
        InputError: CUDA was asked for and is not there (``cluster.device``).
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("cluster.device", wanted, "no CUDA device is available here; accepted: auto, cpu")
    return CUDA if wanted != "cpu" and torch.cuda.is_available() else CPU


def configure(spec: TrainSpec) -> None:
    """Set threads and determinism of this process. To be called in the thread that trains, before the first CUDA call.

    The number of threads is part of a run's identity: one and two threads sum in different orders.
    """
    # Huge pages for large tensors: to fault new memory in page by page takes longer than to add vectors up. torch reads
    # this when it first allocates.
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    torch.set_num_threads(spec.threads_per_worker)
    torch.use_deterministic_algorithms(spec.deterministic)
    if spec.deterministic:
        # cuBLAS is deterministic with a fixed workspace only; it reads this when it starts.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        # Nothing here reads memory before writing it; filling it would cost a pass over every new tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False


@contextmanager
def configured(spec: TrainSpec) -> Iterator[None]:
    """The same for a while, in a process that tries something out and then goes on as it was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only, benchmark = torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cudnn.benchmark
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    configure(spec)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = benchmark
