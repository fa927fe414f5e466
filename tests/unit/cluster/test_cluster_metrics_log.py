import json
import resource
from contextlib import closing
from pathlib import Path

import pytest

from orbital_train.cluster.failures import CannotWrite
from orbital_train.cluster.metrics_log import MetricsLog


def row(op: int, event: str = "step", **more: float) -> dict[str, object]:
    return {"event": event, "op": op, **more}


def ops(path: Path) -> list[int]:
    return [json.loads(line)["op"] for line in path.read_text().splitlines()]


def test_rows_are_written_in_the_order_of_the_trace(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        log.add([row(3), row(5)])
        log.add([row(0), row(4)])
        log.write_below(4)
        log.sync()
        assert ops(path) == [0, 3]
        log.add([row(6)])
        log.write_below(7)
    assert ops(path) == [0, 3, 4, 5, 6]
    assert path.read_bytes().startswith(b'{"event":"step","op":0}\n')


def test_what_is_behind_the_cut_is_dropped_and_written_again(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        log.add([row(0), row(1)])
        log.write_below(1)
        kept_bytes = log.sync()
        assert kept_bytes == path.stat().st_size
        log.write_below(2)
    with closing(MetricsLog(path, kept_bytes)) as log:
        assert ops(path) == [0]
        log.add([row(1), row(2)])
        log.write_below(3)
        assert log.sync() == 3 * kept_bytes
    assert ops(path) == [0, 1, 2]
    with closing(MetricsLog(path)):
        assert path.read_bytes() == b""


def test_the_last_loss_is_that_of_the_rows_written_or_kept(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        assert log.last_loss is None
        log.add([row(0, "evaluate", loss=3.5), row(2, "evaluate", loss=3.0)])
        log.write_below(2)
        assert log.last_loss == 3.5
        kept_bytes = log.sync()
        log.write_below(3)
        assert log.last_loss == 3.0
    with closing(MetricsLog(path, kept_bytes)) as log:
        assert log.last_loss == 3.5


def test_a_full_disk_is_told_in_one_line(tmp_path: Path):
    """Files may not be longer than 100 bytes here."""
    path, limits = tmp_path / "metrics.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    log = MetricsLog(path)
    log.add([row(k) for k in range(10)])
    log.write_below(10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        for write in (log.sync, log.close):
            with pytest.raises(CannotWrite) as caught:
                write()
            assert str(caught.value) == f"{path} cannot be written (File too large); --resume goes on once it can"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_log_that_cannot_be_opened(tmp_path: Path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(CannotWrite, match=r"metrics\.jsonl cannot be written \(Is a directory\)"):
        MetricsLog(tmp_path / "metrics.jsonl")


def test_what_several_workers_tell_is_written_once(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        log.add([row(1, "merge"), row(1, "merge"), row(2, "lose")])
        log.add([row(1, "merge"), row(0), row(2, "lose")])
        log.write_below(3)
        log.add([row(1, "merge")])
        log.write_below(9)
    assert ops(path) == [0, 1, 2]


def test_rows_of_lost_nodes_are_forgotten_from_where_nobody_has_heard_of_them(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        log.add([row(3, node=1), row(4, node=2), row(5, node=1), row(6, "evaluate", loss=1.0), row(8, "merge")])
        log.forget_nodes({1: 4}, 7)
        assert [log.lacks(op, "evaluate") for op in (5, 6)] == [True, False]
        log.write_below(9)
        assert not log.lacks(6, "evaluate")
    assert ops(path) == [3, 4, 6]


def test_going_back_to_a_checkpoint_takes_its_rows_again(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with closing(MetricsLog(path)) as log:
        log.add([row(0), row(1)])
        log.write_below(1)
        kept_bytes = log.sync()
        log.write_below(2)
        log.add([row(7)])
        log.cut_back(kept_bytes, 1)
        log.add([row(1), row(2)])
        log.write_below(9)
    assert ops(path) == [0, 1, 2]
