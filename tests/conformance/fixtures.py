"""What the MCP conformance suite calls by name: its tools, resources and prompts, put onto a server of ours."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from mcp import MCPDeprecationWarning
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    AudioContent,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

__all__ = ["add_fixtures"]

MISSING_CAPABILITY = -32021


def _png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _wav() -> bytes:
    """One sample of silence."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 2) + b"\x80\x80"
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


PNG = _png()
IMAGE = ImageContent(type="image", data=base64.b64encode(PNG).decode(), mime_type="image/png")
AUDIO = AudioContent(type="audio", data=base64.b64encode(_wav()).decode(), mime_type="audio/wav")


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


CONTENT: Mapping[str, list[Any]] = {
    "test_simple_text": [_text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [_embedded("test://embedded-resource", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        IMAGE,
        _embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ],
}
"""Tools that always answer the same."""


def add_fixtures(server: MCPServer) -> None:
    """Everything that the required sets of 2025-11-25 and 2026-07-28 ask for."""
    for name, content in CONTENT.items():
        server.add_tool(_constant(content), name=name, description=f"Answers with fixed content: {name}.")
    for tool in (*_PLAIN_TOOLS, *_ASKING_TOOLS, *_ROUND_TRIP_TOOLS):
        server.add_tool(tool, structured_output=False)
    _add_change_triggers(server)
    _add_resources(server)
    _add_prompts(server)
    _add_legacy_handlers(server)


def _constant(content: list[Any]) -> Callable[[], CallToolResult]:
    def tool() -> CallToolResult:
        return CallToolResult(content=content)

    return tool


# ---------------------------------------------------------------------------------------------------------- plain tools


def test_error_handling() -> str:
    """Always fails."""
    raise ToolError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Three log messages while it works."""
    for step in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            await ctx.info(step)
        await asyncio.sleep(0.05)
    return "Logged three messages."


async def test_tool_with_progress(ctx: Context) -> str:
    """Progress 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(0.05)
    return "Reported progress three times."


_PLAIN_TOOLS = (test_error_handling, test_tool_with_logging, test_tool_with_progress)


# ------------------------------------------------------------------------- tools that ask the client back (2025-11-25)


def _form(**properties: Mapping[str, Any]) -> dict[str, Any]:
    required = [name for name, schema in properties.items() if "default" not in schema]
    return {"type": "object", "properties": dict(properties), "required": required}


def _choices(key: str, **titles: str) -> dict[str, Any]:
    return {key: [{"const": value, "title": title} for value, title in titles.items()]}


DEFAULTS = _form(
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
_OPTIONS = ["option1", "option2", "option3"]
ENUMS = _form(
    untitledSingle={"type": "string", "enum": _OPTIONS},
    titledSingle={
        "type": "string",
        **_choices("oneOf", value1="First Option", value2="Second Option", value3="Third Option"),
    },
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    titledMulti={
        "type": "array",
        "items": _choices("anyOf", value1="First Choice", value2="Second Choice", value3="Third Choice"),
    },
)


async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    message = SamplingMessage(role="user", content=_text(prompt))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        answer = await ctx.session.create_message(messages=[message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {getattr(answer.content, 'text', '')}"


async def _elicited(ctx: Context, message: str, schema: dict[str, Any]) -> str:
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"action={answer.action}, content={json.dumps(answer.content)}"


async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the person for a user name and an address."""
    schema = _form(
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )
    return f"User response: {await _elicited(ctx, message, schema)}"


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """A form with a default for every primitive type."""
    return f"Elicitation completed: {await _elicited(ctx, 'Please check these', DEFAULTS)}"


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """A form with the five kinds of enum."""
    return f"Elicitation completed: {await _elicited(ctx, 'Please choose', ENUMS)}"


_ASKING_TOOLS = (
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
)


# ------------------------------------------------------------------------------ tools in several rounds (2026-07-28)


def _ask_form(message: str, **properties: Mapping[str, Any]) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=_form(**properties)))


def _ask_model(question: str, max_tokens: int = 100) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=_text(question))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


TEXT: Mapping[str, Any] = {"type": "string"}
NAME = _ask_form("What is your name?", name=TEXT)


def _field(ctx: Context, request: str, name: str) -> Any:
    """One field of an accepted form, or None: not answered, declined, or of a wrong shape."""
    answer = (ctx.input_responses or {}).get(request)
    if isinstance(answer, ElicitResult) and answer.action == "accept" and answer.content:
        return answer.content.get(name)
    return None


def _required(state: str | None = None, **requests: Any) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks for a name, once more if the answer holds none."""
    name = _field(ctx, "user_name", "name")
    return f"Hello, {name}!" if isinstance(name, str) else _required(user_name=NAME)


async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if answer is None:
        return _required(capital_question=_ask_model("What is the capital of France?"))
    return f"The model said: {getattr(getattr(answer, 'content', None), 'text', '')}"


async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if answer is None:
        return _required(client_roots=ListRootsRequest())
    return "Roots: " + ", ".join(str(root.uri) for root in getattr(answer, "roots", ()))


async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Carries a state through the client."""
    if ctx.request_state == "confirming":
        return "state-ok: it came back as it was"
    return _required("confirming", confirm=_ask_form("Please confirm", ok={"type": "boolean"}))


async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """The same; the SDK seals the state, and refuses one that was changed."""
    return await test_input_required_result_request_state(ctx)


async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Three questions at once."""
    asked = {"user_name": NAME, "greeting": _ask_model("Generate a greeting", 50), "client_roots": ListRootsRequest()}
    if set(asked) <= set(ctx.input_responses or {}):
        return f"All answered, {_field(ctx, 'user_name', 'name')}."
    return _required("all-three", **asked)


async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """One question, then another that remembers the first answer."""
    state = json.loads(ctx.request_state or "{}")
    if "name" in state:
        return f"{state['name']} likes {_field(ctx, 'step2', 'color')}."
    if (name := _field(ctx, "step1", "name")) is not None:
        second = _ask_form("Step 2: What is your favorite color?", color=TEXT)
        return _required(json.dumps({"name": name}), step2=second)
    return _required(json.dumps({"round": 1}), step1=_ask_form("Step 1: What is your name?", name=TEXT))


async def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
    """Asks only what the client said it can answer."""
    can = ctx.client_capabilities
    asked: dict[str, Any] = {}
    if can and can.sampling:
        asked["greeting"] = _ask_model("Generate a greeting", 50)
    if can and can.elicitation:
        asked["user_name"] = NAME
    return _required(**asked) if asked and not ctx.input_responses else "Nothing to ask."


async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling, and says so in the protocol's words."""
    if not (ctx.client_capabilities and ctx.client_capabilities.sampling):
        raise MCPError(MISSING_CAPABILITY, "This tool needs sampling.", {"requiredCapabilities": {"sampling": {}}})
    return "The client can sample."


_ROUND_TRIP_TOOLS = (
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_missing_capability,
)


# ------------------------------------------------------------------------------------- resources, prompts, the rest


def _add_change_triggers(server: MCPServer) -> None:
    """Tools that change what the server lists, and tell those who listen."""

    async def test_trigger_tool_change(ctx: Context) -> str:
        """Says that the list of tools changed."""
        await ctx.notify_tools_changed()
        return "Tools changed."

    async def test_trigger_prompt_change(ctx: Context) -> str:
        """Says that the list of prompts changed."""
        await ctx.notify_prompts_changed()
        return "Prompts changed."

    for tool in (test_trigger_tool_change, test_trigger_prompt_change):
        server.add_tool(tool, structured_output=False)


def _add_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """A picture."""
        return PNG

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """Something to subscribe to."""
        return "Watched resource content."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002 - the suite's name
        """A template."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MCPServer) -> None:
    @server.prompt()
    def test_simple_prompt() -> str:
        """No arguments."""
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Two arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803 - the suite's name
        """A resource inside."""
        return [
            UserMessage(_embedded(resourceUri, "Embedded resource content for testing.")),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt()
    def test_prompt_with_image() -> list[Message]:
        """A picture inside."""
        return [UserMessage(IMAGE), UserMessage("Please analyze the image above.")]

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Context) -> str | InputRequiredResult:
        """Asks before it answers."""
        context = _field(ctx, "user_context", "context")
        if context is None:
            return _required(user_context=_ask_form("What context should the prompt use?", context=TEXT))
        return f"Answer with this in mind: {context}"


def _add_legacy_handlers(server: MCPServer) -> None:
    """logging/setLevel and resources/subscribe: MCPServer offers no public way to serve them."""

    async def accepted(ctx: Any, params: Any) -> EmptyResult:
        return EmptyResult()

    lowlevel = server._lowlevel_server
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, accepted)
    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, accepted)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accepted)
