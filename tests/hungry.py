"""A model that outgrows its memory when a test wants it to: ``--import tests.hungry``, kind ``tests.hungry:hungry``.

Otherwise it is the GPT, bit by bit. What it does is told by files in the folder that ``HUNGRY`` names, so that it
can be told to worker processes that Ray has started.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil
import torch
from torch import Tensor

from orbital_train.train.models.gpt import GPT, gpt

BITE = 16_000_000  # float32 numbers a step
ROOM_BYTES = 300_000_000  # that a process with a limit of its own may still take
FOLDER = Path(os.environ.get("HUNGRY", "/nowhere"))
_eaten: list[Tensor] = []


def hungry(*, vocabulary_size: int, layers: int, heads: int, width: int, context: int) -> GPT:
    """The GPT, which takes 64 MB more with every step while a file ``eat`` names its process, or ``all``."""
    model = gpt(vocabulary_size=vocabulary_size, layers=layers, heads=heads, width=width, context=context)
    model.register_forward_pre_hook(lambda module, inputs: _eat())
    return model


def _eat() -> None:
    told = FOLDER / "eat"
    if told.exists() and told.read_text() in ("all", str(os.getpid())):
        if not _eaten and not (FOLDER / "unlimited").exists():
            most = psutil.Process().memory_info().vms + ROOM_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        _eaten.append(torch.ones(BITE))


def keys(width: int) -> tuple[str, ...]:
    """The command line's words for it in place of the small recipe's GPT."""
    model = f'model={{kind="tests.hungry:hungry", arguments={{layers=1, heads=2, width={width}}}}}'
    return "--import", "tests.hungry", "--set", model, "--set", "data.context=16"
