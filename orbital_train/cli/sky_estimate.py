"""What planning a large fleet will take, before it begins."""

from __future__ import annotations

from orbital_train.report import fmt
from orbital_train.windows.links import STEP_S

# As measured for the shipped skies of 51,600 and a million satellites over one orbit: 2.7 and 3.1 µs of processor time
# for each state, 0.53 and 4.23 GiB, 5 and 190 MB.
_S_PER_STATE = 3e-6
_BYTES_PER_SATELLITE, _BYTES_AT_LEAST = 4_200, 3.5e8
_DISK_PER_SATELLITE, _DISK_PER_STATE = 100, 1.0


def estimate_line(satellites: int, horizon_s: float) -> str:
    """Wall time, memory and disk of planning so many satellites in one line: rough, for links change at other rates."""
    states = satellites * (1 + horizon_s / STEP_S)
    return (
        f"estimate for {satellites:,} satellites over {fmt.duration(horizon_s)}: about "
        f"{fmt.duration(states * _S_PER_STATE)}, "
        f"{(_BYTES_AT_LEAST + satellites * _BYTES_PER_SATELLITE) / 2**30:.1f} GiB of memory, "
        f"{fmt.data_bytes(satellites * _DISK_PER_SATELLITE + states * _DISK_PER_STATE)} on disk"
    )
