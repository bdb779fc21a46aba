"""Tool calls as OpenAI writes them, whatever a router made of them: one mender for whole answers and for streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from chomp_mcp import wire
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.values import as_text

_NOTHING = "{}"
"""The arguments of a call without any: a client parses them as JSON, and the empty text is none."""
_NO_ARGUMENTS = ("", "null")
"""What some models write for none; a tool takes an object."""

MOST_OPEN = 256
"""A piece goes on with one of so many that came last; with all of a million looked at, each would cost seconds."""
_MOST_PIECES_READ = 4096
"""Arguments of more are not asked again, with each new piece, whether they are whole."""


def new_id() -> str:
    """An id for a call that came without one; no other call of the conversation has it."""
    return f"call_{uuid4().hex[:24]}"


def mend_message(message: dict[str, Any]) -> bool:
    """The calls of a whole message, mended in place; true when something had to change.

    Every call gets an id of its own (LM Studio sends none: lmstudio #830) and arguments that are a text (llama.cpp
    #20198 sends the object); one that had to be mended also gets its type, which Mistral leaves out. What is no call
    at all is left out.
    """
    changed = _mend_legacy(message, whole=True)
    calls = message.get("tool_calls")
    if not calls:
        return changed
    listed = calls if isinstance(calls, list) else [calls]
    kept = [call for call in listed if isinstance(call, dict)]
    for call in kept:
        if _mend_function(call, whole=True):
            call.setdefault("type", "function")
            changed = True
    # A call is a function, or what else its type names (`custom`), with a body.
    bodies = [(call.get("function"), call.get(as_text(call.get("type")))) for call in kept]
    kept = [call for call, few in zip(kept, bodies, strict=True) if any(isinstance(body, dict) for body in few)]
    if kept != calls:
        message["tool_calls"] = kept
        changed = True
    taken: set[str] = set()
    for call in kept:
        call_id = _text(call.get("id"))
        if not call_id or call_id in taken:
            call_id = new_id()
            call.setdefault("type", "function")
        changed = changed or call.get("id") != call_id
        call["id"] = call_id
        taken.add(call_id)
    return changed


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mend_legacy(place: dict[str, Any], *, whole: bool) -> bool:
    """`function_call`, the form before tools, of a message or a delta."""
    call = place.get("function_call")
    if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict | list):
        return False
    return _mend_arguments(call, whole=whole)


def _mend_function(call: dict[str, Any], *, whole: bool) -> bool:
    changed = False
    function = call.get("function")
    if not isinstance(function, dict):
        if not ("name" in call or "arguments" in call):  # nothing, or a free-form tool of OpenAI (`custom`)
            return call.pop("function", None) is not None
        function = call["function"] = {name: call.pop(name) for name in ("name", "arguments") if name in call}
        changed = True
    if "name" in function and not isinstance(function["name"], str):
        function["name"] = _text(function["name"])
        changed = True
    return _mend_arguments(function, whole=whole) or changed


def mend_arguments(function: dict[str, Any]) -> dict[str, Any]:
    """The function of a whole call, its arguments a text; in place."""
    _mend_arguments(function, whole=True)
    return function


def _mend_arguments(function: dict[str, Any], *, whole: bool) -> bool:
    """Arguments as a text: of a whole call always JSON and never `null`, of a piece maybe nothing."""
    arguments = function.get("arguments")
    if isinstance(arguments, str) and (arguments.strip() not in _NO_ARGUMENTS or not whole):
        return False
    if arguments is None or isinstance(arguments, str):
        function["arguments"] = _NOTHING if whole else ""
        return True
    try:
        function["arguments"] = wire.dumps(arguments).decode()
    except ValueError:  # nested too deeply for any tool to take
        function["arguments"] = _NOTHING
    return True


@dataclass(slots=True)
class _Call:
    """A streamed call so far."""

    index: int
    """Ours: the order of appearance."""
    theirs: int | None
    """The router's index."""
    id: str
    """The router's id; empty where it sent none."""
    name: str
    is_announced: bool
    """The client knows its id."""
    arguments: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Its arguments are an object, to which nothing can be added."""
        is_open = not self.arguments or not self.arguments[-1].rstrip().endswith("}")
        if is_open or len(self.arguments) > _MOST_PIECES_READ:
            return False
        try:
            return isinstance(loads("".join(self.arguments).encode("utf-8", "surrogatepass")), dict)
        except ValueError:
            return False


class CallStream:
    """The pieces of streamed calls, as OpenAI's clients put them together.

    Those go by `index` alone, from 0, and add up every text they get: so ids and names are told once. Seen in the
    world: no index at all, one that begins at 1, 0 for two calls with two ids (hermes #62940), the name in every piece.
    """

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = {}

    def mend(self, choice: int, delta: dict[str, Any]) -> bool:
        """The pieces of one delta, in place; true when something had to change."""
        changed = _mend_legacy(delta, whole=False) if "function_call" in delta else False
        pieces = delta.get("tool_calls")
        if not pieces or self._goes_on(choice, pieces):
            return changed
        listed = pieces if isinstance(pieces, list) else [pieces]
        mended = [self._piece(choice, piece) for piece in listed if isinstance(piece, dict)]
        if mended == pieces:
            return changed
        delta["tool_calls"] = mended
        return True

    def unargued(self, choice: int) -> list[dict[str, Any]]:
        """At the end of a choice: the piece that gives each call without arguments an empty object."""
        silent = [call for call in self._calls.get(choice, ()) if not "".join(call.arguments).strip()]
        for call in silent:
            call.arguments.append(_NOTHING)
        return [{"index": call.index, "function": {"arguments": _NOTHING}} for call in silent]

    def _goes_on(self, choice: int, pieces: Any) -> bool:
        """Nearly all pieces: more arguments of the last call, written as OpenAI writes them."""
        calls = self._calls.get(choice)
        if not calls or type(pieces) is not list or len(pieces) != 1 or type(piece := pieces[0]) is not dict:
            return False
        last, function = calls[-1], piece.get("function")
        # Runs for every piece of a long call: exact types, and no look further than it must.
        if len(piece) != 2 or type(function) is not dict or len(function) != 1:  # noqa: PLR2004 - index, function
            return False
        arguments = function.get("arguments")
        if type(arguments) is not str or not (piece.get("index") == last.theirs == last.index and last.is_announced):
            return False
        if arguments:
            if arguments == "null" and not last.arguments:
                return False
            last.arguments.append(arguments)
        return True

    def _piece(self, choice: int, given: dict[str, Any]) -> dict[str, Any]:
        """The piece as it goes to the client; the given one is compared with it afterwards, so it is not touched."""
        body = given.get("function")
        piece = {**given, "function": dict(body)} if isinstance(body, dict) else dict(given)
        _mend_function(piece, whole=False)
        made = self._calls.setdefault(choice, [])
        calls = made[-MOST_OPEN:]
        theirs, call_id = piece.get("index"), _text(piece.get("id"))
        function = piece.get("function")
        name = _text(function.get("name")) if isinstance(function, dict) else ""
        arguments = _text(function.get("arguments")) if isinstance(function, dict) else ""
        index = theirs if _is_number(theirs) else None
        call = _meant(calls, index, call_id, name, arguments)
        # Arguments that begin with `null` are nothing else: `unargued` makes them an object at the end.
        if arguments.strip() == "null" and not (call and call.arguments) and isinstance(function, dict):
            function["arguments"] = arguments = ""
        if call is None:
            is_taken = any(other.id == call_id for other in calls)
            call = _Call(len(made), index, call_id, name, is_announced=False)
            made.append(call)
        else:
            is_taken = call_id != call.id
            if isinstance(function, dict) and "name" in function:
                # A piece that goes on brings no name but what is still missing of it.
                if not name or name == call.name or (call.name and call.arguments):
                    del function["name"]
                else:
                    call.name += name
        if call.is_announced:
            piece.pop("id", None)
        elif call_id or name:
            call.is_announced = True
            piece["id"] = new_id() if is_taken or not call_id else call_id
            piece.setdefault("type", "function")
        if arguments:
            call.arguments.append(arguments)
        piece["index"] = call.index
        return piece


def _meant(calls: list[_Call], index: int | None, call_id: str, name: str, arguments: str) -> _Call | None:
    """The call that a piece goes on with; None: it begins another."""
    at_index = [call for call in calls if call.theirs == index] if index is not None else calls
    if call_id:
        known = next((call for call in reversed(calls) if call.id == call_id), None)
        if known is None:  # an id that comes late belongs to a call that has none
            return at_index[-1] if at_index and not at_index[-1].id and not name else None
        # A new name at another index is another call, though the router gave it the id of one that is whole.
        is_same = not name or index in (None, known.theirs)
        return known if is_same or (known.arguments and not known.is_whole()) else None
    if not at_index:
        return None if name or not calls else calls[-1]
    last = at_index[-1]
    if not name or (last.name == name and not (arguments and last.is_whole())):
        return last
    # Names come in pieces from some, and then before any argument.
    is_rest_of_name = last.id and not last.arguments and last.name != name and index is not None
    return last if is_rest_of_name else None


def _text(value: Any) -> str:
    if _is_number(value):
        return str(value)
    return as_text(value)
