"""One entry set in, or taken out of, a configuration file's text; every other character stays where it is.

Each format is a module with `read(text)`, the file's data; `put(text, path, value)`, the text with that value there;
and `drop(text, path)`, the text without it. A text that cannot be edited is a `CannotEdit` that says why.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast


class CannotEdit(ValueError):
    """The text is left as it is; the message says why, as the end of a sentence that begins with the file."""


class Format(Protocol):
    """A format's module."""

    def read(self, text: str) -> dict[str, Any]:
        """The data; of a blank text an empty object."""

    def put(self, text: str, path: Sequence[str], value: Any) -> str:
        """The text with the value at the path; objects on the way are made."""

    def drop(self, text: str, path: Sequence[str]) -> str:
        """The text without what stands at the path."""


def of(name: str) -> Format:
    """The module: `jsonc`, `toml` or `yaml`."""
    return cast("Format", importlib.import_module(f"{__name__}.{name}"))


def found(data: Any, path: Sequence[str]) -> Any:
    """What stands at the path; None where nothing does."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def merge(form: Format, text: str, path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """The text with exactly this entry at the path; what the old one shares with it is not touched.

    Raises:
        CannotEdit: the text is not of this format, something else stands on the way, or it could not be kept whole.
    """
    before = form.read(text)
    after = _merged(form, text, path, found(before, path), entry)
    if form.read(after) != _with(before, path, entry):
        raise CannotEdit("it could not be edited without a change to something else")
    return after


def _merged(form: Format, text: str, path: Sequence[str], old: Any, new: Any) -> str:
    if old == new:
        return text
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)) or form is of("yaml"):
        return form.put(text, path, new)
    for name, value in new.items():
        text = _merged(form, text, (*path, name), old.get(name), value)
    for name in [name for name in old if name not in new]:
        text = form.drop(text, (*path, name))
    return text


def drop(form: Format, text: str, path: Sequence[str]) -> str:
    """The text without what stands at the path.

    Raises:
        CannotEdit: as `merge`.
    """
    before = form.read(text)
    after = form.drop(text, path)
    left = form.read(after)
    parents = found(before, path[:-1])
    expected = {name: value for name, value in parents.items() if name != path[-1]} if parents else None
    if (found(left, path[:-1]) or {}) != (expected or {}):
        raise CannotEdit("it could not be edited without a change to something else")
    return after


def _with(data: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return dict(value)
    inside = data if isinstance(data, Mapping) else {}
    return {**inside, path[0]: _with(inside.get(path[0]), path[1:], value)}
