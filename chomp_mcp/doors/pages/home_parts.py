"""The parts of the home page: facts in, HTML out; everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape as html_escape

from chomp_mcp.doors.pages.frame import table
from chomp_mcp.doors.views import plain_price, quota_line
from chomp_mcp.gateway.receipt_log import ExchangeView
from chomp_mcp.gateway.status import RouterStatus, SpendView, StatusView
from chomp_mcp.messages import Model, receipt_line
from chomp_mcp.policy.shown import shown

MOST_MODELS = 500


def escape(text: str) -> str:
    """Text of whoever as HTML that shows all of it."""
    return html_escape(shown(text))


def section(title: str, content: str) -> str:
    """A part with its heading."""
    name = title.split(maxsplit=1)[0].lower()
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>\n{content}\n</section>'


def trouble(status: StatusView) -> str:
    """What cannot be told here, and what mends that; mostly nothing."""
    return f'<p class="bad">{escape(status["trouble"])}</p>' if "trouble" in status else ""


def spend(view: SpendView, under_way: int | None) -> str:
    """Today and this month against the budgets; how many requests are under way, for who may know."""
    calls = f"{view['calls_today']} calls, {view['unpriced_calls_today']} of unknown price"
    tokens = f"{view['input_tokens_today']} tokens in, {view['output_tokens_today']} out"
    now = ""
    if under_way is not None:
        reserved = f'<p class="dim">requests in this process; ${escape(view["reserved_usd"])} reserved</p>'
        now = f'<section><h2>Under way</h2><p class="figure">{under_way}</p>{reserved}</section>'
    return (
        f'<div class="cards">{_card("Spent today", view["today_usd"], view["daily_budget_usd"], calls)}'
        f"{_card('Spent this month', view['month_usd'], view['monthly_budget_usd'], tokens)}{now}</div>"
    )


def _card(title: str, spent: str, budget: str | None, below: str) -> str:
    meter, of = "", "no budget"
    if budget:
        meter = f'<meter aria-label="{title} of the budget" max="{escape(budget)}" value="{escape(spent)}"></meter>'
        of = f"of ${escape(budget)}"
    return (
        f'<section><h2>{title}</h2><p><span class="figure">${escape(_short(spent))}</span> '
        f'<span class="dim">{of}</span></p>{meter}<p class="dim">{escape(below)}</p></section>'
    )


def _short(usd: str) -> str:
    """An amount as a person reads it: cents, and more where it is less than one."""
    amount = Decimal(usd)
    return format(amount.quantize(Decimal("0.01") if amount >= 1 or not amount else Decimal("0.000001")), "f")


def routers(rows: Mapping[str, RouterStatus], previews: Mapping[str, str]) -> str:
    """Every router that can be used, its keys by their ends, and what is left; the others in a line."""
    cells, others = [], []
    for router, row in rows.items():
        if row["key"] is False:
            others.append(router)
            continue
        if row["ready"]:
            usable = '<span class="good">yes</span>'
        elif row["key"] is None and not row["reason"]:
            usable = '<span class="off">not running</span>'
        else:
            reason = (row["reason"] or "no key").replace("_", " ")
            until = f" until {_clock(row['cooldown_until'])}" if row["cooldown_until"] else ""
            usable = f'<span class="bad">{escape(reason + until)}</span>'
        limits = escape(row["limits"]) + " (documented)" if row["limits"] else "unknown"
        left = [escape(quota_line(each)) for each in row["quota"] if each["remaining"] is not None]
        name, key = escape(row["name"]), escape(previews.get(router, "none needed"))
        quota = "<br>".join(left) or f'<span class="dim">{limits}</span>'
        cells.append((name, key, usable, quota, f"${escape(_short(row['spent_today_usd']))}"))
    shown = table(("Router", "Key", "Usable", "Left", "Spent today"), cells, has_number=True)
    if others:
        names = escape(", ".join(others))
        shown += f'<p class="dim">Without a key: {names}. Add one: <code>chomp-mcp keys add</code></p>'
    return shown


def exchanges(rows: Iterable[ExchangeView]) -> str:
    """A receipt each; opened, its attempts."""
    parts = []
    for row in rows:
        receipt = row["receipt"]
        kind = "good" if row["status"] == "ok" else "bad"
        at = datetime.fromtimestamp(row["at"]).astimezone().strftime("%H:%M:%S")
        attempts = [
            (
                escape(f"{each['router']}/{each['model']}"),
                escape(each["outcome"].replace("_", " ")),
                escape(str(each["status"] or "-")),
                f"{each['ms']} ms",
            )
            for each in receipt["attempts"]
        ]
        who = escape(f"{row['door']}, {row['caller']}{', in the background' if row['job'] else ''}")
        status = escape(row["status"].replace("_", " "))
        said = f"{escape(receipt['asked'])} → {escape(receipt_line(receipt))}"
        tried = table(("Attempt", "Outcome", "Status", "Time"), attempts, has_number=True)
        body = row.get("body", {"prompt": "", "answer": ""})
        texts = "".join(
            f'<h3>{title}</h3><pre tabindex="0" aria-label="{title}">{escape(text)}</pre>'
            for title, text in (("Asked", body["prompt"]), ("Answered", body["answer"]))
            if text
        )
        parts.append(  # by its id a script keeps it open while the page is made anew
            f'<details id="e{row["at"]:.6f}"><summary>{at} <span class="{kind}">{status}</span> {said}</summary>'
            f'<p class="dim">{who}</p>{tried}{texts}</details>'
        )
    nothing = '<p class="dim">None in the last day. Ask something: <code>chomp-mcp ask hi</code></p>'
    return "\n".join(parts) or nothing


def jobs(view: StatusView) -> str:
    """The newest jobs."""
    rows = [
        (escape(job["job_id"]), escape(job["status"]), escape(job["model"]), escape(_clock(job["created"])))
        for job in view["jobs"]
    ]
    return table(("Job", "Status", "Model", "Created"), rows) if rows else '<p class="dim">None.</p>'


def models(found: Sequence[Model]) -> str:
    """Models and prices, behind a line that opens."""
    rows = [
        (
            escape(model.ref),
            str(model.context_length or "-"),
            *("free" if model.free else plain_price(price) or "-" for price in (model.price_in, model.price_out)),
        )
        for model in found[:MOST_MODELS]
    ]
    more = f", {MOST_MODELS} of them shown" if len(found) > MOST_MODELS else ""
    listed = table(("Model", "Context", "$ per million in", "out"), rows)
    return f'<details id="all-models"><summary>{len(found)} models within reach{more}</summary>{listed}</details>'


def snippets(texts: Mapping[str, str]) -> str:
    """What to paste where."""
    return "\n".join(
        f'<details id="s{number}"><summary>{escape(name)}</summary>'
        f'<pre tabindex="0"><code>{escape(text)}</code></pre></details>'
        for number, (name, text) in enumerate(texts.items())
    )


def _clock(iso: str | None) -> str:
    return "" if iso is None else datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
