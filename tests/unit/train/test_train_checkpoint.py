"""Checkpoints: whole or ignored."""

import itertools
import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orbital_train.errors import InputError
from orbital_train.schedule.trace import Trace
from orbital_train.train.checkpoint import (
    Broken,
    Checkpoint,
    Keep,
    Manifest,
    _digest,
    commit,
    examine,
    kept,
    library_versions,
    newest_whole,
    prune,
    write,
)
from orbital_train.train.checkpoint_store import DiskStore, ObjectStore, Store, store_at
from orbital_train.train.packing import pack, pack_nodes, pack_shared
from orbital_train.train.problem import Problem
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.group_traces import gossip_trace, groups_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.thread_workers import REPLICA, Group
from tests.unit.train.traces import everything_trace, streaming_trace

SPEC, TRACE = tiny_spec(), everything_trace()


def gpt() -> Problem:
    return tiny_problem(SPEC, TRACE.fleet_nodes)


def write_all(
    group: Group, store: Store, cut: int, *, written_s: float = 0.0, previous: Checkpoint | None = None
) -> Checkpoint:
    """As a cluster does: every worker its nodes, worker 0 the shared state, one commit."""
    folder = store.begin(cut)
    files: dict[str, str] = {}
    for executor in group.executors:
        files |= write(store, folder, pack_nodes(executor.save_nodes()), previous)
    files |= write(store, folder, pack_shared(group.executors[0].save_shared()), previous)
    manifest = Manifest(
        cut=cut,
        recipe_sha256="r",
        trace_sha256="t",
        metrics_bytes=17,
        written_s=written_s,
        versions=library_versions(),
        files=files,
    )
    return commit(store, folder, manifest)


