"""Prompts that people reach for by name, and completion of routers, models and jobs as they type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from pydantic import Field

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.errors import ChompError

MOST_VALUES = 100
"""The protocol's limit for one completion."""

Question = Annotated[str, Field(description="What to ask")]
One = Annotated[str, Field(description="router/model, or auto")]
Several = Annotated[str, Field(description="router/model, separated by commas")]


def add_prompts(server: MCPServer[Any]) -> None:
    """`second_opinion` and `compare`."""
    server.prompt(title="Second opinion")(second_opinion)
    server.prompt(title="Compare models")(compare)


def second_opinion(question: Question, model: One = "auto") -> str:
    """Ask one other model and weigh its answer."""
    return (
        f"Call the ask tool of chomp with model={model!r} and the prompt below. Then tell me where that model and you "
        f"agree, where you differ, and who is right.\n\n{question}"
    )


def compare(question: Question, models: Several) -> str:
    """Ask several models side by side."""
    return (
        f"For each of these models call the dispatch tool of chomp with the prompt below: {models}. Collect the jobs "
        f"with result. Then compare the answers in a table and name the best.\n\n{question}"
    )


def add_completion(server: MCPServer[Any], chomp: Chomp) -> None:
    """Values for `router`, `model`, `models` (after the last comma) and `job_id`."""

    async def routers(typed: str) -> Iterable[str]:
        book = await chomp.books.of(current_caller.get())
        return (router for router in ("auto", *filter(book.shows, chomp.routers)) if router.startswith(typed))

    async def models(typed: str) -> Iterable[str]:
        page = await chomp.list_models(query=typed, limit=MOST_VALUES, caller=current_caller.get())
        return (model.ref for model in (*page.groups, *page.models))

    async def several(typed: str) -> Iterable[str]:
        before, comma, last = typed.rpartition(",")
        return (f"{before}{comma}{ref}" for ref in await models(last.strip()))

    async def jobs(typed: str) -> Iterable[str]:
        recent = await chomp.jobs.recent(current_caller.get(), MOST_VALUES)
        return (job.id for job in recent if job.id.startswith(typed))

    values = {"router": routers, "model": models, "models": several, "job_id": jobs}

    async def complete(
        _ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        if argument.name not in values:
            return None
        try:
            found = list(await values[argument.name](argument.value))
        except ChompError:
            return None
        return Completion(values=found[:MOST_VALUES], total=len(found), has_more=len(found) > MOST_VALUES)

    server.completion()(complete)  # type: ignore[no-untyped-call]  # the SDK's decorator has no annotations
