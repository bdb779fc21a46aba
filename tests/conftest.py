"""What every test may ask for: asyncio, a clean home, a movable clock."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import httpcore2
import pytest
from httpcore2 import default_ssl_context
from hypothesis import HealthCheck, settings

from tests.support.clock import Clock
from tests.support.offline import NOBODY, stay_offline

# Hundreds of tests start Python: where the shell says to keep no bytecode (images do), each would compile us anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Six thousand tests and the modules they import stay: to look through them again and again for garbage takes a quarter
# of the collection's time, and makes every later look longer.
gc.disable()

# Each client of httpx2, and so of the SDKs, reads the trusted certificates anew: 30 ms of CPU, of a test's 80.
_trusted = cache(lambda *_environment, **how: default_ssl_context(**how))
httpcore2.default_ssl_context = lambda **how: _trusted(*map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")), **how)

stay_offline()
if sys.platform == "linux":
    from tests.support.commands import Forked

    subprocess.Popen = Forked  # type: ignore[misc]

# Who starts us in the background (`&`, `nohup`) may have told us to ignore these, and what we start would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine is no finding: no test of a table is judged by its time. CHOMP_TEST_EXAMPLES asks for a long search.
settings.register_profile(
    "suite",
    max_examples=int(os.environ.get("CHOMP_TEST_EXAMPLES", "25")),
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

_OURS = ("CHOMP_", "GATEWAY_", "LLM_", "CIRCUIT_", "CORS_")


SLOW = (
    "tests/behaviour/",
    "tests/bench/",
    "tests/cluster/",
    "tests/conformance/",
    "tests/dialects/openai/test_tool_calls.py::test_a_router_that_numbers_calls_without_end",
    "tests/dialects/openai/test_tool_ids.py::test_a_history_of_any_length",
    "tests/dialects/test_any_json.py",
    "tests/dialects/test_corpus.py::test_every_recorded_request_fits_every_router",
    "tests/dialects/test_mock.py::test_an_echo_of_megabytes",
    "tests/doors/cli/",
    "tests/doors/files/test_reading.py::test_what_cannot_be_sent_is_an_error_and_nothing_is_sent[many",
    "tests/doors/http/server/test_workers.py",
    "tests/doors/http/test_many_streams.py",
    "tests/doors/mcp/test_attachments.py",
    "tests/doors/mcp/test_hosts.py::test_schemas_promise_structure",
    "tests/doors/mcp/test_incoming.py::test_over_http",
    "tests/doors/mcp/test_incoming.py::test_over_stateless_http",
    "tests/doors/mcp/test_lazy.py",
    "tests/doors/mcp/test_keys.py::test_over_stdio",
    "tests/doors/mcp/test_server_http.py",
    "tests/doors/mcp/test_server_sessions.py",
    "tests/doors/mcp/test_stdio",
    "tests/doors/mcp/test_tasks_replicas.py",
    "tests/doors/pages/test_in_a_browser.py",
    "tests/doors/test_agent_examples.py",
    "tests/doors/test_examples.py",
    "tests/doors/test_words.py",
    "tests/fuzz/",
    "tests/gateway/test_answer.py::test_pieces_that_say_nothing",
    "tests/gateway/test_cluster.py",
    "tests/gateway/test_runs.py::test_an_answer_is_not_lost_when_its_end",
    "tests/hosts/",
    "tests/policy/test_outward.py::test_a_prompt_of_nothing_but_beginnings",
    "tests/policy/test_secrets.py::test_a_text_that_may_hold_a_key_everywhere",
    "tests/routers/test_client.py::test_five_hundred_streams",
    "tests/routers/test_connector_stale.py::test_a_large_request_goes_out_again",
    "tests/routers/test_response_packing.py::test_a_small_body_that_unpacks_to_too_much",
    "tests/store/kv/test_protocol_model.py",
    "tests/store/kv/test_protocol_races.py",
    "tests/store/kv/test_redis_link.py",
    "tests/store/test_ledger.py::test_processes_racing",
    "tests/test_architecture.py",
    "tests/test_client.py",
    "tests/test_docs.py",
    "tests/test_readme.py",
    "tests/test_threat_model.py",
    "tests/typing/",
)
"""Where tests start programs, measure, search, or go through every door: `slow`, which `-m 'not slow'` leaves out."""


LONGEST = (
    "tests/behaviour/test_marked.py",
    "tests/doors/http/server/test_workers.py",
    "tests/doors/pages/test_in_a_browser.py",
    "tests/doors/test_agent_examples.py",
    "tests/test_readme.py",
    "tests/typing/",
)
"""What takes many seconds, in which it mostly waits: it begins first, and nobody waits for it at the end."""

WORKER_BYTES = 1 << 30
"""What one xdist worker may need: its own 400 MB, and the processes that its test starts."""


def pytest_xdist_auto_num_workers() -> int:
    """Three for each core, where memory allows: most of the time a test waits for a process, a socket or a clock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    has_memory = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if has_memory else 3 * cores * WORKER_BYTES
    return max(1, min(3 * cores, memory // WORKER_BYTES))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the marks leave out as a whole is not even imported: None lets others decide."""
    path = collection_path.relative_to(config.rootpath).as_posix() if collection_path.is_file() else ""
    left_out = {"not slow": SLOW, "not hosts": ("tests/hosts/",)}
    return any(path.startswith(left_out[term]) for term in left_out if term in config.option.markexpr) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet, and an environment without keys, settings or local routers."""
    for name in os.environ:
        if name.startswith(_OURS) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    for name, nowhere in NOBODY.items():
        monkeypatch.setenv(name, nowhere)
    folder = tmp_path / "home"
    monkeypatch.setenv("CHOMP_HOME", str(folder))
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()
