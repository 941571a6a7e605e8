"""The version of the package, which is not the version reported to clients."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cloudlink")
except PackageNotFoundError:  # run from a copy that was never installed
    __version__ = "0+unknown"
