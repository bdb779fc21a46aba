"""The real Claude Code, Codex and OpenCode, offline, against a scripted model: what does their model read?

    CHOMP_TEST_HOSTS=~/hosts pytest -m hosts tests/hosts/test_programs.py

With CHOMP_RECORD=1 what they sent and read is written into `recorded/`, which `test_recorded.py` plays again.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.hosts.model import SAID, ScriptedModel
from tests.hosts.programs import PACKAGES, PROGRAMS, run, version
from tests.hosts.recording import own, record
from tests.hosts.scenes import CALLS, CODE, SETTINGS, furnish

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]
MOST_BEYOND = {"claude": 80, "codex": 80, "opencode": 110}
"""Bytes around an answer of four. OpenCode reads the whole receipt; fifty say that the mock router answered."""
MOST_BYTES_OF_A_FILE_QUESTION = 1_200
"""300 tokens."""


@pytest.fixture(scope="module", params=PROGRAMS)
def seen(request, installed, tmp_path_factory):
    """One run with all calls: the scripted model, with every request that the program sent to it."""
    program = request.param
    path = installed(PACKAGES[program], program)
    folder = tmp_path_factory.mktemp(program)
    furnish(folder / "work")
    with ScriptedModel(CALLS) as model:
        told = run(program, path, model, folder, **SETTINGS)
    assert SAID in told
    if os.environ.get("CHOMP_RECORD"):
        record(program, version(path), folder / "frames.jsonl", model)
    return program, model


def test_every_call_had_a_result(seen):
    _, model = seen
    assert len(model.results()) == len(CALLS)


def test_ask_is_loaded_without_a_search(seen):
    _, model = seen
    assert any(name.endswith("ask") for name in model.tool_names())


def test_a_short_answer_costs_little_more_than_itself(seen):
    program, model = seen
    answer = own(model.results()[0])
    assert answer.startswith("Four\n")
    assert len(answer) <= len("Four") + MOST_BEYOND[program]


def test_code_arrives_as_it_was_written(seen):
    _, model = seen
    assert own(model.results()[1]).startswith(CODE)


def test_a_running_job_says_so_before_anything_else(seen):
    _, model = seen
    assert own(model.results()[2]).startswith("Still running as job job_")


def test_a_failure_says_what_to_do(seen):
    program, model = seen
    assert "mock/500" in model.results()[3]
    assert "Try again later" in model.results()[3]
    assert program != "claude" or model.errors()[3]


@pytest.mark.parametrize("number", [4, 5], ids=["asked about", "asked about and saved"])
def test_a_question_about_a_file_of_300_kb_costs_under_300_tokens(seen, number):
    _, model = seen
    question, answer = json.dumps(CALLS[number].arguments), own(model.results()[number])
    assert len(question) + len(answer) < MOST_BYTES_OF_A_FILE_QUESTION
    assert "Lorem" in answer if number == 4 else "out.txt" in answer
