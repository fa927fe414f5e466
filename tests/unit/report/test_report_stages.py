import io

from rich.console import Console

from orbital_train.report.stages import stages


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with stages(console) as note:
        note("propagating the fleet")
        note.done(0.25)
        note("finding links")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_each_stage_and_its_time():
    text = shown(terminal=True)
    assert "propagating the fleet (25%)" in text
    assert "finding links" in text
    assert "0:00:00" in text


def test_a_pipe_shows_nothing():
    assert shown(terminal=False) == ""
