"""What a run will need, before any worker starts: parameters, memory and disk. Needs no torch.

Everything that scales with the model is float32. Per node: parameters, two AdamW moments, a snapshot and a mark, i.e.
5 P; a sum formed on the way takes the place of a snapshot that went into it. Per worker: the gradient, the sum of a
merge and its buffers, i.e. 3 P; two P (parameters, momentum) for every version of the global model held at once; 3 P
for every earlier state of a replica that its node will go back to after a failure, and for the synchronous replica, if
there is one. Activations come on top, once per worker, since its nodes train in turn.
"""

from __future__ import annotations

from orbital_train.train.spec import ModelSpec

FLOAT_BYTES = 4
NODE_VECTORS = 5
WORKER_VECTORS = 3
VERSION_VECTORS = 2
REPLICA_VECTORS = 3
# Activations that a block keeps for the backward pass, in widths per token: two norms' inputs and outputs (4), queries,
# keys and values (3), attention's output and its projection (2), the expanded layer before and after GELU (8), its
# contraction (1).
BLOCK_WIDTHS = 18
LOGIT_COPIES = 3  # the logits, their log-softmax, and the gradient


def parameter_count(model: ModelSpec, vocabulary: int) -> int:
    """Parameters of the GPT of ``model.py``: tied embeddings, positions, 12 C^2 + 2 C per block, the last norm."""
    block = 12 * model.width**2 + 2 * model.width
    return (vocabulary + model.context + 1) * model.width + model.layers * block


def worker_bytes(
    model: ModelSpec, vocabulary: int, batch_size: int, *, nodes: int, versions: int, states: int, synchronous: bool
) -> int:
    """Memory of a worker's device, by the formula above.

    Args:
        model: the trained model.
        vocabulary: characters of the corpus.
        batch_size: sequences per node and step.
        nodes: replicas on the worker.
        versions: of the global model, held at once (``liveness.peak_versions``), and of nodes' own in gossip.
        states: of replicas, kept at once on the worker (``liveness.peak_states`` at most).
        synchronous: whether the trace has synchronous steps.
    """
    vectors = _state_vectors(nodes, versions, states + synchronous) + WORKER_VECTORS
    return FLOAT_BYTES * (vectors * parameter_count(model, vocabulary) + _activations(model, vocabulary, batch_size))


def checkpoint_bytes(
    model: ModelSpec, vocabulary: int, *, nodes: int, versions: int, states: int, synchronous: bool
) -> int:
    """Disk that one checkpoint takes at most; ``nodes`` are those of the whole fleet with a replica of their own."""
    return FLOAT_BYTES * _state_vectors(nodes, versions, states + synchronous) * parameter_count(model, vocabulary)


def _state_vectors(nodes: int, versions: int, replicas: int) -> int:
    return NODE_VECTORS * nodes + VERSION_VECTORS * versions + REPLICA_VECTORS * replicas


def _activations(model: ModelSpec, vocabulary: int, batch_size: int) -> int:
    """Floats kept for one batch's backward pass (attention is not materialised)."""
    per_token = model.layers * BLOCK_WIDTHS * model.width + LOGIT_COPIES * vocabulary
    return batch_size * model.context * per_token
