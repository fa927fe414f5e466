"""One rank of: a merge of one contribution a worker against ``dist.all_reduce`` of the same bytes, in turns."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from orbital_train.cluster.dist_transport import DistTransport
from orbital_train.train.everywhere import Scratch, sum_everywhere
from orbital_train.train.placement import place


def merged(vector_P: Tensor, transport: DistTransport, scratch: Scratch) -> Tensor:
    """The sum of what the workers have, on all of them, along the aligned tree."""
    nodes = tuple(range(transport.size))
    owners = place(nodes, transport.size)
    return sum_everywhere({transport.rank: vector_P}, nodes, owners, transport, vector_P.numel(), scratch)


def timed(work: Callable[[], object]) -> float:
    """Seconds until all ranks are done."""
    dist.barrier()
    begin_s = time.perf_counter()
    work()
    dist.barrier()
    return time.perf_counter() - begin_s


def main() -> None:
    rank, size, meeting, parameters, repeats = (*map(int, sys.argv[1:3]), sys.argv[3], *map(int, sys.argv[4:6]))
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    torch.set_num_threads(1)
    transport = DistTransport(rank, size)
    transport.join("gloo", meeting)
    vector_P = torch.full((parameters,), float(rank))
    reduced_P = vector_P.clone()
    scratch = Scratch(vector_P.device)
    ours, theirs = [], []
    for _ in range(repeats + 1):
        theirs.append(timed(lambda: dist.all_reduce(reduced_P)))
        ours.append(timed(lambda: merged(vector_P, transport, scratch)))
    pairs = [a / b for a, b in zip(ours[1:], theirs[1:], strict=True)]  # the first pair warms up
    medians = {"ours_s": statistics.median(ours[1:]), "theirs_s": statistics.median(theirs[1:])}
    print(json.dumps(medians | {"ratio": statistics.median(pairs), "least": min(pairs), "most": max(pairs)}))
    transport.leave()


if __name__ == "__main__":
    main()
