"""Finds, loads and starts plugins: named ones, those in the plugins folder, and installed packages.

A plugin is any callable that takes `(server, protocol)` or `(server)`. This module does not know commands,
events or the server's class.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from contextvars import ContextVar
from functools import partial
from hashlib import blake2b
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cloudlink.errors import StartError
from cloudlink.text import did_you_mean, one_line

from .programs import Program, forgotten_self, how_to_run, program_in

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint
    from types import ModuleType

    Plugin = Callable[..., object]

T = TypeVar("T")

ENTRY_POINT_GROUP = "cloudlink.plugins"
"""The group of entry points under which an installed package offers its plugins."""

_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>[^:/\\]+))?")
_MODULE = re.compile(r"(?P<module>[^:/\\]+):(?P<name>[^:/\\]+)")
_SHAPE = "a class or function that takes (server, protocol) or (server)"
_BOTH = 2
"""The number of arguments of a plugin that takes the server and the protocol."""


class PluginError(StartError):
    """A plugin cannot be found, loaded or started; the message names the plugin, the line and the reason."""


class OwnServerError(RuntimeError):
    """A plugin runs a server while plugins are loaded, which would block everything else."""


_is_loading = ContextVar("_is_loading", default=False)


def refuse_while_loading() -> None:
    """Raise `OwnServerError` while a plugin is loaded or started, to prevent it from running a server."""
    if _is_loading.get():
        raise OwnServerError("a plugin must not run a server")


class PluginSettings(Protocol):
    """The settings that concern plugins."""

    @property
    def plugins(self) -> list[str]:
        """The plugins to load by name."""

    @property
    def plugins_folder(self) -> str:
        """The folder to load all plugins from; empty for none."""

    @property
    def plugin_errors(self) -> str:
        """`stop`, or `skip` to go on without a plugin that fails."""

    @property
    def origins(self) -> dict[str, str]:
        """The origin of each setting's value."""


def load_all(
    server: object, protocol: object, settings: PluginSettings, logger: logging.Logger
) -> list[object]:
    """Load and start every plugin once, even if it is named several times.

    The plugins named in the settings come first, then those of the folder, then those of installed
    packages. If a plugin fails while it starts, the handlers it has registered until then remain.

    Args:
        server: Passed to plugins as `server`.
        protocol: Passed to plugins as `protocol`.
        settings: The plugins to load, and whether a failing one stops the start.
        logger: Gets one line for each plugin.

    Returns:
        The return values of the plugins; for classes, their instances.

    Raises:
        PluginError: A plugin failed and `plugin_errors` is `stop`.
        StartError: The plugins folder cannot be read.
    """
    skip = settings.plugin_errors == "skip"
    started: dict[object, object] = {}
    for label, load in _sources(settings):
        loaded: list[Plugin] = []
        with _reported(label, logger, skip=skip):
            loaded = load()
        for plugin in loaded:
            identity = _identity(plugin)
            if identity not in started:
                with _reported(label, logger, skip=skip):
                    started[identity] = start_plugin(label, plugin, server, protocol)
                    logger.info("Plugin %s is running", _full_name(label, plugin))
    return list(started.values())


def load_plugin(spec: str) -> list[Plugin]:
    """Load the plugins that a specification names.

    Args:
        spec: `package.module:Attribute`, `path/to/file.py:Attribute`, or `path/to/file.py` for every
            public class and function of that file whose first parameter is `server` and which takes
            `(server, protocol)` or `(server)`.

    Raises:
        PluginError: The plugin cannot be found or loaded, or is not a plugin.
    """
    if match := _FILE.fullmatch(spec):
        module = _import_file(spec, Path(match["path"]).expanduser())
        return [_attribute(spec, module, match["name"])] if match["name"] else _plugins_in(spec, module)
    if match := _MODULE.fullmatch(spec):
        # As with `python -m`, modules in the working directory take precedence over installed packages.
        _add_to_path(Path.cwd(), first=True)
        return [_attribute(spec, _import_module(spec, match["module"]), match["name"])]
    file = Path(spec.replace(".", "/") + ".py")
    hint = f"; did you mean {file.as_posix()}?" if file.is_file() else "."
    raise PluginError(
        f"Plugin {spec} is not written as path/to/file.py, path/to/file.py:Name or package.module:Name{hint}"
    )


# Sources of plugins.


def _sources(settings: PluginSettings) -> Iterator[tuple[str, Callable[[], list[Plugin]]]]:
    """Yield each source of plugins: its name in messages, and a function that loads it."""
    for spec in settings.plugins:
        yield spec, partial(load_plugin, spec)
    for path in _files_of_folder(settings):
        yield str(path), partial(load_plugin, str(path))
    for entry in _entry_points():
        label = f"{entry.name} of the installed package {entry.dist.name}" if entry.dist else entry.name
        yield label, partial(_installed, label, entry)


