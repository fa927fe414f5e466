"""What policies whose nodes each send their outer gradients by themselves have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orbital_train.schedule import known
from orbital_train.schedule.known import Decision, Key, NodeView, View

RETRY_US = 60_000_000  # before what should have happened is tried again


@dataclass(frozen=True, slots=True)
class Contributions:
    """Contributions that are neither merged nor refused. Keys are (node, fragment, its steps)."""

    sent: dict[Key, int] = field(default_factory=dict)  # with their sites; never changed in place
    come: frozenset[Key] = frozenset()  # those of them that wait at their sites

    def arrived(self, key: Key) -> Contributions:
        """With one at its site."""
        return Contributions(self.sent, self.come | {key})

    def without(self, keys: frozenset[Key]) -> Contributions:
        """Without those that are merged or refused."""
        return Contributions({key: site for key, site in self.sent.items() if key not in keys}, self.come - keys)

    def of(self, fragment: int) -> frozenset[Key]:
        """Those of a fragment that wait."""
        return frozenset(key for key in self.come if key[1] == fragment)

    def elsewhere(self, site: int) -> frozenset[Key]:
        """Those that go to any other site."""
        return frozenset(key for key, its_site in self.sent.items() if its_site != site)


Carried = tuple[list[Decision], Contributions]


def is_free(state: NodeView) -> bool:
    """Whether an outer gradient may be taken: the last one is merged, and its result adopted."""
    return not state.under_way and state.waiting_for is None


def site_now(view: View, site: int) -> int:
    """A site; while it is down, of the nodes that are up the first by name."""
    if site not in view.down:
        return site
    up = (i for i in view.training_nodes if i not in view.down)
    return min(up, key=view.network.node_names.__getitem__, default=site)


def send(state: NodeView, site: int, have: Contributions) -> Carried:
    """Send what a node has, unless that was decided a moment ago."""
    key = (state.node, state.fragment, state.steps)
    if key in have.sent:
        return [], have
    have = Contributions(have.sent | {key: site}, have.come)
    return [known.Send(key, state.node, state.fragment, site)], have


def has_enough(state: NodeView, enough: int) -> bool:
    """Whether a node has trained enough for a contribution, and may send it."""
    return is_free(state) and state.unmerged_steps >= enough


def offer(state: NodeView, enough: int, site_of: Callable[[int], int], have: Contributions) -> Carried:
    """Send what a node has, if that is enough, and let it train until there is as much again."""
    if has_enough(state, enough):
        sends, have = send(state, site_of(state.node), have)
        return [known.Train(state.node, state.steps + enough), *sends], have
    since = state.snapshot_steps if is_free(state) else state.steps
    return [known.Train(state.node, since + enough)], have


def refuse(keys: frozenset[Key], have: Contributions) -> Carried:
    """Refuse contributions: their nodes keep their progress."""
    return [known.Discard(key) for key in sorted(keys)], have.without(keys)


# -- the end ---


def drain(view: View, site_of: Callable[[int], int], have: Contributions) -> Carried:
    """Send all that no merge holds of nodes that are up, each to its site; finish when there is nothing left."""
    left = _left(view)
    decisions: list[Decision] = [] if left else [known.Finish()]
    for state in left:
        if is_free(state):
            sends, have = send(state, site_of(state.node), have)
            decisions += sends
    return decisions, have


def drain_again(view: View, site_of: Callable[[int], int], have: Contributions) -> Carried:
    """The same, and once more after a while; what was never taken, as its node was down, is sent anew."""
    keys = ((state.node, state.fragment, state.steps) for state in _left(view) if is_free(state))
    refused, have = refuse(frozenset(key for key in keys if key in have.sent), have)
    decisions, have = drain(view, site_of, have)
    return [*refused, *decisions, known.Wake(view.now_us + RETRY_US, "drain")], have


def drain_one(view: View, node: int, fragment: int, site: int, have: Contributions) -> Carried:
    """Send what no merge holds of a node's copy of a fragment."""
    state = view.node(node, fragment)
    return send(state, site, have) if is_free(state) and state.unmerged_steps else ([], have)


def _left(view: View) -> list[NodeView]:
    states = (view.node(i, f) for i in view.training_nodes if i not in view.down for f in range(view.fragments))
    return [state for state in states if state.unmerged_steps]