KINDS = ("disk", "file", "memory")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A folder, the same through fsspec, and an object store in memory."""
    if request.param == "disk":
        return DiskStore(tmp_path / "checkpoints")
    return ObjectStore(f"{request.param}://{tmp_path}/checkpoints")


@pytest.fixture
def disk(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path)


@pytest.fixture(scope="module")
def group() -> Group:
    """Two workers cut in the middle, with marks, snapshots and a synchronous replica alive."""
    group = Group.of(TRACE, SPEC, gpt, 2)
    group.run(SPEC, limit=9)
    return group


@pytest.mark.parametrize("workers", [1, 3])
def test_resume_from_files_with_any_workers(store: Store, group: Group, workers: int) -> None:
    written = write_all(group, store, 9)
    names = [*(f"node-000{n}.safetensors" for n in (0, 2, 3, 7)), "shared.safetensors"]
    assert sorted(written.manifest.files) == names
    assert store.size_bytes(written.name) > sum(store.read(written.name, name).nbytes for name in names)
    checkpoint, broken = newest_whole(store)
    assert (checkpoint, broken) == (written, ())
    assert checkpoint is not None
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


def test_what_is_alive_is_in_it(disk: DiskStore, group: Group) -> None:
    write_all(group, disk, 9)
    checkpoint, _ = newest_whole(disk)
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
def test_sums_and_fragments_are_in_it(disk: DiskStore, workers: int) -> None:
    """Two workers, cut where a sum and a snapshot are under way and one fragment is a version ahead."""
    trace, cut = streaming_trace(), 19
    group = Group.of(trace, SPEC, gpt, 2)
    group.run(SPEC, limit=cut)
    write_all(group, disk, cut)
    checkpoint, _ = newest_whole(disk)
    assert checkpoint is not None
    nodes, shared = checkpoint.read_nodes(trace.fleet_nodes), checkpoint.read_shared()
    assert {node: set(saved.tensors) - REPLICA for node, saved in nodes.items()} == {
        0: set(),
        2: {"sum/2/1@0", "mark/snap/2/0@1", "mark/snap/2/1@2"},
        3: {"snap/3/1@2", "mark/snap/3/0@1"},
        7: {"mark/snap/7/1@1"},
    }
    packet = nodes[3].tensors["snap/3/1@2"]  # in bfloat16, and a number more
    assert packet.nbytes == 2 * group.executors[0].layout.fragment_size(1) + 4
    assert {n.rpartition("/")[0] for n in shared.tensors} == {"global/0@0", "global/0@1", "global/1@0"}

    resumed, never_stopped = Group.of(trace, SPEC, gpt, workers), Group.of(trace, SPEC, gpt, 1)
    for executor in resumed.executors:
        executor.load(cut, nodes, shared)
    resumed.run(SPEC)
    never_stopped.run(SPEC)
    assert {e.digest() for e in resumed.executors} == {never_stopped.executors[0].digest()}


@pytest.mark.parametrize("workers", [1, 4])
def test_states_that_a_node_goes_back_to_are_in_it(disk: DiskStore, workers: int) -> None:
    """Cut between the steps that node 0 is about to lose and its failure."""
    trace = failures_trace()
    (cut,) = (op.id for op in trace.ops if op.kind == "lose" and op.node == 0)
    group, never_stopped = Group.of(trace, SPEC, gpt, 2), Group.of(trace, SPEC, gpt, 1)
    group.run(SPEC, limit=cut)
    write_all(group, disk, cut)
    checkpoint, _ = newest_whole(disk)
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
    elif damage == "bit of manifest":
        content[content.index(b": 17,") + 2] ^= 8  # of the metrics' length
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
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_broken_checkpoint_gives_way_to_an_older_one(
    tmp_path: Path, group: Group, damage: str, problem: str, kind: str
) -> None:
    store: Store = DiskStore(tmp_path) if kind == "disk" else ObjectStore(f"file://{tmp_path}")
    older, newer = write_all(group, store, 9), write_all(group, store, 10)
    assert found(store) == newer
    broken_after(damage, tmp_path / newer.name)
    checkpoint, broken = newest_whole(store)
    assert checkpoint == older
    told = [] if (damage, kind) == ("missing manifest", "file") else [(newer.name, problem)]  # not a checkpoint yet
    assert [(b.name, b.problem) for b in broken] == told


def test_a_directory_that_was_half_copied_gives_way_too(disk: DiskStore, group: Group) -> None:
    """Whatever of it has arrived first."""
    older, newer = write_all(group, disk, 9), write_all(group, disk, 10)
    files = sorted((disk.folder / newer.name).iterdir())
    for half in (files[:2], files[2:]):
        copy = DiskStore(disk.folder / f"copy-{len(half)}")
        shutil.copytree(disk.folder / older.name, copy.folder / older.name)
        (copy.folder / newer.name).mkdir()
        for file in half:
            shutil.copy(file, copy.folder / newer.name)
        checkpoint, broken = newest_whole(copy)
        assert checkpoint is not None
        assert (checkpoint.name, [b.name for b in broken]) == (older.name, [newer.name])


@pytest.mark.parametrize(("number", "shown"), [(2, 2), (None, 0)])
def test_a_checkpoint_of_another_format_is_refused(
    disk: DiskStore, group: Group, number: int | None, shown: int
) -> None:
    """Also where there is an older one that could be read. Those of the first days had no number."""
    write_all(group, disk, 8)
    path = disk.folder / write_all(group, disk, 9).name / "manifest.json"
    content = json.loads(path.read_text()) | {"format": number}
    content = {name: value for name, value in content.items() if value is not None and name != "sha256"}
    path.write_text(json.dumps({**content, "sha256": _digest(content)}))
    with pytest.raises(InputError) as caught:
        newest_whole(disk)
    told = f"has format {shown}, and this version of the program reads format 1; go on with the version that wrote it"
    assert str(caught.value) == f"checkpoint = '{path.parent}': {told}"
    assert [type(each) for each in examine(disk)] == [Broken, Checkpoint]


def found(store: Store) -> Checkpoint:
    checkpoint, broken = newest_whole(store)
    assert checkpoint is not None
    assert broken == ()
    return checkpoint


def test_what_was_not_committed_is_ignored(store: Store, group: Group) -> None:
    assert newest_whole(store) == (None, ())
    whole = write_all(group, store, 9)
    unfinished = store.begin(12)
    write(store, unfinished, pack_shared(group.executors[0].save_shared()))
    assert found(store) == whole
    assert store.begin(12) != unfinished  # a second try starts anew
    assert unfinished in store.unfinished()
    prune(store, Keep(last=1))
    assert (store.names(), store.unfinished()) == ([whole.name], [])


def test_the_last_ones_are_kept_by_number(store: Store, group: Group) -> None:
    written = {cut: write_all(group, store, cut) for cut in (9, 100, 20, 11)}
    assert [each.manifest.cut for each in examine(store) if isinstance(each, Checkpoint)] == [100, 20, 11, 9]
    prune(store, Keep(last=2))
    assert store.names() == [written[100].name, written[20].name]
    assert found(store) == written[100]


def test_others_are_kept_by_the_hour(disk: DiskStore, group: Group) -> None:
    """One is written every 40 minutes and pruned at once; every two hours one stays, beside the last."""
    for k in range(10):
        write_all(group, disk, k, written_s=k * 2400.0)
        prune(disk, Keep(last=1, every_s=7200.0))
    assert [int(name.removeprefix("op-")) for name in disk.names()] == [9, 6, 3, 0]


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30), st.integers(1, 4), st.floats(0.1, 20.0))
def test_pruning_again_and_again_keeps_what_pruning_once_would(pauses: list[float], last: int, every_s: float) -> None:
    keep, times = Keep(last=last, every_s=every_s), list(itertools.accumulate(pauses))
    everything = [(str(k), time_s) for k, time_s in enumerate(times)]
    there: list[tuple[str, float]] = []
    for each in everything:
        there.append(each)
        stay = kept(there[::-1], keep)
        there = [entry for entry in there if entry[0] in stay]
    assert {name for name, _ in there} == kept(everything[::-1], keep)
    old = [time_s for _, time_s in there[: -last or None]]
    assert all(b - a >= every_s for a, b in itertools.pairwise(old))


def test_the_same_cut_can_be_written_again(disk: DiskStore, group: Group) -> None:
    first = write_all(group, disk, 9)
    broken_after("cut file", disk.folder / first.name)
    assert write_all(group, disk, 9) == first
    assert found(disk) == first


def test_what_is_as_before_is_not_written_again(store: Store, group: Group) -> None:
    """Equal state gives equal bytes, and equal bytes are taken from the checkpoint before."""
    first = write_all(group, store, 9)
    second = write_all(group, store, 10, previous=first)
    store.remove(first.name)
    assert found(store) == second
    assert second.manifest.files == first.manifest.files


def test_a_file_that_is_as_before_is_a_hard_link_unless_it_was_damaged(disk: DiskStore, group: Group) -> None:
    first = write_all(group, disk, 9)
    broken_after("bit of file", disk.folder / first.name)  # of node 3
    second = write_all(group, disk, 10, previous=first)
    linked = {
        name
        for name in first.manifest.files
        if (disk.folder / first.name / name).samefile(disk.folder / second.name / name)
    }
    assert linked == set(first.manifest.files) - {"node-0003.safetensors"}
    assert found(disk) == second


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_a_full_disk_leaves_the_last_one_whole(store: Store, group: Group) -> None:
    """Files may not be longer than a kilobyte here: the same error as of a full disk, at the same place."""
    first = write_all(group, store, 9)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_all(group, store, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found(store) == first
    (left,) = store.unfinished()
    store.discard(left)
    assert store.unfinished() == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    store = DiskStore(tmp_path / "checkpoints")
    assert newest_whole(store) == (None, ())
    with pytest.raises(OSError, match="Not a directory"):
        store.begin(9)


def test_a_place_that_fsspec_does_not_know() -> None:
    with pytest.raises(OSError, match="Protocol not known: nowhere"):
        ObjectStore("nowhere://bucket").names()


def test_urls() -> None:
    folder = Path("run/checkpoints")
    assert store_at(None, folder) == DiskStore(folder)
    assert store_at("file:///data/run", folder) == DiskStore(Path("/data/run"))
    assert store_at("s3://bucket/run/", folder) == ObjectStore("s3://bucket/run")


@pytest.mark.parametrize(
    "trace", [everything_trace(), streaming_trace(), failures_trace(), gossip_trace(), groups_trace()]
)
def test_saving_what_moved_is_saving_everything(trace: Trace) -> None:
    """After every single operation, on two workers: whatever an operation changes, its node has moved."""
    group = Group.of(trace, SPEC, lambda: tiny_problem(SPEC, trace.fleet_nodes), 2)
    before: dict[int, bytes] = {}
    still = 0
    for cut in range(len(trace.ops)):
        group.run(SPEC, limit=cut)
        moved = {n: s for e in group.executors for n, s in e.save_nodes(moved_only=cut > 0).items()}
        after = before | {node: pack(saved).tobytes() for node, saved in moved.items()}
        assert after == {node: pack(saved).tobytes() for node, saved in group.saved()[0].items()}
        still += len(after) - len(moved)
        before = after
    assert still > len(trace.ops)  # out of four nodes, most do not move in an operation
