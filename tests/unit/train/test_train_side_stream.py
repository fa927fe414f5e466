"""Work beside the inner steps: how streams wait for each other. tests/integration/test_gpu.py has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from orbital_train.train.side_stream import SideStream


class Recorded:
    """Streams that write down what they are asked for, with the names of ``torch.cuda``."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current = "main"

    def Stream(self) -> RecordedStream:
        return RecordedStream("side", self)

    def current_stream(self) -> RecordedStream:
        return RecordedStream(self.current, self)

    @contextmanager
    def stream(self, stream: RecordedStream) -> Iterator[None]:
        self.current, before = stream.name, self.current
        yield
        self.current = before


class RecordedStream:
    def __init__(self, name: str, backend: Recorded) -> None:
        self.name, self._log = name, backend.log

    def wait_stream(self, other: RecordedStream) -> None:
        self._log.append(f"{self.name} waits for {other.name}")


def test_the_side_waits_for_what_it_reads_and_the_main_stream_only_where_it_joins() -> None:
    backend = Recorded()
    side = SideStream(backend)

    def work() -> tuple[torch.Tensor, ...]:
        backend.log.append(f"encode on {backend.current}")
        return (torch.ones(2),)

    (made,) = side.run(work, (torch.zeros(2),))
    backend.log.append(f"train on {backend.current}")
    side.join()
    assert backend.log == ["side waits for main", "encode on side", "train on main", "main waits for side"]
    assert made.tolist() == [1.0, 1.0]


def test_on_a_cpu_work_is_done_at_once() -> None:
    side = SideStream.of(torch.device("cpu"))
    vector = torch.tensor([1.0, 2.0])
    (made,) = side.run(lambda: (vector + 1,), (vector,))
    assert made.tolist() == [2.0, 3.0]
    side.join()
