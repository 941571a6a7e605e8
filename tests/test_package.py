"""The public names of `import cloudlink`, and the modules that it imports lazily."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import cloudlink
from cloudlink.removed import REMOVED

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
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
    with pytest.raises(AttributeError, match="module 'cloudlink' has no attribute 'nonsense'"):
        cloudlink.nonsense  # noqa: B018  # reading it is the test
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from cloudlink import nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'cloudlink\.nonsense'"):
        importlib.import_module("cloudlink.nonsense")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"):
        importlib.import_module("no_such_package.Cloudlink")


# Names of earlier versions.

TOP = [name for name in REMOVED if "." not in name]


@pytest.mark.parametrize("name", REMOVED)
def test_importing_a_removed_name_says_what_takes_its_place(name):
    version, successor = REMOVED[name]
    package, _, last = f"cloudlink.{name}".rpartition(".")
    statements = [f"import {package}.{last}", f"from {package}.{last} import x"]
    if not hasattr(
        importlib.import_module(package), last
    ):  # `from cloudlink.client import client` is the class
        statements.append(f"from {package} import {last}")
    for statement in statements:
        with pytest.raises(ImportError) as caught:
            exec(statement)
        words = str(caught.value)
        assert f"cloudlink.{name} was part of CloudLink {version}" in words
        assert successor in words
        assert "docs/migrating.md" in words
        assert caught.value.name == f"cloudlink.{name}"


@pytest.mark.parametrize("name", ["other.Cloudlink", "Cloudlink", "cloudlink", "cloudlink.nonsense"])
def test_other_names_are_not_explained(name):
    assert cloudlink._RemovedNames.find_spec(name) is None


@pytest.mark.parametrize("name", TOP)
def test_reading_a_removed_name_says_what_takes_its_place(name):
    assert not hasattr(cloudlink, name)
    with pytest.raises(AttributeError) as caught:
        getattr(cloudlink, name)
    assert REMOVED[name][1] in str(caught.value)
    assert name not in dir(cloudlink)


@pytest.mark.parametrize("name", REMOVED)
def test_the_page_about_migrating_has_every_removed_name(name):
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")


def test_removed_names_are_really_removed():
    finders = [finder for finder in sys.meta_path if finder is not cloudlink._RemovedNames]
    for name in (f"cloudlink.{name}" for name in REMOVED):
        path = importlib.import_module(name.rpartition(".")[0]).__path__
        assert [finder for finder in finders if finder.find_spec(name, path) is not None] == []


@pytest.mark.parametrize(
    "old",
    [
        "from cloudlink import CloudLink\ncl = CloudLink()",  # 0.1.7
        "from cloudlink import Cloudlink\ncl = Cloudlink()",  # 0.1.8
        "from cloudlink import cloudlink\ncl = cloudlink()",  # 0.1.9
        "from cloudlink.cloudlink import Cloudlink",
        "from cloudlink.async_client import async_client",
        "import cloudlink\ncl = cloudlink.Cloudlink()",
        "import cloudlink\ncl = cloudlink.cloudlink()",
    ],
)
def test_the_first_lines_of_old_scripts(old):
    with pytest.raises(
        (ImportError, AttributeError), match=r"from cloudlink import server|cloudlink\.connect"
    ):
        exec(old, {})
