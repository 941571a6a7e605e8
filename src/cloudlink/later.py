"""Keeps modules out of memory until somebody uses them.

Python's `asyncio` and `hashlib` load OpenSSL, which takes 4.5 MB, and a server without TLS has no use for it. picows imports
aiofastnet and python-socks (2.8 MB), which only connecting needs. `dataclasses` imports `inspect` and `ast` (1 MB), which it
uses from Python 3.12 on. Once this module is imported, importing one of `_MODULES` makes an empty module. Its code runs, in
the same module object, when somebody reads or sets one of its names. A module that is loaded already is left alone.

Python's `importlib.util.LazyLoader` does the same, but it loads the module with the second `import` of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec


class Nothing:
    """Stands in for a class that has no instances yet, for code that only asks whether an object is one."""


_MODULES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "aiofastnet": {"Transport": (__name__, "Nothing")},  # picows asks for it with each connection
    "ast": {},
    "asyncio.sslproto": {},
    "hashlib": {"blake2b": ("_blake2", "blake2b"), "sha1": ("_sha1", "sha1")},
    "hmac": {"compare_digest": ("_operator", "_compare_digest")},
    "inspect": {},
    "msgspec.inspect": {},
    "picows": {},
    "ssl": {},
}
"""The modules, and names that do not need the whole module, with the module and name where each of them is.

`hashlib` takes `blake2b` from there too, and `sha1` if Python was built without OpenSSL; `hmac` takes `compare_digest` in the same way.
"""


class _Later(ModuleType):
    """A module whose code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # Python and tools look for these in every module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name == "SSLSocket" and _caller() == "asyncio.base_events":
            return Nothing  # asyncio only asks whether a socket is one; others may keep what they get
        if name in (early := _MODULES[self.__name__]):
            module, known_as = early[name]
            try:
                vars(self)[name] = value = getattr(import_module(module), known_as)
            except (ImportError, AttributeError):  # a Python without its own SHA-1
                pass
            else:
                return value
        _loaders[self.__name__].run(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets `__spec__` and the like, and the modules of a package.
        if not name.startswith("__") and not isinstance(value, ModuleType):
            _loaders[self.__name__].run(self)
        ModuleType.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        _loaders[self.__name__].run(self)
        return sorted(vars(self))


def _caller() -> object:
    """Return the name of the module that reads a name."""
    return sys._getframe(2).f_globals.get("__name__")  # noqa: SLF001  # what `inspect.currentframe` returns


class _Loader:
    """Loads an empty module, and runs its code later."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._lock = RLock()
        self._has_run = False

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        _loaders[module.__name__] = self
        module.__class__ = _Later

    def run(self, module: ModuleType) -> None:
        """Run the code of the module, unless another thread has done so, or this one is doing so."""
        with self._lock:
            if self._has_run:
                return
            self._has_run = True
            try:
                self._loader.exec_module(module)
            except BaseException:
                self._has_run = False
                raise
            module.__class__ = ModuleType


_loaders: dict[str, _Loader] = {}


class _Finder:
    """Finds the modules that are loaded later."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that is loaded later, None for others and for a reload."""
        if fullname not in _MODULES or target is not None:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # has what the import system calls
        return spec


sys.meta_path.insert(0, _Finder)
