"""The metrics of a server at `GET /metrics`, in the text format of Prometheus (version 0.0.4).

Nothing is computed before somebody asks. `sample` then reads the counters and the structures of the server into plain
numbers, and `render` writes them with prometheus-client, which is imported at the first request. No label has a value
that a client can choose.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cloudlink.http import Response
from cloudlink.http.response import refusal
from cloudlink.http.routes import Route
from cloudlink.slices import sliced
from cloudlink.version import __version__

from .loopdelay import BOUNDS, LoopDelay
from .metricsums import count_rooms, join_process_value, total

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from cloudlink.admin.sanctions import Sanctions
    from cloudlink.cluster.node import Node
    from cloudlink.counters import Counters
    from cloudlink.delivery import Delivery
    from cloudlink.http import Request
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices

    from .client import Schema
    from .clients import ClientsManager
    from .cluster import Cluster
    from .fairshare import FairShare
    from .hooks import Hooks
    from .metricsums import OtherProcess, Sample, Values
    from .rooms import RoomsManager

    Labels = dict[Schema | None, str]

PATH = "/metrics"
PREFIX = "cloudlink_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BEARER = "bearer "
_PROTOCOLS = ("cl4", "scratch", "other", "unidentified")
_OTHER = "other"
_RENDERED_AT_ONCE = 10
"""Metrics that are written in one slice."""


class Host(Protocol):
    """The part of a server that has something to tell."""

    settings: Settings
    counters: Counters
    hooks: Hooks
    clients_manager: ClientsManager
    cluster: Cluster
    rooms_manager: RoomsManager
    delivery: Delivery
    fair_share: FairShare
    loop_delay: LoopDelay
    sanctions: Sanctions
    not_ready: str


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: The name without `cloudlink_` and without the `_total` of a counter.
        kind: Its type.
        help: What it is, in one sentence without a full stop.
        labels: The names of its labels.
        expected: The values of its only label that are shown even while they are 0.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()


METRICS = (
    Metric("build_info", "gauge", "The version of the server; always 1", ("version",)),
    Metric("ready", "gauge", "Whether new clients are welcome: 1 or 0"),
    Metric("clients", "gauge", "Connected clients", ("protocol",), _PROTOCOLS),
    Metric("clients_by_dialect", "gauge", "Connected clients by the dialect they speak", ("dialect",)),
    Metric("rooms", "gauge", "Rooms with clients", ("protocol",), _PROTOCOLS[:3]),
    Metric("queued_bytes", "gauge", "Bytes that wait for clients that read slowly"),
    Metric("connections", "counter", "Connections that became clients"),
    Metric(
        "connections_refused",
        "counter",
        "Connections that were turned away",
        ("reason",),
        ("full", "rate", "addresses", "origin", "banned", "mode", "memory"),
    ),
    Metric(
        "disconnections",
        "counter",
        "Clients that have left, by what ended the connection",
        ("reason",),
        (
            "client",
            "kicked",
            "banned",
            "flood",
            "slow",
            "memory",
            "stalled",
            "timeout",
            "protocol",
            "shutdown",
        ),
    ),
    Metric("received_messages", "counter", "Messages of clients", ("protocol",), _PROTOCOLS),
    Metric("received_bytes", "counter", "Bytes of messages of clients", ("protocol",), _PROTOCOLS),
    Metric("sent_frames", "counter", "Frames queued for clients, counted for each recipient"),
    Metric("sent_bytes", "counter", "Bytes of these frames"),
    Metric(
        "packets_dropped",
        "counter",
        "Packets that were not handled",
        ("reason",),
        ("rate", "muted", "frozen", "slow", "filtered"),
    ),
    Metric(
        "commands", "counter", "Packets by built-in command; all others are other", ("command",), (_OTHER,)
    ),
    Metric("plugin_errors", "counter", "Exceptions that handlers of plugins have raised"),
    Metric(
        "limited",
        "counter",
        "How often a limit has acted, by what it limits",
        ("what",),
        ("work", "memory", "storage", "backlog", "handlers"),
    ),
    Metric("memory_kept_bytes", "gauge", "Memory that limits account for", ("what",), ("backlog",)),
    Metric("work_seconds", "counter", "Seconds of processing packets"),
    Metric("storage_up", "gauge", "Whether the last write of a store succeeded: 1 or 0", ("store",)),
    Metric("storage_waiting", "gauge", "Changes that wait to be written to a store", ("store",)),
    Metric("bans", "gauge", "Bans in force", ("kind",), ("address", "network", "name")),
    Metric("mutes", "gauge", "Mutes in force"),
    Metric("auto_bans", "counter", "Bans that the server itself has set"),
    Metric("admin_sessions", "gauge", "Administrators who are logged in"),
    Metric("admin_logins", "counter", "Attempts to log in", ("result",), ("ok", "failed", "throttled")),
    Metric("admin_actions", "counter", "Actions of administrators", ("method",)),
    Metric("bridge_up", "gauge", "Whether a bridge is connected: 1 or 0", ("bridge",)),
    Metric("bridge_users", "gauge", "Users of the other side that are shown here", ("bridge",)),
    Metric(
        "bridge_dropped", "counter", "Records of a bridge that were dropped, both directions", ("bridge",)
    ),
    Metric("cluster_nodes", "gauge", "Nodes of the cluster that are seen, this one included"),
    Metric("cluster_up", "gauge", "Whether the connection between the nodes works: 1 or 0"),
    Metric("cluster_records", "counter", "Records exchanged with other nodes", ("direction",)),
    Metric(
        "cluster_dropped", "counter", "Records that were dropped because a node took less than was sent to it"
    ),
    Metric(
        "cluster_invalid",
        "counter",
        "Batches and records of others that were ignored: of strangers, of other versions, or not readable",
    ),
    Metric("event_loop_delay_seconds", "histogram", "How late the event loop runs what is due"),
)
"""All metrics, in the order in which they are shown. Those that begin with `process_` are added by prometheus-client."""


class MetricsPage:
    """The answer to `GET /metrics`.

    Attributes:
        others: Returns what the other workers of this server know; None for a server of one process.
    """

    def __init__(self, server: Host) -> None:
        """Register the route; a plugin may have one of the same path instead."""
        self.others: Callable[[], Awaitable[list[OtherProcess]]] | None = None
        self._server = server
        server.hooks.routes.add_default(Route(PATH, self._respond, "the metrics", exists=self._exists))

    def _exists(self, request: Request) -> bool:
        return self._may_read(request) or bool(self._server.settings.metrics_token)

    def _may_read(self, request: Request) -> bool:
        who, token = self._server.settings.metrics, self._server.settings.metrics_token
        if who == "everywhere" or (who == "local" and request.is_local):
            return True
        return bool(token) and hmac.compare_digest(_bearer(request), token.encode())

    async def _respond(self, request: Request) -> Response:
        if not self._may_read(request):
            text = "These metrics need the token of the setting metrics_token: Authorization: Bearer TOKEN"
            return refusal(HTTPStatus.UNAUTHORIZED, text, {"WWW-Authenticate": "Bearer"})
        self._server.loop_delay.start(asyncio.get_running_loop())
        others = [] if self.others is None else await self.others()
        # The first call takes a tenth of a second, to import prometheus-client, and each one some milliseconds to have the
        # system count thousands of open connections.
        standard = await asyncio.to_thread(standard_metrics, [other.process for other in others])
        page = self._server.sanctions.slices.run(_page(self._server, others, standard))
        body = await asyncio.wrap_future(page) if isinstance(page, Future) else page
        return Response(body, content_type=CONTENT_TYPE)


def _bearer(request: Request) -> bytes:
    value = request.headers.get("Authorization", "")
    return (
        value[len(_BEARER) :].strip().encode("utf-8", "surrogateescape")
        if value.lower().startswith(_BEARER)
        else b""
    )


def _page(server: Host, others: list[OtherProcess], standard: list[Any]) -> Slices[bytes]:
    """Return the metrics of this process and others of the server as text; `standard` are those of `standard_metrics`."""
    values = total([(yield from sample(server)), *(other.sample for other in others)])
    if others:
        values["rooms"] |= count_rooms([(yield from rooms(server)), *(other.rooms for other in others)])
    return (yield from render(values, standard))


def sample(server: Host) -> Slices[Sample]:
    """Return the values of all metrics by name, each by the values of its labels.

    A histogram has a value for each bucket, named by its upper bound and not cumulative, and its `sum`.
    """
    counters, delivery, share = server.counters, server.delivery, server.fair_share
    labels: Labels = {schema: engine.label for schema, engine in server.hooks.engines.items()}
    clients = yield from _clients(server.clients_manager, labels)
    found: Sample = {
        "build_info": {(__version__,): 1},
        "ready": {(): not server.not_ready},
        "queued_bytes": {(): delivery.queued_bytes},
        "connections": {(): counters.connections},
        "connections_refused": _by_label(counters.refused),
        "disconnections": _by_label(counters.disconnected),
        "sent_frames": {(): delivery.sent_frames},
        "sent_bytes": {(): delivery.sent_bytes},
        "packets_dropped": _by_label(counters.dropped),
        "commands": _commands(server.hooks),
        "plugin_errors": {(): counters.plugin_errors + server.hooks.routes.failures},
        "limited": _by_label({**counters.limited, "work": share.waited, "backlog": delivery.held_back}),
        "work_seconds": {(): share.total},
        "bans": _by_label(counters.bans()),
        "mutes": {(): counters.mutes()},
        "auto_bans": {(): counters.auto_bans},
        "admin_sessions": {(): counters.admin_sessions()},
        "admin_logins": _by_label(counters.logins),
        "admin_actions": _by_label(counters.actions),
        **clients,
        "rooms": _sums(
            (labels.get(schema, _OTHER), count) for schema, count in server.rooms_manager.counts.items()
        ),
        **_cluster(server.cluster.node),
        "event_loop_delay_seconds": _histogram(server.loop_delay),
    }
    kept = {what: measure() for what, measure in counters.kept.items()}
    found["memory_kept_bytes"] = _by_label({**kept, "backlog": delivery.queued_bytes})
    bridges = counters.bridges()
    found["bridge_up"] = _by_label({name: one.is_up for name, one in bridges.items()})
    found["bridge_users"] = _by_label({name: one.users for name, one in bridges.items()})
    found["bridge_dropped"] = _by_label({name: one.dropped for name, one in bridges.items()})
    conditions = {name: condition() for name, condition in counters.stores.items()}
    found["storage_up"] = _by_label({name: one.is_up for name, one in conditions.items()})
    found["storage_waiting"] = _by_label({name: one.waiting for name, one in conditions.items()})
    for metric in METRICS:
        for value in metric.expected:
            found[metric.name].setdefault((value,), 0)
    return found


def rooms(server: Host) -> Slices[dict[str, list[str]]]:
    """Return the names of the rooms of each protocol."""
    found: dict[str, list[str]] = {}
    engines, known = server.hooks.engines, server.rooms_manager.rooms
    for part in sliced(list(known)):
        for name in part:
            for schema in known[name].members if name in known else ():
                label = engines[schema].label if schema in engines else _OTHER
                found.setdefault(label, []).append(name)
        yield
    return found


def _cluster(node: Node | None) -> Sample:
    """Return the metrics of a cluster; they have no values on a lone server."""
    if node is None:
        return {
            "cluster_nodes": {},
            "cluster_up": {},
            "cluster_records": {},
            "cluster_dropped": {},
            "cluster_invalid": {},
        }
    return {
        "cluster_nodes": {(): 1 + len(node.others)},
        "cluster_up": {(): not node.is_cut_off},
        "cluster_records": _by_label({way: node.counts[way] for way in ("sent", "received")}),
        "cluster_dropped": {(): node.counts["dropped"]},
        "cluster_invalid": {(): node.counts["invalid"]},
    }


def _clients(clients: ClientsManager, labels: Labels) -> Slices[Sample]:
    dialects: Counter[Any] = Counter()
    for part in sliced(clients.by_arrival.walk()):
        dialects.update(client.dialect for client in part if client.protocol is not None)
        yield
    received = [
        ("unidentified" if schema is None else labels.get(schema, _OTHER), traffic)
        for schema, traffic in (yield from clients.count_received()).items()
    ]
    identified = _sums((labels.get(schema, _OTHER), len(some)) for schema, some in clients.protocols.items())
    unidentified = len(clients) - sum(identified.values())
    return {
        "clients": {**identified, ("unidentified",): unidentified},
        "clients_by_dialect": _sums((str(dialect), count) for dialect, count in dialects.items()),
        "received_messages": _sums((label, traffic.messages) for label, traffic in received),
        "received_bytes": _sums((label, traffic.bytes) for label, traffic in received),
    }


def _commands(hooks: Hooks) -> Values:
    """Return the number of packets of each built-in command; commands of plugins and unknown ones count together."""
    commands = [item for commands in hooks.commands.values() for item in commands.items()]
    counts = ((name if command.is_built_in else _OTHER, command.calls) for name, command in commands)
    return _sums([*counts, (_OTHER, hooks.unknown_command.calls)])


def _histogram(delay: LoopDelay) -> Values:
    bounds = [*map(str, BOUNDS), "+Inf"]
    return {**_by_label(dict(zip(bounds, delay.counts, strict=True))), ("sum",): delay.total}


def _by_label(values: Any) -> Values:
    return {(label,): value for label, value in values.items()}


def _sums(pairs: Iterable[tuple[str, float]]) -> Values:
    sums: Values = {}
    for label, value in pairs:
        sums[label,] = sums.get((label,), 0) + value
    return sums


def render(values: Sample, standard: Iterable[Any] = ()) -> Slices[bytes]:
    """Return a sample, and after it what `standard_metrics` has returned, as text of the Prometheus format."""
    from prometheus_client import generate_latest  # noqa: PLC0415  # see above

    text = b""
    for families in sliced(chain(_families(values), standard), _RENDERED_AT_ONCE):
        text += generate_latest(_Collection(families))
        yield
    return text


class _Collection:
    """Hands families of metrics to prometheus-client."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        """Return the families."""
        return self._families


def standard_metrics(others: Iterable[int] = ()) -> list[Any]:
    """Return the metrics `process_…` of this and other processes, given their numbers, as families of prometheus-client."""
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415  # see above

    found: dict[str, list[Any]] = {}
    numbers: list[int | str] = ["self", *others]
    for number in numbers:
        collector = ProcessCollector(pid=partial(_itself, number), registry=CollectorRegistry())
        for family in collector.collect():
            found.setdefault(family.name, []).append(family)
    for first, *rest in found.values():
        samples = [family.samples[0] for family in (first, *rest)]
        value = join_process_value(first.name, [each.value for each in samples])
        first.samples[:] = [samples[0]._replace(value=value)]
    return [first for first, *_ in found.values()]


def _itself(number: int | str) -> int | str:
    return number


def _families(values: Sample) -> Iterator[Any]:
    """Yield a sample as families of prometheus-client."""
    from prometheus_client.core import (  # noqa: PLC0415  # imported when somebody asks
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    for metric in METRICS:
        found, name = values[metric.name], PREFIX + metric.name
        if metric.kind == "histogram":
            bounds = [*map(str, BOUNDS), "+Inf"]
            sums = accumulate(found[bound,] for bound in bounds)
            buckets = list(zip(bounds, sums, strict=True))
            yield HistogramMetricFamily(name, metric.help, buckets=buckets, sum_value=found["sum",])
            continue
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(name, metric.help, labels=metric.labels)
        for labels, value in found.items():
            family.add_metric(labels, value)
        yield family
