"""The list of models as Codex reads it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def test_codex_reads_the_models_in_its_own_shape(gateway, upstream):
    upstream.models([{"id": "m", "context_length": 32_000}])
    listed = await gateway.http.get("/v1/models", params={"client_version": "0.171.0"})
    entry = {model["slug"]: model for model in listed.json()["models"]}["lab/m"]
    assert entry["context_window"] == 32_000
    assert entry["apply_patch_tool_type"] == "freeform"
    assert entry["visibility"] == "list"
