"""Error feedback: what is added to what, and that nothing is lost that was only left out."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from orbital_train.schedule.ops.merging import Combine, GroupSnapshot, Merge, Snapshot
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.wire import has_feedback
from orbital_train.train.executor import Executor
from orbital_train.train.feedback import decay, feedback
from orbital_train.train.liveness import drops, holders, peak_residuals
from orbital_train.train.packets import Form, pack, residual_of, unpack
from orbital_train.train.problem import Problem
from orbital_train.train.spec import OuterSpec
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.trace_builder import TraceBuilder
from tests.unit.train.traces import codec_trace

LOSSY = ("fp8", "int8", "int4", "topk1", "topk3")
SPEC = tiny_spec(outer=OuterSpec(lr=1.0, momentum=0.0))
NODES = (0, 1)


def gpt() -> Problem:
    return tiny_problem(SPEC, NODES)


def added(build: TraceBuilder) -> dict[int, list[str]]:
    """What is added, by operation, without the common prefix."""
    return {op: [name.removeprefix("residual/") for name in names] for op, names in feedback(build.trace()).items()}


def merged(build: TraceBuilder, version: int, name: str, to_version: int | None = None, codec: str = "int4") -> int:
    build.merge(version, {name: 1.0}, codec=codec, to_version=to_version)
    return to_version or version + 1


# -- outer gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["fp32", "bf16", *LOSSY])
def test_what_was_merged_leaves_its_residual_to_the_next(codec: str) -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    first = build.snapshot(0, 0, codec)
    build.merge(0, {first: 1.0})
    build.adopt(0, 1)
    build.step(0, 1)
    build.snapshot(0, 1, codec)
    assert added(build) == ({5: [first]} if has_feedback(codec) else {})


def test_one_that_was_lost_takes_its_residual_with_it() -> None:
    """And what was added to it is added again."""
    build = TraceBuilder(nodes=NODES)
    names = []
    for version in (0, 1, 1, 1):
        build.step(0, 1)
        names.append(build.snapshot(0, version, "int4"))
        if len(names) == 1:
            build.merge(0, {names[0]: 1.0})
            build.adopt(0, 1)
    assert list(added(build).values()) == [[names[0]]] * 3
    assert peak_residuals(build.trace()) == 1


def test_of_weight_zero_it_was_not_merged_and_others_residuals_are_not_added() -> None:
    build = TraceBuilder(nodes=NODES, fragments=2)
    build.step(0, 1)
    build.step(1, 1)
    zero, other, part = (
        build.snapshot(0, 0, "int4"), build.snapshot(1, 0, "int4"), build.snapshot(0, 0, "int4", fragment=1)
    )  # fmt: skip
    build.merge(0, {zero: 0.0, other: 1.0})
    build.merge(0, {part: 1.0}, fragment=1)
    for fragment in (0, 1):
        build.adopt(0, 1, fragment=fragment)
        build.step(0, 1)
        build.snapshot(0, 1, "int4", fragment=fragment)
    assert list(added(build).values()) == [[part]]


def test_a_node_that_has_not_adopted_the_version_yet_does_not_add_it() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    first = build.snapshot(0, 0, "int4")
    merged(build, 0, first)
    build.step(0, 1)
    build.snapshot(0, 0, "int4")
    build.adopt(0, 1, "keep", first)
    build.step(0, 1)
    build.snapshot(0, 1, "int4")
    assert added(build) == {7: [first]}


def test_of_a_version_that_was_given_up_it_is_not_added() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    first = build.snapshot(0, 0, "int4")
    merged(build, 0, first)  # version 1 is lost
    build.step(1, 1)
    merged(build, 0, build.snapshot(1, 0, "int4"), to_version=2)
    build.adopt(0, 2, "keep")
    build.step(0, 1)
    build.snapshot(0, 2, "int4")
    assert added(build) == {}


@pytest.mark.parametrize("own", [True, False])
def test_a_node_that_fails_has_it_still_if_it_has_its_store(own: bool) -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    first = build.snapshot(0, 0, "int4")
    merged(build, 0, first)
    build.adopt(0, 1)
    if own:
        build.go_on(0)
    else:
        build.start_anew(0, 1, 1)
    build.step(0, 1)
    last = build.snapshot(0, 1, "int4")
    merged(build, 1, last)
    build.adopt(0, 2)
    build.step(0, 1)
    build.snapshot(0, 2, "int4")
    assert list(added(build).values()) == ([[first], [last]] if own else [[last]])


# -- gossip and groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [True, False])
def test_in_gossip_it_is_added_once_its_own_node_has_mixed_it(mixed: bool) -> None:
    """That another has does not count: then the node's progress is all in its next one."""
    build = TraceBuilder(nodes=NODES, gossips=True)
    for node in NODES:
        build.step(node, 1)
    first, other = build.offer(0, "int4"), build.offer(1, "int4")
    if mixed:
        build.mix(0, {first: 0.5, other: 0.5})
    build.mix(1, {other: 0.5, first: 0.5})
    build.step(0, 1)
    again = len(build.ops)
    build.offer(0, "int4")
    assert added(build) == ({again: [first]} if mixed else {})
    build.copy_slow_weights(0, 1)
    build.step(0, 1)
    last = build.offer(0, "int4")
    build.mix(0, {last: 0.0, other: 1.0})  # of weight zero: it was not mixed
    build.step(0, 1)
    build.offer(0, "int4")
    assert list(added(build)) == ([again] if mixed else [])


