"""Causal language models of Hugging Face's ``transformers``, all parameters of which are trained.

From a folder as ``save_pretrained`` writes it: nothing is fetched, no code that comes with a model is run, and weights
are read from safetensors only. Shape suffixes: B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orbital_train.errors import InputError


class CausalLM(nn.Module):
    """A model of ``transformers``; calling it gives the mean cross-entropy in nats per token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        """Scores of every next token."""
        logits_BTV: Tensor = self.model(input_ids=x_BT, use_cache=False).logits
        return logits_BTV

    def forward(self, x_BT: Tensor, y_BT: Tensor) -> Tensor:
        """Mean loss of predicting ``y_BT`` from ``x_BT``, a scalar."""
        return F.cross_entropy(self.logits_BTV(x_BT).flatten(0, 1).float(), y_BT.flatten())

    def save(self, folder: Path) -> None:
        """Write what ``transformers`` loads: ``config.json`` and ``model.safetensors``."""
        # In a process group rank 0 alone would write, and only one worker, any of them, is asked to.
        self.model.should_save_on_this_rank = lambda is_main_process: is_main_process
        self.model.save_pretrained(folder, max_shard_size="1TB")

    def load(self, folder: Path) -> None:
        """Read it back."""
        self.model = _pretrained(folder, self.model.config)


def hf(*, vocabulary_size: int, folder: str, weights: Literal["pretrained", "random"]) -> CausalLM:
    """The model in a folder, or one of its shape with random weights. Dropout is off: it would draw random numbers.

    Raises:
        InputError: ``transformers`` is not installed, there is no such model in the folder, or it has fewer tokens
            than the data.
    """
    transformers = _transformers()
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError("model.folder", folder, "has no config.json: it must be a folder as save_pretrained writes it")
    try:
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        for name, value in config.to_dict().items():
            if "drop" in name and isinstance(value, float):
                setattr(config, name, 0.0)
        tokens = config.get_text_config().vocab_size
        if tokens < vocabulary_size:
            problem = f"knows {tokens} tokens, and the data have {vocabulary_size}"
            raise InputError("model.folder", folder, problem)
        if weights == "pretrained" and torch.get_default_device().type != "meta":
            return CausalLM(_pretrained(path, config))
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
        return CausalLM(model)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError("model.folder", folder, f"cannot be loaded: {str(error).strip().splitlines()[0]}") from None


def _pretrained(folder: Path, config: Any) -> Any:
    model, found = _transformers().AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"its weights lack {missing[0]}")
    return model.train()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        told = "needs transformers; install it with: pip install 'orbital-train[hf]'"
        raise InputError("model.kind", "hf", told) from None
    transformers.utils.logging.disable_progress_bar()
    return transformers
