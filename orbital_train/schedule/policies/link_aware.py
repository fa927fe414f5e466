"""``link_aware``: plan every merge from the contact plan and the light, so that no node ever waits for a link.

One round at a time. When a version has been made, the next round is planned: where the outer gradients meet, by when,
and whose. The plan maximises merged tokens per second, discounted for drift and staleness,

    J(site, deadline, C) = sum of n_i / ((1 + n_i / drift_steps) (1 + staleness_i)) / (deadline - last merge)

over the contributors i in C, where n_i is the number of steps that node i can have trained when its message must leave
to be at the site by the deadline. The drift term says that steps taken far from a common start are worth less (it
bounds the length of rounds), the staleness term that a contribution from an older version is. Nodes that would make a
round late are left out and carry on; one whose staleness would pass ``max_staleness`` is waited for, if it can be
reached. A site merges once it holds the newest version itself: a version made out of touch with the others would hold
up everything after it.

A node offers its progress once it has trained ``min_inner_steps`` since its last contribution, or when its battery is
about to stop it (so that a merge catches what an eclipse would let grow old). Its outer gradient is taken when the
message leaves, as late as the deadline allows. It trains on meanwhile and, on adopting the result, keeps what it
trained since (``adoption = "keep"``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orbital_train.schedule import known
from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.known import Decision, Event, NodeView, View
from orbital_train.schedule.network import Route
from orbital_train.schedule.routes import Arrivals, earliest_arrivals, latest_departures


@dataclass(frozen=True, slots=True)
class LinkAwareMemory:
    """The round that is under way: its site, whose contributions it waits for and by which routes, whose have come."""

    site: int = -1
    routes: tuple[tuple[int, Route], ...] = ()  # (node, route), as planned
    arrived: frozenset[int] = frozenset()
    site_ready_us: int = 0  # when the site holds the newest version

    @property
    def expected(self) -> frozenset[int]:
        """The nodes whose contributions the round waits for."""
        return frozenset(node for node, _ in self.routes)


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node can bring to a round: from when on, by which routes, and its steps over time."""

    node: int
    ready_us: int
    staleness: int
    times_us: NDArray[np.int64]
    steps: NDArray[np.int64]  # since its last contribution, at ``times_us``
    arrivals: Arrivals  # when it leaves at ``ready_us``

    def steps_at(self, at_us: NDArray[np.float64]) -> NDArray[np.float64]:
        """Steps that it will have trained by then."""
        return np.floor(np.interp(at_us, self.times_us, self.steps))

    def arrival_us(self, site: int) -> float:
        """Earliest arrival at a site; inf if it cannot be reached."""
        return self.arrivals.arrival_us.get(site, np.inf)

    def travel_us(self, site: int) -> int:
        """From leaving to arriving at a site that can be reached."""
        route = self.arrivals.route(site)
        assert route is not None
        return route[-1].arrival_us - route[0].start_us if route else 0


