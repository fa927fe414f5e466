import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, torch
from orbital_train.cluster.dist_transport import DistTransport
rank, folder = int(sys.argv[1]), sys.argv[2]
transport = DistTransport(rank, 2)
transport.join("gloo", f"file://{folder}/meeting")
other = 1 - rank
# Both post first: a send must not wait for its receiver. Messages of a pair keep their order.
first, second = torch.full((3, 1000), float(rank)), torch.arange(5) + 10 * rank
transport.send(first, other)
transport.send(second, other)
a, b = torch.empty(3, 1000), torch.empty(5, dtype=torch.int64)
transport.recv(a, other)
transport.recv(b, other)
transport.flush()
first.zero_()
c, d = torch.empty(7), torch.empty(2)
transport.exchange([(torch.full((7,), rank + 0.5), other), (torch.ones(2), other)], [(c, other), (d, other)])
print(json.dumps({"a": a.unique().tolist(), "b": b.tolist(), "c": (c.sum() + d.sum()).item(),
                  "sent": transport.bytes_sent, "size": transport.size}))
"""


@pytest.mark.slow
def test_messages_between_two_processes(tmp_path: Path):
    command = [sys.executable, "-c", SCRIPT]
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PATH": ""}
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment)
        for rank in range(2)
    ]
    outputs = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    sent = 3 * 1000 * 4 + 5 * 8 + 9 * 4
    assert outputs == [
        {"a": [1.0], "b": [10, 11, 12, 13, 14], "c": 7 * 1.5 + 2, "sent": sent, "size": 2},
        {"a": [0.0], "b": [0, 1, 2, 3, 4], "c": 7 * 0.5 + 2, "sent": sent, "size": 2},
    ]
