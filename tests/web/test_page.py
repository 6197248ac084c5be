"""The live page end to end: a whole stack, and real browsers on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.demo.synthetic_trace import synthesize
from reactions.web.page.figures import Gauges
from reactions.web.page.ids import GUESTS, POSTS
from reactions.web.page.worker_killer import WorkerKiller
from tests.support.waiting import wait_until
from tests.web.browsing import FAINT, Visit, chromium
from tests.web.serving import check_problem, user

BELA, FATOU = GUESTS + 2, GUESTS + 6
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SETTLED_MS = 60_000

Visiting = Callable[..., Visit]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Not under pytest's folder, as PostgreSQL has a user of its own."""
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    settings = Settings(
        viral_threshold=1_500,
        lease_s=1,
        sweep_interval_s=0.5,
        web_writes_per_s=0.1,  # so that a user who has used up web_burst is refused for long
    )
    try:
        with Stack(folder, settings, flower=False, page=True) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Visiting]:
    """Each with cookies and storage of its own; none may have had an error at the end."""
    visits: list[Visit] = []
    with ExitStack() as closing:

        def begin(**options: Any) -> Visit:
            visits.append(Visit(browser, stack.page_url, **options))
            closing.callback(visits[-1].context.close)
            return visits[-1]

        yield begin
        assert [v.complaints for v in visits] == [[] for _ in visits]


def test_two_browsers_see_each_other_and_a_reload_keeps_it(visit: Visiting) -> None:
    one, other = visit(), visit()
    other.page.select_option("#visitor", str(BELA))
    one.post(3).locator(".react").hover()
    one.post(3).get_by_role("menuitemradio", name="Love").click()
    expect(one.chip(3, "love")).to_have_attribute("aria-pressed", "true")
    expect(other.chip(3, "love")).to_have_text("1")
    expect(other.chip(3, "love")).to_have_attribute("aria-pressed", "false")
    other.chip(3, "love").click()
    expect(one.chip(3, "love")).to_have_text("2")
    expect(one.page.locator("#said")).to_have_text("You reacted with Love to Ines Duarte's post.")
    one.page.reload()
    expect(one.chip(3, "love")).to_have_text("2")
    expect(one.post(3).locator(".react")).to_have_text("Love")
    one.chip(3, "love").click()  # one's own: taken off again
    expect(other.chip(3, "love")).to_have_text("1")
    expect(one.post(3).locator(".react")).to_have_text("React")


def test_a_click_on_the_button_likes_and_another_takes_it_back(visit: Visiting) -> None:
    there = visit()
    button = there.post(4).locator(".react")
    button.click()
    expect(button).to_have_text("Like")
    expect(there.chip(4, "like")).to_have_text("1")
    button.click()
    expect(there.chip(4, "like")).to_be_hidden()
    expect(there.post(4).locator(".total")).to_be_disabled()


def test_the_keyboard_alone_can_react(visit: Visiting) -> None:
    there = visit()
    button = there.post(5).locator(".react")
    there.page.keyboard.press("Tab")
    for _ in range(60):
        if button.evaluate("element => element === document.activeElement"):
            break
        there.page.keyboard.press("Tab")
    for key in ("Enter", "ArrowRight", "ArrowRight", "ArrowRight"):
        there.page.keyboard.press(key)
    wow = there.post(5).get_by_role("menuitemradio", name="Wow")
    expect(wow).to_be_focused()
    assert wow.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    there.page.keyboard.press("Enter")
    expect(button).to_be_focused()
    expect(button).to_have_accessible_name("Your reaction: Wow. Change it")
    expect(there.chip(5, "wow")).to_have_text("1")
    there.page.keyboard.press("ArrowUp")
    expect(wow).to_be_focused()
    expect(wow).to_be_checked()
    there.page.keyboard.press("Escape")
    expect(wow).to_be_hidden()
    expect(button).to_be_focused()


def test_a_phone_taps_or_presses_for_long(visit: Visiting) -> None:
    there = visit(**PHONE)
    menu = there.post(6).get_by_role("menu")
    there.post(6).locator(".react").tap()
    expect(menu).to_be_visible()
    there.post(6).locator(".text").tap()
    expect(menu).to_be_hidden()
    there.post(6).locator(".react").dispatch_event(
        "pointerdown", {"pointerType": "touch", "bubbles": True}
    )
    expect(menu).to_be_visible()
    there.post(6).get_by_role("menuitemradio", name="Sad").tap()
    expect(there.chip(6, "sad")).to_have_text("1")
    assert there.page.evaluate("document.documentElement.scrollWidth") == 390


def test_who_reacted_is_shown(visit: Visiting, stack: Stack) -> None:
    with user(stack.page_url, BELA) as bela:
        bela.put("/v1/posts/7/reaction", json={"reaction": "laugh"}).raise_for_status()
    there = visit()
    there.chip(7, "laugh").click()
    expect(there.chip(7, "laugh")).to_have_text("2")
    there.post(7).locator(".total").click()
    sheet = there.page.get_by_role("dialog", name="Who reacted Priya Raman's post")
    expect(sheet.locator("li")).to_have_count(2)
    expect(sheet.locator("li").first).to_contain_text("Ada (you)")
    expect(sheet.locator("li").last).to_contain_text("Bela")
    there.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(there.post(7).locator(".total")).to_be_focused()


