from __future__ import annotations


def test_the_demo_works_offline_and_says_what_a_key_would_add(run):
    done = run("demo")
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "ask, dispatch, result, list_models, register_keys, status" in told
    assert "→ Hello from the demo" in told
    assert "result    done" in told
    assert "tries: mock/500 transient, mock/500 transient, mock/echo ok" in told
    assert "chomp-mcp keys add groq" in told
    assert '"mcpServers"' in told


def test_the_demo_asks_the_real_routers_too(run, keyed):
    keyed.answer("a real answer")
    done = run("demo", env={"LAB_API_KEY": "lab-key-0123456789"})
    assert done.returncode == 0, done.stderr
    assert "lab/auto: Say hello" in done.stdout
    assert "→ a real answer" in done.stdout
    assert "lab-key-0123456789" not in done.stdout


def test_a_demo_on_a_broken_home_says_so_in_one_line(run, home):
    home.mkdir()
    (home / "keys.json").write_text("{half")
    done = run("demo")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("chomp-mcp: ")
    assert "keys.json" in done.stderr
    assert len(done.stderr.splitlines()) == 1