def test_in_a_group_it_is_added_over_a_global_version_that_was_taken() -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    first = build.snapshot(0, 0, "int4")
    build.merge(0, {first: 1.0}, to_version=1, group=0)
    offer = build.group_snapshot(0, 0, base=0, version=1, codec="fp32")
    build.merge(0, {offer: 1.0}, to_version=2)
    build.rebase(0, old=1, since=1, taken=2, to_version=3)
    build.adopt(0, 3, "keep", first)
    build.step(0, 1)
    last = len(build.ops)
    build.snapshot(0, 3, "int4")
    assert added(build) == {last: [first]}


@pytest.mark.parametrize("moved", [False, True])
def test_of_a_groups_outer_gradient_it_stays_at_the_node_where_that_was_taken(moved: bool) -> None:
    build = TraceBuilder(nodes=NODES)
    build.step(0, 1)
    build.merge(0, {build.snapshot(0, 0): 1.0}, to_version=1, group=0)
    offer = build.group_snapshot(0, 0, base=0, version=1, codec="int4")
    build.merge(0, {offer: 1.0}, to_version=2)
    build.rebase(0, old=1, since=1, taken=2, to_version=3)
    build.adopt(0, 3)
    build.step(0, 1)
    build.merge(3, {build.snapshot(0, 3): 1.0}, to_version=4, group=0)
    last = len(build.ops)
    build.group_snapshot(0, 1 if moved else 0, base=2, version=4, codec="int4")
    assert added(build) == ({} if moved else {last: [offer]})
    assert moved or holders(build.trace())[f"residual/{offer}"] == 0


# -- sums and averages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "fed"), [("int4", False), ("topk1", True)])
def test_an_average_leaves_its_residual_to_the_next_of_its_site(codec: str, fed: bool) -> None:
    """Also over versions that were merged elsewhere; not where the version was given up, nor where nothing is sent."""
    build = TraceBuilder(nodes=NODES)
    for node in NODES:
        build.step(node, 1)
    names = [build.snapshot(node, 0) for node in NODES]
    build.merge(0, {names[0]: 1.0}, codec=codec)  # 4: version 1, at the first node
    build.nodes = (1, 0)
    build.merge(1, {names[0]: 1.0}, codec=codec)  # 5: version 2, at the second
    build.nodes = NODES
    build.merge(2, {}, codec=codec)  # 6: version 3
    build.merge(3, {names[1]: 1.0}, codec=codec)  # 7: version 4, given up
    build.merge(3, {names[1]: 1.0}, codec=codec, to_version=5)  # 8
    build.merge(5, {names[1]: 1.0}, codec=codec)  # 9
    expected = {7: ["result/0@1"], 8: ["result/0@1"], 9: ["result/0@5"]}
    assert added(build) == (expected if fed else {})
    if fed:
        assert holders(build.trace())["residual/result/0@1"] == 0
        assert (1, "residual/result/0@5") in drops(build.trace())[9]