def _entry_points() -> list[EntryPoint]:
    """Return the plugins of installed packages; avoid the expensive import if no package has any."""
    offers = (file for folder in sys.path for file in Path(folder).glob("*-info/entry_points.txt"))
    if not any(ENTRY_POINT_GROUP.encode() in file.read_bytes() for file in offers):
        return []
    from importlib.metadata import entry_points  # noqa: PLC0415  # 1.4 MB of memory

    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value))


def _installed(label: str, entry: EntryPoint) -> list[Plugin]:
    return [_attribute(label, _import_module(label, entry.module), entry.attr)]


def _files_of_folder(settings: PluginSettings) -> list[Path]:
    if not settings.plugins_folder:
        return []
    folder = Path(settings.plugins_folder).expanduser()
    origin = settings.origins.get("plugins_folder", "default")
    try:
        return [path for path in sorted(folder.iterdir()) if path.suffix == ".py" and path.name[0] != "_"]
    except FileNotFoundError:
        if origin == "default":
            return []
        raise StartError(
            f"The plugins folder {folder} ({origin}) does not exist; create it or change plugins_folder."
        ) from None
    except OSError as error:
        raise StartError(
            f"The plugins folder {folder} ({origin}) cannot be read: {error.strerror}."
        ) from None


def _import_file(label: str, path: Path) -> ModuleType:
    """Import a file under a unique name, so that files called `greet.py` in two folders are two modules."""
    full = path.resolve()
    if not full.is_file():
        hint = did_you_mean(full.name, [file.name for file in full.parent.glob("*.py")]) or "."
        raise PluginError(f"Plugin {label} was not found: there is no file {full}{hint}")
    digest = blake2b(str(full).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    name = f"cloudlink_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', full.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    # Append the folder, because a plugin called queue.py or random.py must not replace Python's own module.
    _add_to_path(full.parent, first=False)
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:  # pragma: no cover - every name in .py has a loader
        raise PluginError(f"Plugin {label} was not found: {full} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a class up by the name of its module.
    sys.modules[name] = module
    try:
        with _explained(label, name, "load"):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, PluginError):
            _explain_program(label, full, error)
        raise
    return module


def _explain_program(label: str, file: Path, error: PluginError) -> None:
    """Raise a more helpful `PluginError` if a file that failed to load is a complete program."""
    program = program_in(file)
    if program is Program.OLD_SCRIPT:
        raise PluginError(
            f"Plugin {label} is a server script of CloudLink 0.1, which does not run here: rewrite it as a plugin, or run "
            f'it with the package it was written for: {sys.executable} -m pip install "cloudlink<0.2" in an environment '
            f"of its own, then python {file.name} there."
        ) from error.__cause__
    if program is Program.SCRIPT and isinstance(error.__cause__, OwnServerError):
        raise PluginError(
            f"{str(error).removesuffix('.')}; or run this script by itself: {how_to_run(file)}."
        ) from (error.__cause__)


def _import_module(label: str, name: str) -> ModuleType:
    try:
        with _explained(label, name, "load"):
            return importlib.import_module(name)
    except PluginError as error:
        missing = getattr(error.__cause__, "name", None)
        if isinstance(error.__cause__, ModuleNotFoundError) and f"{name}.".startswith(f"{missing}."):
            raise PluginError(
                f"Plugin {label} was not found: there is no module {missing} in this folder "
                f"or among the installed packages."
            ) from error.__cause__
        raise


def _add_to_path(folder: Path, *, first: bool) -> None:
    # The import system caches directories; files may have been added since.
    importlib.invalidate_caches()
    if str(folder) not in sys.path:
        sys.path.insert(0 if first else len(sys.path), str(folder))


# Recognising plugins.


def _attribute(label: str, module: ModuleType, dotted: str) -> Plugin:
    """Return the callable with a dotted name in a module."""
    found: Any = module
    for name in dotted.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            hint = did_you_mean(name, [known for known in dir(found) if known[0] != "_"]) or "."
            where = Path(module.__file__).name if module.__file__ else module.__name__
            raise PluginError(f"Plugin {label} was not found: {where} has no {name}{hint}") from None
    if not callable(found):
        raise PluginError(
            f"Plugin {label} is not a plugin: {dotted} is of type {type(found).__name__}, "
            f"but a plugin is {_SHAPE}."
        )
    return found  # type: ignore[no-any-return]  # every return value is an object


def _plugins_in(label: str, module: ModuleType) -> list[Plugin]:
    """Return the plugins of a file that was named without an attribute."""
    found: dict[int, Plugin] = {}
    for name, value in vars(module).items():
        own = (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__
        if own and name[0] != "_" and _looks_like_plugin(value):
            found[id(value)] = value
    if not found:
        raise PluginError(_why_no_plugin(label, Path(module.__file__ or "")))
    return list(found.values())


def _why_no_plugin(label: str, file: Path) -> str:
    if program_in(file) is Program.SCRIPT:
        return (
            f"Plugin {label} is not a plugin but a whole server script: run it with {how_to_run(file)}, "
            f"or move its handlers into {_SHAPE}."
        )
    mistake = forgotten_self(file)
    if mistake:
        return f"Plugin {label} holds no plugin: {mistake}."
    return f"Plugin {label} holds no plugin: it needs {_SHAPE}, with the first parameter named server."


def _looks_like_plugin(value: Plugin) -> bool:
    try:
        first = next(iter(inspect.signature(value).parameters), "")
    except (TypeError, ValueError):  # such as a subclass of Exception
        return False
    return first == "server" and _argument_count(value) > 0 and not inspect.isabstract(value)


def _argument_count(plugin: Plugin) -> int:
    """Return how many of `(server, protocol)` a plugin takes; 0 if it requires other arguments."""
    try:
        parameters = inspect.signature(plugin).parameters.values()
    except (TypeError, ValueError):  # callables written in C may lack a signature
        return _BOTH
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = sum(one.default is one.empty for one in places)
    if needed > _BOTH or any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        return 0
    # An optional second parameter may be something else, such as verbose=False.
    takes_protocol = needed == _BOTH or [one.name for one in places[1:2]] == ["protocol"]
    if takes_protocol or any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return _BOTH
    return min(len(places), 1)


def _identity(plugin: Plugin) -> object:
    """Return a key that is equal for all names of one plugin, even if its file was imported as two modules."""
    module = sys.modules.get(getattr(plugin, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    name = getattr(plugin, "__qualname__", "<locals>")
    if file is None or "<locals>" in name:
        return id(plugin)
    return str(Path(file).resolve()), name


def _full_name(label: str, plugin: Plugin) -> str:
    name = getattr(plugin, "__qualname__", "")
    return label if not name or label.endswith(f":{name}") else f"{label} ({name})"


def start_plugin(label: str, plugin: Plugin, server: object, protocol: object) -> object:
    """Call a plugin with `(server, protocol)` or `(server)`, and return its result.

    Args:
        label: The plugin's name in messages.
        plugin: The plugin.
        server: Passed as `server`.
        protocol: Passed as `protocol`.

    Raises:
        PluginError: The plugin raises, is `async`, or takes other arguments.
    """
    count = _argument_count(plugin)
    if not count:
        raise PluginError(
            f"Plugin {_full_name(label, plugin)} is not a plugin: it takes {inspect.signature(plugin)}, "
            f"but a plugin is {_SHAPE}."
        )
    with _explained(label, getattr(plugin, "__module__", None) or "", "start"):
        result = plugin(*(server, protocol)[:count])
    if isinstance(result, CoroutineType):
        result.close()
        raise PluginError(
            f"Plugin {_full_name(label, plugin)} is an async function, but a plugin is a plain one "
            f"(the handlers inside it may be async)."
        )
    return result


# Error messages.


@contextlib.contextmanager
def _reported(label: str, logger: logging.Logger, *, skip: bool) -> Iterator[None]:
    """Log a plugin's failure and, unless failing plugins are skipped, re-raise it to stop the start."""
    try:
        yield
    except PluginError as error:
        # The message is for the operator of the server; the traceback is for the author of the plugin.
        logger.debug("Traceback of the plugin %s", label, exc_info=error.__cause__)
        if not skip:
            raise
        logger.error("%s The server starts without this plugin.", error)


@contextlib.contextmanager
def _explained(label: str, module: str, doing: str) -> Iterator[None]:
    """Convert every exception of a plugin's code, including `SystemExit`, to a `PluginError`."""
    token = _is_loading.set(True)
    try:
        yield
    except (Exception, SystemExit) as error:
        place = _place(label, module, error)
        text = f"Plugin {label} failed to {doing}{place}: {_reason(error)}"
        raise PluginError(text if text.endswith("?") else f"{text}.") from error
    finally:
        _is_loading.reset(token)


def _place(label: str, module: str, error: BaseException) -> str:
    """Return the last line of the plugin's own code in a traceback, as text; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        file, line = error.filename, error.lineno
    else:
        package = module.partition(".")[0]
        lines = [
            (frame.f_code.co_filename, number)
            for frame, number in traceback.walk_tb(error.__traceback__)
            if f"{frame.f_globals.get('__name__')}.".startswith(f"{package}.")
        ]
        if not lines:
            return ""
        file, line = lines[-1]
    named = _FILE.fullmatch(label)
    if named and Path(named["path"]).name == Path(file).name:
        return f" at line {line}"
    return f" at line {line} of {Path(file).name}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        hint = f"; if it is a package, install it with: {sys.executable} -m pip install {package}"
        return f"the module {error.name} is missing{hint if error.name == package else ''}"
    if isinstance(error, SystemExit):
        return "it called exit()"
    if isinstance(error, OwnServerError):
        return (
            "it runs a server of its own; remove that line, for the server is run when all plugins are loaded"
        )
    text = one_line((error.msg or "") if isinstance(error, SyntaxError) else str(error)).rstrip(".")
    return f"{type(error).__name__}: {text}{_meant(error)}" if text else type(error).__name__


def _meant(error: BaseException) -> str:
    """Return a suggestion for a misspelled attribute, which Python itself shows only in tracebacks."""
    if not isinstance(error, AttributeError) or not error.name:
        return ""
    return did_you_mean(error.name, [known for known in dir(error.obj) if known[0] != "_"])
