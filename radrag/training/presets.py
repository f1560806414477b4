"""Presets: what makes a model, as data. Each is a TOML file that names its source; any value can be overridden."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from radrag.generation._loading import ASSETS
from radrag.training._shapes import Shape, shape_from
from radrag.training.config import QLoraConfig
from radrag.training.pretraining import SmallLlamaConfig

Method = Literal["qlora", "two-step", "classification", "dpo", "pretrain"]
Data = Literal["labels", "answers", "reports", "instructions", "texts"]
FOLDER = ASSETS / "presets"
_NULLABLE = ("quantize", "steps", "patience", "dtype")
# What a method takes besides its config: defaults, by method.
_SETTINGS: dict[str, dict[str, Any]] = {
    "qlora": {},
    "two-step": {"strategy": "both"},
    "classification": {},
    "dpo": {"beta": 0.1},
    "pretrain": {"minutes": 12.0, "steps": None, "vocab_size": 4096, "seed": 0},
}
_TOP = {
    "title": str,
    "source": list,
    "method": str,
    "base": str,
    "data": str,
    "format": str,
    "notes": str,
    "ours": list,
}
_TABLES = ("config", "domain", "settings", "shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A tuning or pretraining run, ready to be planned or started.

    Attributes:
        name: The preset's name, or the stem of its file.
        title: What it makes, in a line.
        source: Papers, model cards and repositories that its values are from.
        method: How it trains.
        base: Model it starts from; empty for pretraining.
        data: Kind of records it learns from.
        format: How records are written in files of that kind; empty where it is recognised.
        config: Settings of the run; of the second step, if there are two.
        domain: Settings of the first step of two, else None.
        settings: What else the method takes.
        shape: The base's shape, so that a plan needs no download; None if the base is not the preset's own.
        ours: Fields that the source does not state.
        notes: What to know before it runs.
    """

    name: str
    title: str
    source: tuple[str, ...]
    method: Method
    base: str
    data: Data
    config: QLoraConfig | SmallLlamaConfig
    format: str = ""
    domain: QLoraConfig | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: Shape | None = None
    ours: tuple[str, ...] = ()
    notes: str = ""

    @property
    def tuning(self) -> QLoraConfig:
        """The config of a method that tunes.

        Raises:
            ValueError: If the preset pretrains.
        """
        if not isinstance(self.config, QLoraConfig):
            raise ValueError(f"{self.name} pretrains from scratch: it has no settings of adapters")
        return self.config


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets that ship."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_preset(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Preset:
    """Read a preset and put other values in the place of some of its own.

    Args:
        name: A shipped preset, or a TOML file of the same form.
        overrides: Values by field: ``base``, ``data``, ``format``, a field of the config, or a setting of the method.
            Of two steps, a field is set in both; ``task.lr`` and ``domain.lr`` set it in one.

    Raises:
        ValueError: If there is no such preset, or a key or value is not what the method takes.
    """
    path = _path(name)
    return preset_from(_read(path), path.stem, overrides)


