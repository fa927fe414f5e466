"""Prints what the traces of some random fleets are, a line each: for a process of its own."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given

from orbital_train.schedule.known import Policy
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace_file import write_trace
from tests.property.fleets import ARMS, failing_flights, few

if __name__ == "__main__":
    for arm in ARMS:

        @given(flight=failing_flights(arm))
        @few(3)
        def show(flight: tuple[Scenario, Policy[Any]]) -> None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "trace"
                write_trace(simulate(*flight), path)
                print(hashlib.sha256(path.read_bytes()).hexdigest())

        show()