@dataclass(frozen=True, slots=True)
class _Round:
    """A round that could be held."""

    site: int
    deadline_us: int = 0
    value: float = 0.0  # of J
    overdue: int = 0  # how many over-stale contributions it waits for
    chosen: tuple[int, ...] = ()  # indices of offers
    site_ready_us: int = 0

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
    adoption: Literal["keep", "replace"] = "keep"
    weights: Literal["uniform", "tokens"] = "tokens"
    name: str = "link_aware"

    def start(self) -> LinkAwareMemory:
        """No round is under way."""
        return LinkAwareMemory()

    def decide(self, event: Event, view: View, memory: LinkAwareMemory) -> tuple[list[Decision], LinkAwareMemory]:
        """One rule an event."""
        match event:
            case known.Started():
                return [*(known.Train(i) for i in view.training_nodes), known.Wake(0, "plan")], memory
            case known.SnapshotTaken(node):
                return ([known.Hold(node)] if self.adoption == "replace" else []), memory
            case known.ContributionArrived(node):
                memory = replace(memory, arrived=memory.arrived | {node})
                return _merge_if_whole(view, memory), memory
            case known.Merged():
                return _drain(view, LinkAwareMemory()) if view.draining else self._plan(view)
            case known.Woke("merge"):
                return _merge_if_whole(view, memory), memory
            case known.Woke():
                return ([], memory) if view.draining or memory.routes else self._plan(view)
            case known.ResultArrived(node, version):
                return [known.AdoptNow(node, version, self.adoption)], memory
            case known.Adopted(node):
                return ([known.Train(node)] if view.node(node).holding and not view.draining else []), memory
            case known.BudgetReached():
                return _drain(view, memory)
        return [], memory

    # -- planning a round ---

    def _plan(self, view: View) -> tuple[list[Decision], LinkAwareMemory]:
        offers = [offer for i in view.training_nodes if (offer := self._offer(view, i)) is not None]
        best = max((self._best_round(view, site, offers) for site in view.sites), key=_Round.rank)
        if not best.value > 0:
            later_us = view.now_us + round(self.lookahead_s * 1e6) // 16
            return [known.Wake(later_us, "plan")], LinkAwareMemory()
        routes = _late_routes(view, best.site, best.deadline_us, [offers[k] for k in best.chosen])
        sends = _sends(best.site, routes, {best.site: best.deadline_us})
        return sends, LinkAwareMemory(best.site, routes, site_ready_us=best.site_ready_us)

    def _offer(self, view: View, node: int) -> Offer | None:
        state = view.node(node)
        free_us = view.now_us
        if state.waiting_for is not None:
            arrival_us = view.result_arrival_us(node, state.waiting_for)
            if arrival_us is None:
                return None
            # Adoption waits for the end of the step in progress.
            free_us = arrival_us + (0 if state.holding else view.step_us)
        until_us = min(view.horizon_us, view.now_us + round(self.lookahead_s * 1e6))
        times_us, steps = _steps_ahead(view, node, free_us, until_us)
        ready_us = self._ready_us(view, node, times_us, steps)
        if ready_us is None or max(ready_us, free_us) > until_us:
            return None
        ready_us = max(ready_us, free_us)
        arrivals = earliest_arrivals(view.network, view.bookings, {node: ready_us}, view.message_bits)
        return Offer(node, ready_us, view.version - state.base_version, times_us, steps, arrivals)

    def _ready_us(self, view: View, node: int, times_us: NDArray[np.int64], steps: NDArray[np.int64]) -> int | None:
        """When the node has trained enough for a contribution, or stops with what it has."""
        k = int(np.searchsorted(steps, self.min_inner_steps))
        if k == 0:
            return int(times_us[0])
        full_us = None
        if k < steps.size:
            full_us = int(times_us[k]) - int(steps[k] - self.min_inner_steps) * view.step_us
        pause_us = view.pause_us(node)
        if pause_us is not None and np.interp(pause_us, times_us, steps) >= 1:
            return pause_us if full_us is None else min(full_us, pause_us)
        return full_us

    def _best_round(self, view: View, site: int, offers: list[Offer]) -> _Round:
        """The round with the best deadline at one site."""
        arrivals_us = np.array([offer.arrival_us(site) for offer in offers])
        inside = np.flatnonzero(arrivals_us <= view.now_us + self.lookahead_s * 1e6)
        ready_us = _site_ready_us(view, site, [offers[k].node for k in inside])
        if not inside.size or ready_us is None:
            return _Round(site)
        deadlines_us = np.unique(np.maximum(arrivals_us[inside], ready_us))
        staleness = np.array([offers[k].staleness for k in inside])
        must = inside[staleness + 1 > self.max_staleness]
        if must.size:
            deadlines_us = deadlines_us[deadlines_us >= arrivals_us[must].max()]
        leave_us = deadlines_us[:, None] - np.array([offers[k].travel_us(site) for k in inside])
        n = np.stack([offers[k].steps_at(leave_us[:, c]) for c, k in enumerate(inside)], axis=1)
        worth = n / ((1 + n / self.drift_steps) * (1 + staleness)) * (arrivals_us[inside] <= deadlines_us[:, None])
        value = worth.sum(axis=1) / np.maximum(deadlines_us - view.merged_us, 1.0)
        d = int(np.argmax(value))
        chosen = tuple(int(k) for k in inside[arrivals_us[inside] <= deadlines_us[d]])
        return _Round(site, int(deadlines_us[d]), float(value[d]), int(must.size), chosen, ready_us)


