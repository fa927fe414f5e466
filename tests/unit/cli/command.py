"""Running the command line in this process."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from orbital_train.cli.main import app


def run(*arguments: str | Path) -> Result:
    """What a command did."""
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def refused(*arguments: str | Path) -> str:
    """The one line that tells what is wrong with the input."""
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("orbital-train: ")
    return lines[0].removeprefix("orbital-train: ")


def unchanged(folder: Path, *arguments: str | Path) -> str:
    """The line that tells what is wrong; nothing has been written or changed."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    line = refused(*arguments)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (folder / "out").exists() or before
    return line
