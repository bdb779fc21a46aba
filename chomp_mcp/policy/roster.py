"""One router's live list, looked up by id and by bare name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from chomp_mcp.messages import Model

_TINY = re.compile(r"(?<![\d.])\d(?:\.\d+)?b\b", re.IGNORECASE)
"""Names of models with fewer than ten billion parameters, such as `gemma-3n-4b`."""


class Roster:
    """The models in the router's order. Every request looks here: it costs the same for ten and for ten thousand."""

    def __init__(self, models: Iterable[Model] = ()) -> None:
        self.all = tuple(models)
        """With those that embed."""
        self.models = tuple(model for model in self.all if not model.embeds)
        self._by_id = {model.id: model for model in self.models}

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._by_id

    def get(self, model_id: str) -> Model | None:
        return self._by_id.get(model_id)

    def called(self, name: str) -> Sequence[str]:
        """The ids whose last segment is that name (`openai/gpt-oss-120b` for `gpt-oss-120b`), the bare one left out."""
        return self._by_name.get(name, ())

    @cached_property
    def with_embedders(self) -> Roster:
        """The same list with the models that embed among the others."""
        if len(self.all) == len(self.models):
            return self
        return Roster(replace(model, embeds=False) for model in self.all)

    @cached_property
    def free_and_large(self) -> tuple[str, ...]:
        """Free models, largest context first, leaving out the tiny ones (for a key without credit)."""
        free = [model for model in self.models if model.free and not _TINY.search(model.id)]
        return tuple(model.id for model in sorted(free, key=lambda model: -(model.context_length or 0)))

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for model_id in self._by_id:
            _, slash, name = model_id.rpartition("/")
            if slash:
                found.setdefault(name, []).append(model_id)
        return found
