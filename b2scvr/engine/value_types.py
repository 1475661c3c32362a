"""Whether what a config says is of the type that a dataclass declares, and what a constructor did not like, in words."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_UNKNOWN = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")

_NAMES = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", NoneType: "None"}


def check_types(kind: type, where: str, values: Mapping[str, object]) -> None:
    """Raise ValueError naming a value that is not of the type of its field in the dataclass `kind`.

    Lists count as tuples, whole numbers as numbers.
    """
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise ValueError(f"{where}.{key} must be {_in_words(hints[key])}, got {value!r}")


def explained(error: TypeError) -> str:
    """Return what an error of a constructor says; for an argument that it does not know, the nearest that it does."""
    found, trace = _UNKNOWN.search(str(error)), error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    owner = (
        trace.tb_frame.f_globals.get(found[1]) if found and trace else None
    )  # where it was called, its name is known
    if found is None or owner is None:
        return str(error)
    known = list(inspect.signature(owner).parameters)
    near = difflib.get_close_matches(found[2], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{found[1]}: unknown key {found[2]!r}; {hint}"


def _fits(value: object, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is object:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in inner)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        wanted = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(wanted) and all(_fits(v, h) for v, h in zip(value, wanted, strict=True))
    if origin is dict:
        return isinstance(value, Mapping) and all(_fits(entry, inner[1]) for entry in value.values())
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint)


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(choice) for choice in inner)
    if origin is tuple:
        one = _NAMES[inner[0]].removeprefix("a ")
        return f"a list of {one}s" if inner[-1] is Ellipsis else f"{len(inner)} {one}s"
    return "a mapping" if origin is dict else _NAMES[hint]
