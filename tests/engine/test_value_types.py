"""Values of the wrong type, and arguments that a constructor does not know, told in words."""

from dataclasses import dataclass

import pytest

from b2scvr.engine.value_types import check_types, explained


@dataclass
class Settings:
    count: int
    share: float
    name: str | None
    pair: tuple[int, int] | None
    names: str | tuple[str, ...]
    weights: dict[str, float]
    on: bool


GOOD = {"count": 1, "share": 2, "name": None, "pair": [1, 2], "names": ("a", "b"), "weights": {"a": 1}, "on": False}


def test_values_of_the_declared_types_are_taken():
    check_types(Settings, "it", GOOD)
    check_types(Settings, "it", {"share": 0.5, "name": "a", "pair": None, "names": "a", "weights": {}})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", 1.5, r"it\.count must be a whole number, got 1\.5"),
        ("count", True, r"it\.count must be a whole number, got True"),
        ("share", "abc", r"it\.share must be a number, got 'abc'"),
        ("name", 3, r"it\.name must be a text or None, got 3"),
        ("pair", (1,), r"it\.pair must be 2 whole numbers or None, got \(1,\)"),
        ("pair", 5, r"it\.pair must be 2 whole numbers or None, got 5"),
        ("names", (1,), r"it\.names must be a text or a list of texts, got \(1,\)"),
        ("weights", {"a": "b"}, r"it\.weights must be a mapping, got {'a': 'b'}"),
        ("on", "yes", r"it\.on must be True or False, got 'yes'"),
    ],
)
def test_a_value_of_another_type_is_named(key, value, message):
    with pytest.raises(ValueError, match=message):
        check_types(Settings, "it", {**GOOD, key: value})


def test_the_nearest_argument_is_named():
    def build(**arguments):
        return Settings(**arguments)

    with pytest.raises(TypeError) as found:
        build(**GOOD, weigths={})
    assert explained(found.value) == "Settings: unknown key 'weigths'; did you mean 'weights'?"
    with pytest.raises(TypeError) as found:
        build(count=1)
    assert "missing 6 required positional arguments" in explained(found.value)
