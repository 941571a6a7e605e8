"""The version of the package; the version reported to clients is another one."""

__version__ = "1.0.0.dev0"
