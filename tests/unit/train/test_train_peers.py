"""Bugs that were found in peers, each with the tests that would find it here; and those that have no other place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from orbital_train.train.executor import Executor
from orbital_train.train.gate import Gate
from orbital_train.train.optimizers import optimizer_names
from orbital_train.train.placement import place
from orbital_train.train.rows import Row
from orbital_train.train.spec import InnerSpec
from orbital_train.train.transport import Message, PeerLost
from tests.unit.train.group_traces import gossip_trace
from tests.unit.train.problems import line_problem, tiny_problem, tiny_spec
from tests.unit.train.thread_workers import Group
from tests.unit.train.traces import rounds_trace

TESTS = Path(__file__).parents[2]
BUGS = {
    "torchft: tensors are lost in a bucketised all-reduce of several buckets, or of one tensor above the cap": """
        unit/train/test_train_bytes.py::test_no_byte_is_lost_or_sent_twice_in_buckets
        unit/train/test_train_bytes.py::test_packets_are_summed_in_buckets_as_in_one
        unit/train/test_train_tree.py::test_a_vector_is_sent_once_whatever_the_buckets
        property/test_codec_properties.py::test_a_round_trip""",
    "torchft: float32 is sent where the quantiser's backend is missing": """
        unit/train/test_train_bytes.py::test_a_contribution_and_the_average_are_sent_as_the_codec_encodes_them
        unit/train/test_train_codecs.py::test_unknown_codec_is_an_error
        unit/train/test_train_codecs.py::test_another_length_than_the_codec_says_is_no_vector""",
    "torchft: H steps are thrown away when a commit fails": """
        unit/train/test_train_executor.py::test_keep_without_a_snapshot_adds_the_progress_since_the_last_adoption
        unit/schedule/test_schedule_gatherings.py::test_what_is_refused_at_the_site_is_progress_that_the_next_one_holds_again
        unit/schedule/test_schedule_link_aware.py::test_replacing_adoption_waits_and_loses_nothing_that_it_sent
        unit/schedule/test_schedule_link_aware.py::test_a_round_waits_for_an_over_stale_node_that_can_be_reached""",
    "prime: a failed all-reduce is swallowed; bytes go twice; a name is saved and another loaded; loading steps": """
        unit/train/test_train_peers.py::test_where_a_merge_fails_there_is_no_step
        unit/train/test_train_bytes.py::test_no_byte_is_lost_or_sent_twice_in_buckets
        unit/train/test_train_cases.py::test_no_bit_changes_with_the_number_of_workers_or_a_resume
        unit/train/test_train_optimizers.py::test_state_is_saved_and_loaded_without_a_step""",
    "EXO Gym, torchft: the global model or the outer optimizer is not in a checkpoint": """
        unit/train/test_train_checkpoint.py::test_what_is_alive_is_in_it
        unit/train/test_train_checkpoint.py::test_sums_and_fragments_are_in_it
        unit/train/test_train_cases.py::test_no_bit_changes_with_the_number_of_workers_or_a_resume
        unit/train/test_train_failures.py::test_the_model_is_sent_rounded_to_nodes_that_do_not_hold_it""",
    "NoLoCo: no parameters are left for the outer step; top-k is sent dense": """
        unit/train/test_train_peers.py::test_every_tensor_is_trained_within_and_without
        unit/train/test_train_bytes.py::test_topk_sends_the_chosen_ones_and_no_zeros""",
    "BatchNorm's buffers diverge": """
        unit/train/test_train_buffers.py::test_a_merge_averages_floating_buffers_by_weight_and_copies_integer_ones
        unit/train/test_train_buffers.py::test_after_a_full_merge_everybody_has_the_same_buffers
        unit/train/test_train_buffers.py::test_synchronous_steps_average_them_in_every_step""",
    "hivemind: fixed time-outs; a newcomer waits while donors average; one donor is choked": """
        unit/cluster/test_cluster_failure_policy.py::test_patience_grows_with_the_slowest_answer
        unit/train/test_train_simulated.py::test_failures_change_no_bit_with_the_number_of_workers_nor_with_a_resume
        unit/schedule/test_schedule_outages.py::test_a_node_that_fails_again_before_it_was_sent_the_model_still_needs_it
        unit/schedule/test_schedule_routes.py::test_a_message_comes_from_the_source_that_is_first
        unit/schedule/test_schedule_routes.py::test_a_second_message_takes_another_way""",
    "torchft: quorums flip-flop with long steps; recovery goes over the wrong network interface": """
        unit/schedule/test_schedule_quorum.py::test_the_grace_window_is_a_share_of_the_usual_spread_and_at_most_a_round
        unit/schedule/test_schedule_quorum.py::test_nodes_that_are_known_to_be_down_do_not_count
        unit/cluster/test_cluster_failure_policy.py::test_a_run_that_gets_no_further_is_given_up
        integration/test_runs.py::test_workers_talk_over_the_loopback_interface_only""",
    "torchtitan, ray: the loader's position is lost or mixed after a restart": """
        unit/train/test_train_data.py::test_batches_are_a_pure_function_of_seed_node_and_step
        unit/train/test_train_data.py::test_batches_do_not_depend_on_which_other_nodes_ask
        unit/train/test_train_workers.py::test_resumed_at_every_cut_with_any_workers""",
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_tests_for_it_are_there(bug: str) -> None:
    for test in BUGS[bug].split():
        file, name = test.split("::")
        assert re.search(rf"^def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), test


class GonePeer:
    """The other one of two workers is gone: nothing comes from it."""

    rank, size, bytes_sent = 0, 2, 0

    def send(self, tensor: Tensor, dest: int) -> None:
        """It is not known yet."""

    def recv(self, tensor_out: Tensor, source: int) -> None:
        raise PeerLost("gone")

    def exchange(self, outgoing: Sequence[Message], incoming: Sequence[Message]) -> None:
        raise PeerLost("gone")

    def flush(self) -> None:
        """Nothing is waited for."""


def test_where_a_merge_fails_there_is_no_step() -> None:
    """It is told, no version is made, and this worker stands where it did."""
    trace, rows = rounds_trace((0, 1), rounds=2, steps=2), list[Row]()
    executor = Executor(
        trace=trace,
        spec=tiny_spec(),
        problem=line_problem(),
        transport=GonePeer(),
        owners=place(trace.fleet_nodes, 2),
        emit=rows.append,
    )
    with pytest.raises(PeerLost, match="gone"):
        executor.run(Gate())
    assert trace.ops[executor.position].kind == "merge"
    assert {name.partition("/parameters")[0] for name in executor.save_shared().tensors if "/par" in name} == {
        "global/0@0"
    }
    assert "merge" not in {row["event"] for row in rows}


@pytest.mark.parametrize("name", optimizer_names())
def test_every_tensor_is_trained_within_and_without(name: str) -> None:
    """By the inner optimizer in every replica, and by the outer step in the global model and in nodes' own."""
    spec = tiny_spec(inner=InnerSpec(lr=1e-2, optimizer=name, warmup_fraction=0.0))
    for trace in (rounds_trace((0, 2), rounds=1, steps=2), gossip_trace()):
        problem = tiny_problem(spec, trace.fleet_nodes)
        before = {n: p.detach().clone() for n, p in problem.module.named_parameters()}
        group = Group.of(trace, spec, partial(tiny_problem, spec, trace.fleet_nodes), 1)
        group.run(spec)
        (executor,) = group.executors
        replicas = [executor.layout.views(saved.tensors["parameters"]) for saved in executor.save_nodes().values()]
        for after in (*replicas, executor.parameters()):
            assert [n for n, p in before.items() if torch.equal(after[n], p)] == []
