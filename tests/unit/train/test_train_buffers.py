"""Buffers, as BatchNorm's: floating ones are averaged as contributions are, integer ones are copied (peers' bug 7)."""

import pytest
import torch
from torch import Tensor, nn

from orbital_train.schedule.trace import Trace
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.problem import Problem
from orbital_train.train.protocol import Batch
from orbital_train.train.run import run_local
from orbital_train.train.spec import InnerSpec, OuterSpec
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.problems import tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import contributions_trace, everything_trace, rounds_trace, streaming_trace

NODES = (0, 2, 3, 7)
SPEC = tiny_spec()  # with outer momentum, which is no matter of buffers


class Normed(nn.Module):
    """Two matrices with BatchNorm between, and a table that is a constant and not part of the state."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first, self.norm, self.last = nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)
        self.register_buffer("table", torch.ones(1), persistent=False)
        for linear in (self.first, self.last):
            for parameter in linear.parameters():
                parameter.data.normal_(generator=generator)

    def forward(self, x_BD: Tensor, y_B: Tensor) -> Tensor:
        return (self.last(self.norm(self.first(x_BD)))[:, 0] * self.table - y_B).square().mean()


def batch(node: int, step: int) -> Batch:
    """Every node has its own mean and variance."""
    generator = torch.Generator().manual_seed(1000 * node + step)
    x_BD = torch.randn(6, 2, generator=generator) * (1 + node) + node
    return x_BD, x_BD.sum(1)


def normed() -> Problem:
    return Problem(module=Normed(), batch=batch, validation=(batch(0, 0),), tokens_per_step=6)


def executed(trace: Trace, workers: int = 1) -> Group:
    group = Group.of(trace, SPEC, normed, workers)
    group.run(SPEC)
    return group


LAYOUT = Layout.of(Normed())


def buffers(vector_P: Tensor) -> dict[str, Tensor]:
    names = ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    return {name: LAYOUT.tensors(vector_P)[name] for name in names}


def test_layout() -> None:
    """Matrices, vectors, floating buffers, integer ones; without constants."""
    kinds = [name.rpartition(".")[2] for name in LAYOUT.names]
    assert kinds == ["weight", "weight", "bias", "weight", "bias", "bias", "running_mean", "running_var",
                     "num_batches_tracked"]  # fmt: skip
    assert (LAYOUT.matrix_size, LAYOUT.trained, LAYOUT.averaged, LAYOUT.size) == (9, 19, 25, 26)
    tensors = LAYOUT.tensors(flatten(Normed(), LAYOUT))
    state = Normed().state_dict()
    assert tensors.keys() == state.keys()
    assert all(tensors[name].equal(state[name]) and tensors[name].dtype == state[name].dtype for name in state)


@pytest.mark.parametrize("fragments", [2, 5])
def test_fragments_have_their_buffers_behind_their_parameters(fragments: int) -> None:
    layout = Layout.of(Normed(), fragments)
    sizes = range(fragments)
    assert sum(map(layout.fragment_trained, sizes)) == LAYOUT.trained
    assert sum(map(layout.fragment_averaged, sizes)) == LAYOUT.averaged
    assert sum(map(layout.fragment_size, sizes)) == LAYOUT.size
    marked_P = torch.cat([torch.zeros(19), torch.ones(6), torch.full((1,), 2.0)])
    for fragment in sizes:
        trained, averaged = layout.fragment_trained(fragment), layout.fragment_averaged(fragment)
        expected = [0.0] * trained + [1.0] * (averaged - trained) + [2.0] * (layout.fragment_size(fragment) - averaged)
        assert layout.take(marked_P, fragment).tolist() == expected


@pytest.mark.parametrize("codec", ["fp32", "bf16"])
def test_a_merge_averages_floating_buffers_by_weight_and_copies_integer_ones(codec: str) -> None:
    """Exactly, whatever the codec; node 0 has no weight, so that counts are those of node 2."""
    build = TraceBuilder(nodes=NODES)
    for node, steps in zip(NODES, (1, 4, 2, 3), strict=True):
        build.step(node, steps)
    names = [build.snapshot(node, 0, codec) for node in NODES]
    build.merge(0, dict(zip(names, (0.0, 0.5, 0.25, 0.25), strict=True)), codec=codec)
    group = executed(build.trace(), workers=2)
    nodes, shared = group.saved()
    merged = buffers(shared.tensors["global/0@1/parameters"])
    own = [buffers(nodes[node].tensors["parameters"]) for node in (2, 3, 7)]
    for name in ("norm.running_mean", "norm.running_var"):
        mean = sum(weight * each[name] for weight, each in zip((0.5, 0.25, 0.25), own, strict=True))
        torch.testing.assert_close(merged[name], mean, rtol=1e-6, atol=1e-6)
    assert merged["norm.num_batches_tracked"].item() == 4
    assert merged["norm.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("codec", ["fp32", "bf16"])
def test_a_sum_in_parts_has_the_buffers_of_the_whole(codec: str) -> None:
    """Of seven parts of 26 elements, two have parameters and buffers, or floating and integer ones."""

    def merged(parts: int) -> Tensor:
        build = TraceBuilder(nodes=NODES)
        for node, steps in zip(NODES, (1, 4, 2, 3), strict=True):
            build.step(node, steps)
        weights = {build.snapshot(node, 0, codec): float(1 + node) for node in NODES}
        sums = [build.combine(0, weights, codec, part=(number, parts)) for number in range(parts)]
        build.merge(0, dict.fromkeys(sums, 1 / 16), codec=codec)
        return executed(build.trace(), workers=2).saved()[1].tensors["global/0@1/parameters"]

    assert torch.equal(merged(7), merged(1))


def test_after_a_full_merge_everybody_has_the_same_buffers() -> None:
    group = executed(rounds_trace(NODES, rounds=2, steps=3), workers=2)
    nodes, _ = group.saved()
    final = group.executors[0].parameters()
    assert final["norm.num_batches_tracked"].item() == 6
    assert final["norm.running_var"].min() > 0
    assert all(torch.equal(saved.tensors["parameters"], nodes[0].tensors["parameters"]) for saved in nodes.values())
    assert all(tensor.equal(LAYOUT.tensors(nodes[0].tensors["parameters"])[name]) for name, tensor in final.items())


def test_buffers_are_in_the_digest() -> None:
    group = executed(rounds_trace(NODES, rounds=1, steps=1))
    digest = group.executors[0].digest()
    group.executors[0]._versions.get(0, 1).parameters_F[-2] += 1.0
    assert group.executors[0].digest() != digest


def test_buffers_are_counted_on_the_wire() -> None:
    """Two workers: a sum and a result of 26 float32 and the refused weight, a merge."""
    group = executed(rounds_trace((0, 1, 2, 3), rounds=3, steps=1), workers=2)
    assert [transport.bytes_sent for transport in group.transports] == [3 * 27 * 4] * 2


def test_blended_counts_are_whole() -> None:
    build = TraceBuilder(nodes=(0, 2))
    build.step(0, 3)
    build.merge(0, {build.snapshot(0, 0): 1.0})
    build.step(2, 6)
    build.adopt(2, 1, "blend", alpha=0.5)
    nodes, _ = executed(build.trace()).saved()
    assert nodes[2].tensors["parameters"][-1].item() == 4  # 4.5, to even


def test_synchronous_steps_average_them_in_every_step() -> None:
    """As one that takes the mean of the nodes' running statistics by hand."""
    build = TraceBuilder(nodes=(0, 2), budget_steps=3)
    build.sync_step(3, 0)
    spec = tiny_spec(inner=InnerSpec(lr=1e-2, optimizer="SGD", warmup_fraction=0.0, schedule="constant", clip_norm=0))
    found = run_local(build.trace(), spec, normed()).parameters

    module = Normed()
    for step in range(3):
        gradients, means = [], []
        state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        for node in (0, 2):
            module.load_state_dict(state)
            module.zero_grad()
            module(*batch(node, step)).backward()
            gradients.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
            means.append({name: buffer.clone() for name, buffer in module.norm.named_buffers()})
        with torch.no_grad():
            for name in ("running_mean", "running_var"):
                module.norm.get_buffer(name).copy_((means[0][name] + means[1][name]) / 2)
            for parameter, a, b in zip(module.parameters(), *gradients, strict=True):
                parameter.sub_((a + b) / 2, alpha=1e-2)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make", [everything_trace, streaming_trace, failures_trace, contributions_trace], ids=lambda make: make.__name__
)
def test_no_bit_changes_with_the_number_of_workers_or_a_resume(make) -> None:  # type: ignore[no-untyped-def]
    trace = make()
    whole = run_local(trace, SPEC, normed())
    two = Group.of(trace, SPEC, normed, 2)
    for cut in range(5, len(trace.ops), 9):
        two.run(SPEC, limit=cut)
        for workers in (1, 4):
            resumed = Group.of(trace, SPEC, normed, workers)
            for executor in resumed.executors:
                executor.load(cut, *two.saved())
            resumed.run(SPEC)
            assert {e.digest() for e in resumed.executors} == {whole.digest}
    assert whole.parameters["norm.running_var"].min() > 0


def test_a_median_of_buffers_is_one_too() -> None:
    build = TraceBuilder(nodes=(0, 2, 3))
    for node in build.nodes:
        build.step(node, 1 + node)
    build.merge(0, {build.snapshot(node, 0): 1 / 3 for node in build.nodes})
    spec = tiny_spec(outer=OuterSpec(merging="median"))
    group = Group.of(build.trace(), spec, normed, 1)
    group.run(spec)
    nodes, shared = group.saved()
    own = torch.stack([buffers(nodes[node].tensors["parameters"])["norm.running_mean"] for node in build.nodes])
    merged = buffers(shared.tensors["global/0@1/parameters"])
    torch.testing.assert_close(merged["norm.running_mean"], own.median(0).values)
    assert merged["norm.num_batches_tracked"].item() == 1
