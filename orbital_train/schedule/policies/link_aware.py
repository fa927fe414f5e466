"""``link_aware``: plan every merge from the contact plan and the light, so that no node ever waits for a link.

One round at a time for each fragment. When a version has been made, the fragment's next round is planned: where the
outer gradients meet, by when, and whose. The plan maximises merged tokens per second, discounted for drift and
staleness,

    J(site, deadline) = sum of n_i / ((1 + n_i / drift_steps) (1 + staleness_i)) / (deadline - last merge)

over the nodes i that can contribute, where n_i is the number of steps that node i can have trained when its message
must leave to be at the site by the deadline. The drift term says that steps taken far from a common start are worth
less (it bounds the length of rounds), the staleness term that a contribution from an older version is. Nodes that would
make a round late are left out and carry on. No version is made before all have the one that is ``max_staleness`` older,
if it is on its way to them: so nobody falls farther behind, and merges keep to the pace at which the weakest link
carries their results. A node whose progress would become older all the same is waited for, if it can be reached. A site
merges once it holds the newest version itself: a version made out of touch with the others would hold up everything
after it.

A node offers its progress once it has trained ``min_inner_steps`` since its last contribution, or when its battery is
about to stop it (so that a merge catches what an eclipse would let grow old). Its outer gradient is taken when its
message leaves, as late as the deadline allows, and is added up with those that come its way. It trains on meanwhile
and, on adopting the result, keeps what it trained since (``adopt = "keep"``).

The search looks only as far ahead as the next merges need, and farther where nothing is found. Of a large fleet it
estimates J from a sample of the nodes, and counts it for all where the estimate is best.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orbital_train.schedule import known
from orbital_train.schedule.gather import gather_by
from orbital_train.schedule.known import Adoption, Decision, Event, NodeView, View
from orbital_train.schedule.network import Hop
from orbital_train.schedule.routes import Departures, earliest_arrivals, latest_departures

LATE_US = 1_000_000  # after a deadline, before what has come is merged without the rest
SAMPLE = 16  # nodes from which J is estimated, and sites
COUNTED = 4  # rounds of best estimate for which it is counted
FIRST_LOOK = 4  # times the steps of a round: how far ahead is looked first


@dataclass(frozen=True, slots=True)
class Round:
    """A fragment's round: its number, where it is, and whether it is under way."""

    number: int = 0
    state: Literal["idle", "open", "done"] = "idle"  # done: the run ends, and nothing more can be merged
    site: int = -1
    ready_us: int = 0  # when the site holds the newest version, and nobody is too far behind
    deadline_us: int = 0  # by when all is to be there
    nodes: tuple[int, ...] = ()


Memory = tuple[Round, ...]  # the last round of each fragment


