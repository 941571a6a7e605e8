"""Which pages may connect."""

import pytest

from cloudlink.origins import is_allowed, is_origin_entry


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        ("https://turbowarp.org", "https://turbowarp.org", True),
        ("https://turbowarp.org", "http://turbowarp.org", False),
        ("https://turbowarp.org", "https://turbowarp.org:8443", False),
        ("https://turbowarp.org", "", False),
        ("https://turbowarp.org", "null", False),
        ("null", "null", True),
        # Default ports: browsers leave them out, people and other programs may not.
        ("https://turbowarp.org:443", "https://turbowarp.org", True),
        ("https://turbowarp.org", "https://turbowarp.org:443", True),
        ("http://localhost:80", "http://localhost", True),
        ("https://localhost:80", "https://localhost", False),
        ("http://localhost:8000", "http://localhost:8000", True),
        ("tw-editor://.", "tw-editor://.", True),
        ("file://", "file://", True),
        # Wildcards stand for one or more names below, never for a part of one.
        ("https://*.itch.zone", "https://html-classic.itch.zone", True),
        ("https://*.itch.zone", "https://a.b.itch.zone", True),
        ("https://*.itch.zone", "https://itch.zone", False),
        ("https://*.itch.zone", "https://.itch.zone", False),
        ("https://*.itch.zone", "https://evilitch.zone", False),
        ("https://*.itch.zone", "https://a.itch.zone.evil.example", False),
        ("https://*.itch.zone", "https://a.itch.zone:8443", False),
        ("https://*.itch.zone", "http://a.itch.zone", False),
        ("https://*.itch.zone:443", "https://a.itch.zone", True),
        ("https://*.itch.zone:8443", "https://a.itch.zone:8443", True),
        ("https://*.itch.zone", "https://evil.example/.itch.zone", False),
        ("https://*.itch.zone", "https://evil.example?.itch.zone", False),
        ("https://*.itch.zone", "https://user@a.itch.zone", False),
    ],
)
def test_an_entry_allows_an_origin(entry, origin, allowed):
    assert is_origin_entry(entry)
    assert is_allowed(origin, ["https://other.example", entry]) is allowed


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "turbowarp.org",
        "//turbowarp.org",
        "https://",
        "https://*",
        "https://*.",
        "https://a.*.b",
        "https://a*.b",
        "https://*.*.b",
        "*://a.b",
        "https://turbowarp.org/",
        "https://turbowarp.org/editor",
        "https://turbowarp.org?x",
        "https://user@turbowarp.org",
        "https://Turbowarp.org",
        "HTTPS://turbowarp.org",
        "https://türbowarp.org",
        "https://turbowarp.org:",
        "https://turbowarp.org:99999",
        "https://turbowarp.org:port",
        "https://turbowarp.org https://other.org",
        "NULL",
    ],
)
def test_an_entry_that_can_never_match_is_not_one(entry):
    assert not is_origin_entry(entry)
