"""How a name becomes a function, and what it is called with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orbital_train.errors import InputError
from orbital_train.train.registry import accepted, builder, call, is_known
from orbital_train.train.spec import Named
from tests.unit.train import own

OWN = "tests.unit.train.own"


def found(kind: str, *imports: str, what: str = "model") -> Any:
    return builder(what, Named(kind=kind), imports)


def told(kind: str, *imports: str, what: str = "model") -> str:
    with pytest.raises(InputError) as caught:
        found(kind, *imports, what=what)
    return str(caught.value)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with entry points, as pip would install it."""
    info = tmp_path / "stars-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stars\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orbital_train.models]\nstar = stars:star\n")
    (tmp_path / "stars.py").write_text("def star(*, points=5):\n    return points\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_all_that_is_built_in_is_there() -> None:
    for what, names in (("model", ("gpt", "llama", "mlp", "cnn")), ("data", ("text", "digits"))):
        for name in names:
            assert callable(found(name, what=what))


def test_an_entry_point_of_an_installed_package(installed: None) -> None:
    named = Named(kind="star", arguments={"points": 7})
    assert call("model", named, found("star"), None) == 7
    assert is_known("model", "star")
    assert not is_known("data", "star")
    assert "cnn, hf, star, or package.module:function" in accepted("model")


def test_code_of_ones_own_is_imported_only_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_alone.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = "model.kind = 'mine_alone:f': a recipe alone runs no code: allow this module with --import mine_alone"
    assert told("mine_alone:f") == line
    assert told("mine_alone:f", "another", "mine") == line
    assert "mine_alone" not in sys.modules
    assert found("mine_alone:f", "mine_alone")() == 1
    del sys.modules["mine_alone"]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("no_such_module:f", "no_such_module cannot be imported: No module named 'no_such_module'"),
        (f"{OWN}:nothing", f"{OWN} has no function nothing"),
        (f"{OWN}:not_a_function", f"{OWN} has no function not_a_function"),
    ],
)
def test_paths_that_do_not_resolve(kind: str, line: str) -> None:
    assert told(kind, "no_such_module", OWN) == f"model.kind = {kind!r}: {line}"


def test_a_name_that_nobody_has() -> None:
    assert told("magic", what="data").startswith("data.kind = 'magic': must be one of text, shards, hf, digits, or ")


def test_what_looks_like_an_import_path() -> None:
    assert all(is_known("model", kind) for kind in ("a:b", "a.b:c", "_a.b_1:c"))
    assert not any(is_known("model", kind) for kind in ("a", "a.b", "a:b.c", ":b", "a:", "../a:b", "a:b()"))


def test_what_is_not_given_is_taken_from_the_data() -> None:
    def f(*, width: int, classes: int, depth: int = 1, **others: int) -> dict[str, int]:
        return {"width": width, "classes": classes, "depth": depth, **others}

    data = SimpleNamespace(classes=10, depth=7, width=8)
    built = call("model", Named(kind="f", arguments={"width": 3, "more": 4}), f, data)
    assert built == {"width": 3, "classes": 10, "depth": 1, "more": 4}


def test_signatures_that_do_not_fit() -> None:
    named = Named(kind="own:Line", arguments={"slop": 1.0})
    with pytest.raises(InputError) as caught:
        call("model", named, own.Line, None)
    line = "model.arguments = {'slop': 1.0}: own:Line(slope, inputs): got an unexpected keyword argument 'slop'"
    assert str(caught.value) == line
    with pytest.raises(InputError) as caught:
        call("data", Named(kind="own:f"), lambda *, colour: colour, own.Line())
    assert str(caught.value) == "data.kind = 'own:f': needs colour, which neither data.arguments nor the run has"
