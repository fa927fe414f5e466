"""Live progress on the console while training runs. Pure display: every value comes from the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orbital_train.report import fmt

PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands."""

    sim_s: float
    horizon_s: float
    sunlit: int  # nodes that see the Sun
    nodes: int
    open_links: int
    loss: float | None  # None before the first one is known
    steps_per_s: float  # inner steps, wall time
    done_steps: int
    total_steps: int

    @property
    def left(self) -> str:
        """The wall time that is left at this speed."""
        if self.steps_per_s <= 0:
            return fmt.NONE
        return fmt.duration((self.total_steps - self.done_steps) / self.steps_per_s)

    @property
    def loss_text(self) -> str:
        """The loss, or a dash."""
        return fmt.NONE if self.loss is None else fmt.loss(self.loss)


class RunProgress:
    """A panel that is redrawn in place on a terminal, and one line every few seconds anywhere else.

    Args:
        title: what runs, shown on the panel's edge.
        console: where to write.
        clock_s: wall time, for the pace of the plain lines.
    """

    def __init__(
        self, title: str, console: Console | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._title = title
        self._console = console or Console()
        self._clock_s = clock_s
        self._live = Live(console=self._console, refresh_per_second=8) if self._console.is_terminal else None
        self._progress: Progress | None = None
        self._printed_s = float("-inf")

    def __enter__(self) -> RunProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._progress is not None:
            self._print(self._progress)  # the last state is shown, whenever it came

    def update(
        self,
        *,
        sim_s: float,
        horizon_s: float,
        sunlit: int,
        nodes: int,
        open_links: int,
        loss: float | None,
        steps_per_s: float,
        done_steps: int,
        total_steps: int,
    ) -> None:
        """Show this state, at once on a terminal, otherwise if the last line is old enough. See :class:`Progress`."""
        progress = Progress(
            sim_s=sim_s, horizon_s=horizon_s, sunlit=sunlit, nodes=nodes, open_links=open_links, loss=loss,
            steps_per_s=steps_per_s, done_steps=done_steps, total_steps=total_steps,
        )  # fmt: skip
        if self._live is not None:
            self._live.update(panel(progress, self._title))
        elif self._clock_s() - self._printed_s >= PLAIN_EVERY_S:
            self._print(progress)
        else:
            self._progress = progress

    def _print(self, progress: Progress) -> None:
        self._printed_s = self._clock_s()
        self._progress = None
        self._console.print(Text(line(progress)), soft_wrap=True)


def line(progress: Progress) -> str:
    """The state in one line of plain text."""
    p = progress
    return (
        f"{p.done_steps}/{p.total_steps} steps  loss {p.loss_text}  {fmt.significant(p.steps_per_s)} steps/s  "
        f"left {p.left}  simulated {fmt.duration(p.sim_s)} of {fmt.duration(p.horizon_s)}  "
        f"sunlit {p.sunlit}/{p.nodes}  links {p.open_links}"
    )


def panel(progress: Progress, title: str) -> Panel:
    """The state as a panel: a bar for the steps, and the simulated world below it."""
    p = progress
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    steps = Text(f"{p.done_steps} / {p.total_steps} steps", style="bold")
    bar.add_row(ProgressBar(total=p.total_steps, completed=p.done_steps), steps)
    values = Table.grid(padding=(0, 3))
    values.add_row(
        *(Text(head, style="dim") for head in ("loss", "speed", "left", "simulated", "sunlit", "open links"))
    )
    values.add_row(
        Text(p.loss_text, style="bold"),
        Text(f"{fmt.significant(p.steps_per_s)} steps/s"),
        Text(p.left),
        Text(f"{fmt.duration(p.sim_s)} of {fmt.duration(p.horizon_s)}"),
        Text(f"{p.sunlit} of {p.nodes}", style="yellow" if p.sunlit else "dim"),
        Text(str(p.open_links), style="cyan" if p.open_links else "dim"),
    )
    body = Table.grid(expand=True)
    body.add_row(bar)
    body.add_row(values)
    return Panel(body, title=Text(title), title_align="left", border_style="dim")
