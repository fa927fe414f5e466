"""FSDP2 in a node of several devices, against one device: two processes, without Ray."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import copy, json, sys
import torch
from torch import nn
from orbital_train.cluster.dist_devices import DistDevices
from orbital_train.cluster.dist_transport import DistTransport
from pathlib import Path
from transformers import AutoModelForCausalLM, Gemma3TextConfig
from orbital_train.train.bench import Bench, Binding
from orbital_train.train.benches import node_bench, skeleton
from orbital_train.train.executor import Executor
from orbital_train.train.export import write_model
from orbital_train.train.flat import Layout, flatten
from orbital_train.train.gate import Gate
from orbital_train.train.models.hf import CausalLM
from orbital_train.train.placement import place
from orbital_train.train.run import run_local
from orbital_train.train.shards import Shards
from orbital_train.train.transport import LaneTransport
from tests.unit.train.test_train_buffers import normed
from tests.unit.train.failure_traces import failures_trace
from tests.unit.train.problems import tiny_problem, tiny_spec
from tests.unit.train.traces import everything_trace

rank, folder = int(sys.argv[1]), sys.argv[2]
transport = DistTransport(rank, 2)
transport.join("gloo", f"file://{folder}/meeting")
devices, spec, found = DistDevices(2), tiny_spec(batch_size=4), {}
mesh = devices.mesh("cpu")


class Layers(nn.Module):
    # Lists in lists, a layer that is not used, uneven rows, and fewer rows than devices.
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.blocks = nn.ModuleList(nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)]) for _ in range(2))
        self.idle, self.last = nn.ModuleList([nn.Linear(3, 3)]), nn.Linear(5, 1)
        for p in self.parameters():
            p.data.normal_(generator=generator)

    def forward(self, x_BD, y_B):
        for first, second in self.blocks:
            x_BD = x_BD + second(torch.tanh(first(x_BD)))
        return (self.last(x_BD)[:, 0] - y_B).square().mean()


def both(module, batch):
    '''Largest differences between a node's bench and that of one device.'''
    shards = Shards(whole=Layout.of(module), devices=devices)
    whole_P = flatten(module, shards.whole)
    plain = copy.deepcopy(module)
    bench = node_bench(module, shards, torch.float32, 1, mesh)
    one = Bench(plain, shards.whole, torch.float32, 2)  # micro-batches: as norms of a part of a batch
    shard_P, alone_P = shards.split(whole_P), whole_P.clone()
    bench.bind(shard_P)
    one.bind(alone_P)
    off = [bench.mean_loss((batch,) * 3) - one.mean_loss((batch,) * 3)]
    for _ in range(2):
        off.append((bench.gradient(batch) - one.gradient(batch)).abs().item())
        bench.clip(0.1)
        one.clip(0.1)
        gradient_P = torch.empty_like(one.gradient_P)
        shards.join_parameters(gradient_P, bench.gradient_shard())
        off.append((gradient_P - one.gradient_P).abs().max().item())
        shard_P[: shards.own.trained] -= bench.gradient_P
        alone_P[: shards.whole.trained] -= one.gradient_P
    off.append((shards.join(shard_P) - alone_P)[: shards.whole.trained].abs().max().item())
    counts = shard_P[shards.own.averaged :].tolist()
    return {"off": max(off), "gradient": len(bench.gradient_P), "whole": shards.whole.trained, "counts": counts}


generator = torch.Generator().manual_seed(2)
batch = torch.randn(6, 5, generator=generator), torch.randn(6, generator=generator)
found["layers"] = both(Layers(), batch)
tokens = torch.arange(48).view(4, 12) % 24
config = Gemma3TextConfig(vocab_size=24, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                          num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=64)
torch.manual_seed(3)
gemma = CausalLM(AutoModelForCausalLM.from_config(config))
kept = skeleton(gemma)
whole = Layout.of(gemma)
whole_P = flatten(gemma, whole)
found["gemma"] = both(gemma, (tokens, tokens.roll(1, 1)))
Binding(kept, whole).bind(whole_P)
if rank == 0:
    write_model(kept, Path(folder))
    read = CausalLM(AutoModelForCausalLM.from_pretrained(folder))
    found["read"] = torch.equal(flatten(read, whole), whole_P)
found["normed"] = both(normed().module, (batch[0][:, :2], batch[1]))
for name, trace in {"everything": everything_trace(), "failures": failures_trace()}.items():
    results = []
    for _ in range(2):
        executor = Executor(trace=trace, spec=spec, problem=tiny_problem(spec, trace.fleet_nodes),
                            transport=LaneTransport(transport, 2), owners=place(trace.fleet_nodes, 2, 2),
                            emit=lambda row: None, devices=devices, mesh=mesh)
        executor.run(Gate())
        results.append(executor.digest())
    alone, own = run_local(trace, spec, tiny_problem(spec, trace.fleet_nodes)).parameters, executor.parameters()
    off = max((own[name] - alone[name]).abs().max().item() for name in alone)
    module = executor.final_module()
    same = all(torch.equal(p, own[n]) and type(p) is nn.Parameter for n, p in module.named_parameters())
    sizes = {name: t.numel() for name, t in executor.save_nodes()[0].tensors.items()}
    found[name] = {"digests": results, "off": off, "sizes": sizes, "same": same}
print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_devices_do_what_one_does(tmp_path: Path) -> None:
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PATH": "", "PYTHONPATH": str(Path.cwd())}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    found = [json.loads(worker.communicate(timeout=300)[0]) for worker in workers]
    for name in ("layers", "gemma", "normed"):
        first, second = (result[name] for result in found)
        assert max(first["off"], second["off"]) < 1e-6
        assert first["gradient"] + second["gradient"] == first["whole"]
        assert 0 < second["gradient"] <= first["gradient"]
    assert found[0]["read"]
    assert found[0]["normed"]["counts"] == found[1]["normed"]["counts"] == [2.0]
    for name in ("everything", "failures"):
        first, second = (result[name] for result in found)
        assert len({*first["digests"], *second["digests"]}) == 1
        assert 0.0 < first["off"] < 1e-5
        assert first["same"]
        assert second["same"]
        # Parameters and both moments are divided: 944 parameters, of which 24 are no matrices.
        assert first["sizes"]["parameters"] + second["sizes"]["parameters"] == 944
        assert first["sizes"]["inner/0/exp_avg"] + second["sizes"]["inner/0/exp_avg"] == 920
        assert abs(first["sizes"]["parameters"] - second["sizes"]["parameters"]) < 10