@pytest.mark.parametrize(("codec", "fed"), [("int4", False), ("topk1", True)])
def test_a_sum_leaves_its_residual_to_the_first_of_its_site_after_it_was_merged(codec: str, fed: bool) -> None:
    build = TraceBuilder(nodes=NODES)
    for node in NODES:
        build.step(node, 1)
    a, b = (build.snapshot(node, 0) for node in NODES)
    first = build.combine(5, {a: 1.0}, codec)  # 4
    second = build.combine(5, {b: 1.0}, codec)  # 5
    lost = build.combine(5, {b: 1.0}, codec)  # 6, merged by nobody
    build.merge(0, {build.combine(6, {first: 1.0, second: 1.0}): 0.5})  # 7, 8
    build.combine(5, {a: 0.0}, codec)  # 9, of nothing
    build.combine(4, {a: 1.0}, codec)  # 10, elsewhere
    third = build.combine(5, {a: 1.0}, codec)  # 11
    build.combine(5, {a: 1.0}, codec)  # 12
    assert added(build) == ({11: [first, second]} if fed else {})
    build.merge(1, {third: 1.0})
    build.lose(5, everything=True)
    build.combine(5, {a: 1.0}, codec)
    assert added(build) == ({11: [first, second]} if fed else {})
    assert lost not in {name for names in added(build).values() for name in names}


# -- what it does ----------------------------------------------------------------------------------------------------


def state(executor: Executor, node: int) -> dict[str, Tensor]:
    return executor.save_nodes()[node].tensors


