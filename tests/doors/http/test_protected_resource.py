"""What a client may read of a protected /mcp before it has a token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
TOKEN = "a-token-of-the-owner"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/anything",
        "/register",
        "/authorize",
        "/token",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_clients_that_look_for_oauth_are_told_that_there_is_none(home, path, method):
    async with serving(replace(settings_for(home), auth_token=TOKEN)) as gateway:
        answer = await gateway.http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_a_401_of_mcp_leads_to_metadata_that_needs_no_token(home):
    async with serving(replace(settings_for(home), auth_token=TOKEN)) as gateway:
        refused = await gateway.http.post("/mcp/", json={}, headers={"host": "chomp.example"})
        assert refused.status_code == 401
        told = refused.headers["www-authenticate"]
        assert told == ('Bearer resource_metadata="http://chomp.example/.well-known/oauth-protected-resource/mcp"')
        metadata = await gateway.http.get(
            "/.well-known/oauth-protected-resource/mcp",
            headers={"host": "chomp.example", "x-forwarded-proto": "https"},
        )
    assert metadata.status_code == 200
    assert metadata.json()["resource"] == "https://chomp.example/mcp"
    assert metadata.json()["bearer_methods_supported"] == ["header"]


async def test_a_host_cannot_write_into_the_challenge(home):
    async with serving(replace(settings_for(home), auth_token=TOKEN)) as gateway:
        refused = await gateway.http.post("/mcp", json={}, headers={"host": 'a"b, x="y'})
    assert refused.headers["www-authenticate"].count('"') == 2


async def test_where_no_token_is_due_there_is_no_metadata(gateway):
    assert (await gateway.http.get("/.well-known/oauth-protected-resource/mcp")).status_code == 404
