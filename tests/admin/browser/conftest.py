"""One browser for all tests of the dashboard."""

import pytest

from tests.admin.browser.lab import Lab


@pytest.fixture(scope="session")
def lab():
    """The laboratory; a test that needs it is skipped where there is no browser."""
    lab = Lab()
    try:
        lab.open()
        yield lab
    finally:
        lab.close()
