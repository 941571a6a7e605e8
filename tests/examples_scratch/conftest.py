"""The examples, built, and a browser and a server to play them."""

from __future__ import annotations

import pytest

from sb3 import build
from tests.examples_scratch.players import EXAMPLES
from tests.extension.lab import Lab


@pytest.fixture(scope="session")
def lab():
    """The laboratory of the extension's tests; a test that needs it is skipped where there is no browser."""
    lab = Lab()
    lab.open()
    yield lab
    lab.close()


@pytest.fixture(params=sorted(path.parent.name for path in EXAMPLES.glob("*/project.toml")))
def example(request):
    """The bytes of each example in turn."""
    return build(EXAMPLES / request.param, "ws://127.0.0.1:3000/", "http://127.0.0.1:3000/extension.js")