class Offer(NamedTuple):
    """What one node can bring to a round: from when on, and its steps over time."""

    node: int
    ready_us: int
    staleness: int
    times_us: Sequence[int]
    steps: Sequence[int]  # since its last contribution, at ``times_us``

    def steps_at(self, at_us: int) -> int:
        """Steps that it will have trained by then."""
        return _steps_at(self.times_us, self.steps, at_us)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A round that could be held."""

    site: int = -1
    deadline_us: int = 0
    value: float = 0.0  # J
    overdue: int = 0  # how many over-stale contributions it has
    steps: int = 0
    nodes: tuple[int, ...] = ()
    departures: Departures | None = None
    ready_us: int = 0

    def rank(self) -> tuple[bool, int, float, int]:
        """What the best round has most of: over-stale contributions come first, whatever the site."""
        return self.value > 0, self.overdue, self.value, -self.deadline_us


@dataclass(frozen=True, kw_only=True)
class LinkAware:
    """See the module's docstring."""

    min_inner_steps: int
    max_staleness: int = 8
    drift_steps: float = 500.0
    lookahead_s: float = 21_600.0
    adopt: Literal["keep", "replace"] = "keep"
    weights: Literal["uniform", "tokens"] = "tokens"
    home: tuple[int, ...] = ()
    name: str = "link_aware"

    @property
    def adoption(self) -> Adoption:
        """What nodes do with results."""
        return Adoption(self.adopt)

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Single nodes matter only where they wait for results."""
        rounds = {
            known.Started,
            known.Gathered,
            known.Merged,
            known.Woke,
            known.BudgetReached,
            known.NodeDown,
            known.NodeBack,
        }
        return frozenset(rounds | ({known.SnapshotTaken, known.Adopted} if self.adopt == "replace" else set()))

    def start(self) -> Memory:
        """No round is under way."""
        return ()

    def decide(self, event: Event, view: View, memory: Memory) -> tuple[list[Decision], Memory]:
        """One rule an event."""
        match event:
            case known.Started():
                plans = [known.Wake(0, f"plan {fragment}") for fragment in range(view.fragments)]
                return [*(known.Train(i) for i in view.training_nodes), *plans], (Round(),) * view.fragments
            case known.SnapshotTaken(node):
                return [known.Hold(node)], memory
            case known.Gathered((fragment, _)):
                return _merge(view, memory, fragment), memory
            case known.Merged(fragment):
                memory = _ended(memory, fragment)
                return _drain(view, memory, fragment) if view.draining else self._plan(view, memory, fragment)
            case known.Woke(note):
                return self._wake(view, memory, note)
            case known.Adopted(node, fragment):
                goes_on = view.node(node, fragment).holding and not view.draining
                return ([known.Train(node)] if goes_on else []), memory
            case known.NodeDown(node):
                lost = next(
                    (f for f in range(view.fragments) if memory[f].state == "open" and memory[f].site == node), -1
                )
                return self._give_up(view, memory, lost) if lost >= 0 else ([], memory)
            case known.NodeBack():
                idle = (f for f in range(view.fragments) if memory[f].state == "idle" and not view.draining)
                return [known.Wake(view.now_us, f"plan {fragment}") for fragment in idle], memory
            case known.BudgetReached():
                return _stop(view, memory)
        return [], memory

    def _wake(self, view: View, memory: Memory, note: str) -> tuple[list[Decision], Memory]:
        what, fragment = note.split()[0], int(note.split()[1])
        if what == "merge":
            return _merge(view, memory, fragment), memory
        if what == "close":
            return self._close(view, memory, fragment, int(note.split()[2]))
        if what == "drain":
            return _drain(view, memory, fragment)
        return ([], memory) if view.draining or memory[fragment].state != "idle" else self._plan(view, memory, fragment)

    def _close(self, view: View, memory: Memory, fragment: int, opening: int) -> tuple[list[Decision], Memory]:
        """A deadline has passed: merge what has come by now, if it has not been merged yet, and refuse the rest."""
        opened = memory[fragment]
        if opened.state != "open" or opened.number != opening or view.now_us < opened.ready_us:
            return [], memory
        key, again = (fragment, opening), known.Wake(view.now_us + LATE_US, f"close {fragment} {opening}")
        if opened.site in view.down or not view.arrived(key):
            return self._give_up(view, memory, fragment)
        return [known.MergeNow(fragment, (key,), opened.nodes), again], memory

    def _give_up(self, view: View, memory: Memory, fragment: int) -> tuple[list[Decision], Memory]:
        """Refuse a round and plan another."""
        what = "drain" if view.draining else "plan"
        decisions: list[Decision] = [
            known.Discard((fragment, memory[fragment].number)),
            known.Wake(view.now_us, f"{what} {fragment}"),
        ]
        return decisions, _ended(memory, fragment)

    # -- planning a round ---

    def _plan(self, view: View, memory: Memory, fragment: int) -> tuple[list[Decision], Memory]:
        farthest_us = round(self.lookahead_s * 1e6)
        earliest_us, overdue = self._held_up(view, fragment, view.now_us + farthest_us)
        look_us = earliest_us - view.now_us + FIRST_LOOK * self.min_inner_steps * view.step_us
        while True:
            best = self._best_round(view, fragment, min(look_us, farthest_us), earliest_us)
            if (best.value > 0 and best.overdue >= overdue) or look_us >= farthest_us:
                break
            look_us *= 4
        if not best.value > 0 and view.now_us + farthest_us >= view.horizon_us:
            best = self._last_round(view, fragment, earliest_us)
        if best.departures is None or not best.value > 0:
            return [known.Wake(view.now_us + farthest_us // 16, f"plan {fragment}")], memory
        snapshots, legs = gather_by(best.departures, best.site, best.deadline_us, best.nodes, view.sum_bits)
        return _opened(memory, fragment, best, snapshots, legs)

    def _held_up(self, view: View, fragment: int, until_us: int) -> tuple[int, int]:
        """By whom the next version is held up, so that nobody falls too far behind.

        Returns:
            When all have adopted the version that is ``max_staleness`` older than the next one, of those who will by
            a time; and how many of the others have progress that will be too old once a version is made without it.
        """
        oldest = view.version(fragment) + 1 - self.max_staleness
        earliest_us, overdue = view.now_us, 0
        for i in _up(view) if oldest > 0 else ():
            state = view.node(i, fragment)
            if state.base_version >= oldest:
                continue
            arrival_us = view.result_arrival_us(i, fragment, oldest)
            if arrival_us is not None and arrival_us + view.step_us <= until_us:
                earliest_us = max(earliest_us, arrival_us + view.step_us)
            else:
                overdue += state.unmerged_steps > 0
        return earliest_us, overdue

    def _best_round(self, view: View, fragment: int, look_us: int, earliest_us: int) -> _Candidate:
        until_us = min(view.horizon_us, view.now_us + look_us)
        offers, sites = self._offers(view, fragment, until_us, earliest_us, self.min_inner_steps)
        if not offers:
            return _Candidate()
        rounds = (
            self._count(view, fragment, offers, site, deadline_us, sites[site])
            for site, deadline_us in self._promising(view, fragment, offers, sites, until_us)
        )
        return max(rounds, key=_Candidate.rank, default=_Candidate())

    def _last_round(self, view: View, fragment: int, earliest_us: int) -> _Candidate:
        """What can still be merged before the horizon, of any length, as late as can be."""
        deadline_us = view.horizon_us - 2 * LATE_US  # what has come by then is merged before the horizon in any case
        offers, sites = self._offers(view, fragment, deadline_us, earliest_us, 1)
        if not offers:
            return _Candidate()
        arrivals = np.array(
            [_arrivals_us(view, o.node, o.ready_us, sites) for o in _sample(offers, self.max_staleness)]
        )
        names = [list(sites)[column] for column in _central(arrivals)[:COUNTED]]
        in_time = (site for site in names if sites[site] <= deadline_us)
        rounds = (self._count(view, fragment, offers, site, deadline_us, sites[site]) for site in in_time)
        return max(rounds, key=lambda found: found.steps, default=_Candidate())

    def _offers(
        self, view: View, fragment: int, until_us: int, earliest_us: int, enough: int
    ) -> tuple[list[Offer], dict[int, int]]:
        """What nodes can bring that have ``enough`` steps, and from when on each site can merge."""
        offers = [o for i in _up(view) if (o := self._offer(view, fragment, i, until_us, enough)) is not None]
        ready_us = _site_ready_us(view, fragment, [offer.node for offer in offers])
        return offers, {site: max(at_us, earliest_us) for site, at_us in ready_us.items()}

    def _offer(self, view: View, fragment: int, node: int, until_us: int, enough: int) -> Offer | None:
        state, newest = view.node(node, fragment), view.version(fragment)
        free_us = view.now_us
        if state.under_way:
            return None
        if state.waiting_for is not None:
            arrival_us = view.result_arrival_us(node, fragment, state.waiting_for)
            if arrival_us is None:
                return None
            # Adoption waits for the end of the step in progress; that of another fragment may end a hold before.
            holds = state.holding and view.fragments == 1
            free_us = max(view.now_us, arrival_us + (0 if holds else view.step_us))
        if free_us > until_us:
            return None
        times_us, steps = _steps_ahead(view, state, free_us, until_us)
        ready_us = _ready_us(enough, view.step_us, times_us, steps)
        if ready_us is None or max(ready_us, free_us) > until_us:
            return None
        ready_us = max(ready_us, free_us)
        newest_us = view.result_arrival_us(node, fragment, newest)
        fresh = newest_us is not None and newest_us <= ready_us
        return Offer(node, ready_us, 0 if fresh else newest - state.base_version, times_us, steps)

    def _promising(
        self, view: View, fragment: int, offers: Sequence[Offer], sites: dict[int, int], until_us: int
    ) -> list[tuple[int, int]]:
        """Sites and deadlines of the best estimates of J."""
        sample = _sample(offers, self.max_staleness)
        arrivals = np.array([_arrivals_us(view, o.node, o.ready_us, sites) for o in sample])
        columns = _central(np.maximum(arrivals, list(sites.values())))
        ready_us = np.array([offer.ready_us for offer in sample], dtype=np.float64)
        staleness = np.array([offer.staleness for offer in sample])
        last_us, names = view.merged_us(fragment), list(sites)
        found: list[tuple[int, float, float, int]] = []
        for column in columns:
            site, at_us = names[column], arrivals[:, column]
            deadlines_us = np.unique(np.maximum(at_us[at_us <= until_us], sites[site]))
            if not deadlines_us.size:
                continue
            slack_us = deadlines_us[:, None] - at_us  # (deadlines, sample)
            leave_us = np.where(slack_us >= 0, ready_us + slack_us, 0.0)
            n = np.stack([np.interp(leave_us[:, k], o.times_us, o.steps) for k, o in enumerate(sample)], axis=1)
            value = (self._worth(np.floor(n), staleness) * (slack_us >= 0)).sum(axis=1)
            value /= np.maximum(deadlines_us - last_us, 1.0)
            overdue = ((staleness + 1 > self.max_staleness) & (slack_us >= 0)).sum(axis=1)
            found += zip(
                (-overdue).tolist(), (-value).tolist(), deadlines_us.tolist(), [site] * value.size, strict=True
            )
        found.sort()
        return [(site, int(deadline_us)) for _, _, deadline_us, site in found[:COUNTED]]

    def _worth(self, n: NDArray[np.float64], staleness: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(n / ((1 + n / self.drift_steps) * (1 + staleness)))

    def _count(
        self, view: View, fragment: int, offers: Sequence[Offer], site: int, deadline_us: int, ready_us: int
    ) -> _Candidate:
        """The round at this site by this deadline, with everybody who can make it."""
        departures = _departures(view, site, deadline_us)
        leave_us = departures.leave_us
        coming = [o for o in offers if leave_us.get(o.node, -1) >= o.ready_us]
        if not coming:
            return _Candidate()
        n = np.array([o.steps_at(leave_us[o.node]) for o in coming], dtype=np.float64)
        staleness = np.array([o.staleness for o in coming])
        value = float(self._worth(n, staleness).sum()) / max(deadline_us - view.merged_us(fragment), 1)
        overdue = int((staleness + 1 > self.max_staleness).sum())
        nodes = tuple(o.node for o in coming)
        return _Candidate(site, deadline_us, value, overdue, int(n.sum()), nodes, departures, ready_us)


def _with(memory: Memory, fragment: int, now: Round) -> Memory:
    return (*memory[:fragment], now, *memory[fragment + 1 :])


def _ended(memory: Memory, fragment: int) -> Memory:
    return _with(memory, fragment, Round(memory[fragment].number))


def _opened(
    memory: Memory, fragment: int, best: _Candidate, snapshots: tuple[tuple[int, int], ...], legs: tuple[Hop, ...]
) -> tuple[list[Decision], Memory]:
    """Open a round; a while after its deadline somebody looks what has become of it."""
    now = Round(memory[fragment].number + 1, "open", best.site, best.ready_us, best.deadline_us, best.nodes)
    late_us = max(best.deadline_us, best.ready_us) + LATE_US
    gather = known.Gather((fragment, now.number), fragment, best.site, snapshots, legs)
    return [gather, known.Wake(late_us, f"close {fragment} {now.number}")], _with(memory, fragment, now)


def _central(arrivals_us: NDArray[np.float64]) -> list[int]:
    """Columns of a table (messages, sites) of the sites at which most of all messages arrive, and soonest."""
    late = np.isinf(arrivals_us)
    mean_us = np.where(late, 0.0, arrivals_us).sum(axis=0) / np.maximum(1, (~late).sum(axis=0))
    return [int(column) for column in np.lexsort((mean_us, late.sum(axis=0)))[:SAMPLE]]


def _up(view: View) -> list[int]:
    return [i for i in view.training_nodes if i not in view.down]


def _sample(offers: Sequence[Offer], max_staleness: int) -> list[Offer]:
    """All offers of a small fleet; of a large one an even choice, and the most overdue."""
    picked = set(_evenly(len(offers), SAMPLE))
    overdue = [k for k, offer in enumerate(offers) if offer.staleness + 1 > max_staleness]
    return [offers[k] for k in sorted(picked | set(overdue[: SAMPLE // 4]))]


def _evenly(count: int, most: int) -> list[int]:
    return list(range(count)) if count <= most else [int(k) for k in np.linspace(0, count - 1, most).round()]


def _arrivals_us(view: View, node: int, ready_us: int, sites: Iterable[int]) -> list[float]:
    """Earliest arrivals at the sites; inf at those that cannot be reached."""
    found = earliest_arrivals(view.network, view.bookings, {node: ready_us}, _largest_bits(view), avoid=view.down)
    return [found.arrival_us.get(site, np.inf) for site in sites]


def _departures(view: View, site: int, deadline_us: int) -> Departures:
    return latest_departures(view.network, view.bookings, site, deadline_us, _largest_bits(view), avoid=view.down)


def _largest_bits(view: View) -> int:
    """Of a sum of all; a smaller one leaves later than is planned."""
    return view.sum_bits(len(view.training_nodes))


def _site_ready_us(view: View, fragment: int, nodes: Iterable[int]) -> dict[int, int]:
    """When each site holds the newest version; a relay does when one of the contributing ``nodes`` does."""
    newest = view.version(fragment)
    arrivals = {i: view.result_arrival_us(i, fragment, newest) for i in (*view.training_nodes, *view.holders)}
    first_us = min((t for i in nodes if (t := arrivals[i]) is not None), default=None)
    ready = ((site, arrivals.get(site, first_us)) for site in view.sites if site not in view.down)
    return {site: t for site, t in ready if t is not None}


def _steps_ahead(view: View, state: NodeView, free_us: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
    """Steps since the last contribution over time. A node that holds is taken to train from ``free_us`` on."""
    if state.holding:
        whole = max(0, until_us - free_us) // view.step_us
        return (free_us, free_us + whole * view.step_us), (0, whole)
    times_us, steps = view.timeline(state.node, until_us)
    return times_us, [n - state.snapshot_steps for n in steps]


def _steps_at(times_us: Sequence[int], steps: Sequence[int], at_us: int) -> int:
    """Whole steps by a time, between the corners of a timeline."""
    k = bisect_right(times_us, at_us)
    if k == 0:
        return steps[0]
    if k == len(times_us):
        return steps[-1]
    run_us = times_us[k] - times_us[k - 1]
    return steps[k - 1] + (steps[k] - steps[k - 1]) * (at_us - times_us[k - 1]) // run_us


def _ready_us(enough: int, step_us: int, times_us: Sequence[int], steps: Sequence[int]) -> int | None:
    """When a node has trained enough for a contribution, or stops with what it has; None if neither comes."""
    k = bisect_left(steps, enough)
    if k == 0:
        return times_us[0]
    flat = (i for i in range(1, len(steps) - 1) if steps[i] == steps[i + 1] >= 1)
    # Where the timeline is cut off, a step may be in progress.
    pause = next((i for i in flat if i + 2 < len(steps) or times_us[i + 1] - times_us[i] >= step_us), None)
    if pause is not None and (k == len(steps) or pause < k):
        return times_us[pause]
    return None if k == len(steps) else times_us[k] - (steps[k] - enough) * step_us


def _merge(view: View, memory: Memory, fragment: int) -> list[Decision]:
    """Merge what has come, once the site holds the newest version."""
    now = memory[fragment]
    if now.state != "open" or not view.gathered((fragment, now.number)):
        return []
    if view.now_us < now.ready_us:
        return [known.Wake(now.ready_us, f"merge {fragment}")]
    return [known.MergeNow(fragment, ((fragment, now.number),), now.nodes)]


# -- the end ---


def _stop(view: View, memory: Memory) -> tuple[list[Decision], Memory]:
    """Give up what was to leave later, so as to bring more; drain once all is done that is due now."""
    decisions: list[Decision] = []
    for fragment, now in enumerate(memory):
        if now.state == "open" and not view.begun((fragment, now.number)):
            decisions.append(known.Cancel((fragment, now.number)))
            memory = _ended(memory, fragment)
        decisions.append(known.Wake(view.now_us, f"drain {fragment}"))
    return decisions, memory


def _drain(view: View, memory: Memory, fragment: int) -> tuple[list[Decision], Memory]:
    """Bring everything that is not merged to one site; finish when that is done, or can't be, for all fragments."""
    states = [view.node(i, fragment) for i in view.training_nodes if i not in view.down]
    now = memory[fragment]
    if now.state == "open":
        return [], memory  # it is on its way; what is left is brought after it
    free_us = {s.node: t for s in states if s.unmerged_steps and (t := _free_us(view, s)) is not None}
    planned = _soonest(view, fragment, free_us)
    if planned.departures is None:
        memory = _with(memory, fragment, Round(now.number, "done"))
        return ([known.Finish()] if all(last.state == "done" for last in memory) else []), memory
    snapshots, legs = gather_by(planned.departures, planned.site, planned.deadline_us, planned.nodes, view.sum_bits)
    return _opened(memory, fragment, planned, snapshots, legs)


