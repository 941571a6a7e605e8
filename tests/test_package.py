"""What `import cloudlink` gives, and what it leaves alone until it is asked for."""

import subprocess
import sys

import pytest

import cloudlink

BOTH_WAYS = [
    "from cloudlink import server; from cloudlink.server.protocols import clpv4",
    "from cloudlink.server.protocols import clpv4; from cloudlink import server",
    "import cloudlink.server; import cloudlink; server = cloudlink.server",
]


def python(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("script", BOTH_WAYS)
def test_server_is_the_class_whatever_was_imported_before(script):
    assert python(f"{script}; print(server.__name__, callable(server))") == ["Server", "True"]


def test_a_server_does_not_load_the_client():
    script = (
        "from cloudlink import server; from cloudlink.server.protocols import clpv4; server(); import sys"
    )
    assert python(f"{script}; print(*[m for m in sys.modules if m.startswith('cloudlink.client')])") == []


def test_the_command_line_loads_neither():
    script = "from cloudlink import cli; import sys; rooms = ('cloudlink.client', 'cloudlink.server')"
    assert python(f"{script}; print(*[m for m in sys.modules if m.startswith(rooms)])") == []


def test_a_client_does_not_load_the_server():
    script = "import cloudlink, sys; cloudlink.connect"
    rooms = ("server", "transport", "delivery", "storage", "settings", "cli")
    loaded = python(f"{script}; print(*[m for m in sys.modules if m.startswith('cloudlink.')])")
    assert "cloudlink.client.connection" in loaded
    assert [name for name in loaded if name.split(".")[1] in rooms] == []


def test_importing_the_package_loads_neither():
    loaded = python("import cloudlink, sys; print(*[m for m in sys.modules if m.startswith('cloudlink.')])")
    assert loaded == ["cloudlink.version"]


def test_names_are_listed_and_found():
    assert set(cloudlink.__all__) <= set(dir(cloudlink))
    for name in cloudlink.__all__:
        assert getattr(cloudlink, name) is not None


def test_public_names_cannot_be_replaced():
    with pytest.raises(AttributeError, match=r"cloudlink\.connect cannot be replaced"):
        cloudlink.connect = None


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError):
        cloudlink.nonsense  # noqa: B018  # reading it is the test
