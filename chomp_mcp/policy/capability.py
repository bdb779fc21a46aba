"""What a request needs and a model can: who cannot is left out of the plan, and the plan says so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from chomp_mcp.errors import InvalidRequest, NotCapable, PromptTooLong
from chomp_mcp.messages import NEEDS, ChatRequest, Failed, FailureKind, Model, Plan, Route, Router

KnownBy = Literal["list", "catalog", "refusal", ""]
Unable = Mapping[str, Collection[str]]
"""Ref -> the needs that a router has refused there."""

_PARTS: Mapping[str, str] = {
    **dict.fromkeys(("image_url", "image", "input_image"), "vision"),
    **dict.fromkeys(("file", "input_file", "document"), "documents"),
}
_WORDS: Mapping[str, str] = {
    "tools": "cannot call tools",
    "parallel_tools": "cannot call several tools at once",
    "vision": "cannot see pictures",
    "documents": "cannot read documents",
    "json_schema": "cannot keep to a JSON schema",
    "reasoning": "does not reason",
}
_SOURCES: Mapping[KnownBy, str] = {
    "list": "by its router's list",
    "catalog": "by the catalog",
    "refusal": "it refused that a while ago",
    "": "unknown",
}


class Demand(NamedTuple):
    """What a request must have. `characters` of text are in it, at least."""

    needs: frozenset[str] = frozenset()
    characters: int = 0


NO_DEMAND = Demand()
_TELLING = frozenset({"tools", "functions", "response_format", "output_config", "text"})
"""Fields beside what was said that show a need."""


def demand_of(request: ChatRequest) -> Demand:
    """Read from the body. An effort, or parallel calls, are wishes: an answer without them is one."""
    if request.endpoint != "chat":
        return NO_DEMAND
    body = request.said
    needs, characters = request.needs, 0
    for part in _parts(body):
        text = part if isinstance(part, str) else part.get("text")
        if isinstance(text, str):
            characters += len(text)
        elif (need := _PARTS.get(str(part.get("type")))) and need not in needs:
            # A document that is text goes as text to whoever reads no documents.
            needs |= frozenset() if _field(part.get("source"), "type") in ("text", "content") else {need}
    if _TELLING.isdisjoint(body):
        return Demand(needs, characters)
    # Not for one that a router runs by itself (`web_search`), which is left out where a router has no such.
    kinds = [_field(tool, "type") for tool in _rows(body.get("tools"))]
    if body.get("functions") or any(kind in (None, "function", "custom", "namespace") for kind in kinds):
        needs |= {"tools"}
    forms = [body.get("response_format"), *(_field(body.get(name), "format") for name in ("output_config", "text"))]
    if any(_field(form, "type") == "json_schema" for form in forms):
        needs |= {"json_schema"}
    return Demand(needs, characters)


def _parts(body: Mapping[str, Any]) -> list[Any]:
    """What was said, texts and objects: of chat completions, Messages (also in a tool's result) or Responses' items."""
    turns = body["messages"] if "messages" in body else body.get("input")
    if isinstance(turns, str):
        return [turns]
    found: list[Any] = []
    for turn in _rows(turns):
        # `dict` first, wherever a request is looked through: asking the abstract class costs five times as much.
        if not isinstance(turn, (dict, Mapping)):
            continue
        for content in (turn.get("content"), turn.get("output")):
            if isinstance(content, str):
                found.append(content)
            elif content and isinstance(content, list):
                for part in content:
                    if isinstance(part, str):
                        found.append(part)
                    elif isinstance(part, (dict, Mapping)):
                        found.append(part)
                        if isinstance(inner := part.get("content"), str):
                            found.append(inner)
                        else:
                            found += [each for each in _rows(inner) if isinstance(each, (dict, Mapping))]
    return found


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, (dict, Mapping)) else None


def checked_needs(names: Iterable[str]) -> frozenset[str]:
    """Of names, or words with commas between them; `InvalidRequest` where one is no need."""
    texts = [names] if isinstance(names, str) else map(str, names)
    given = [name.strip().lower().replace("-", "_") for text in texts for name in text.split(",") if name.strip()]
    for name in given:
        if name not in NEEDS:
            raise InvalidRequest(f"There is no need {name[:80]!r}.", hint=f"Known: {', '.join(NEEDS)}.", param="needs")
    return frozenset(given)


def able(need: str, router: Router, model: str, listed: Model | None, unable: Unable) -> tuple[bool | None, KnownBy]:
    """Whether the model can do it, and how that is known; None: nobody knows."""
    if need in unable.get(f"{router.id}/{model}", ()):
        return False, "refusal"
    if need in router.cannot or (need in _MEDIA and _MEDIA[need].isdisjoint(router.media)):
        return False, "catalog"
    sources: tuple[tuple[Model | None, KnownBy], ...] = (listed, "list"), (router.known.get(model), "catalog")
    for told, source in sources:
        if told is not None and (need in told.can or need in told.cannot):
            return need in told.can, source
    return None, ""


_MEDIA: Mapping[str, frozenset[str]] = {"vision": frozenset({"image", "image_data"})}
"""The words of a row's `media`, without which it cannot be. A file that cannot go along is a note beside the text, or a
refusal where it is all there is (see dialects/openai/history.py): what it says often stands in the question as well."""


def is_able(needs: Collection[str], router: Router, model: str, listed: Model | None, unable: Unable) -> bool | None:
    """Whether the model can do all of it: False where one is known to be beyond it, None where one is unknown."""
    found = {able(need, router, model, listed, unable)[0] for need in needs}
    return False if False in found else None if None in found else True


def seen_with(model: Model, router: Router, unable: Unable) -> tuple[Model, Mapping[str, KnownBy]]:
    """The model with all that is known of it in `can` and `cannot`, and how each is known."""
    found = {need: able(need, router, model.id, model, unable) for need in NEEDS}
    can = frozenset(need for need, (is_, _) in found.items() if is_)
    cannot = frozenset(need for need, (is_, _) in found.items() if is_ is False)
    told = router.known.get(model.id, model)
    context, output = model.context_length or told.context_length, model.max_output or told.max_output
    seen = replace(model, can=can, cannot=cannot, context_length=context, max_output=output)
    how: dict[str, KnownBy] = {need: known for need, (_, known) in found.items() if known}
    for size in ("context_length", "max_output"):
        if getattr(seen, size):
            how[size] = "list" if getattr(model, size) else "catalog"
    return seen, how


def reasons(needs: Collection[str], router: Router, model: str, listed: Model | None, unable: Unable) -> str:
    """What it cannot do, and how that is known, in words."""
    found = [(need, *able(need, router, model, listed, unable)) for need in sorted(needs)]
    return ", ".join(f"{_WORDS[need]} ({_SOURCES[known]})" for need, can, known in found if can is False)


_MOST_NAMED = 4


def left_out(why: Mapping[str, str]) -> str:
    """Ref -> why, as one sentence for the receipt."""
    named = [f"{ref} {reason}" for ref, reason in list(why.items())[:_MOST_NAMED]]
    more = len(why) - len(named)
    return "; ".join([*named, f"{more} more"] if more else named)


def roomy(plan: Plan, request: ChatRequest, demand: Demand) -> Plan:
    """The plan without the routes whose context is surely too small for the text.

    A token holds no two words and at most `_MOST_CHARACTERS`, whatever the tokenizer, so a prompt of fewer characters
    than a context has tokens always fits, and is not counted. `PromptTooLong` where no route is left.
    """
    if demand.characters <= least_context(plan.routes):
        return plan
    fewest = 0
    for part in _parts(request.said):
        if isinstance(text := part if isinstance(part, str) else part.get("text"), str):
            words = text.split()
            fewest += max(len(words), sum(map(len, words)) // _MOST_CHARACTERS)
    routes = tuple(route for route in plan.routes if fewest <= _context(route))
    if len(routes) == len(plan.routes):
        return plan
    small = {route.ref: f"has a context of {_context(route):,} tokens" for route in plan.routes if route not in routes}
    if not routes:
        raise PromptTooLong(
            f"The prompt is too long: it has at least {fewest:,} tokens; {left_out(small)}.",
            status=400,
            body={"code": "context_length_exceeded", "param": "messages", "type": "invalid_request_error"},
            hint="Shorten the input, or name a model with a larger context.",
        )
    return replace(plan, routes=routes, notes=(*plan.notes, f"left out for its length: {left_out(small)}"))


def limit_of(route: Route, name: Literal["context_length", "max_output"]) -> int | None:
    """Tokens that the model reads, or answers with, by its router's list, else the catalog; None: nobody knows."""
    for model in (route.listed, route.router.known.get(route.model)):
        tokens: int | None = getattr(model, name, None)
        if tokens:
            return tokens
    return None


def least_context(routes: Iterable[Route]) -> int:
    """Tokens that each of these models surely reads, as far as anybody knows."""
    return min(map(_context, routes), default=0)


_UNBOUNDED = 1 << 62
_MOST_CHARACTERS = 16


def _context(route: Route) -> int:
    return limit_of(route, "context_length") or _UNBOUNDED


_DOES_NOT = (
    r"(not (support|accept|take|allow|see)|unsupported|no support for|no endpoints found that (can )?support)\w*"
)


def _pattern(thing: str, *more: str) -> re.Pattern[str]:
    """The thing is not supported, or the model does not support the thing, and what some say in other words."""
    texts = (
        rf"\b({thing})\b.{{0,60}}\b((is|are|was|be) )?(not |un)(support|allow|available|accept|enabled)",
        rf"{_DOES_NOT}\b.{{0,40}}\b({thing})\b",
        *more,
    )
    return re.compile("|".join(texts), re.IGNORECASE | re.DOTALL)


_REFUSALS: Mapping[str, re.Pattern[str]] = {
    # Ollama: "… does not support tools"; OpenRouter: "No endpoints found that support tool use"; Groq: "`tool calling`
    # is not supported with this model"; vLLM: '"auto" tool choice requires --enable-auto-tool-choice'.
    "tools": _pattern(r"tools?|functions?|(tool|function)[ _](calls?|calling|use|choice)", "enable-auto-tool-choice"),
    # DeepSeek: "unknown variant `image_url`, expected `text`"; Groq: "content must be a string"; vLLM: "… is not a
    # multimodal model"; OpenRouter: "No endpoints found that support image input".
    "vision": _pattern(
        r"images?|image_url|vision|multi-?modal",
        r"\bnot a (multi-?modal|vision)",
        r"unknown variant .?image_url",
        r"content must be a string",
    ),
    "documents": _pattern(r"files?|documents?|pdfs?", r"unknown variant .?(file|input_file)\b"),
    # Groq: "This model does not support response format `json_schema`"; DeepSeek: "This response_format type is
    # unavailable now".
    "json_schema": _pattern(r"json.?schema|structured.?outputs?|response.?format"),
}
"""How routers refuse what a model cannot do: none of them names it otherwise."""
_KINDS = frozenset({FailureKind.CALLER_FAULT, FailureKind.NO_SUCH_MODEL})
_IS_ABOUT_ONE = re.compile(
    r"\b(too (large|big|many|long)|invalid (image|base64|url|schema|tool)|at most|maximum)\b", re.IGNORECASE
)
"""About this picture or this schema, not about what the model can."""


def refused(failed: Failed, needs: Collection[str]) -> Failed:
    """The failure as NOT_CAPABLE, with the need as its `why`, where the router says that the model lacks it."""
    if failed.kind not in _KINDS or not needs or _IS_ABOUT_ONE.search(failed.message):
        return failed
    need = next((name for name in _REFUSALS if name in needs and _REFUSALS[name].search(failed.message)), "")
    return replace(failed, kind=FailureKind.NOT_CAPABLE, why=need) if need else failed


def capable(plan: Plan, request: ChatRequest) -> Plan:
    """The plan without the routes whose router does not serve the request's endpoint, or not in the one dialect.

    Raises:
        NotCapable: none is left; names who was left out.
        InvalidRequest: none is left that speaks the dialect, without which the request cannot be understood.
    """
    if request.endpoint == "chat":
        if request.untranslated is None:
            return plan
        native = tuple(route for route in plan.routes if request.is_native_to(route))
        if not native:
            raise request.untranslated
        return replace(plan, routes=native)
    able = tuple(route for route in plan.routes if request.endpoint in route.router.endpoints)
    if len(able) == len(plan.routes):
        return plan
    without = ", ".join(dict.fromkeys(route.router.name for route in plan.routes if route not in able))
    if not able:
        why = f"{without} has no /v1/{request.endpoint}."
        raise NotCapable(why, hint="Name a model of a router that has it, such as openrouter/… or ollama/….")
    return replace(plan, routes=able, notes=(*plan.notes, f"left out: {without} has no /v1/{request.endpoint}"))
