"""What a run will need, before any worker starts: memory and disk. Needs no torch.

Everything that scales with the model is float32. Per node: parameters, two AdamW moments, a snapshot and a mark, i.e.
5 P; a sum formed on the way takes the place of a snapshot that went into it, and both are less where their codec makes
them smaller. P for what a codec left out and will be sent later. Per worker: the gradient and, of a merge, the sum, the
part of it of its own nodes, and what it hears of the others', i.e. 4 P; two P (parameters, momentum; three with outer
AdamW or delayed momentum) for every version of the global model held at once; 3 P for every earlier state of a replica
that its node will go back to after a failure, and for the synchronous replica, if there is one. Other inner optimizers
take as much as AdamW or less. Activations come on top, once per worker, since its nodes train in turn; they are those
of a micro-batch.

Where a node spans several devices each has a part of all this, of equal size, and beside it, whole: with
``data_parallel`` the state of the inner optimizer, the parameters of the node that trains, their gradient, and what
comes of the other devices' when they are gathered; with ``fsdp2`` at most the parameters and their gradient, of the
layers that compute at a time, and a part more of the parameters, those of the module.

Where that is more than a GPU has, replicas are there by turns, and the 3 P each of the others are in host memory.

A cut, in memory or on the disk, has all of it but what is per worker, and the versions once. In memory there are the
last whole cut, the one that is being gathered, and one on its way to the disk; while it is being packed, a cut is in
the workers too.
"""

from __future__ import annotations

from orbital_train.train.spec import OuterSpec

FLOAT_BYTES = 4
NODE_VECTORS = 5
WORKER_VECTORS = 4
REPLICA_VECTORS = 3
INNER_VECTORS = 2  # of those of a node, or of a replica: the state of the inner optimizer
GATHERED_VECTORS, GATHERED_IN_LAYERS = 3, 2  # where a node spans several devices; with fsdp2, at most
STORED_CUTS = 3
PACKED_CUTS = 1
LEAST_STORE_BYTES = 200 * 2**20  # of Ray's object store, for everything else that goes through it


def version_vectors(outer: OuterSpec) -> int:
    """Vectors of a version of the global model: its parameters and the state of the outer optimizer."""
    return 3 if outer.optimizer == "adamw" or outer.delay_merges != 1 else 2


def worker_bytes(
    parameters: int,
    activation_bytes: int,
    *,
    nodes: int,
    versions: int,
    version_vectors: int,
    states: int,
    residuals: int,
    synchronous: bool,
    devices: int = 1,
    sharded: bool = False,
) -> int:
    """Memory of a worker's device, by the formula above.

    Args:
        parameters: of the trained model.
        activation_bytes: kept for the backward pass of what goes through the model at once.
        nodes: replicas on the worker.
        versions: of the global model, held at once (``liveness.peak_versions``), and of nodes' own in gossip.
        version_vectors: of each.
        states: of replicas, kept at once on the worker (``liveness.peak_states`` at most).
        residuals: held at once on the worker (``liveness.peak_residuals`` at most).
        synchronous: whether the trace has synchronous steps.
        devices: of a node.
        sharded: whether these divide the parameters and the state of the inner optimizer among them.
    """
    replicas, versions_of_all = states + synchronous, versions * version_vectors + residuals
    vectors = _state_vectors(nodes, versions_of_all, replicas) + WORKER_VECTORS
    if devices == 1:
        return FLOAT_BYTES * vectors * parameters + activation_bytes
    inner = INNER_VECTORS * (nodes + replicas)
    whole = GATHERED_IN_LAYERS if sharded else GATHERED_VECTORS + inner
    divided = vectors + 1 if sharded else vectors - inner
    return FLOAT_BYTES * parameters * (divided + devices * whole) // devices + activation_bytes


def replica_bytes(parameters: int) -> int:
    """A replica with the state of its inner optimizer: what of a node can wait in host memory."""
    return REPLICA_VECTORS * FLOAT_BYTES * parameters


def places(needed: int, free: int, parameters: int, nodes: int) -> int | None:
    """Replicas that fit onto a device with the rest of what a worker needs; None if all ``nodes`` do."""
    return None if needed <= free else nodes - -(-(needed - free) // replica_bytes(parameters))


def checkpoint_bytes(
    parameters: int,
    *,
    nodes: int,
    versions: int,
    version_vectors: int,
    states: int,
    residuals: int,
    synchronous: bool,
    devices: int = 1,
    sharded: bool = False,
) -> int:
    """A cut: what one checkpoint takes at most; ``nodes`` are those of the whole fleet with a replica of their own."""
    replicas = states + synchronous
    copies = 0 if sharded else (devices - 1) * INNER_VECTORS * (nodes + replicas)  # every device has one
    vectors = _state_vectors(nodes, versions * version_vectors + residuals, replicas) + copies
    return FLOAT_BYTES * vectors * parameters


def object_store_bytes(cut_bytes: int) -> int:
    """Shared memory for the copies of the state, with a tenth for what goes with each object."""
    return LEAST_STORE_BYTES + STORED_CUTS * cut_bytes * 11 // 10


def copies_bytes(cut_bytes: int) -> int:
    """Memory for copies of the state, where one machine has all of them."""
    return (STORED_CUTS + PACKED_CUTS) * cut_bytes


def _state_vectors(nodes: int, others: int, replicas: int) -> int:
    return NODE_VECTORS * nodes + others + REPLICA_VECTORS * replicas
