"""Records that are made many times for every request."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["quick"]

T = TypeVar("T", bound="DataclassInstance")


def quick(cls: type[T]) -> type[T]:
    """Above `@dataclass(frozen=True, slots=True)`: that nobody sets a field again is held by the type checker alone.

    What holds it at run time sets each field by `object.__setattr__`, and takes up to five times as long to make one.
    """
    given = {field.name: field for field in fields(cls)}
    plain: type = dataclass(type(cls.__name__, (), {"__annotations__": cls.__annotations__, **given}))
    type.__setattr__(cls, "__init__", vars(plain)["__init__"])
    del cls.__setattr__, cls.__delattr__
    return cls
