"""The page `/metrics`: who may read it, what stands there, and that it agrees with its documentation and dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudlink.server import metrics
from cloudlink.server.metrics import METRICS, PREFIX, render, sample
from cloudlink.slices import finish
from cloudlink.version import __version__
from tests.support.memoryclients import EraClient, MemoryClient, named
from tests.support.rawclients import ask, request, running
from tests.support.servers import build

ROOT = Path(__file__).parents[2]
LOCAL = {"Host": "127.0.0.1:3000"}
FOREIGN = {"Host": "games.example:3000"}


def fetch(headers=LOCAL, method="GET", **settings):
    async def scenario():
        async with running(**settings) as server:
            return await ask(server.port, request(headers, "/metrics").replace(b"GET", method.encode(), 1))

    head, _, body = asyncio.run(scenario()).partition("\r\n\r\n")
    return head, body


def bearer(token):
    return {**FOREIGN, "Authorization": f"Bearer {token}"}


def parsed(text):
    """The samples of a text, by name and labels."""
    return {
        (one.name.removeprefix(PREFIX), *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def name_of(metric):
    """The name of its samples (of a histogram: their common beginning), without the prefix."""
    return metric.name + ("_total" if metric.kind == "counter" else "")


def shown(server):
    return parsed(finish(render(finish(sample(server)))).decode())


# Who may read it.


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, LOCAL, 200),
        ({}, {"Host": "localhost"}, 200),
        ({}, FOREIGN, 404),
        ({}, {**LOCAL, "X-Forwarded-For": "127.0.0.1"}, 404),
        ({}, bearer(""), 404),
        ({"metrics": "off"}, LOCAL, 404),
        ({"metrics": "everywhere"}, FOREIGN, 200),
        ({"metrics_token": "s3cret"}, LOCAL, 200),
        ({"metrics_token": "s3cret"}, FOREIGN, 401),
        ({"metrics_token": "s3cret"}, bearer("s3cre"), 401),
        ({"metrics_token": "s3cret"}, bearer("s3cret"), 200),
        ({"metrics_token": "s3cret"}, {**FOREIGN, "authorization": "bearer  s3cret"}, 200),
        ({"metrics_token": "s3cret"}, {**FOREIGN, "Authorization": "Basic s3cret"}, 401),
        ({"metrics_token": "s3cret"}, bearer("s\xe9cret"), 401),
        ({"metrics_token": "s3cret", "metrics": "off"}, LOCAL, 401),
        ({"metrics_token": "s3cret", "metrics": "off"}, bearer("s3cret"), 200),
    ],
)
def test_who_may_read_them(settings, headers, status):
    head, body = fetch(headers, **settings)
    assert head.startswith(f"HTTP/1.1 {status}")
    assert ("cloudlink_clients" in body) is (status == 200)
    assert ("www-authenticate: bearer" in head.lower()) is (status == 401)
    assert "s3cret" not in body


def test_where_they_may_not_be_read_the_page_does_not_exist():
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        refused, body = fetch(FOREIGN, method)
        assert refused.startswith("HTTP/1.1 404")
        assert "metrics" not in body


def test_a_plugin_may_have_the_path_itself():
    async def scenario():
        async with running() as server:
            server.hooks.routes.add("/metrics", lambda _: "mine")
            return await ask(server.port, request(FOREIGN, "/metrics"))

    assert asyncio.run(scenario()).endswith("mine")


def test_a_token_is_one_word():
    with pytest.raises(Exception, match=r"metrics_token .*\(hidden\).* one word"):
        build({"metrics_token": "two words"})


# What is there.


def test_every_metric_of_the_table_is_shown_and_parsed():
    head, body = fetch()
    assert "text/plain; version=0.0.4; charset=utf-8" in head
    families = {family.name: family for family in text_string_to_metric_families(body)}
    for metric in METRICS:
        family = families.pop(PREFIX + metric.name)
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for one in family.samples:
            assert set(one.labels) - {"le"} == set(metric.labels)
    assert families.keys() >= {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"}
    assert all(name.startswith("process_") for name in families)


def test_a_server_without_clients_shows_zeros_and_not_gaps():
    values = shown(build())
    assert values["build_info", __version__] == 1
    assert values["ready",] == 1
    for metric in METRICS:
        for value in metric.expected:
            assert values[name_of(metric), value] == 0
    assert values["commands_total", "gmsg"] == 0
    assert values["storage_up", "cloud"] == 1
    assert values["storage_waiting", "cloud"] == 0


def test_the_numbers_are_those_of_the_server():
    server = build({"max_clients": 5})
    server.fair_share.clock = time.process_time
    mia = named(server, "mia")
    named(server, "tom").say({"cmd": "link", "val": "lobby"})
    EraClient(server, "CL3 0.1.5", "old")
    player = MemoryClient(server, {"method": "handshake", "project_id": "7", "user": "sam"})
    player.say({"method": "set", "name": "☁ score", "value": "123"})
    MemoryClient(server)
    MemoryClient(server)  # turned away
    mia.say({"cmd": "gmsg", "val": "hello", "rooms": "default"}, {"cmd": "nonsense"})
    values = shown(server)
    clients = {label: values["clients", label] for label in ("cl4", "scratch", "other", "unidentified")}
    assert clients == {"cl4": 3, "scratch": 1, "other": 0, "unidentified": 1}
    assert values["clients_by_dialect", "CL4 0.2.0"] == 2
    assert values["clients_by_dialect", "CL3 0.1.5"] == 1
    assert values["rooms", "cl4"] == 2
    assert values["rooms", "scratch"] == 1
    assert values["connections_total",] == 5
    assert values["connections_refused_total", "full"] == 1
    assert values["commands_total", "gmsg"] == 1
    assert values["commands_total", "other"] == 1
    assert values["received_messages_total", "scratch"] == 2
    assert values["received_bytes_total", "cl4"] > 100
    assert values["sent_frames_total",] == server.delivery.sent_frames > 5
    assert values["sent_bytes_total",] == server.delivery.sent_bytes > 100
    assert values["memory_kept_bytes", "cloud"] > 0
    assert values["work_seconds_total",] > 0
    player.leave()
    mia.leave()
    after = shown(server)
    assert after["disconnections_total", "client"] == 2
    assert after["rooms", "scratch"] == 0
    assert after["received_messages_total", "scratch"] == 2


def test_numbers_of_others_are_asked_for():
    server = build()
    server.counters.bans = lambda: {"name": 2}
    server.counters.mutes = lambda: 3
    server.counters.admin_sessions = lambda: 4
    server.counters.auto_bans = 5
    server.counters.logins["failed"] += 6
    server.counters.actions["clients.kick"] += 7
    server.not_ready = "closed"
    values = shown(server)
    assert values["bans", "name"] == 2
    assert values["bans", "address"] == 0
    assert [values[name,] for name in ("mutes", "admin_sessions", "auto_bans_total", "ready")] == [3, 4, 5, 0]
    assert values["admin_logins_total", "failed"] == 6
    assert values["admin_actions_total", "clients.kick"] == 7


def test_the_histogram_adds_up():
    server = build()
    for delay in (0.0005, 0.002, 0.002, 9.0):
        server.loop_delay.note(delay)
    values = shown(server)
    assert values["event_loop_delay_seconds_bucket", "0.001"] == 1
    assert values["event_loop_delay_seconds_bucket", "0.0025"] == 3
    assert values["event_loop_delay_seconds_bucket", "2.5"] == 3
    assert values["event_loop_delay_seconds_bucket", "+Inf"] == 4
    assert values["event_loop_delay_seconds_count",] == 4
    assert values["event_loop_delay_seconds_sum",] == 9.0045


def test_no_label_comes_from_a_client():
    server = build({"cloud_usernames": "any"})
    secret = "qwertzuiop"
    one = named(server, secret)
    one.say({"cmd": "link", "val": secret}, {"cmd": secret}, {"cmd": "gvar", "name": secret, "val": secret})
    MemoryClient(server, {"method": "handshake", "project_id": secret, "user": secret})
    MemoryClient(server, {"method": secret})
    assert secret not in finish(render(finish(sample(server)))).decode()


def test_the_library_is_imported_when_somebody_asks():
    code = "import cloudlink.server.app, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What is written about it.


def test_the_page_about_administration_describes_every_metric_and_label():
    page = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    table = page.partition("| metric | labels |")[2].partition("\n\n")[0]
    known = {name_of(metric): metric for metric in METRICS}
    described = {}
    for line in table.splitlines()[2:]:
        names, labels = line.split("|")[1:3]
        described |= {key: set(re.findall(r"`(\w+)`", labels)) for key in re.findall(r"`(\w+)`", names)}
    assert described.keys() == known.keys()
    for name, words in described.items():
        metric = known[name]
        assert words - set(metric.expected) == ({"le"} if metric.kind == "histogram" else set(metric.labels))


def test_every_metric_of_the_dashboard_exists():
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "cloudlink.json").read_text(encoding="utf-8"))
    known = {one.name for family in text_string_to_metric_families(fetch()[1]) for one in family.samples}
    known |= {
        PREFIX + name_of(metric) for metric in METRICS if metric.kind != "histogram"
    }  # labels that are empty here
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [one["definition"] for one in dashboard["templating"]["list"] if "definition" in one]
    used = {name for text in expressions for name in re.findall(r"\b(?:cloudlink|process)_\w+", text)}
    assert used <= known
    histogram = {"event_loop_delay_seconds", "event_loop_delay_seconds_bucket"}
    unused = {PREFIX + name_of(metric) for metric in METRICS} - used - {PREFIX + name for name in histogram}
    assert unused == set()


def test_the_labels_of_the_dashboard_exist():
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "cloudlink.json").read_text(encoding="utf-8"))
    by_name = {PREFIX + name_of(metric): set(metric.labels) for metric in METRICS}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            (name,) = re.findall(r"\b(?:cloudlink|process)_\w+", target["expr"])
            labels = set(re.findall(r"by \((\w+)\)", target["expr"])) - {"le"}
            assert labels <= by_name.get(name, set())
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == labels


def test_the_table_has_each_name_once():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert metrics.PATH == "/metrics"
