"""One browser and one server for all tests of the extension."""

import pytest

from extension.lab import Lab


@pytest.fixture(scope="session")
def lab():
    """The laboratory; a test that needs it is skipped where there is no browser."""
    lab = Lab()
    lab.open()
    yield lab
    lab.close()
