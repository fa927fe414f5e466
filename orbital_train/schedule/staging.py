"""How a run begins and ends on the ground: data and the first model go up to the nodes, the final model comes down.

Only where the scenario asks for it. A node trains once it has both; until then others know that it is not there yet.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from orbital_train.schedule.carriage import PATIENCE_US
from orbital_train.schedule.faults import Outage
from orbital_train.schedule.outages import Outages
from orbital_train.schedule.routes import earliest_arrivals
from orbital_train.schedule.values import FIRST_MODEL, data_value, final_value
from orbital_train.schedule.world import STAGED


class Staging(Outages):
    """Bringing up and bringing down."""

    def _stage(self) -> None:
        """Send model and data to all nodes: the model by a tree, then data to those first that have the model first."""
        spec = self.scenario.staging
        if spec is None:
            return
        nodes = tuple(node for node in self.training_nodes if node not in spec.sources)
        for node in nodes:
            self._at_now(node).put_out("staging")
        self.down, self._unready, self._unstaged = frozenset(nodes), set(nodes), set(nodes)
        self._bring_up({node: (FIRST_MODEL, data_value(node)) for node in nodes})

    def _bring_up(self, wanted: dict[int, tuple[str, ...]]) -> None:
        """Send what each of these nodes still lacks."""
        spec, bits = self.scenario.staging, self.scenario.workload.state_bits
        assert spec is not None
        sources = dict.fromkeys(spec.sources, self.now_us)
        without = [node for node, lacks in wanted.items() if FIRST_MODEL in lacks]
        model_us, lost = self._send_to(sources, without, bits, FIRST_MODEL)
        for node in sorted(wanted, key=lambda node: (model_us.get(node, 0), node)):
            lacks: tuple[str, ...] = (
                (FIRST_MODEL,) if FIRST_MODEL in wanted[node] and (node in lost or node not in model_us) else ()
            )
            arrivals_us = [model_us[node]] if node in model_us else []
            value = data_value(node)
            if value in wanted[node] and spec.data_bits:
                data_us, missed = self._send_to(sources, (node,), spec.data_bits, value)
                lacks += (value,) if node in missed or node not in data_us else ()
                arrivals_us += [data_us[node]] if node in data_us else []
            at_us = max(arrivals_us, default=self.now_us)
            self._push(at_us + (PATIENCE_US if lacks else 0), STAGED, node, (self._lives[node], lacks))

    def _be_staged(self, node: int, life: int, lacks: tuple[str, ...]) -> None:
        """A node has all that it needs, or asks again for what it lacks."""
        if life != self._lives[node]:
            return
        if lacks:
            self._bring_up({node: lacks})
            return
        self._recorder.stage(node, self.now_us)
        self._unready.discard(node)
        self._unstaged.discard(node)
        for versions in self._versions:
            versions[0].has_us[node] = self.now_us
        self._be_back(node)

    def _come_back(self, node: int, outage: Outage) -> None:
        """Where a node had not all that it needs when it failed, it is sent all of it anew."""
        if node not in self._unstaged:
            super()._come_back(node, outage)
        elif not self._faults.is_down(node, self.now_us):
            self._at_now(node).put_out("staging")
            self._bring_up({node: (FIRST_MODEL, data_value(node))})

    def _bring_down(self) -> None:
        """Send the final model from a node that has all of it to the site where it is first.

        Meanwhile what is on its way goes on.
        """
        spec = self.scenario.staging
        if spec is None or not spec.deliver_to:
            return
        self._go_on(lambda: bool(self._having_all()))
        sources, start_us = dict.fromkeys(self._having_all(), self.now_us), self.now_us
        found = earliest_arrivals(self.network, self.bookings, sources, self.scenario.workload.state_bits)
        reached = [(found.arrival_us[site], site) for site in spec.deliver_to if site in found.arrival_us]
        if not reached:
            return
        at_us, site = min(reached)
        heads, route = tuple(self._heads), found.route(site) or ()
        self._book(route)
        if self._pass_along(route, final_value(heads)):
            self._go_on(lambda: self._queue[0][0] > at_us)
            self._recorder.deliver(start_us, at_us, site, route[0].source if route else site, heads)
            self.now_us = at_us

    def _having_all(self) -> list[int]:
        """Nodes that are up and have the newest version of every fragment."""
        newest = [versions[head].has_us for versions, head in zip(self._versions, self._heads, strict=True)]
        return [i for i in newest[0] if not self._is_out(i) and all(i in having for having in newest)]

    @abstractmethod
    def _go_on(self, over: Callable[[], bool]) -> None:
        """Let events happen until something is so; it is asked while there are any."""
