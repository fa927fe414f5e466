from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orbital_train.cli.folder_cache import cached
from orbital_train.errors import InputWarning

KEY = "0123"


def keep(folder: Path, make: Callable[[], str], key: str = KEY, limit_bytes: int = 10_000) -> tuple[str, bool]:
    return cached(folder, key, make, read=_read, write=_write, limit_bytes=limit_bytes)


def _read(entry: Path) -> str:
    return (entry / "a").read_text() + (entry / "b").read_text()


def _write(made: str, entry: Path) -> None:
    (entry / "a").write_text(made[:1])
    (entry / "b").write_text(made[1:])


def never() -> str:
    raise AssertionError("was kept and is made again")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache that holds an entry."""
    assert keep(tmp_path / "cache", lambda: "xyz") == ("xyz", False)
    return tmp_path / "cache"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_what_was_kept_is_not_made_again(folder: Path) -> None:
    assert keep(folder, never) == ("xyz", True)
    assert keep(folder, lambda: "other", key="4567") == ("other", False)
    assert entries(folder) == ["0123", "4567"]


@pytest.mark.parametrize("name", ["a", "b", "sha256.json"])
def test_a_damaged_file_is_made_again_and_replaced(folder: Path, name: str) -> None:
    content = (folder / KEY / name).read_bytes()
    for place in range(len(content)):
        (folder / KEY / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert keep(folder, lambda: "xyz") == ("xyz", False)
        assert keep(folder, never) == ("xyz", True)
    assert entries(folder) == [KEY]


@pytest.mark.parametrize("name", ["a", "b", "sha256.json"])
def test_a_missing_or_cut_file_is_made_again(folder: Path, name: str) -> None:
    (folder / KEY / name).unlink()
    assert keep(folder, lambda: "new") == ("new", False)
    (folder / KEY / name).write_bytes(b"")
    assert keep(folder, lambda: "newer") == ("newer", False)
    assert keep(folder, never) == ("newer", True)


def test_what_fails_to_be_made_or_written_leaves_nothing(tmp_path: Path) -> None:
    def break_off(made: str, entry: Path) -> None:
        _write(made, entry)
        raise RuntimeError("no more power")

    with pytest.raises(RuntimeError, match="no more power"):
        cached(tmp_path, KEY, lambda: "xyz", read=_read, write=break_off)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_not_an_entry_and_goes_after_a_day(folder: Path) -> None:
    for name, age_s in ((".part-old", 100_000.0), (".part-new", 10.0)):
        _write_part(folder / name, age_s)
    keep(folder, lambda: "other", key="4567")
    assert entries(folder) == [".part-new", "0123", "4567"]


def _write_part(part: Path, age_s: float) -> None:
    part.mkdir()
    _write("xyz", part)
    last_s = part.stat().st_mtime - age_s
    os.utime(part, (last_s, last_s))


def test_the_size_is_bounded_and_what_was_used_longest_ago_goes_first(folder: Path) -> None:
    size = sum(path.stat().st_size for path in (folder / KEY).iterdir())
    for age_s, key in enumerate(("4567", "89ab")):
        keep(folder, lambda: "xyz", key=key)
        last_s = (folder / key).stat().st_mtime - 50.0 + age_s
        os.utime(folder / key, (last_s, last_s))
    os.utime(folder / KEY, (0.0, 0.0))
    keep(folder, never)  # it has just been used
    keep(folder, lambda: "xyz", key="cdef", limit_bytes=3 * size)
    assert entries(folder) == ["0123", "89ab", "cdef"]


def test_what_is_larger_than_the_whole_cache_is_not_kept_and_nothing_goes_for_it(folder: Path) -> None:
    size = sum(path.stat().st_size for path in (folder / KEY).iterdir())
    assert keep(folder, lambda: "abcd", key="4567", limit_bytes=size) == ("abcd", False)
    assert entries(folder) == [KEY]
    assert keep(folder, lambda: "abc", key="4567", limit_bytes=size) == ("abc", False)
    assert entries(folder) == ["4567"]


def test_where_nothing_can_be_kept_there_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(InputWarning) as caught:
        assert keep(tmp_path / "file" / "cache", lambda: "xyz") == ("xyz", False)
    told = f"{tmp_path / 'file' / 'cache'}: results cannot be kept for the next time: Not a directory"
    assert [str(w.message) for w in caught] == [told]


def _make_together(folder: Path, barrier: object) -> None:
    """Make the same entry at the same moment as another process, many times over."""
    for number in range(20):
        barrier.wait(60)  # type: ignore[attr-defined]
        made, _ = keep(folder, lambda: "xyz", key=f"{number:04d}")
        assert made == "xyz"


def test_two_processes_may_keep_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    pair = [context.Process(target=_make_together, args=(tmp_path, barrier)) for _ in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(60)
    assert [process.exitcode for process in pair] == [0, 0]
    assert entries(tmp_path) == [f"{number:04d}" for number in range(20)]
    for name in entries(tmp_path):
        assert keep(tmp_path, never, key=name) == ("xyz", True)
        assert sorted(json.loads((tmp_path / name / "sha256.json").read_text())) == ["a", "b"]
