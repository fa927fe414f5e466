"""What planning is doing, on a terminal only: one line for each stage, with the time it took or has taken so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Stages:
    """Told of each stage as it begins, and of how much of it is done where that is known."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage = ""

    def __call__(self, stage: str) -> None:
        """A stage begins, and the one before it is done."""
        for task in self._progress.task_ids:
            self._progress.update(task, total=1, completed=1)
        self._stage = stage
        self._progress.add_task(stage, total=None)

    def reached(self, what: str) -> None:
        """The present stage has come so far."""
        self._progress.update(self._progress.task_ids[-1], description=f"{self._stage} ({what})")

    def done(self, share: float) -> None:
        """So much of the present stage is done."""
        self.reached(f"{share:.0%}")


@contextmanager
def stages(console: Console) -> Iterator[Stages]:
    """To be told of stages; the lines vanish when all is done. Silent in a pipe."""
    columns = SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Stages(progress)
