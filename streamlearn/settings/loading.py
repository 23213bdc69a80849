"""Loading of settings: from defaults, a TOML file, the environment, ``--set`` and flags, in increasing precedence."""

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

from streamlearn.errors import SettingsError
from streamlearn.printable import shown
from streamlearn.settings.fields import Section
from streamlearn.settings.settings import Settings

PREFIX = "STREAMLEARN_"
RESERVED = (
    "STREAMLEARN_CACHE_DIR",
    "STREAMLEARN_CPU",
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


class _Given(NamedTuple):
    """A value that a source gives to a setting, by ``section.key``."""

    name: str
    value: Any
    origin: str


class Flag(NamedTuple):
    """A command's own option for a setting: the option as it is typed, the setting, and the text of the value."""

    option: str
    name: str
    value: str


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
    flags: Sequence[Flag] = (),
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
    flags:
        Options of a command that stand for settings; a fault names the option.

    Raises
    ------
    SettingsError
        With every fault: unknown settings, each with the nearest name, and invalid values.
    """
    faults: list[str] = []
    tree: dict[str, Any] = {}
    fields = setting_fields()
    origins = dict.fromkeys(fields, "default")
    given = [
        *_read_layers(config, overrides, environment, faults),
        *(_Given(flag.name, _parse_value(flag.name, flag.value), flag.option) for flag in flags),
    ]
    for name, value, origin in given:
        if name not in origins:
            faults.append(f"{origin}: there is no setting {name!r}{_suggest(name, list(origins))}")
        elif fields[name].field.annotation is SecretStr and not origin.startswith(_FROM_ENVIRONMENT):
            faults.append(
                f"{origin}: {name} is a secret and must not be given here, where others can read it: write it into a "
                f"file and set {name}_file, or set {PREFIX}{name.replace('.', '__').upper()} in the environment"
            )
        else:
            _set(tree, name, value)
            origins[name] = origin
    settings = _validate(tree, origins, faults)
    if faults:
        raise SettingsError(faults)
    return LoadedSettings(settings, origins)


def asks_for_json_log(
    config: Path | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> bool:
    """Return whether ``log.json`` is on, whatever is wrong with other settings; the parameters of `load_settings`."""
    layers = _read_layers(config, overrides, environment, [])
    return any([value for name, value, _ in layers if name == "log.json" and isinstance(value, bool)][-1:])


def _read_layers(
    config: Path | None, overrides: Sequence[str], environment: Mapping[str, str] | None, faults: list[str]
) -> list[tuple[str, Any, str]]:
    """Return name, value and origin of every setting that is given, those of less precedence first."""
    return [
        *(_read_file(config, faults) if config is not None else ()),
        *_read_environment(os.environ if environment is None else environment, faults),
        *_read_overrides(overrides, faults),
    ]


def _set(tree: dict[str, Any], name: str, value: Any) -> None:
    *path, key = name.split(".")
    for section in path:
        tree = tree.setdefault(section, {})
    tree[key] = value


def _unset(tree: dict[str, Any], name: str) -> None:
    *path, key = name.split(".")
    for section in path:
        tree = tree[section]
    del tree[key]


def _validate(tree: dict[str, Any], origins: Mapping[str, str], faults: list[str]) -> Settings:
    """Return the settings of a tree of values, and append its faults.

    Rules between settings are checked only when each value is valid. Therefore invalid values are replaced by their
    defaults and the tree is validated again; faults that depend on a replaced value are left out.
    """
    replaced: list[str] = []
    while True:
        try:
            return Settings.model_validate(tree)
        except ValidationError as error:
            invalid = []
            for fault in error.errors():
                name = _setting_of(fault["loc"], origins)
                faults += [
                    text for text in _fault_texts(fault, name, origins) if not any(other in text for other in replaced)
                ]
                invalid.append(name or ".".join(map(str, fault["loc"])))
        given = [
            name
            for name, origin in origins.items()
            if origin != "default"
            and name not in replaced
            and any(f"{name}.".startswith(f"{part}.") for part in invalid)
        ]
        if not given:
            return Settings()
        for name in given:
            _unset(tree, name)
        replaced += given


def _suggest(name: str, known: Sequence[str]) -> str:
    """Return the end of an error message: the nearest known name, or how to list all."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "; `streamlearn config show` lists all settings"


def _read_file(path: Path, faults: list[str]) -> Iterator[_Given]:
    """Yield the settings in a TOML file."""
    try:
        # Some editors write a byte order mark before UTF-8.
        tree = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        faults.append(f"--config {path}: {error.strerror or error}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"--config {path}: not TOML: {error}")
        return
    for section, table in tree.items():
        if isinstance(table, dict):
            yield from _read_table(path, section, table, faults)
        else:
            faults.append(
                f"{path}: {section!r} is outside a section; write it under one, such as [kafka]"
                f"{_suggest(section, [name.rpartition('.')[2] for name in setting_names()])}"
            )


def _read_table(path: Path, section: str, table: Mapping[str, Any], faults: list[str]) -> Iterator[_Given]:
    if section not in sections():
        faults.append(f"{path}: there is no section [{section}]{_suggest(section, list(sections()))}")
        return
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _read_table(path, f"{section}.{key}", value, faults)
        else:
            yield _Given(f"{section}.{key}", value, str(path))


def _read_environment(environment: Mapping[str, str], faults: list[str]) -> Iterator[_Given]:
    """Yield the settings among environment variables.

    Only variables with a double underscore are settings: an orchestrator may put variables such as
    ``STREAMLEARN_KAFKA_PORT`` into the environment of every process. Other variables that look like a misspelt setting
    are faults.
    """
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable in RESERVED:
            continue
        if "__" in variable[len(PREFIX) :]:
            name = variable[len(PREFIX) :].lower().replace("__", ".")
            yield _Given(name, _parse_value(name, text), f"{_FROM_ENVIRONMENT}{variable}")
        elif close := _misspelt(variable, text):
            faults.append(
                f"environment {variable}: no such variable; did you mean {close!r}? "
                "(two underscores separate section and key)"
            )


def _misspelt(variable: str, text: str) -> str | None:
    """Return the known variable to whose name that of another variable is close."""
    if _SERVICE_LINK.search(variable) or text.startswith(("tcp://", "udp://", "sctp://")):
        return None
    known = [*RESERVED, *(PREFIX + name.replace(".", "__").upper() for name in setting_names())]
    with_single_underscores = {name.replace("__", "_"): name for name in known}
    close = difflib.get_close_matches(variable, list(with_single_underscores), n=1, cutoff=0.8)
    return with_single_underscores[close[0]] if close else None


def _read_overrides(overrides: Sequence[str], faults: list[str]) -> Iterator[_Given]:
    """Yield the settings of ``section.key=value`` texts."""
    for text in overrides:
        name, equals, value = text.partition("=")
        if equals:
            yield _Given(name.strip(), _parse_value(name.strip(), value.strip()), f"--set {name.strip()}")
        else:
            # The text after the name may be a secret.
            faults.append(f"--set {_NOT_IN_NAME.split(text, 1)[0]!r}: write it as section.key=value")


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


def _setting_of(location: Sequence[int | str], origins: Mapping[str, str]) -> str:
    """Return the setting at a location in the tree, empty if it is a section; an entry of a list is its setting."""
    paths = [".".join(map(str, location[:length])) for length in range(len(location), 0, -1)]
    return next((path for path in paths if path in origins), "")


def _fault_texts(fault: Any, name: str, origins: Mapping[str, str]) -> list[str]:
    """Return the texts of a fault of a validation; that of a setting says where the value came from."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not name:
        return message.split("\n")
    value = f" (value {shown(fault['input'])})" if "is not a rule" not in message else ""
    return [f"{name} from {origins[name]}: {message}{value}"]
