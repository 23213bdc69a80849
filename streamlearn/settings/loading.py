"""Loading of settings from defaults, a TOML file, the environment and ``--set``, in increasing precedence."""

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

_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
"""Variables that Kubernetes sets for a service whose name begins with ``streamlearn-``."""

_FROM_ENVIRONMENT = "environment "
_NOT_IN_NAME = re.compile(r"[^\w.]")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class LoadedSettings(NamedTuple):
    """The settings, and the origin of each value by ``section.key``."""

    settings: Settings
    origins: dict[str, str]


class SettingField(NamedTuple):
    """A setting: the path of attribute names from the root of the settings, and its field."""

    attributes: tuple[str, ...]
    field: FieldInfo


def sections() -> dict[str, type[Section]]:
    """Return the model of every section by name; a nested section is ``outer.inner``."""
    return dict(_sections("", Settings))


def _sections(prefix: str, model: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, field in model.model_fields.items():
        if _is_section(field):
            assert isinstance(field.annotation, type)
            yield f"{prefix}{name}", field.annotation
            yield from _sections(f"{prefix}{name}.", field.annotation)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def setting_fields() -> dict[str, SettingField]:
    """Return every setting by ``section.key``, in the order of the model."""
    return {
        f"{section}.{field.alias or name}": SettingField((*section.split("."), name), field)
        for section, model in sections().items()
        for name, field in model.model_fields.items()
        if not _is_section(field)
    }


def setting_names() -> list[str]:
    """Return every setting as ``section.key``, in the order of the model."""
    return list(setting_fields())


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
        Texts ``section.key=value``; the value is parsed as TOML if possible, else it is text.
    environment:
        Environment variables, of which ``STREAMLEARN_<SECTION>__<KEY>`` are read; by default those of the process.

    Raises
    ------
    UsageError
        For an unknown setting, with the nearest name, and for an invalid value.
    """
    tree: dict[str, Any] = {}
    fields = setting_fields()
    origins = dict.fromkeys(fields, "default")
    layers = [
        *(_read_file(config) if config is not None else ()),
        *_read_environment(os.environ if environment is None else environment),
        *_read_overrides(overrides),
    ]
    for name, value, origin in layers:
        if name not in origins:
            raise UsageError(f"{origin}: there is no setting {name!r}{_suggest(name, list(origins))}")
        if fields[name].field.annotation is SecretStr and not origin.startswith(_FROM_ENVIRONMENT):
            raise UsageError(
                f"{origin}: {name} is a secret and must not be given here, where others can read it: write it into a "
                f"file and set {name}_file, or set {PREFIX}{name.replace('.', '__').upper()} in the environment"
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
        raise UsageError(_validation_text(error, origins)) from None


def _suggest(name: str, known: Sequence[str]) -> str:
    """Return the end of an error message: the nearest known name, or how to list all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "; `streamlearn config show` lists all settings"


def _read_file(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and origin of the settings in a TOML file."""
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
                f"{path}: {section!r} is outside a section; write it under one, such as [kafka]"
                f"{_suggest(section, [name.rpartition('.')[2] for name in setting_names()])}"
            )
        yield from _read_table(path, section, table)


def _read_table(path: Path, section: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    if section not in sections():
        raise UsageError(f"{path}: there is no section [{section}]{_suggest(section, list(sections()))}")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _read_table(path, f"{section}.{key}", value)
        else:
            yield f"{section}.{key}", value, str(path)


def _read_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and origin of the settings among environment variables.

    Only variables with a double underscore are settings: an orchestrator may put variables such as
    ``STREAMLEARN_KAFKA_PORT`` into the environment of every process. Other variables that look like a misspelt setting
    are refused.
    """
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        if "__" not in variable[len(PREFIX) :]:
            _check_not_misspelt(variable, text)
            continue
        name = variable[len(PREFIX) :].lower().replace("__", ".")
        yield name, _parse_value(name, text), f"{_FROM_ENVIRONMENT}{variable}"


def _check_not_misspelt(variable: str, text: str) -> None:
    """Raise `UsageError` when a variable's name is close to that of a known one."""
    if _SERVICE_LINK.search(variable) or text.startswith(("tcp://", "udp://", "sctp://")):
        return
    known = [*RESERVED, *(PREFIX + name.replace(".", "__").upper() for name in setting_names())]
    with_single_underscores = {name.replace("__", "_"): name for name in known}
    close = difflib.get_close_matches(variable, list(with_single_underscores), n=1, cutoff=0.8)
    if close:
        raise UsageError(
            f"environment {variable}: no such variable; did you mean {with_single_underscores[close[0]]!r}? "
            "(two underscores separate section and key)"
        )


def _read_overrides(overrides: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and origin of ``section.key=value`` texts."""
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            # The text after the name may be a secret.
            raise UsageError(f"--set {_NOT_IN_NAME.split(text, 1)[0]!r}: write it as section.key=value")
        yield name.strip(), _parse_value(name.strip(), value.strip()), f"--set {name.strip()}"


def _parse_value(name: str, text: str) -> Any:
    """Return the value that a text represents in a setting.

    A text setting takes the text as it is. A list that does not begin with ``[`` is comma-separated text. A boolean may
    also be written as yes, no, on, off, 1 or 0. Everything else is TOML.
    """
    known = setting_fields().get(name)
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


def _validation_text(error: ValidationError, origins: Mapping[str, str]) -> str:
    """Return the faults of a validation, each with its setting and where the value came from."""
    faults = []
    for fault in error.errors():
        message = str(fault["msg"]).removeprefix("Value error, ")
        # A fault in an entry of a list belongs to the setting.
        paths = [".".join(str(part) for part in fault["loc"][:length]) for length in range(len(fault["loc"]), 0, -1)]
        name = next((path for path in paths if path in origins), "")
        if not name:
            faults.append(message)
            continue
        origin = origins[name]
        value = f" (value {fault['input']!r})" if "learner.rule" not in message else ""
        faults.append(f"{name} from {origin}: {message}{value}")
    return "; ".join(faults)
