"""/api/*: keys, jobs, model lists."""

from __future__ import annotations

from datetime import datetime

import anyio
import anyio.lowlevel
import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio

FIELDS = [
    "id",
    "prompt",
    "system",
    "model",
    "router",
    "status",
    "result",
    "error",
    "tokens_in",
    "tokens_out",
    "latency_ms",
    "created",
    "finished",
]


async def registered(gateway, keys) -> tuple[dict, dict[str, str]]:
    answer = (await gateway.http.post("/api/keys", json=keys)).json()
    return answer, {"authorization": f"Bearer {answer['token']}"}


@pytest.mark.parametrize(
    ("body", "routers"),
    [
        ({"keys": {"groq": "gsk_aaaaaaaaaaaa1111"}}, {"groq": "gsk_…1111"}),
        ({"openrouter_key": "sk-or-v1-aaaa2222"}, {"openrouter": "sk-o…2222"}),
        ({"keys": None, "openrouter_key": "sk-or-v1-aaaa2222"}, {"openrouter": "sk-o…2222"}),
        ({"keys": {"groq": "gsk_aaaaaaaaaaaa1111"}, "openrouter_key": None}, {"groq": "gsk_…1111"}),
        ({"keys": {"groq": "short"}, "openrouter_key": "sk-or-v1-aaaa2222"}, {"openrouter": "sk-o…2222", "groq": "…"}),
    ],
)
async def test_a_stranger_gets_a_token_for_keys_in_either_form(gateway, body, routers):
    answer, token = await registered(gateway, body)
    assert answer.keys() == {"token", "created", "routers"}
    assert answer["routers"] == routers
    assert datetime.fromisoformat(answer["created"]).tzinfo is not None
    shown = (await gateway.http.get("/api/keys", headers=token)).json()
    assert shown == {"created": answer["created"], "routers": routers}


async def test_with_a_token_keys_are_merged_and_no_new_token_is_given(gateway):
    first, token = await registered(gateway, {"keys": {"groq": "gsk_aaaaaaaaaaaa1111", "zen": "zen_aaaaaaaaaaaa"}})
    more = {"keys": {"openrouter": "sk-or-v1-aaaa2222", "zen": ""}}
    merged = (await gateway.http.post("/api/keys", json=more, headers=token)).json()
    assert merged == {"created": first["created"], "routers": {"groq": "gsk_…1111", "openrouter": "sk-o…2222"}}


async def test_the_owner_registers_with_any_token_on_loopback(gateway):
    body = {"keys": {"groq": "gsk_aaaaaaaaaaaa1111"}}
    answer = (await gateway.http.post("/api/keys", json=body, headers={"authorization": "Bearer none"})).json()
    assert "token" not in answer
    assert (await gateway.http.get("/api/keys")).json()["routers"] == {"groq": "gsk_…1111"}


async def test_registered_keys_are_what_the_router_sees(gateway, home):
    async with ScriptedRouter() as groq:
        environ = {"CHOMP_ROUTER_GROQ_URL": groq.url, "GROQ_API_KEY": "gsk_owner"}
        async with serving(settings_for(home, environ=environ)) as keyed:
            _, token = await registered(keyed, {"keys": {"groq": "gsk_caller"}})
            for headers in (token, {}):
                body = {"model": "groq/m", "messages": [{"role": "user", "content": "hi"}]}
                await keyed.http.post("/v1/chat/completions", json=body, headers=headers)
            assert [request.key for request in groq.chats] == ["gsk_caller", "gsk_owner"]
            _, other = await registered(keyed, {"keys": {"zen": "zen_1"}})
            answer = await keyed.http.post("/v1/chat/completions", json=body, headers=other)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_router_key")


async def test_a_job_is_dispatched_at_once_and_collected_with_a_long_poll(gateway, upstream):
    go = anyio.Event()
    upstream.stream(["Hello ", go, "you"])
    body = {"prompt": "hi", "model": "m", "router": "lab", "system": "be kind", "temperature": 0.5}
    job = (await gateway.http.post("/api/dispatch", json=body)).json()
    assert job == {"id": job["id"], "model": "lab/m", "router": "lab", "status": "running"}
    with anyio.fail_after(5):
        await upstream.saw_request()
    assert upstream.chats[0].json["temperature"] == 0.5
    assert [message["role"] for message in upstream.chats[0].json["messages"]] == ["system", "user"]
    running = (await gateway.http.get(f"/api/result/{job['id']}")).json()
    assert (running["status"], running["finished"]) == ("running", None)
    go.set()
    done = (await gateway.http.get(f"/api/result/{job['id']}", params={"wait": "5"})).json()
    assert list(done) == FIELDS
    assert (done["status"], done["result"], done["error"]) == ("done", "Hello you", None)
    assert (done["prompt"], done["system"], done["model"], done["router"]) == ("hi", "be kind", "lab/m", "lab")
    assert (done["tokens_in"], done["tokens_out"]) == (7, 3)
    assert datetime.fromisoformat(done["finished"]) >= datetime.fromisoformat(done["created"])
    assert (await gateway.http.get("/api/jobs")).json() == [done]


