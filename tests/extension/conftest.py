"""One browser and one server for all tests of the extension."""

import pytest

from tests.extension.lab import Lab


@pytest.fixture(scope="session")
def lab():
    """The laboratory; a test that needs it is skipped where there is no browser."""
    lab = Lab()
    try:
        lab.open()
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def known(lab):
    """The extension's blocks in TurboWarp's VM once it is loaded."""

    async def look():
        [user] = await lab.users(1)
        return await user.evaluate("knownBlocks()")

    return lab.run(look())