def test_what_is_refused_is_said_and_shown_as_it_is(visit: Visiting, stack: Stack) -> None:
    there = visit()
    there.page.select_option("#visitor", str(FATOU))
    button = there.post(8).locator(".react")
    for _ in range(stack.settings.web_burst + 3):
        button.click()
    expect(there.page.get_by_role("alert")).to_contain_text("you react too fast")
    with user(stack.page_url, FATOU) as fatou:
        own = fatou.get("/v1/summaries", params={"post_id": 8}).json()["items"][0]["reaction"]
    expect(button).to_have_text("Like" if own else "React")
    there.complaints = [said for said in there.complaints if "429" not in said]


def test_a_killed_worker_loses_nothing(visit: Visiting, stack: Stack) -> None:
    there = visit()
    there.page.get_by_role("button", name="Kill a worker").click()  # starts a burst
    expect(there.page.locator("#log")).to_contain_text("kill -9 of worker process")
    verdict = there.page.locator("#verdict")
    expect(verdict).to_have_attribute("data-state", "verified", timeout=SETTLED_MS)
    expect(verdict).to_contain_text("All 5,000 acknowledged reactions are in PostgreSQL")
    for number in ("#acknowledged", "#durable"):
        expect(there.page.locator(number)).to_have_text("5,000")
    expect(there.post(1).locator(".viral")).to_be_visible()
    room = httpx.get(f"{stack.page_url}room").json()
    assert room["burst"]["state"] == "verified"
    figures = room["figures"]
    assert len(figures["shards"]) == 100
    assert 0 < figures["react_p50_ms"] <= figures["react_p99_ms"]
    assert 0 < figures["lag_p50_ms"] <= figures["lag_p99_ms"]
    assert sum(figures["tiers"].values()) > len(POSTS)
    assert 0 <= figures["cache_hits"] <= 1
    expect(there.page.locator("[data-figure=pending]")).to_have_text("0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_everything_has_a_name_and_can_be_read(
    visit: Visiting, scheme: str, options: dict[str, Any]
) -> None:
    there = visit(color_scheme=scheme, **options)
    there.chip(1, "like").wait_for(state="attached")
    assert there.nameless() == []
    assert there.page.evaluate(FAINT) == []
    there.post(2).locator(".react").focus()
    there.page.keyboard.press("Enter")
    assert there.nameless() == []
    assert there.page.evaluate("document.documentElement.lang") == "en"


def test_the_page_runs_nothing_but_its_own_files(stack: Stack) -> None:
    page = httpx.get(stack.page_url)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert " style=" not in page.text
    assert "http" not in page.text
    assert httpx.get(f"{stack.page_url}page.js").headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["room/burst", "room/kill"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_buttons_are_of_this_page_alone(stack: Stack, path: str, headers: dict[str, str]) -> None:
    refused = httpx.post(stack.page_url + path, headers=headers)
    check_problem(refused, 403, "foreign-page")


def test_a_name_that_points_here_gets_nothing(stack: Stack) -> None:
    for path in ("", "room", "v1/summaries?post_id=1"):
        answer = httpx.get(stack.page_url + path, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 400


def test_the_engine_room_is_no_part_of_the_service(stack: Stack, address: str) -> None:
    for path in ("/", "/room", "/page.js"):
        assert httpx.get(address + path).status_code == 404
    assert httpx.post(f"{address}/room/kill").status_code == 404
    described = httpx.get(f"{stack.page_url}openapi.json").json()["paths"]
    assert not [path for path in described if path.startswith("/room")]


def test_a_process_that_is_not_the_workers_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    """Its pid came over the broker, where anyone may answer."""
    (tmp_path / "worker.pid").write_text(str(stack.beat.pid))
    assert WorkerKiller(stack.settings, tmp_path).kill_one() is None


def test_figures_are_unknown_where_no_store_answers() -> None:
    nowhere = Settings(
        redis_url="redis://127.0.0.1:1/0", database_url="postgresql://127.0.0.1:1/none"
    )
    figures = Gauges(nowhere).read()
    assert set(figures.model_dump().values()) == {None}


def test_a_dead_page_is_started_again(stack: Stack) -> None:
    assert stack.page is not None
    before = stack.page.pid
    stack.page.kill()
    stack.supervise()
    assert stack.page.pid != before

    def serves() -> bool:
        try:
            return httpx.get(stack.page_url).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(serves, what="the page serves again")


def test_a_demo_shows_itself_and_takes_what_visitors_do(tmp_path: Path) -> None:
    """Its proof is about the trace: what visitors do beside it is no mismatch."""
    trace = tmp_path / "trace.csv"
    synthesize(trace, 30_000, ["like", "love"])
    command = [sys.executable, "-m", "reactions", "demo", "--trace", str(trace), "--writers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        said = next(line for line in demo.stderr if "watch it here" in line)
        with user(said.split()[-1], FATOU) as fatou:
            fatou.put("/v1/posts/1/reaction", json={"reaction": "love"}).raise_for_status()
            wait_until(
                lambda: (fatou.get("/room").json()["figures"]["reactions_per_s"] or 0) > 0,
                what="the page shows the writers",
            )
        rest = demo.stderr.read()
    assert demo.returncode == 0, rest
