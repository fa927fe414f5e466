"""``[cluster]``: what runs the training, here on Earth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orbital_train.config.tables.base import Small, Table


class Cluster(Table):
    """What runs the training, here on Earth."""

    workers: Small = 1
    """Each with one device."""
    devices_per_node: Small = 1
    """A satellite is trained by so many workers together. Part of a run's identity: other numbers give other bits."""
    within_node: Literal["data_parallel", "fsdp2"] = "data_parallel"
    """How they share the work. Each computes a part of every batch. The outer state is divided among them; with
    ``fsdp2`` parameters, gradients and the state of the inner optimizer are too."""
    threads_per_worker: Small = 1
    """Part of a run's identity: other numbers of threads give other bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    deterministic: bool = True
    address: str | None = None
    """Of a running Ray cluster, as host:port, or ``auto``; none: one is started on this machine for the run."""
    on_worker_loss: Literal["replay", "dropout"] = "replay"
    """When a worker is lost: ``replay``: all go back to the last copy of the state, another worker takes its place, and
    not a bit of the result changes. ``dropout``: the others go on; the nodes of the lost one fail, what they had not
    given counts for nothing, and they rejoin when another worker is there. The run can be repeated from its faults."""
    copy_every_s: Annotated[float, Field(gt=0.0, le=31_557_600.0)] = 10.0
    """Time between copies of the run's state in memory, from which it goes on when a worker is lost. It may be longer:
    copying takes a hundredth of the time at most."""
    checkpoint_every_s: Annotated[float, Field(gt=0.0, le=31_557_600.0)] = 60.0
    """Time between checkpoints on the disk, from which ``--resume`` goes on."""
    checkpoint_every_merges: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """A checkpoint also after so many merges of the trace, where that comes before its time."""
    keep_checkpoints: Small = 2
    """The last ones, which stay; the others are removed."""
    keep_every_h: Annotated[float, Field(gt=0.0, le=87_660.0)] | None = None
    """Of the others one for every so many hours of wall time stays too, for good."""
    checkpoint_url: Annotated[str, Field(pattern=r"^[a-z0-9+]+://.+")] | None = None
    """Where checkpoints are kept, below it by the name of the run directory: a URL that fsspec knows, as
    ``s3://bucket/path``; none: in the run directory."""
