"""How damage models are written down: `rtp:rate=0.01,mtu=1200` on a command line, the same as JSON, or a branch's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields

import numpy as np

from b2scvr.bitstream.damage.bit_errors import BitErrors
from b2scvr.bitstream.damage.channel import Channel, GilbertElliott, Independent
from b2scvr.bitstream.damage.cut import BRANCHES, CutModel
from b2scvr.bitstream.damage.model import DamageModel
from b2scvr.bitstream.damage.packet_loss import RtpLoss, TsLoss
from b2scvr.bitstream.damage.sectors import BadSectors
from b2scvr.bitstream.damage.truncation import Truncation

MODELS: dict[str, type[DamageModel]] = {
    model.name: model for model in (CutModel, BitErrors, RtpLoss, TsLoss, BadSectors, Truncation)
}
_ALIASES = {"ber": BitErrors.name, "ge": BitErrors.name}
_SHORT = {"P": "slices_per_gop", "L": "position", "S": "length"}  # of BSCV's model
_CHANNEL = ("rate", "p", "r", "good", "bad")


def parse_models(
    specs: Sequence[str | Mapping[str, object]], seed: int = 0, defaults: Mapping[str, object] | None = None
) -> list[DamageModel]:
    """Return the models that `specs` name, in the order in which they are applied.

    A specification is `NAME` or `NAME:KEY=VALUE,...`, NAME a model (`MODELS`) or a published branch (`BRANCHES`); or a
    mapping, or its JSON text, {"model": NAME, "parameters": {KEY: VALUE}}, as a manifest has it. Keys are the fields of
    the model's dataclass, and for channels `rate`, or `p`, `r`, `good` and `bad`; P, L and S for BSCV's. Several parts
    to protect are joined by "+". A model whose specification has no seed gets that of its place (`seed_of_stage`).
    `defaults`: parameters for every model that has them and whose specification is silent about them.

    Raises ValueError for a name or value that is unknown or makes no sense.
    """
    models = []
    for place, spec in enumerate(specs):
        name, given = _read(spec)
        models.append(_build(name, {"seed": seed_of_stage(seed, place), **(defaults or {})}, given))
    return models


def seed_of_stage(seed: int, place: int) -> int:
    """Return the seed of the model at `place` in a chain: `seed` itself for the first, others derived from both."""
    if seed < 0:
        raise ValueError(f"seed {seed} must be at least 0")
    return seed if place == 0 else int(np.random.SeedSequence([seed, place]).generate_state(1)[0])


def _read(spec: str | Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Return the name and the parameters that a specification states."""
    if isinstance(spec, str) and not spec.lstrip().startswith("{"):
        name, _, rest = spec.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",") if pair]
        if wrong := [key for key, equals, _ in pairs if not equals]:
            raise ValueError(f"{spec!r}: {wrong[0]!r} has no value: write {wrong[0]}=VALUE")
        return name.strip(), {key.strip(): value.strip() for key, _, value in pairs}
    content = json.loads(spec) if isinstance(spec, str) else spec  # JSONDecodeError is a ValueError
    stated = content if isinstance(content, Mapping) else {}
    model, parameters = stated.get("model"), stated.get("parameters", {})
    if not isinstance(model, str) or not isinstance(parameters, Mapping):
        raise ValueError('a model in JSON is {"model": NAME, "parameters": {KEY: VALUE}}')
    return model, {key: value for key, value in parameters.items() if value is not None}


def _build(name: str, silent: Mapping[str, object], given: dict[str, object]) -> DamageModel:
    """Return the model of a name with the values given, and those of `silent` for other fields that it has."""
    is_branch = name in BRANCHES
    model = CutModel if is_branch else MODELS.get(_ALIASES.get(name, name))
    if model is None:
        raise ValueError(f"unknown model {name!r}: known are {', '.join([*MODELS, *_ALIASES, *BRANCHES])}")
    types = {field.name: str(field.type) for field in fields(model)}
    if model is CutModel:
        given = {_SHORT.get(key, key): value for key, value in given.items()}
    values = {key: value for key, value in silent.items() if key in types} | given
    if is_branch:
        values = BRANCHES[name].as_dict() | values
    channel_keys = _CHANNEL if types.pop("channel", None) else ()
    if unknown := [key for key in values if key not in types and key not in channel_keys]:
        known = ", ".join([*channel_keys, *types])
        raise ValueError(f"{name}: unknown parameter {unknown[0]!r}: known are {known}")
    channel = {key: _real(name, key, values.pop(key)) for key in channel_keys if key in values}
    arguments = {key: _PARSERS[types[key]](name, key, value) for key, value in values.items()}
    if channel:
        arguments["channel"] = _channel(name, channel, getattr(model, "default_bad", 1.0))
    return model(**arguments).validate()


def _channel(name: str, values: dict[str, float], default_bad: float) -> Channel:
    if set(values) == {"rate"}:
        return Independent(values["rate"])
    if "rate" in values or not {"p", "r"} <= set(values):
        raise ValueError(f"{name}: give either rate, or p and r (and good and bad) for bursts")
    return GilbertElliott(values["p"], values["r"], values.get("good", 0.0), values.get("bad", default_bad))


def _whole(name: str, key: str, value: object) -> int:
    with suppress(ValueError):
        if isinstance(value, str | int) and not isinstance(value, bool):
            return int(value)
    raise ValueError(f"{name}: {key} must be a whole number, not {value!r}")


def _real(name: str, key: str, value: object) -> float:
    with suppress(ValueError):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    raise ValueError(f"{name}: {key} must be a number, not {value!r}")


def _flag(name: str, key: str, value: object) -> bool:
    text = str(value).lower()
    if text not in _FLAGS:
        raise ValueError(f"{name}: {key} must be one of {', '.join(_FLAGS)}, not {value!r}")
    return _FLAGS[text]


def _text(name: str, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {key} must be a word, not {value!r}")
    return value


def _words(name: str, key: str, value: object) -> tuple[str, ...]:
    parts = [part for part in value.split("+") if part] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError(f"{name}: {key} must be words joined by +, not {value!r}")
    return tuple(_text(name, key, part) for part in parts)


_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PARSERS: dict[str, Callable[[str, str, object], object]] = {  # by the annotation of a field
    "int": _whole,
    "int | None": _whole,
    "float": _real,
    "float | None": _real,
    "bool": _flag,
    "str": _text,
    "tuple[str, ...]": _words,
}