def _steps_ahead(view: View, node: int, free_us: int, until_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps since the last contribution over time. A node that holds is taken to train from ``free_us`` on."""
    state = view.node(node)
    if state.holding:
        whole = max(0, until_us - free_us) // view.step_us
        return np.array([free_us, free_us + whole * view.step_us]), np.array([0, whole])
    times_us, steps = view.timeline(node, until_us)
    return np.array(times_us), np.array(steps) - state.snapshot_steps


def _late_routes(view: View, site: int, deadline_us: int, offers: list[Offer]) -> tuple[tuple[int, Route], ...]:
    """A route for every contribution, leaving as late as the deadline and the other messages allow.

    A contribution for which the others leave no room is left out.
    """
    latest_us = latest_departures(view.network, view.bookings, site, deadline_us, view.message_bits).leave_us
    trial = view.bookings.fork()
    routes: list[tuple[int, Route]] = []
    for offer in sorted(offers, key=lambda o: (o.arrival_us(site), o.node)):
        leave_us = max(offer.ready_us, latest_us.get(offer.node, offer.ready_us))
        route = _route(view, trial, offer.node, site, leave_us)
        if route is None or (route and route[-1].arrival_us > deadline_us):
            # Other messages are in the way: leave as soon as possible if that is any better.
            early = _route(view, trial, offer.node, site, offer.ready_us)
            if early is not None and (route is None or early[-1].arrival_us < route[-1].arrival_us):
                route = early
        if route is not None:
            trial.add(route, view.now_us)
            routes.append((offer.node, route))
    return tuple(routes)


def _route(view: View, bookings: Bookings, node: int, site: int, ready_us: int) -> Route | None:
    """The route of earliest arrival; empty if the node is the site, None if there is none."""
    return earliest_arrivals(view.network, bookings, {node: ready_us}, view.message_bits, until=(site,)).route(site)


def _sends(site: int, routes: tuple[tuple[int, Route], ...], at_site_us: dict[int, int]) -> list[Decision]:
    """Send along these routes; ``at_site_us`` is when a node without a route, being the site, gives its own."""
    return [known.SendAt(node, site, route, route[0].start_us if route else at_site_us[node]) for node, route in routes]


def _site_ready_us(view: View, site: int, nodes: Iterable[int]) -> int | None:
    """When a site holds the newest version; a relay does when one of the contributing ``nodes`` does."""
    holders = (site,) if site in view.training_nodes else nodes
    ready_us = [t for i in holders if (t := view.result_arrival_us(i, view.version)) is not None]
    return min(ready_us, default=None)


def _merge_if_whole(view: View, memory: LinkAwareMemory) -> list[Decision]:
    if not memory.routes or memory.arrived != memory.expected:
        return []
    if view.now_us < memory.site_ready_us:
        return [known.Wake(memory.site_ready_us, "merge")]
    return [known.MergeNow(memory.site, tuple(sorted(memory.arrived)))]


# -- the end ---


def _drain(view: View, memory: LinkAwareMemory) -> tuple[list[Decision], LinkAwareMemory]:
    """Bring everything that is not merged to one site, as fast as can be; finish when nothing can be brought."""
    coming = tuple((node, route) for node, route in memory.routes if view.node(node).under_way)
    trial = view.bookings.fork()
    decisions: list[Decision] = []
    for node, route in memory.routes:
        if not view.node(node).under_way:  # it was to leave later, so as to bring more
            trial.remove(route)
            decisions.append(known.Cancel(node))
    owing = [s for s in map(view.node, view.training_nodes) if s.unmerged_steps and not s.under_way]
    free_us = {s.node: _free_us(view, s) for s in owing}
    place = (memory.site, memory.site_ready_us) if coming else _drain_site(view, trial, free_us)
    if place is None:
        return [*decisions, known.Finish()], LinkAwareMemory()
    site, site_ready_us = place
    leaving: list[tuple[int, Route]] = []
    for node in sorted(free_us, key=lambda i: (free_us[i], i)):
        found = _route(view, trial, node, site, free_us[node])
        if found is not None and free_us[node] <= view.horizon_us:
            trial.add(found, view.now_us)
            leaving.append((node, found))
    memory = LinkAwareMemory(site, coming + tuple(leaving), memory.arrived, site_ready_us)
    if not memory.routes:
        return [*decisions, known.Finish()], memory
    return [*decisions, *_sends(site, tuple(leaving), free_us), *_merge_if_whole(view, memory)], memory


def _drain_site(view: View, bookings: Bookings, free_us: dict[int, int]) -> tuple[int, int] | None:
    """Where everything can be merged first, and when that site holds the newest version; None if no site ever will."""
    arrivals = {
        i: earliest_arrivals(view.network, bookings, {i: free_us[i]}, view.message_bits).arrival_us for i in free_us
    }
    ready_us = {site: t for site in view.sites if (t := _site_ready_us(view, site, free_us)) is not None}
    costs = {site: _drain_cost(site, t, arrivals, view.horizon_us) for site, t in ready_us.items()}
    best = min(costs, key=costs.__getitem__, default=None)
    return None if best is None else (best, ready_us[best])


def _free_us(view: View, state: NodeView) -> int:
    """When a node can leave: now, or once it has adopted the version that holds its last contribution.

    Adoption waits for the end of a step that was in progress when the version came.
    """
    if state.waiting_for is None:
        return view.now_us
    arrival_us = view.result_arrival_us(state.node, state.waiting_for)
    return view.horizon_us + 1 if arrival_us is None else max(view.now_us, arrival_us + view.step_us)


def _drain_cost(site: int, ready_us: int, arrivals: dict[int, dict[int, int]], horizon_us: int) -> int:
    """When the site can merge the last contribution; one that never comes counts as a horizon each."""
    lost = sum(1 for arrival_us in arrivals.values() if site not in arrival_us)
    last_us = max(
        (arrival_us[site] for i, arrival_us in arrivals.items() if i != site and site in arrival_us), default=0
    )
    return lost * horizon_us + max(last_us, ready_us)
