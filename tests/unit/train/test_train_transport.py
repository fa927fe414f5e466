"""Transports."""

import pytest
import torch

from orbital_train.train.transport import LocalTransport, thread_group


def test_nobody_to_send_to() -> None:
    with pytest.raises(ValueError, match="rank 1 does not exist"):
        LocalTransport().send(torch.zeros(1), 1)
    with pytest.raises(ValueError, match="rank 1 does not exist"):
        LocalTransport().recv(torch.zeros(1), 1)


def test_messages_arrive_in_order_and_are_counted() -> None:
    a, b = thread_group(2)
    a.send(torch.tensor([1.0, 2.0]), 1)
    a.send(torch.tensor([3], dtype=torch.bfloat16), 1)
    first, second = torch.empty(2), torch.empty(1, dtype=torch.bfloat16)
    b.recv(first, 0)
    b.recv(second, 0)
    a.flush()
    assert (first.tolist(), second.tolist()) == ([1.0, 2.0], [3.0])
    assert (a.bytes_sent, b.bytes_sent) == (8 + 2, 0)