def _free_us(view: View, state: NodeView) -> int | None:
    """When a node can leave: now, or once it has adopted the version that holds its last contribution.

    Adoption waits for the end of a step that was in progress when the version came.
    """
    if state.waiting_for is None:
        return view.now_us
    arrival_us = view.result_arrival_us(state.node, state.fragment, state.waiting_for)
    return None if arrival_us is None else max(view.now_us, arrival_us + view.step_us)


def _soonest(view: View, fragment: int, free_us: dict[int, int]) -> _Candidate:
    """Where everything can be merged first; no site where there is none, or nothing left."""
    sites = _site_ready_us(view, fragment, free_us)
    if not free_us or not sites:
        return _Candidate()
    nodes = sorted(free_us)
    sample = [nodes[k] for k in _evenly(len(nodes), SAMPLE)]
    arrivals_us = np.array([_arrivals_us(view, i, free_us[i], sites) for i in sample])
    lost = np.isinf(arrivals_us).sum(axis=0)
    last_us = np.maximum(np.where(np.isinf(arrivals_us), 0, arrivals_us).max(axis=0), list(sites.values()))
    order = np.lexsort((last_us, lost))
    site = list(sites)[order[0]]
    reached = _reaching(view, site, view.horizon_us, free_us)[1]
    deadline_us = int(last_us[order[0]])
    while True:
        departures, coming = _reaching(view, site, deadline_us, free_us)
        if len(coming) == len(reached):
            break
        deadline_us = min(view.horizon_us, deadline_us + max(view.step_us, (deadline_us - view.now_us) // 4))
    return _Candidate(site, deadline_us, 0.0, 0, 0, coming, departures if coming else None, sites[site])


def _reaching(view: View, site: int, deadline_us: int, free_us: dict[int, int]) -> tuple[Departures, tuple[int, ...]]:
    departures = _departures(view, site, deadline_us)
    return departures, tuple(i for i in sorted(free_us) if departures.leave_us.get(i, -1) >= free_us[i])
