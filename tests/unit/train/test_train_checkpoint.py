"""Checkpoints: whole or ignored."""

import json
from pathlib import Path

import pytest
import torch

from orbital_train.train.checkpoint import (
    Checkpoint,
    Manifest,
    _digest,
    begin,
    commit,
    library_versions,
    newest_whole,
    pack_nodes,
    pack_shared,
    prune,
    write,
)
from orbital_train.train.problem import Problem
from tests.unit.train.traces import (
    REPLICA,
    Group,
    everything_trace,
    failures_trace,
    streaming_trace,
    tiny_problem,
    tiny_spec,
)

SPEC, TRACE = tiny_spec(), everything_trace()


def gpt() -> Problem:
    return tiny_problem(SPEC, TRACE.fleet_nodes)


def write_all(group: Group, folder: Path, cut: int) -> Path:
    """As a cluster does: every worker its nodes, worker 0 the shared state, one commit."""
    temporary = begin(folder, cut)
    files: dict[str, str] = {}
    for executor in group.executors:
        files |= write(temporary, pack_nodes(executor.save_nodes()))
    files |= write(temporary, pack_shared(group.executors[0].save_shared()))
    manifest = Manifest(
        cut=cut, recipe_sha256="r", trace_sha256="t", metrics_bytes=17, versions=library_versions(), files=files
    )
    return commit(temporary, manifest)


@pytest.fixture(scope="module")
def group() -> Group:
    """Two workers cut in the middle, with marks, snapshots and a synchronous replica alive."""
    group = Group.of(TRACE, SPEC, gpt, 2)
    group.run(SPEC, limit=9)
    return group


@pytest.mark.parametrize("workers", [1, 3])
def test_resume_from_files_with_any_workers(tmp_path: Path, group: Group, workers: int) -> None:
    path = write_all(group, tmp_path, 9)
    names = ["manifest.json", *(f"node-000{n}.safetensors" for n in (0, 2, 3, 7)), "shared.safetensors"]
    assert sorted(p.name for p in path.iterdir()) == names
    checkpoint, broken = newest_whole(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.path, broken) == (path, ())
    assert checkpoint.manifest.cut == 9
    assert checkpoint.manifest.metrics_bytes == 17
    assert checkpoint.manifest.versions["torch"] == str(torch.__version__)
    assert checkpoint.manifest.versions["cpu"] == torch.backends.cpu.get_cpu_capability()

    resumed = Group.of(TRACE, SPEC, gpt, workers)
    for executor in resumed.executors:
        executor.load(9, checkpoint.read_nodes(TRACE.fleet_nodes), checkpoint.read_shared())
    saved, loaded = group.saved(), resumed.saved()
    assert saved[0].keys() == loaded[0].keys()
    for a, b in zip([*saved[0].values(), saved[1]], [*loaded[0].values(), loaded[1]], strict=True):
        assert a.meta == b.meta
        assert a.tensors.keys() == b.tensors.keys()
        assert all(a.tensors[n].dtype == b.tensors[n].dtype for n in a.tensors)
        assert all(torch.equal(a.tensors[n], b.tensors[n]) for n in a.tensors)
    resumed.run(SPEC)
    never_stopped = Group.of(TRACE, SPEC, gpt, 1)
    never_stopped.run(SPEC)
    assert {e.digest() for e in resumed.executors} == {never_stopped.executors[0].digest()}


def test_what_is_alive_is_in_it(tmp_path: Path, group: Group) -> None:
    write_all(group, tmp_path, 9)
    checkpoint, _ = newest_whole(tmp_path)
    assert checkpoint is not None
    nodes = checkpoint.read_nodes((0, 7))
    assert set(nodes[0].tensors) == {*REPLICA, "mark/snap/0/0@1"}
    assert set(nodes[7].tensors) == {*REPLICA, "mark/snap/7/0@1"}
    assert nodes[0].tensors["inner/0/step"] == nodes[0].tensors["inner/1/step"] == 3
    assert nodes[0].meta == {"rewarm_left": 0, "stopped": 0}
    shared = checkpoint.read_shared()
    assert {n.rpartition("/")[0] for n in shared.tensors} == {"global/0@0", "global/0@1", "sync"}
    assert shared.meta == {"sync/rewarm_left": 0, "sync/stopped": 0}


@pytest.mark.parametrize("workers", [1, 4])
def test_sums_and_fragments_are_in_it(tmp_path: Path, workers: int) -> None:
    """Two workers, cut where a sum and a snapshot are under way and one fragment is a version ahead."""
    trace, cut = streaming_trace(), 19
    group = Group.of(trace, SPEC, gpt, 2)
    group.run(SPEC, limit=cut)
    write_all(group, tmp_path, cut)
    checkpoint, _ = newest_whole(tmp_path)
    assert checkpoint is not None
    nodes, shared = checkpoint.read_nodes(trace.fleet_nodes), checkpoint.read_shared()
    assert {node: set(saved.tensors) - REPLICA for node, saved in nodes.items()} == {
        0: set(),
        2: {"sum/2/1@0", "mark/snap/2/0@1", "mark/snap/2/1@2"},
        3: {"snap/3/1@2", "mark/snap/3/0@1"},
        7: {"mark/snap/7/1@1"},
    }
    assert nodes[3].tensors["snap/3/1@2"].dtype == torch.bfloat16
    assert {n.rpartition("/")[0] for n in shared.tensors} == {"global/0@0", "global/0@1", "global/1@0"}

    resumed, never_stopped = Group.of(trace, SPEC, gpt, workers), Group.of(trace, SPEC, gpt, 1)
    for executor in resumed.executors:
        executor.load(cut, nodes, shared)
    resumed.run(SPEC)
    never_stopped.run(SPEC)
    assert {e.digest() for e in resumed.executors} == {never_stopped.executors[0].digest()}


