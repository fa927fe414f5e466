"""Text from a trained model, token by token. Shape suffixes: T tokens so far, V vocabulary."""

from __future__ import annotations

import torch

from orbital_train.train.protocol import Speaking


@torch.no_grad()
def sample(
    model: Speaking, prompt: list[int], *, tokens: int, context: int, temperature: float, seed: int
) -> list[int]:
    """The prompt and ``tokens`` more, each drawn given the last ``context``.

    Scores are divided by ``temperature`` before they become probabilities; at 0 the likeliest token is taken.
    """
    generator = torch.Generator().manual_seed(seed)
    text_T = list(prompt)
    for _ in range(tokens):
        logits_V = model.logits_BTV(torch.tensor([text_T[-context:]]))[0, -1]
        if temperature == 0.0:
            text_T.append(int(logits_V.argmax()))
        else:
            probability_V = torch.softmax(logits_V / temperature, dim=0)
            text_T.append(int(torch.multinomial(probability_V, 1, generator=generator)))
    return text_T
