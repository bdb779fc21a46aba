"""ChompClient: a thin Python client of a gateway that serves HTTP."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from chomp_mcp import wire
from chomp_mcp.arguments import as_json, check
from chomp_mcp.errors import ChompError, InvalidRequest

_TIMEOUT = httpx2.Timeout(600, connect=5)
"""As OpenAI's SDK has it; the gateway sends comments while it waits for a router."""

Messages = str | Sequence[Mapping[str, Any]]


class GatewayError(ChompError):
    """What the gateway answered instead: `status`, `code`, `kind` (the envelope's type), `request_id`, `retry_after`.

    Status 0: there was no answer, and `kind` is "connection_error".
    """

    def __init__(self, error: Mapping[str, Any], response: httpx2.Response | None = None) -> None:
        super().__init__(str(error.get("message", "")), param=error.get("param"))
        headers = {} if response is None else response.headers
        self.status = 0 if response is None else response.status_code
        self.code = error.get("code")
        self.kind = error.get("type")
        self.request_id = headers.get("x-request-id", "")
        with suppress(ValueError):  # RFC 9110, 10.2.3: a proxy may tell a date, of which we make nothing
            seconds = float(headers.get("retry-after", ""))
            self.retry_after = seconds if math.isfinite(seconds) else None


class ChompClient:
    """`async with ChompClient("http://127.0.0.1:8080", token) as chomp: await chomp.chat("…", model="auto")`.

    Without a token the caller is the owner, on a gateway that asks for none. `timeout` is in seconds. Every method
    raises `GatewayError` for what the gateway refuses, and `InvalidRequest` for what cannot be sent to it.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        token: str | None = "",
        *,
        timeout: httpx2.Timeout | float | None = _TIMEOUT,
    ) -> None:
        check(base_url=base_url)
        try:
            parts = urlsplit(base_url)
            is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not close, a port above 65535
            is_address = False
        if not is_address or not base_url.isprintable() or " " in base_url:
            hint = "Give the gateway's address, such as http://127.0.0.1:8080."
            raise InvalidRequest("base_url is no http:// or https:// address.", hint=hint, param="base_url")
        if not isinstance(timeout, httpx2.Timeout | float | int | None):
            why = f"timeout is of the type {type(timeout).__name__}."
            raise InvalidRequest(why, hint="Give seconds, or an httpx2.Timeout.", param="timeout")
        self._base_url, self._timeout = base_url.rstrip("/"), timeout
        # A connection works in its own event loop alone: each loop has its own, in whatever thread.
        self._clients: dict[asyncio.AbstractEventLoop, httpx2.AsyncClient] = {}
        self._is_closed = False
        self.token = token

    @property
    def token(self) -> str:
        """Who we are; `register_keys` without one gets one and puts it here."""
        return self._token

    @token.setter
    def token(self, token: str | None) -> None:
        check(token=token)
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise InvalidRequest("The token holds what no header can carry.", hint="Copy it again.", param="token")
        self._token = token or ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._is_closed = True
        own = self._clients.pop(asyncio.get_running_loop(), None)
        self._clients.clear()  # other loops' sockets close with them
        if own:
            await own.aclose()

    async def chat(self, messages: Messages, *, model: str = "", router: str = "", **options: Any) -> dict[str, Any]:
        """OpenAI's `chat.completion` with the `chomp` extension; `messages` may be one prompt as text."""
        if options.get("stream"):
            raise InvalidRequest("chat gives a whole answer.", hint="Use chat_stream.", param="stream")
        return await self._ask("POST", "/v1/chat/completions", _body(messages, model, router, options))

    async def chat_stream(
        self, messages: Messages, *, model: str = "", router: str = "", **options: Any
    ) -> AsyncGenerator[str]:
        """The answer's text, piece by piece."""
        body = {**_body(messages, model, router, options), "stream": True}
        async with self._open("POST", "/v1/chat/completions", body) as response:
            async for line in response.aiter_lines():
                data = line.removeprefix("data: ")
                if data in (line, "[DONE]"):  # a comment, which keeps the stream alive; a blank line; the end
                    continue
                with _read(response):
                    event = wire.loads(data)
                    error = event.get("error")
                    texts = [choice["delta"].get("content") for choice in event.get("choices") or ()]
                if error:  # the status was a 200 when the answer began
                    raise GatewayError(error, response)
                for text in filter(None, texts):
                    yield text

    async def dispatch(
        self, prompt: str, *, model: str = "", router: str = "", system: str = "", **options: Any
    ) -> dict[str, Any]:
        """Start a job: `{"id", "model", "router", "status"}`."""
        words = _said(prompt=prompt, model=model, router=router, system=system)
        return await self._ask("POST", "/api/dispatch", {**options, **words})

    async def result(self, job_id: str, *, wait_seconds: float = 0) -> dict[str, Any]:
        """The job, once it ended or after `wait_seconds` (the gateway waits at most 45)."""
        check(job_id=job_id, wait_seconds=wait_seconds)
        return await self._ask("GET", f"/api/result/{_quoted(job_id)}?wait={wait_seconds:g}")

    async def list_models(self, router: str = "") -> list[dict[str, Any]]:
        """OpenAI's model objects with `context_length`, `max_output` and `free`, of one router or of all."""
        check(router=router)
        path = f"/v1/models?router={_quoted(router)}" if router else "/v1/models"
        async with self._open("GET", path) as response:
            body = await response.aread()
            with _read(response):
                models: list[dict[str, Any]] = wire.loads(body)["data"]
            return models

    async def register_keys(self, keys: Mapping[str, str]) -> dict[str, Any]:
        """Store router keys, "" removes one: `{"created", "routers"}` (masked), and `token` for a new caller."""
        check(keys=keys)
        answer = await self._ask("POST", "/api/keys", {"keys": dict(keys)})
        self.token = answer.get("token") or self.token
        return answer

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with self._open(method, path, body) as response:
            read = await response.aread()
            with _read(response):
                return dict(wire.loads(read))

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        content = None if body is None else as_json(body)
        headers = {"content-type": "application/json"} if content else {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self._is_closed:
            raise InvalidRequest("This ChompClient is closed.", hint="Make another one.")
        loop = asyncio.get_running_loop()
        http = self._clients.get(loop)
        if http is None:
            for ended in [each for each in list(self._clients) if each.is_closed()]:
                self._clients.pop(ended, None)  # its sockets close with it
            http = self._clients[loop] = httpx2.AsyncClient(base_url=self._base_url, timeout=self._timeout)
        try:
            async with http.stream(method, path, content=content, headers=headers) as response:
                if response.is_error:
                    read = await response.aread()
                    with _read(response):
                        error = dict(wire.loads(read)["error"])  # a text is no envelope of ours
                    raise GatewayError(error, response)
                yield response
        except httpx2.RequestError as lost:
            reason = str(lost).rstrip(".") or type(lost).__name__
            hint = "Is chomp-mcp serve running there?"
            if isinstance(lost, httpx2.ReadTimeout):
                hint = "Give ChompClient a longer timeout, or dispatch it and collect the result."
            told = f"The gateway at {self._base_url} did not answer: {reason}. {hint}"
            raise GatewayError({"type": "connection_error", "message": told}) from lost


@contextmanager
def _read(response: httpx2.Response) -> Iterator[None]:
    """What a gateway sends is read here; whatever else answers there is told as such."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError):
        told = {"message": f"Status {response.status_code} from something that is no gateway."}
        raise GatewayError(told, response) from None


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _body(messages: Messages, model: str, router: str, options: Mapping[str, Any]) -> dict[str, Any]:
    check(messages=messages)
    listed = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return {**options, "messages": listed, **_said(model=model, router=router)}


def _said(**words: str) -> dict[str, str]:
    check(**words)
    return {name: word for name, word in words.items() if word}