@pytest.mark.parametrize("workers", [1, 4])
def test_states_that_a_node_goes_back_to_are_in_it(tmp_path: Path, workers: int) -> None:
    """Cut between the steps that node 0 is about to lose and its failure."""
    trace = failures_trace()
    (cut,) = (op.id for op in trace.ops if op.kind == "lose" and op.node == 0)
    group, never_stopped = Group.of(trace, SPEC, gpt, 2), Group.of(trace, SPEC, gpt, 1)
    group.run(SPEC, limit=cut)
    write_all(group, tmp_path, cut)
    checkpoint, _ = newest_whole(tmp_path)
    assert checkpoint is not None
    nodes = checkpoint.read_nodes(trace.fleet_nodes)
    kept = {f"local/0@2/{name}" for name in REPLICA}
    assert {name for name in nodes[0].tensors if name.startswith("local/")} == kept
    assert nodes[0].tensors["inner/0/step"] == 5
    assert nodes[0].tensors["local/0@2/inner/0/step"] == 3

    resumed = Group.of(trace, SPEC, gpt, workers)
    for executor in resumed.executors:
        executor.load(cut, nodes, checkpoint.read_shared())
    for each in (resumed, never_stopped):
        each.run(SPEC)
    assert {e.digest() for e in resumed.executors} == {never_stopped.executors[0].digest()}


def broken_after(damage: str, path: Path) -> None:
    victim = path / ("manifest.json" if "manifest" in damage else "node-0003.safetensors")
    content = bytearray(victim.read_bytes())
    if damage.startswith("missing"):
        victim.unlink()
        return
    if damage.startswith("cut"):
        content = content[: len(content) // 2]
    else:
        content[len(content) * 2 // 3] ^= 1
    victim.write_bytes(content)


@pytest.mark.parametrize(("damage", "problem"), [
    ("missing manifest", "has no manifest.json"),
    ("cut manifest", "manifest.json is not JSON"),
    ("bit of manifest", "manifest.json was changed"),
    ("missing file", "node-0003.safetensors is missing"),
    ("cut file", "node-0003.safetensors was changed"),
    ("bit of file", "node-0003.safetensors was changed"),
])  # fmt: skip
def test_a_broken_checkpoint_gives_way_to_an_older_one(tmp_path: Path, group: Group, damage: str, problem: str) -> None:
    older, newer = write_all(group, tmp_path, 9), write_all(group, tmp_path, 10)
    assert found_path(tmp_path) == newer
    broken_after(damage, newer)
    checkpoint, broken = newest_whole(tmp_path)
    assert checkpoint is not None
    assert checkpoint.path == older
    assert [(b.path, b.problem) for b in broken] == [(newer, problem)]


@pytest.mark.parametrize("change", [{"epoch": 3}, {"metrics_bytes": None}])
def test_a_manifest_of_another_version_is_broken(tmp_path: Path, group: Group, change: dict[str, int | None]) -> None:
    """One field more, or one less (None), and a digest that fits."""
    path = write_all(group, tmp_path, 9)
    content = json.loads((path / "manifest.json").read_text()) | change
    content = {name: value for name, value in content.items() if value is not None and name != "sha256"}
    (path / "manifest.json").write_text(json.dumps({**content, "sha256": _digest(content)}))
    checkpoint, broken = newest_whole(tmp_path)
    assert checkpoint is None
    assert [(b.path, b.problem) for b in broken] == [(path, "manifest.json has the fields of another version")]


def found_path(folder: Path) -> Path:
    checkpoint, broken = newest_whole(folder)
    assert isinstance(checkpoint, Checkpoint)
    assert broken == ()
    return checkpoint.path


def test_what_was_not_committed_is_ignored(tmp_path: Path, group: Group) -> None:
    assert newest_whole(tmp_path) == (None, ())
    whole = write_all(group, tmp_path, 9)
    unfinished = begin(tmp_path, 12)
    write(unfinished, pack_shared(group.executors[0].save_shared()))
    assert found_path(tmp_path) == whole
    assert list(begin(tmp_path, 12).iterdir()) == []  # a second try starts anew
    prune(tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == [whole]


def test_the_last_ones_are_kept_by_number(tmp_path: Path, group: Group) -> None:
    for cut in (9, 100, 20, 11):
        write_all(group, tmp_path, cut)
    prune(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["op-000000020", "op-000000100"]
    assert found_path(tmp_path).name == "op-000000100"


def test_the_same_cut_can_be_written_again(tmp_path: Path, group: Group) -> None:
    path = write_all(group, tmp_path, 9)
    broken_after("cut file", path)
    assert write_all(group, tmp_path, 9) == path
    assert found_path(tmp_path) == path
