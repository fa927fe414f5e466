"""What planning is doing, on a terminal only: one line for each stage, with the time it took or has taken so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str], None]]:
    """A function to be told of each stage as it begins; the lines vanish when all is done. Silent in a pipe."""
    columns = SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def begin(stage: str) -> None:
            for task in progress.task_ids:
                progress.update(task, total=1, completed=1)
            progress.add_task(stage, total=None)

        yield begin
