"""One browser for all tests of the dashboard."""

from pathlib import Path

import pytest

from tests.admin.browser.lab import Lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Give the tests here more time: what they need may have to be installed first."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def lab():
    """The laboratory; a test that needs it is skipped where there is no browser."""
    lab = Lab()
    try:
        lab.open()
        yield lab
    finally:
        lab.close()
