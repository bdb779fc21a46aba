"""What public data says of the routers' models: the file that we ship, or a newer one that the user has fetched.

`models.json`: `{"format": 1, "date", "source", "routers": {router: {model: {"can", "cannot", "context", "output",
"price": [in, out, cached]}}}}`; prices in USD per million tokens, `date` the day of the newest entry. What a router's
own list says always counts for more.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.numbers import MOST_PRICE, dollars, tokens
from chomp_mcp.dialects.openai.models import is_hidden
from chomp_mcp.dialects.values import as_list, as_mapping, as_text
from chomp_mcp.messages import NEEDS, Model, Router

_log = logging.getLogger("chomp_mcp.model_facts")

SOURCE = "https://models.dev/api.json"
"""MIT License, Copyright (c) 2025 models.dev."""
FILE = "models.json"
"""In CHOMP_HOME."""
_SHIPPED = Path(__file__).with_name("models.json")
_FORMAT = 1
_DATE = re.compile(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """By router id and model id; `date` is ISO's, of the newest entry."""

    date: str
    source: str
    routers: Mapping[str, Mapping[str, Model]]

    def __len__(self) -> int:
        return sum(map(len, self.routers.values()))


def current(home: Path) -> ModelFacts:
    """The user's file where it is newer than ours and whole, else ours."""
    ours, path = _shipped(), home / FILE
    try:
        theirs = read(path.read_bytes())
    except FileNotFoundError:
        return ours
    except (OSError, ValueError) as error:
        _log.warning("%s is left aside: %s; the one of %s is used", path, error, ours.date)
        return ours
    return theirs if theirs.date >= ours.date else ours


@cache
def _shipped() -> ModelFacts:
    return read(_SHIPPED.read_bytes())


def read(body: bytes) -> ModelFacts:
    """Our own file; `ValueError` in words where it is none."""
    table = _object(body)
    if table.get("format") != _FORMAT:
        raise ValueError(f"it is no file of format {_FORMAT}")
    date, routers = as_text(table.get("date")), table.get("routers")
    if not _DATE.fullmatch(date) or not isinstance(routers, Mapping):
        raise ValueError("it has no date, or no routers")
    for router, rows in routers.items():
        if not isinstance(rows, Mapping):
            raise ValueError(f"what it says of {router[:60]} is no table")  # noqa: TRY004 - one error for wrong files
    return ModelFacts(date, as_text(table.get("source")), {name: _Rows(name, rows) for name, rows in routers.items()})


class _Rows(Mapping[str, Model]):
    """One router's models, each made when somebody asks for it: a start need not wait for hundreds."""

    def __init__(self, router: str, rows: Mapping[str, Any]) -> None:
        self._router = router
        self._rows = rows
        self._made: dict[str, Model] = {}

    def __getitem__(self, name: str) -> Model:
        made = self._made.get(name)
        if made is None:
            row = as_mapping(self._rows[name])
            # Needs that a newer version has added say nothing to this one.
            can, cannot = ([need for need in as_list(row.get(side)) if need in NEEDS] for side in ("can", "cannot"))
            sizes = row.get("context"), row.get("output")
            made = self._made[name] = _model(self._router, name, sizes, as_list(row.get("price")), can, cannot)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return dict(self) == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of every table


def told(body: bytes, routers: Iterable[Router]) -> ModelFacts:
    """What models.dev's `api.json`, or a file of our own form, says of these routers (`ValueError`)."""
    table = _object(body)
    if "format" in table:
        return read(body)
    found: dict[str, dict[str, Model]] = {}
    newest = ""
    for router in routers:
        rows = as_mapping(as_mapping(table.get(router.models_dev)).get("models")) if router.models_dev else {}
        models = {
            name: _of_models_dev(router, name, row)
            for name, row in rows.items()
            if isinstance(row, Mapping) and row.get("status") != "deprecated" and not is_hidden(router, name)
        }
        dates = [as_text(as_mapping(row).get("last_updated")) for row in rows.values()]
        newest = max([newest, *(date for date in dates if _DATE.fullmatch(date))])
        if models:
            found[router.id] = models
    if not newest or not found:
        raise ValueError("it says nothing of these routers")
    return ModelFacts(newest, SOURCE, found)


def written(facts: ModelFacts) -> bytes:
    """The file, a model a line, so that changes can be read."""
    parts = []
    for router, models in facts.routers.items():
        lines = []
        for name, model in sorted(models.items()):
            prices = [float(each) for each in (model.price_in, model.price_out, model.price_cached) if each is not None]
            row = {
                "can": sorted(model.can),
                "cannot": sorted(model.cannot),
                "context": model.context_length,
                "output": model.max_output,
                "price": prices if model.price_in is not None and model.price_out is not None else None,
            }
            told = {field: value for field, value in row.items() if value}
            lines.append(f"{json.dumps(name)}:{wire.dumps(told).decode()}")
        parts.append(f"{json.dumps(router)}:{{\n" + ",\n".join(lines) + "\n}")
    head = f'"format":{_FORMAT},"date":{json.dumps(facts.date)},"source":{json.dumps(facts.source)}'
    return f'{{{head},"routers":{{\n{",".join(parts)}\n}}}}\n'.encode()


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        table = wire.loads(body)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(table, Mapping):
        raise ValueError("it holds no object")  # noqa: TRY004 - one error for every wrong file
    return table


def _of_models_dev(router: Router, name: str, row: Mapping[str, Any]) -> Model:
    inputs = {each for each in as_list(as_mapping(row.get("modalities")).get("input")) if isinstance(each, str)}
    said = {
        "tools": row.get("tool_call"),
        "reasoning": row.get("reasoning"),
        "vision": "image" in inputs if inputs else None,
        # What is not said here is not known: PDFs are read by more than their makers say, and so are schemas kept to.
        "documents": "pdf" in inputs or None,
        "json_schema": row.get("structured_output") or None,
    }
    limit, cost = as_mapping(row.get("limit")), as_mapping(row.get("cost"))
    prices = [] if router.subscription else [cost.get(each) for each in ("input", "output", "cache_read")]
    can, cannot = ([need for need, told in said.items() if told is which] for which in (True, False))
    return _model(router.id, name, (limit.get("context"), limit.get("output")), prices, can, cannot)


_PRICES = ("price_in", "price_out", "price_cached")


def _model(
    router: str, name: str, sizes: tuple[Any, Any], prices: Sequence[Any], can: Iterable[str], cannot: Iterable[str]
) -> Model:
    told: dict[str, Any] = {
        **{field: tokens(size) or None for field, size in zip(("context_length", "max_output"), sizes, strict=True)},
        **{field: dollars(each, MOST_PRICE) for field, each in zip(_PRICES, prices, strict=False)},
    }
    return Model(router, name, can=frozenset(can), cannot=frozenset(cannot), **told)
