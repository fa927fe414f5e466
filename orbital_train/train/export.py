"""The final model as files that others read."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from orbital_train.train.protocol import Stored

WEIGHTS = "model.safetensors"


def write_model(module: nn.Module, folder: Path) -> None:
    """Write ``model.safetensors`` with the tensors of the module's ``state_dict``, unless it has a form of its own.

    OSError if the disk is full or may not be written.
    """
    if isinstance(module, Stored):
        try:
            module.save(folder)
        except SafetensorError as error:  # its only word for what the system refused
            raise OSError(str(error)) from None
        return
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
    temporary = folder / f".{WEIGHTS}"
    temporary.write_bytes(save(tensors, metadata={"format": "pt"}))
    temporary.replace(folder / WEIGHTS)


def read_model(module: nn.Module, folder: Path) -> None:
    """Give a module the parameters and buffers that :func:`write_model` wrote."""
    if isinstance(module, Stored):
        module.load(folder)
        return
    module.load_state_dict(load_file(folder / WEIGHTS))
