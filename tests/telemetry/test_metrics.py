from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from chomp_mcp.messages import Attempt, FailureKind, Receipt
from chomp_mcp.telemetry.metrics import Metrics
from chomp_mcp.telemetry.report import Report, Transition
from chomp_mcp.version import version

ROUTERS = ("groq", "zen", "mock")


@pytest.fixture
def metrics():
    return Metrics(ROUTERS)


def scrape(metrics, **snapshot):
    """The page as Prometheus reads it: {(name, *sorted labels): value}."""
    families = text_string_to_metric_families(metrics.render(snapshot).decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def value(page, name, **labels):
    return page.get((name, *sorted(labels.items())))


def names(page, name):
    return [key for key in page if key[0] == name]


def test_a_good_exchange_is_counted_timed_and_priced(metrics, make_report):
    metrics.exchange(make_report())
    page = scrape(metrics)
    served = {"router": "groq", "model": "openai/gpt-oss-120b"}
    assert value(page, "chomp_requests_total", door="mcp", status="ok") == 1
    assert value(page, "chomp_request_duration_seconds_sum", door="mcp") == 0.26
    assert value(page, "chomp_upstream_attempts_total", **served, outcome="ok") == 1
    assert value(page, "chomp_upstream_duration_seconds_sum", router="groq") == 0.25
    assert value(page, "chomp_time_to_first_token_seconds_sum", router="groq") == 0.05
    assert value(page, "chomp_tokens_total", **served, type="input") == 100
    assert value(page, "chomp_tokens_total", **served, type="output") == 20
    assert value(page, "chomp_tokens_total", **served, type="cached") == 10
    assert value(page, "chomp_cost_usd_total", **served, price="known") == 0.0025
    assert names(page, "chomp_failovers_total") == []
    assert names(page, "chomp_unpriced_total") == []


def test_an_unknown_price_is_counted_as_unpriced_and_adds_no_dollars(metrics, make_report):
    metrics.exchange(make_report(cost_usd=None, price="unknown"))
    metrics.exchange(make_report(cost_usd=Decimal(0), price="zero"))
    page = scrape(metrics)
    served = {"router": "groq", "model": "openai/gpt-oss-120b"}
    assert value(page, "chomp_unpriced_total", **served) == 1
    assert value(page, "chomp_cost_usd_total", **served, price="unknown") == 0
    assert value(page, "chomp_cost_usd_total", **served, price="zero") == 0
    assert value(page, "chomp_cost_usd_total", **served, price="known") is None


def test_a_refusal_before_any_router_counts_as_a_request_and_nothing_else(metrics, make_report):
    metrics.exchange(make_report(status="insufficient_quota", served="", attempts=(), cost_usd=None))
    page = scrape(metrics)
    assert value(page, "chomp_requests_total", door="mcp", status="insufficient_quota") == 1
    assert names(page, "chomp_tokens_total") == []
    assert names(page, "chomp_cost_usd_total") == []
    assert names(page, "chomp_upstream_attempts_total") == []


@pytest.mark.parametrize(
    ("tries", "failovers"),
    [
        ([("groq", "a", "ok")], {}),
        ([("groq", "a", "transient"), ("groq", "a", "ok")], {}),
        ([("groq", "a", "transient"), ("groq", "a", "transient"), ("zen", "a", "ok")], {"transient": 1}),
        ([("groq", "a", "rate_limited"), ("groq", "a", "ok")], {"rate_limited": 1}),
        (
            [("groq", "a", "no_such_model"), ("groq", "b", "timeout"), ("zen", "b", "ok")],
            {"no_such_model": 1, "timeout": 1},
        ),
    ],
    ids=["none", "a retry is no failover", "after a retry", "the next key", "two"],
)
def test_failovers_are_counted_by_reason(metrics, make_report, tries, failovers):
    metrics.exchange(make_report(attempts=tuple(Attempt(*each) for each in tries)))
    page = scrape(metrics)
    assert {dict(key[1:])["reason"]: page[key] for key in names(page, "chomp_failovers_total")} == failovers


def test_a_router_that_is_not_in_the_catalog_is_other(metrics, make_report):
    metrics.exchange(make_report(served="evil/m", attempts=(Attempt("evil", "m", "ok"),)))
    metrics.transition(Transition("evil", "closed", "open"))
    page = scrape(metrics, breakers={"evil": "open"}, quotas=[quota(router="evil")])
    assert value(page, "chomp_upstream_attempts_total", router="other", model="m", outcome="ok") == 1
    assert value(page, "chomp_breaker_transitions_total", router="other", to="open") == 1
    assert "evil" not in str(page)


def test_the_201st_model_is_other(metrics, make_report):
    for number in range(250):
        model = f"m{number}"
        metrics.exchange(make_report(served=f"groq/{model}", attempts=(Attempt("groq", model, "ok"),)))
    page = scrape(metrics)
    assert value(page, "chomp_upstream_attempts_total", router="groq", model="m199", outcome="ok") == 1
    assert value(page, "chomp_upstream_attempts_total", router="groq", model="other", outcome="ok") == 50
    assert len(names(page, "chomp_upstream_attempts_total")) == 201


def test_names_that_no_router_knows_take_no_place_from_real_models(metrics, make_report):
    for number in range(300):
        wrong = Attempt("groq", f"guess{number}", "no_such_model", 404)
        metrics.exchange(make_report(status="model_not_found", served="", attempts=(wrong,)))
    metrics.exchange(make_report())
    page = scrape(metrics)
    assert value(page, "chomp_upstream_attempts_total", router="groq", model="other", outcome="no_such_model") == 300
    assert value(page, "chomp_upstream_attempts_total", router="groq", model="openai/gpt-oss-120b", outcome="ok") == 1


@pytest.mark.parametrize("name", ["half an emoji \ud83d", "two\nlines", "x" * 201])
def test_a_name_that_no_person_would_read_is_other(metrics, make_report, name):
    metrics.exchange(make_report(served=f"groq/{name}", attempts=(Attempt("groq", name, "ok"),)))
    assert value(scrape(metrics), "chomp_upstream_attempts_total", router="groq", model="other", outcome="ok") == 1


def test_the_mock_routers_scripts_are_one_model(metrics, make_report):
    for tokens in (1, 2):
        model = f"lorem?tokens={tokens}"
        metrics.exchange(make_report(served=f"mock/{model}", attempts=(Attempt("mock", model, "ok"),)))
    assert value(scrape(metrics), "chomp_upstream_attempts_total", router="mock", model="lorem", outcome="ok") == 2


def quota(**changes):
    row = {"router": "groq", "kind": "requests", "window": "day", "source": "headers", "remaining": 7}
    return row | changes


def test_a_scrape_shows_the_snapshot_as_it_is_now(metrics):
    page = scrape(
        metrics,
        in_flight=3,
        breakers={"groq": "open", "zen": "half_open", "mock": "closed"},
        budgets={"day": {"limit": Decimal(50), "spent": Decimal("1.25"), "reserved": Decimal("0.5")}},
        jobs={"running": 2, "done": 5},
    )
    assert value(page, "chomp_in_flight") == 3
    assert [value(page, "chomp_breaker_state", router=r) for r in ("mock", "zen", "groq")] == [0, 1, 2]
    assert value(page, "chomp_budget_limit_usd", window="day") == 50
    assert value(page, "chomp_budget_spent_usd", window="day") == 1.25
    assert value(page, "chomp_budget_reserved_usd", window="day") == 0.5
    assert value(page, "chomp_jobs", state="running") == 2
    assert value(page, "chomp_jobs", state="queued") == 0
    later = scrape(metrics, in_flight=0, breakers={"groq": "closed"})
    assert value(later, "chomp_in_flight") == 0
    assert value(later, "chomp_breaker_state", router="groq") == 0
    assert value(later, "chomp_breaker_state", router="zen") is None


def test_quotas_of_several_keys_are_added_up_and_unknown_ones_left_out(metrics):
    page = scrape(
        metrics,
        quotas=[quota(), quota(remaining=3), quota(source="documented", remaining=None), quota(kind="tokens")],
    )
    here = {"router": "groq", "window": "day"}
    assert value(page, "chomp_quota_remaining", **here, kind="requests", source="headers") == 10
    assert value(page, "chomp_quota_remaining", **here, kind="tokens", source="headers") == 7
    assert len(names(page, "chomp_quota_remaining")) == 2


@pytest.mark.parametrize("none", [None, Decimal(0)])
def test_a_budget_that_is_off_has_no_limit_sample(metrics, none):
    page = scrape(metrics, budgets={"month": {"limit": none, "spent": Decimal(0), "reserved": Decimal(0)}})
    assert value(page, "chomp_budget_limit_usd", window="month") is None
    assert value(page, "chomp_budget_spent_usd", window="month") == 0


def test_an_empty_snapshot_is_a_page_too(metrics):
    page = scrape(metrics)
    python = ".".join(map(str, sys.version_info[:3]))
    assert value(page, "chomp_build_info", version=version(), python=python) == 1
    assert value(page, "chomp_in_flight") == 0


def test_every_name_starts_with_chomp_and_none_says_created(metrics, make_report):
    metrics.exchange(make_report())
    page = scrape(metrics, breakers={"groq": "open"})
    assert {key[0].split("_")[0] for key in page} == {"chomp"}
    assert not any(key[0].endswith("_created") for key in page)


def test_two_metrics_in_one_process_do_not_share_a_registry(make_report):
    first, second = Metrics(ROUTERS), Metrics(ROUTERS)
    first.exchange(make_report())
    assert names(scrape(second), "chomp_requests_total") == []


def test_transitions_are_counted_by_where_they_lead(metrics):
    metrics.transition(Transition("groq", "closed", "open"))
    metrics.transition(Transition("groq", "half_open", "open"))
    assert value(scrape(metrics), "chomp_breaker_transitions_total", router="groq", to="open") == 2


attempts = st.builds(
    Attempt,
    router=st.sampled_from([*ROUTERS, "nobody"]),
    model=st.text(st.characters(), max_size=8),
    outcome=st.sampled_from(["ok", *FailureKind]).map(str),
    ms=st.integers(0, 10_000),
)


@given(st.lists(st.lists(attempts, max_size=4), max_size=20))
def test_every_attempt_is_counted_once_whatever_its_names(exchanges):
    metrics = Metrics(ROUTERS)
    for tried in exchanges:
        metrics.exchange(Report("mcp", "owner", "auto", Receipt("auto", attempts=tuple(tried))))
    page = scrape(metrics)
    assert sum(page[key] for key in names(page, "chomp_upstream_attempts_total")) == sum(map(len, exchanges))
    assert sum(page[key] for key in names(page, "chomp_requests_total")) == len(exchanges)


def test_importing_the_module_imports_no_prometheus_client():
    script = "import sys, chomp_mcp.telemetry.metrics; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
