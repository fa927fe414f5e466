"""Bytes between workers: what is sent is what the codec says, whole, and where it is fewer bytes.

Three faults of others are tests here: a bucketised all-reduce that dropped or overwrote tensors with more than one
bucket (torchft), a quantiser that fell back to float32 without a word (torchft), and a top-k that sent zeros (NoLoCo).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from orbital_train.schedule.wire import WIRE, encoded_bytes
from orbital_train.train.codecs import GRAIN
from orbital_train.train.flat import Layout
from orbital_train.train.packets import Form, Term, Terms, pack, unpack
from orbital_train.train.placement import place
from orbital_train.train.problem import Problem
from orbital_train.train.spec import OuterSpec
from orbital_train.train.transport import ThreadTransport, thread_group
from orbital_train.train.tree import broadcast, receive, send, settled, sum_on_tree
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder

SPEC = tiny_spec()
NODES = (0, 1, 2, 3)
CODECS = tuple(WIRE)


def gpt() -> Problem:
    return tiny_problem(SPEC, NODES)


PARAMETERS = Layout.of(gpt().module).size


def sent(codec: str, workers: int, nodes: tuple[int, ...] = NODES, merging: str = "mean") -> list[int]:
    """Bytes that each worker sends for one merge of one outer gradient of every node."""
    build = TraceBuilder(nodes=nodes)
    for node in nodes:
        build.step(node, 1)
    build.merge(0, {build.snapshot(node, 0, codec): 1 / len(nodes) for node in nodes}, codec=codec)
    spec = tiny_spec(outer=OuterSpec(merging=merging))  # type: ignore[arg-type]
    group = Group.of(build.trace(), spec, gpt, workers)
    group.run(spec)
    return [transport.bytes_sent for transport in group.transports]


def packet(codec: str) -> int:
    return encoded_bytes(codec, PARAMETERS) + 4


@pytest.mark.parametrize("codec", CODECS)
def test_a_contribution_and_the_average_are_sent_as_the_codec_encodes_them(codec: str) -> None:
    assert sent(codec, 2, nodes=(0, 1)) == [packet(codec), packet(codec)]
    if codec != "fp32":
        assert sent(codec, 4) == [3 * packet(codec), packet(codec), *four(codec)]


def test_what_is_not_encoded_is_added_up_by_all_workers_in_the_bytes_of_a_ring() -> None:
    """Each sends the three others their quarters of its vector, and then its quarter of the sum."""
    elements = packet("fp32") // 4
    ends = [elements * k // 4 for k in range(5)]
    quarters = [end - start for start, end in pairwise(ends)]
    assert sent("fp32", 4) == [4 * (elements - own + 3 * own) for own in quarters]


def four(codec: str) -> list[int]:
    """Of four workers with one node each the third passes on a sum where that is fewer bytes than two packets."""
    whole = packet("fp32")
    return [packet(codec)] * 2 if 2 * packet(codec) < whole else [whole, packet(codec)]


def test_of_several_contributions_the_sum_is_sent_only_where_it_is_fewer_bytes() -> None:
    """Two nodes a worker: one sum in float32, or two packets."""
    assert sent("fp32", 2)[1] == packet("fp32")
    assert sent("bf16", 2)[1] == packet("fp32")  # twice 2 bytes, and a number
    assert sent("int8", 2)[1] == 2 * packet("int8") < 0.6 * packet("fp32")
    assert sent("int4", 2)[1] == 2 * packet("int4") < 0.3 * packet("fp32")
    assert sent("topk1", 2)[1] == 2 * packet("topk1") < 0.05 * packet("fp32")


def test_a_median_needs_all_contributions_and_they_are_sent_encoded() -> None:
    assert sent("int4", 2, merging="median") == [packet("int4"), 2 * packet("int4")]


def test_topk_sends_the_chosen_ones_and_no_zeros() -> None:
    """NoLoCo masks and sends all."""
    assert packet("topk3") == 4 * -(-PARAMETERS * 3 // 100) + 4
    assert packet("topk3") < 0.04 * packet("fp32")


# -- where leaves are added ------------------------------------------------------------------------------------------


def test_leaves_are_added_where_few_bytes_travel() -> None:
    owners = place(tuple(range(16)), 4)
    stay = {node: owners[node] for node in range(16)}
    assert settled(dict.fromkeys(range(16), 400), owners, 400) == stay
    assert settled(dict.fromkeys(range(16), 99), owners, 400) == {n: 2 * (n // 8) for n in range(16)}
    assert settled(dict.fromkeys(range(16), 49), owners, 400) == dict.fromkeys(range(16), 0)
    assert settled({3: 10, 9: 399, 14: 10}, owners, 400) == {3: 0, 9: 2, 14: 2}
    assert settled({9: 10}, owners, 400) == {9: 2}


# -- vectors in pieces -----------------------------------------------------------------------------------------------


def on_threads(work: Callable[[ThreadTransport], None], workers: int) -> list[ThreadTransport]:
    transports, errors = thread_group(workers), []

    def guarded(transport: ThreadTransport) -> None:
        try:
            work(transport)
            transport.flush()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(t,), daemon=True) for t in transports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return transports


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1001])
def test_no_byte_is_lost_or_sent_twice_in_buckets(size: int, dtype: torch.dtype) -> None:
    """Buckets of 16 bytes, the last one not full; the vector is larger than any."""
    vector = torch.randint(0, 256, (size,), generator=torch.Generator().manual_seed(size)).to(dtype)
    got: dict[int, Tensor] = {}

    def work(transport: ThreadTransport) -> None:
        if transport.rank == 1:
            send(vector, 0, transport, bucket_bytes=16)
        elif transport.rank == 0:
            got[0] = receive(torch.zeros_like(vector), 1, transport, bucket_bytes=16)
        source = vector if transport.rank == 2 else None
        got[10 + transport.rank] = broadcast(source, torch.zeros_like(vector), 2, transport, bucket_bytes=16)

    transports = on_threads(work, 3)
    assert all(torch.equal(found, vector) for found in got.values())
    assert [t.bytes_sent for t in transports] == [0, vector.nbytes, 2 * vector.nbytes]


@pytest.mark.parametrize("codec", CODECS)
def test_packets_are_summed_in_buckets_as_in_one(codec: str) -> None:
    """Several buckets, buffers across the border of the last ones; two packets of one node."""
    size, buffers = 3 * GRAIN - 2, 5
    form = Form(trained=size, averaged=size + 3, size=size + buffers + 1)
    generator = torch.Generator().manual_seed(1)
    vectors = {node: torch.randn(2, form.size, generator=generator) for node in (0, 2, 3)}
    weights = {0: 0.5, 2: 2.0, 3: 0.25}
    packets = {n: [pack(v, codec, form, seed=n) for v in vectors[n]] for n in vectors}
    owners, found = place((0, 1, 2, 3), 2), {}

    def terms(node: int) -> Terms:
        own = [Term(packet=p, codec=codec, form=form, weight=weights[node]) for p in packets[node]]
        return Terms(form=form, terms=own, first=node == 0)

    def work(transport: ThreadTransport, bucket_bytes: int) -> None:
        mine = {node: terms(node) for node in packets if owners[node] == transport.rank}
        total = sum_on_tree(mine, (0, 2, 3), owners, transport, bucket_bytes)
        if total is not None:
            found[bucket_bytes] = total

    for bucket_bytes in (4 * GRAIN, 2**20):
        on_threads(lambda transport, size=bucket_bytes: work(transport, size), 2)  # type: ignore[misc]
    assert torch.equal(found[4 * GRAIN], found[2**20])

    def leaf(node: int) -> Tensor:
        first, second = (unpack(p, codec, form) * weights[node] for p in packets[node])
        return first + second

    expected = leaf(0) + (leaf(2) + leaf(3))
    expected[form.averaged : -1] = vectors[0][0, form.averaged : -1]
    assert torch.equal(found[2**20], expected)