def preset_from(table: Mapping[str, Any], name: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """Make a preset of the tables of a preset file; see ``load_preset``."""
    table = _checked(dict(table), name)
    method = table["method"]
    config, domain = dict(table.get("config", {})), dict(table.get("domain", {}))
    settings = {**_SETTINGS[method], **_known(table.get("settings", {}), _SETTINGS[method], f"settings of {name}")}
    made: Any = SmallLlamaConfig if method == "pretrain" else QLoraConfig
    known = tuple(one.name for one in fields(made))
    for key, value in sorted(_flat(overrides or {}).items(), key=lambda item: "." in item[0]):  # the narrower wins
        _place(key, value, table, config, domain if method == "two-step" else None, settings, known)
    base = table.get("base", "")
    return Preset(
        name=name,
        title=table["title"],
        source=tuple(table["source"]),
        method=method,
        base=base,
        data=table["data"],
        format=table.get("format", ""),
        config=_config(made, config, known, name),
        domain=_config(QLoraConfig, domain, known, name) if method == "two-step" else None,
        settings=MappingProxyType(settings),
        shape=shape_from(table["shape"]) if "shape" in table and base == table["own base"] else None,
        ours=tuple(table.get("ours", ())),
        notes=table.get("notes", "").strip(),
    )


def parse_override(text: str) -> tuple[str, Any]:
    """Read ``key=value`` as the command line gives it; the value is TOML, or a word.

    Raises:
        ValueError: If there is no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"a setting must be key=value, got {text!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def read_overrides(path: str | Path) -> dict[str, Any]:
    """Read overrides from a TOML file: keys as in ``--set``, or tables such as ``[domain]``; ``[config]`` is flat."""
    table = _read(Path(path))
    return {**{key: value for key, value in table.items() if key != "config"}, **table.get("config", {})}


def as_table(preset: Preset) -> dict[str, Any]:
    """Return a preset as plain values, for JSON."""
    table = {one.name: getattr(preset, one.name) for one in fields(preset)}
    for name in ("config", "domain", "shape"):
        table[name] = None if table[name] is None else asdict(table[name])
    return {**table, "settings": dict(preset.settings)}


def _path(name: str | Path) -> Path:
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return given
    if str(name) not in preset_names():
        raise ValueError(
            f"there is no preset {str(name)!r}{_near(str(name), preset_names())}. Presets: "
            f"{', '.join(preset_names())}; or give a .toml file of your own."
        )
    return FOLDER / f"{name}.toml"


@cache
def _shipped(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_shipped(path) if path.parent == FOLDER else path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error


def _checked(table: dict[str, Any], path: str) -> dict[str, Any]:
    """Check the fields of a file that are no settings."""
    _known(table, (*_TOP, *_TABLES), path)
    for name, kind in _TOP.items():
        needed = name in ("title", "source", "method", "data")
        if (needed and name not in table) or (name in table and not isinstance(table[name], kind)):
            raise ValueError(f"{path}: {name} must be a {kind.__name__}, got {table.get(name)!r}")
    for name in _TABLES:
        if not isinstance(table.get(name, {}), dict):
            raise ValueError(f"{path}: {name} must be a table, got {table[name]!r}")
    _one_of("method", table["method"], get_args(Method))
    _one_of("data", table["data"], get_args(Data))
    if ("domain" in table) != (table["method"] == "two-step"):
        raise ValueError(f"{path}: a table [domain] belongs to method two-step and to no other, got {table['method']}")
    if not table["source"]:
        raise ValueError(f"{path}: source is empty. Name where the values are from.")
    return {**table, "own base": table.get("base", "")}


def _flat(overrides: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{inner}": one for inner, one in value.items()})
        else:
            flat[key] = value
    return flat


def _place(
    key: str,
    value: Any,
    table: dict[str, Any],
    config: dict[str, Any],
    domain: dict[str, Any] | None,
    settings: dict[str, Any],
    known: Collection[str],
) -> None:
    """Put one override where it belongs."""
    step, dot, inner = key.partition(".")
    steps = {"task": config} if domain is None else {"task": config, "domain": domain}
    name = inner if dot and step in steps else key
    if name == key and name in ("base", "data", "format"):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a text, got {value!r}")
        if name == "data":
            _one_of(name, value, get_args(Data))
        table[name] = value
    elif name == key and name in settings:
        empty = value == "none" and name in _NULLABLE
        settings[name] = None if empty else _number_like(name, value, settings[name])
    elif name in known:
        for place in steps.values() if name == key else (steps[step],):
            place[name] = value
    else:
        choices = [*known, *settings, "base", "data", "format"]
        raise ValueError(f"there is no setting {key!r}{_near(name, choices)}. Settings: {', '.join(sorted(choices))}")


def _config(made: Any, values: dict[str, Any], known: Collection[str], name: str) -> Any:
    _known(values, known, f"config of {name}")
    defaults = {one.name: one.default for one in fields(made)}
    values = {key: None if value == "none" and key in _NULLABLE else value for key, value in values.items()}
    for key, value in values.items():
        if value is None and key in _NULLABLE:
            continue
        if isinstance(defaults[key], bool) and not isinstance(value, bool):
            raise ValueError(f"{key} must be true or false, got {value!r}")
        if isinstance(defaults[key], str) and key != "target_modules" and not isinstance(value, str):
            raise ValueError(f"{key} must be a text, got {value!r}")
        if made is SmallLlamaConfig:
            _number_like(key, value, defaults[key])
    return made(**values)


def _number_like(name: str, value: Any, model: Any) -> Any:
    """Check a value against the kind of a default: a whole number, a number, or a text."""
    kinds: Any = {int: int, float: (int, float), str: str}.get(type(model), (int, type(None)))
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = {int: "a whole number", float: "a number", str: "a text"}.get(type(model), "a whole number")
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    return value


def _known(values: Mapping[str, Any], known: Collection[str], where: str) -> Mapping[str, Any]:
    for key in values:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{_near(key, known)}")
    return values


def _one_of(name: str, value: Any, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{_near(str(value), allowed)}")


def _near(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=2)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