async def test_options_of_a_job_may_stand_in_an_object_of_their_own(gateway, upstream):
    history = [{"role": "user", "content": "I am Ada"}]
    options = {"temperature": 0.5, "seed": 1, "messages": history}
    body = {"prompt": "who?", "model": "lab/m", "options": options, "seed": 2}
    job = (await gateway.http.post("/api/dispatch", json=body)).json()
    await gateway.http.get(f"/api/result/{job['id']}?wait=5")
    sent = upstream.chats[0].json
    assert (sent["temperature"], sent["seed"], "options" in sent) == (0.5, 2, False)
    assert sent["messages"] == [*history, {"role": "user", "content": "who?"}]


@pytest.mark.parametrize(("field", "value"), [("options", [1]), ("messages", 5)])
async def test_a_field_of_a_job_that_has_the_wrong_type_is_named_as_the_caller_wrote_it(gateway, field, value):
    answer = await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "lab/m", field: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, field)
    assert error["message"].startswith(f"{field} is not")


async def test_the_list_of_a_router_that_tells_it_to_nobody_without_a_key_asks_for_one(home):
    async with ScriptedRouter() as groq:
        groq.on(path="/models").fail(401)
        async with serving(settings_for(home, environ={"CHOMP_ROUTER_GROQ_URL": groq.url})) as gateway:
            for path in ("/api/models/groq", "/v1/models/groq/m"):
                answer = await gateway.http.get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_router_key")
                assert "keys add groq" in answer.json()["error"]["message"]


async def test_a_job_that_is_cancelled_stops_the_router_and_keeps_its_text(gateway, upstream):
    upstream.hang(after=["Hello"])
    job = (await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "lab/m"})).json()
    with anyio.fail_after(5):
        await upstream.saw_request()
        while not (await gateway.http.get(f"/api/result/{job['id']}")).json()["result"]:
            await anyio.lowlevel.checkpoint()
        cancelled = (await gateway.http.delete(f"/api/result/{job['id']}")).json()
        await upstream.saw_disconnect()
    assert (cancelled["status"], cancelled["result"]) == ("cancelled", "Hello")
    assert (await gateway.http.delete(f"/api/result/{job['id']}")).json() == cancelled


async def test_a_job_that_failed_says_why(gateway, upstream):
    upstream.fail(400, {"error": {"message": "no such knob", "type": "invalid_request_error"}})
    job = (await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "lab/m"})).json()
    failed = (await gateway.http.get(f"/api/result/{job['id']}?wait=5")).json()
    assert (failed["status"], failed["result"]) == ("error", None)
    assert "no such knob" in failed["error"]


async def test_jobs_are_listed_newest_first(gateway):
    prompts = ["one", "two", "three"]
    for prompt in prompts:
        job = (await gateway.http.post("/api/dispatch", json={"prompt": prompt, "model": "mock/echo"})).json()
        await gateway.http.get(f"/api/result/{job['id']}?wait=5")
    listed = (await gateway.http.get("/api/jobs")).json()
    assert sorted(job["prompt"] for job in listed) == sorted(prompts)
    assert [job["created"] for job in listed] == sorted((job["created"] for job in listed), reverse=True)
    assert len((await gateway.http.get("/api/jobs?limit=2")).json()) == 2


async def test_a_caller_that_is_gone_took_its_jobs_along(gateway, upstream):
    upstream.hang(after=["Hello"])
    _, token = await registered(gateway, {"keys": {"groq": "gsk_1"}})
    caller = await gateway.chomp.keyring.find(token["authorization"][7:])
    await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "lab/m"}, headers=token)
    with anyio.fail_after(5):
        await upstream.saw_request()
        await gateway.http.delete("/api/keys", headers=token)
        await upstream.saw_disconnect()
    assert await gateway.chomp.jobs.recent(caller) == []


async def test_a_routers_models_and_the_free_ones(gateway, upstream):
    priced = {"pricing": {"prompt": "0.000001", "completion": "0.000002"}, "context_length": 8192, "name": "Em"}
    free = {"pricing": {"prompt": "0", "completion": "0"}}
    upstream.models([{"id": "m", "object": "model", **priced}, {"id": "gratis", "object": "model", **free}])
    listed = (await gateway.http.get("/api/models/lab")).json()
    assert (listed["router"], listed["count"]) == ("lab", 2)
    assert listed["models"][0] == {"id": "m", "name": "Em", "context_length": 8192, "max_output": None}
    assert [model["id"] for model in listed["models"]] == ["m", "gratis"]
    gratis = (await gateway.http.get("/api/models/free")).json()
    assert "lab/gratis" in [model["id"] for model in gratis["models"]]
    assert "lab/m" not in [model["id"] for model in gratis["models"]]
    assert gratis["count"] == len(gratis["models"])


async def test_a_list_that_cannot_be_had_is_an_error_that_names_the_router(gateway, upstream):
    upstream.on(path="/models").html(500)
    answer = await gateway.http.get("/api/models/lab")
    assert answer.status_code == 502
    assert "lab" in answer.json()["error"]["message"]
