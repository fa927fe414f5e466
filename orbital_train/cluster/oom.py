"""What the kernel of this machine says about processes that it ended for want of memory."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


class OomKills:
    """Counts them, of all programs and containers on this machine; of other machines nothing is known here."""

    def __init__(self) -> None:
        self._seen = _count()

    def fresh(self) -> int:
        """How many there were since this was last asked, or since the beginning."""
        seen, self._seen = self._seen, _count()
        return self._seen - seen


def _count() -> int:
    """Since the machine was started; 0 where the kernel does not tell, as any but Linux."""
    try:
        lines = VMSTAT.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
