"""A merge of one contribution a worker against ``dist.all_reduce`` of the same bytes, in turns, over the loopback."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor

from orbital_train.cluster.dist_transport import DistTransport
from orbital_train.train.everywhere import sum_everywhere
from orbital_train.train.placement import place
from orbital_train.train.scratch import Scratch
from scripts.train_bench.ranks import arguments, launch
from scripts.train_bench.table import Row

TARGETS = {2: 1.4, 4: 1.2}  # by the number of workers


def rows(repeats: int, parameters: int) -> Iterator[Row]:
    """For both numbers of workers."""
    for workers, target in TARGETS.items():
        found = launch("scripts.train_bench.merge", workers, [str(parameters), str(repeats)])[0]
        cpu = found["ours_cpu_s"] / found["theirs_cpu_s"]
        note = (
            f"{parameters / 1e6:g} M float32; all_reduce {min(found['theirs_s']):.2f} s at best; CPU time {cpu:.2f} ×"
        )
        ratios = [a / b for a, b in zip(found["ours_s"], found["theirs_s"], strict=True)]
        yield Row(what=f"merge among {workers} workers: time", measured=ratios, target=target, note=note)


def merged(vector_P: Tensor, transport: DistTransport, scratch: Scratch) -> Tensor:
    """The sum of what the workers have, on all of them, along the aligned tree."""
    nodes = tuple(range(transport.size))
    owners = place(nodes, transport.size)
    return sum_everywhere({transport.rank: vector_P}, nodes, owners, transport, vector_P.numel(), scratch)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds until all ranks are done, and CPU seconds of this one, which other processes do not lengthen."""
    dist.barrier()
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    work()
    dist.barrier()
    return time.perf_counter() - begin_s, time.process_time() - begin_cpu_s


def main() -> None:
    """One rank."""
    rank, size, meeting, (parameters, repeats) = arguments()
    transport = DistTransport(rank, size)
    transport.join("gloo", meeting)
    vector_P = torch.full((int(parameters),), float(rank))
    reduced_P, scratch = vector_P.clone(), Scratch(vector_P.device)
    ours, theirs = [], []
    for _ in range(int(repeats) + 1):
        theirs.append(timed(lambda: dist.all_reduce(reduced_P)))
        ours.append(timed(lambda: merged(vector_P, transport, scratch)))
    (ours_s, ours_cpu_s), (theirs_s, theirs_cpu_s) = (zip(*pairs[1:], strict=True) for pairs in (ours, theirs))
    cpu = {"ours_cpu_s": sum(ours_cpu_s), "theirs_cpu_s": sum(theirs_cpu_s)}
    json.dump({"ours_s": ours_s, "theirs_s": theirs_s} | cpu, sys.stdout)  # the first pair warms up
    transport.leave()


if __name__ == "__main__":
    main()
