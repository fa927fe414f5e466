from pathlib import Path

import pytest

from orbital_train.report import data_way


def test_the_picture_is_drawn_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["data_way", str(tmp_path / "way.png")])
    data_way.main()
    first = (tmp_path / "way.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert data_way.data_way() == first
