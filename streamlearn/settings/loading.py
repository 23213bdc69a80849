"""Where settings come from: defaults, a TOML file, the environment and ``--set``, in rising order."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from streamlearn.errors import UsageError
from streamlearn.settings.fields import Section
from streamlearn.settings.settings import Settings

PREFIX = "STREAMLEARN_"
RESERVED = (
    "STREAMLEARN_CACHE_DIR",
    "STREAMLEARN_DATASETS",
    "STREAMLEARN_REQUIRE_BROKER",
    "STREAMLEARN_REQUIRE_PROMTOOL",
    "STREAMLEARN_TOXIPROXY",
)

_OF_AN_ORCHESTRATOR = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
"""Variables that Kubernetes makes for a service whose name begins with ``streamlearn-``."""

_FROM_ENVIRONMENT = "environment "
_NO_NAME = re.compile(r"[^\w.]")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class LoadedSettings(NamedTuple):
    """The settings, and for every ``section.key`` where its value came from."""

    settings: Settings
    origins: dict[str, str]


class KnownSetting(NamedTuple):
    """A setting: the names of the attributes that lead to it from the settings' root, and its field."""

    attributes: tuple[str, ...]
    field: FieldInfo


def sections() -> dict[str, type[Section]]:
    """Return every section's model by name, one within another as ``outer.inner``."""
    return dict(_sections("", Settings))


def _sections(prefix: str, model: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, field in model.model_fields.items():
        if _is_section(field):
            assert isinstance(field.annotation, type)
            yield f"{prefix}{name}", field.annotation
            yield from _sections(f"{prefix}{name}.", field.annotation)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def known_settings() -> dict[str, KnownSetting]:
    """Return every setting by ``section.key``, in the model's order."""
    return {
        f"{section}.{field.alias or name}": KnownSetting((*section.split("."), name), field)
        for section, model in sections().items()
        for name, field in model.model_fields.items()
        if not _is_section(field)
    }


def keys() -> list[str]:
    """Return every setting as ``section.key``, in the model's order."""
    return list(known_settings())


def load_settings(
    config: Path | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Return the settings of a run.

    Parameters
    ----------
    config:
        A TOML file with a table for each section.
    overrides:
        ``section.key=value`` texts; a value is read as TOML when it is TOML, else as text.
    environment:
        Variables; those named ``STREAMLEARN_<SECTION>__<KEY>`` count. The process's own by default.

    Raises
    ------
    UsageError
        For an unknown setting, naming the nearest one, and for a value that does not fit.
    """
    tree: dict[str, Any] = {}
    known = known_settings()
    origins = dict.fromkeys(keys(), "default")
    layers = [
        *(_file(config) if config is not None else ()),
        *_environment(os.environ if environment is None else environment),
        *_overrides(overrides),
    ]
    for name, value, origin in layers:
        if name not in origins:
            raise UsageError(f"{origin}: there is no setting {name!r}{_nearest(name, list(origins))}")
        if known[name].field.annotation is SecretStr and not origin.startswith(_FROM_ENVIRONMENT):
            raise UsageError(
                f"{origin}: {name} is a secret, which everybody can read there: write it into a file and set "
                f"{name}_file, or set {PREFIX}{name.replace('.', '__').upper()} in the environment"
            )
        *path, key = name.split(".")
        table = tree
        for section in path:
            table = table.setdefault(section, {})
        table[key] = value
        origins[name] = origin
    try:
        return LoadedSettings(Settings.model_validate(tree), origins)
    except ValidationError as error:
        raise UsageError(_explained(error, origins)) from None


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "; `streamlearn config show` lists all"


def _file(path: Path) -> Iterator[tuple[str, Any, str]]:
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not TOML: {error}") from None
    for section, table in tree.items():
        if not isinstance(table, dict):
            raise UsageError(
                f"{path}: {section!r} stands outside a section; write it under one, such as [kafka]"
                f"{_nearest(section, [key.rpartition('.')[2] for key in keys()])}"
            )
        yield from _table(path, section, table)


def _table(path: Path, section: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    if section not in sections():
        raise UsageError(f"{path}: there is no section [{section}]{_nearest(section, list(sections()))}")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _table(path, f"{section}.{key}", value)
        else:
            yield f"{section}.{key}", value, str(path)


def _environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Yield the settings among the variables.

    Only a double underscore makes a setting: an orchestrator may put variables such as ``STREAMLEARN_KAFKA_PORT`` into
    the environment of every process. Any other variable that looks like a setting is refused.
    """
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        if "__" not in variable[len(PREFIX) :]:
            _refuse_if_mistyped(variable, text)
            continue
        name = variable[len(PREFIX) :].lower().replace("__", ".")
        yield name, _value(name, text), f"{_FROM_ENVIRONMENT}{variable}"


def _refuse_if_mistyped(variable: str, text: str) -> None:
    if _OF_AN_ORCHESTRATOR.search(variable) or text.startswith(("tcp://", "udp://", "sctp://")):
        return
    known = [*RESERVED, *(PREFIX + name.replace(".", "__").upper() for name in keys())]
    without = {name.replace("__", "_"): name for name in known}
    close = difflib.get_close_matches(variable, list(without), n=1, cutoff=0.8)
    if close:
        raise UsageError(
            f"environment {variable}: there is no such variable; did you mean {without[close[0]]!r}? "
            "(two underscores stand between section and key)"
        )


def _overrides(overrides: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            # What follows the name may be a secret.
            raise UsageError(f"--set {_NO_NAME.split(text, 1)[0]!r}: write it as section.key=value")
        yield name.strip(), _value(name.strip(), value.strip()), f"--set {name.strip()}"


def _value(name: str, text: str) -> Any:
    """Return what a text means for a setting.

    A text setting takes it as it is, a list that does not begin with ``[`` as comma-separated text, a truth value also
    as yes, on, 1 and so on, others as TOML.
    """
    known = known_settings().get(name)
    if known is not None:
        field = known.field
        if field.annotation in (str, SecretStr) or (get_origin(field.annotation) is tuple and not text.startswith("[")):
            return text
        if field.annotation is bool and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explained(error: ValidationError, origins: Mapping[str, str]) -> str:
    faults = []
    for fault in error.errors():
        message = str(fault["msg"]).removeprefix("Value error, ")
        # What is wrong with an entry of a list is wrong with the setting.
        paths = [".".join(str(part) for part in fault["loc"][:length]) for length in range(len(fault["loc"]), 0, -1)]
        name = next((path for path in paths if path in origins), "")
        if not name:
            faults.append(message)
            continue
        origin = origins[name]
        shown = f" (value {fault['input']!r})" if "learner.rule" not in message else ""
        faults.append(f"{name} from {origin}: {message}{shown}")
    return "; ".join(faults)
