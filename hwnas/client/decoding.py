"""JSON to dataclasses, by their annotations.

Members that a class does not know are ignored, so that clients of today understand services of tomorrow.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hwnas.client.errors import UnexpectedAnswerError

WHOLE: Final = "whole"
"""In a field's metadata: it gets the whole JSON object, with the members that the class does not know."""
T = TypeVar("T")


def decode(kind: type[T], value: object) -> T:
    """The value as an instance of the dataclass.

    Raises:
        UnexpectedAnswerError: if a member is missing or has another type.
    """
    return cast("T", _decoded(kind, value, kind.__name__))


@cache
def _layout(kind: type) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((field, hints[field.name]) for field in fields(kind))


def _decoded(kind: Any, value: object, where: str) -> object:  # noqa: ANN401 - any annotation
    origin = get_origin(kind)
    if kind is Any or origin is Literal:  # a state that is new to this client is no error
        return value
    if origin in (Union, types.UnionType):
        return _decoded_union(get_args(kind), value, where)
    if is_dataclass(kind):
        return _decoded_object(cast("type", kind), value, where)
    if origin is tuple:
        return _decoded_array(get_args(kind), value, where)
    if origin is Mapping:
        (_, inner) = get_args(kind)
        return {name: _decoded(inner, entry, f"{where}.{name}") for name, entry in _object(value, where).items()}
    if kind is datetime and isinstance(value, str):
        return _moment(value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (str, int, float, bool) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise _unexpected(kind, value, where)


def _decoded_union(kinds: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and types.NoneType in kinds:
        return None
    fitting = [kind for kind in kinds if kind is not types.NoneType and _fits(kind, value)]
    if not fitting:
        raise _unexpected(" | ".join(map(str, kinds)), value, where)
    return _decoded(fitting[0], value, where)


def _fits(kind: Any, value: object) -> bool:  # noqa: ANN401 - any annotation
    if is_dataclass(kind):
        wanted = getattr(kind, "kind", None)  # a class attribute where the JSON says which class it is
        return isinstance(value, dict) and (not isinstance(wanted, str) or value.get("kind") == wanted)
    if get_origin(kind) is tuple:
        return isinstance(value, list)
    if get_origin(kind) is Mapping:
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return kind is datetime or (isinstance(kind, type) and type(value) is kind)


def _decoded_object(kind: type, value: object, where: str) -> object:
    document = _object(value, where)
    values: dict[str, object] = {}
    for field, hint in _layout(kind):
        if WHOLE in field.metadata:
            values[field.name] = document
        elif field.name in document:
            values[field.name] = _decoded(hint, document[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UnexpectedAnswerError(f"the answer lacks {where}.{field.name}.")
    return kind(**values)


def _decoded_array(kinds: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _unexpected("array", value, where)
    inner = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else list(kinds)
    if len(inner) != len(value):
        raise UnexpectedAnswerError(f"the answer's {where} has {len(value)} entries, not {len(inner)}.")
    return tuple(
        _decoded(kind, entry, f"{where}[{index}]") for index, (kind, entry) in enumerate(zip(inner, value, strict=True))
    )


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected("object", value, where)
    return value


def _moment(value: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise _unexpected("date-time", value, where) from error


def _unexpected(wanted: object, value: object, where: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(f"the answer's {where} is {str(value)[:80]!r}, which is not {wanted}.")