@pytest.mark.parametrize("codec", LOSSY)
def test_packet_and_residual_are_the_outer_gradient_and_the_residual_before(codec: str) -> None:
    """So that all packets and the last residual add up to all progress."""
    build, values = TraceBuilder(nodes=NODES), []
    cuts = []
    for version in range(4):
        build.step(0, 2)
        values.append(build.snapshot(0, version, codec))
        cuts.append(len(build.ops))
        merged(build, version, values[-1], codec=codec)
        build.adopt(0, version + 1)
    group = Group.of(build.trace(), SPEC, gpt, 1)
    (executor,), before = group.executors, None
    form = Form.of(executor.layout, 0)
    for version, (value, cut) in enumerate(zip(values, cuts, strict=True)):
        group.run(SPEC, limit=cut)
        held, versions = state(executor, 0), executor.save_shared().tensors
        delta = versions[f"global/0@{version}/parameters"] - held["parameters"]
        target = delta if before is None else delta + before
        sent = unpack(held[value], codec, form)[:-1]
        before = held.get(f"residual/{value}")
        assert (before is None) == (version == 3)  # nobody would add the last
        if before is not None:
            assert before.any()
            torch.testing.assert_close(sent + before / decay(codec), target, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("codec", ["int4", "topk3"])
def test_what_is_refused_leaves_the_residual_as_it_was(codec: str) -> None:
    """And a residual is finite, whatever it is a residual of."""
    build = TraceBuilder(nodes=NODES)
    build.step(0, 2)
    build.merge(0, {build.snapshot(0, 0, codec): 1.0}, codec="fp32")
    build.adopt(0, 1)
    build.step(0, 1)
    cut = len(build.ops)
    build.merge(1, {build.snapshot(0, 1, codec): 1.0}, codec="fp32")
    build.adopt(0, 2)
    build.snapshot(0, 2, codec)
    group = Group.of(build.trace(), SPEC, gpt, 1)
    group.run(SPEC, limit=cut)
    executor = group.executors[0]
    nodes, shared = group.saved()
    nodes[0].tensors["parameters"][3] = torch.nan
    executor.load(cut, nodes, shared)
    group.run(SPEC, limit=cut + 1)
    held = state(executor, 0)
    (name,) = (name for name in held if name.startswith("residual/snap/0/0@3"))
    assert torch.equal(held[name], nodes[0].tensors["residual/snap/0/0@1"])


@pytest.mark.parametrize("codec", LOSSY)
def test_without_decay_a_constant_gradient_arrives(codec: str) -> None:
    """What is sent of one outer gradient, again and again, is that on average: the error falls as 1 / rounds."""
    gradient = torch.randn(3000, generator=torch.Generator().manual_seed(1)) ** 3
    form = Form(trained=3000, averaged=3000, size=3001)
    residual, total, errors = torch.zeros(3001), torch.zeros(3001), []
    for rounds in range(1, 201):
        vector = torch.cat([gradient, torch.zeros(1)]) + residual
        packet = pack(vector, codec, form, seed=rounds)
        total += unpack(packet, codec, form)
        residual[:3000] = residual_of(vector, packet, codec, form)
        errors.append((total[:3000] / rounds - gradient).norm() / gradient.norm())
    assert decay("topk1") == decay("topk3") == 0.95
    assert decay("int4") == decay("int8") == decay("fp8") == 1.0
    assert errors[199] < 0.02 * max(1.0, errors[0] / 0.02)
    assert errors[199] < errors[19] / 4 or errors[199] < 1e-4


# -- the same bits ---------------------------------------------------------------------------------------------------


def fleet_gpt() -> Problem:
    return tiny_problem(SPEC, (0, 2, 3, 7))


def all_in(codec: str, trace: Trace) -> Trace:
    """The same with all that is encoded by a codec in this one."""
    kinds = Snapshot | GroupSnapshot | Combine | Merge
    return replace(trace, ops=tuple(replace(op, codec=codec) if isinstance(op, kinds) else op for op in trace.ops))


TRACES = {
    **{codec: partial(codec_trace, codec) for codec in LOSSY},
    **{f"gossip {codec}": lambda codec=codec: all_in(codec, gossip_trace()) for codec in ("int4", "topk3")},
    **{f"groups {codec}": lambda codec=codec: all_in(codec, groups_trace()) for codec in ("int4", "topk3")},
}


@pytest.mark.parametrize("name", TRACES)
def test_any_number_of_workers_and_a_resume_give_the_same_bits(name: str) -> None:
    trace = TRACES[name]()
    assert residual_names(trace)
    groups = {workers: Group.of(trace, SPEC, fleet_gpt, workers) for workers in (1, 2, 3, 4)}
    for group in groups.values():
        group.run(SPEC)
    (digest,) = {executor.digest() for group in groups.values() for executor in group.executors}
    rows = groups[1].all_rows()
    assert all(group.all_rows() == rows for group in groups.values())
    assert all(not any("residual" in name for name in saved.tensors) for saved in groups[2].saved()[0].values())

    for cut in range(8, len(trace.ops), 9):
        stopped, resumed = Group.of(trace, SPEC, fleet_gpt, 3), Group.of(trace, SPEC, fleet_gpt, 2)
        stopped.run(SPEC, limit=cut)
        nodes, shared = stopped.saved()
        for executor in resumed.executors:
            executor.load(cut, nodes, shared)
        resumed.run(SPEC)
        assert {executor.digest() for executor in resumed.executors} == {digest}


def residual_names(trace: Trace) -> set[str]:
    return {name for names in feedback(trace).values() for name in names}


def test_the_trace_of_these_tests_has_all_kinds_of_residuals() -> None:
    assert {name.split("/")[1] for name in residual_names(codec_trace("topk1"))} == {"snap", "sum", "result"}
    assert {name.split("/")[1] for name in residual_names(codec_trace("int4"))} == {"snap"}
    assert residual_names(codec_trace("bf16")) == set()


def test_as_many_residuals_are_held_as_are_counted() -> None:
    trace, peak = codec_trace("topk1"), 0
    group = Group.of(trace, SPEC, fleet_gpt, 2)
    for cut in range(len(trace.ops) + 1):
        group.run(SPEC, limit=cut)
        names = [name for saved in group.saved()[0].values() for name in saved.tensors]
        peak = max(peak, sum(name.startswith("residual/") for name in names))
    assert peak + 1 == peak_residuals(trace)  # while a new one is made, that which went into it is there too
