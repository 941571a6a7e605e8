"""The version of the package, which is not the version reported to clients."""

__version__ = "1.0.0.dev0"
