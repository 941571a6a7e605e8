"""The metrics of several processes as those of one server."""

from __future__ import annotations

import json

from cloudlink.server.metricsums import count_rooms, join_process_value, packed, total, unpacked

HERE = {
    "clients": {("cl4",): 2, ("scratch",): 1},
    "bans": {("name",): 3},
    "ready": {(): 1},
    "storage_up": {("admin",): 1},
    "event_loop_delay_seconds": {("0.1",): 5, ("sum",): 0.5},
    "work_seconds": {(): 0.25},
}
THERE = {
    "clients": {("cl4",): 5, ("other",): 1},
    "bans": {("name",): 3},
    "ready": {(): 0},
    "storage_up": {("admin",): 0},
    "event_loop_delay_seconds": {("0.1",): 1, ("sum",): 0.25},
    "of_a_newer_version": {(): 1},
}


def test_what_is_counted_is_added_up_and_what_all_have_is_not():
    assert total([HERE, THERE]) == {
        "clients": {("cl4",): 7, ("scratch",): 1, ("other",): 1},
        "bans": {("name",): 3},
        "ready": {(): 0},
        "storage_up": {("admin",): 0},
        "event_loop_delay_seconds": {("0.1",): 6, ("sum",): 0.75},
        "work_seconds": {(): 0.25},
    }
    assert total([HERE]) == HERE


def test_a_sample_travels_as_json():
    assert unpacked(json.loads(json.dumps(packed(HERE)))) == HERE


def test_a_room_of_two_processes_counts_once():
    assert count_rooms([{"cl4": ["a", "b"]}, {"cl4": ["b", "c"], "scratch": ["a"]}]) == {
        ("cl4",): 3,
        ("scratch",): 1,
    }


def test_the_metrics_of_processes():
    assert join_process_value("process_start_time_seconds", [3.0, 2.0]) == 2.0
    assert join_process_value("process_max_fds", [1024.0, 1024.0]) == 1024.0
    assert join_process_value("process_cpu_seconds_total", [1.0, 0.5]) == 1.5
