"""A gate before every operation, at which another thread can stop an executor.

A consistent cut of several workers: ``hold`` each, take the largest answer as the cut, ``open_until`` it on each, and
``wait_done``. No worker can wait for another past the cut, since an operation needs only operations with lower ids.
"""

from __future__ import annotations

import threading


class Gate:
    """Thread-safe limit and position, in operation ids."""

    def __init__(self, *, start: int = 0, limit: int | None = None, leave: bool = False) -> None:
        self._limit = limit
        self._leave = leave  # return to the caller at the limit, where otherwise the executor waits there
        self._started = self._done = start  # of the executor, which is not 0 after a restart
        self._changed = threading.Condition()
        self.aborted = False

    def enter(self, op_id: int) -> bool:
        """Called by the executor when all operations before ``op_id`` are done.

        Waits while ``op_id`` is at or past the limit. Returns whether it may be executed; False: leave here.
        """
        with self._changed:
            self._done = op_id
            self._started = max(self._started, op_id)
            self._changed.notify_all()
            while self.aborted or (self._limit is not None and op_id >= self._limit):
                if self.aborted or self._leave:
                    return False
                self._changed.wait()
            self._started = op_id + 1
            return True

    @property
    def position(self) -> int:
        """All operations with a lower id are done."""
        with self._changed:
            return self._done

    def hold(self) -> int:
        """Let no further operation start; returns the id of the first that has not started."""
        with self._changed:
            self._limit = self._started
            return self._limit

    def open_until(self, limit: int | None, *, leave: bool = False) -> None:
        """Let operations below ``limit`` start (None: all), and then wait or, with ``leave``, return."""
        with self._changed:
            self._limit, self._leave = limit, leave
            self._changed.notify_all()

    def abort(self) -> None:
        """Let the executor leave before its next operation, at whatever limit."""
        with self._changed:
            self.aborted = True
            self._changed.notify_all()

    def wait_done(self, op_id: int, timeout_s: float | None = None) -> bool:
        """Wait until all operations below ``op_id`` are done; returns False if that takes longer than the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= op_id, timeout_s)
