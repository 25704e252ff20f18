"""The web page in a real browser: a front, its limits, a network's figures, jobs; by mouse and by keyboard."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.jobs import JobQueue
from nas.search.budget import DEFAULT_EVALUATIONS, MIN_EVALUATIONS
from nas.store import open_store
from nas.store.api_keys import MAX_PRIORITY
from nas.store.searches import SearchSpec
from tests.api.conftest import Service
from tests.api.problems import problem_of
from tests.nas.store.rows import (
    PROFILE,
    SPACE,
    SUPERNET_ID,
    front_body,
    front_member,
    put_candidates,
    put_device,
    put_supernet,
)

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POINTS = "#plot g[role=button]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: chromium)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, service: Service) -> Iterator[Any]:
    """The page with a front; whatever goes wrong in its scripts, or leaves this host, fails the test."""
    yield from _opened(browser, service.url, 1280)


def _opened(browser: Any, url: str, width: int) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda request: wrong.append(request.url) if not request.url.startswith((url, "data:")) else None
    )
    page.goto(url)
    yield page
    page.close()
    assert wrong == []


def _asked(page: Any, path: str) -> Any:
    return page.expect_response(lambda response: path in response.url)


def test_a_limit_that_is_moved_asks_the_service(page: Any, service: Service) -> None:
    page.wait_for_selector(POINTS)
    members = json.loads(service.body)["members"]
    assert page.locator(POINTS).count() == len(members)
    assert page.locator(f"{POINTS}.out").count() == 0
    with _asked(page, "max_latency_p95_ms=") as answer:
        page.get_by_label("Maximum p95 latency").fill("30")
    inside = {member["candidate"] for member in answer.value.json()["members"]}
    assert 0 < len(inside) < len(members)
    page.wait_for_selector(f"{POINTS}.out")
    shown = page.locator(f"{POINTS}.in").evaluate_all("nodes => nodes.map(node => node.dataset.candidate)")
    assert set(shown) == inside
    assert page.inner_text("#front-status") == f"{len(inside)} of {len(members)} networks meet the limits."
    line = page.inner_text("#curl")
    assert line.startswith(f"curl '{service.url}/v1/devices/{PROFILE.id}/pareto?")
    assert httpx.get(line.split("'")[1]).json() == answer.value.json()
    with _asked(page, "min_accuracy=") as answer:
        page.get_by_label("Minimum accuracy").fill("100")
    assert answer.value.status == 409
    page.wait_for_function("() => document.querySelectorAll('#plot g.in').length === 0")
    assert page.inner_text("#front-status") == answer.value.json()["detail"]


def test_a_network_is_selected_with_the_keyboard_alone(page: Any, service: Service) -> None:
    page.wait_for_selector(POINTS)
    page.locator("#space").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    member = json.loads(service.body)["members"][1]
    page.wait_for_selector("#member h3")
    assert page.inner_text("#member h3") == member["summary"]
    figures = page.inner_text("#member")
    assert f"{100 * member['accuracy_test']:.1f} %" in figures
    assert "measured" in figures
    assert "predicted" in figures
    link = page.locator("#member a").first
    assert link.get_attribute("href") == f"v1/{member['artifacts'][link.inner_text()]}"
    assert page.locator(f'{POINTS}[aria-pressed="true"]').get_attribute("data-candidate") == member["candidate"]
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.candidate") == service.candidates[2]


def test_the_nearest_network_to_a_click_is_selected(page: Any) -> None:
    page.wait_for_selector(POINTS)
    dot = page.locator(f"{POINTS} .dot").last.bounding_box()
    page.mouse.click(dot["x"] + dot["width"] / 2 + 9, dot["y"] + dot["height"] / 2 + 9)
    pressed = page.locator(f'{POINTS}[aria-pressed="true"]').get_attribute("data-candidate")
    assert pressed == page.locator(POINTS).last.get_attribute("data-candidate")


def test_the_form_has_the_bounds_of_the_service(page: Any) -> None:
    page.wait_for_selector(POINTS)
    bounds = {"min": str(MIN_EVALUATIONS), "value": str(DEFAULT_EVALUATIONS)}
    assert {name: page.get_by_label("Evaluations").get_attribute(name) for name in bounds} == bounds
    bounds = {"min": str(-MAX_PRIORITY), "max": str(MAX_PRIORITY), "value": "0"}
    assert {name: page.get_by_label("Priority").get_attribute(name) for name in bounds} == bounds


def test_a_search_is_started_followed_and_cancelled(page: Any, service: Service) -> None:
    page.wait_for_selector(POINTS)
    page.get_by_label("Evaluations").fill("12")
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Priority").fill("7")
    page.get_by_label("Apply the limits").check()
    page.get_by_label("Maximum p95 latency").fill("50")
    with _asked(page, "/v1/searches") as answer:
        page.get_by_role("button", name="Start", exact=True).click()
    search = answer.value.json()
    assert (search["request"]["evaluations"], search["request"]["seed"], search["priority"]) == (12, 5, 7)
    assert set(search["request"]["limits"]) == {"max_latency_p95_ms"}
    entry = page.locator(f"#job-{search['id']}")
    entry.locator('[data-state="queued"]').wait_for()
    job = service.queue.claim("here:1", kinds=("search",), lease_s=600)
    while job is not None and job.id != search["id"]:  # of other tests
        service.queue.fail(job.lease, code="test", message="not this one.")
        job = service.queue.claim("here:1", kinds=("search",), lease_s=600)
    assert job is not None
    service.queue.report(job.lease, {"task": "search on x", "done": 3, "total": 12, "total_progress": 0.25})
    entry.get_by_text("running, 25.0 %").wait_for()
    entry.get_by_text("search on x: 3 of 12").wait_for()
    assert float(entry.locator("progress").get_attribute("value")) == 0.25
    entry.get_by_role("button", name="Cancel").click()
    entry.get_by_text("stopping").wait_for()
    service.queue.mark_cancelled(job.lease)
    entry.locator('[data-state="cancelled"]').wait_for()
    assert entry.get_by_role("button").count() == 0


def test_a_calibration_is_started(page: Any, service: Service) -> None:
    page.wait_for_selector(POINTS)
    page.get_by_role("radio", name="Calibration").check()
    page.get_by_label("Measurements").fill("7")
    with _asked(page, "/calibrations") as answer:
        page.get_by_role("button", name="Start", exact=True).click()
    job = service.queue.get(answer.value.json()["id"])
    assert (job.kind, job.request["budget"], job.request["space"]) == ("calibration", 7, SPACE.name)
    service.queue.cancel(job.id)
    page.locator(f'#job-{job.id} [data-state="cancelled"]').wait_for()
    page.get_by_label("Measurements").fill("5000")
    with _asked(page, "/calibrations"):
        page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#problem").get_by_text("budget").wait_for()


def test_the_front_of_a_search_that_ends_is_shown(browser: Any, tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store, running(store, Home(tmp_path)) as url:
        put_device(store)
        put_supernet(store)
        for page in _opened(browser, url, 800):
            page.get_by_text("no front yet").wait_for()
            page.get_by_label("Search space").last.select_option(SPACE.name)
            page.get_by_role("button", name="Start", exact=True).click()
            page.locator('#jobs [data-state="queued"]').wait_for()
            queue = JobQueue(store)
            job = queue.claim("here:1", kinds=("search",), lease_s=600)
            assert job is not None
            spec = SearchSpec(
                id=job.id, profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name, settings={}, seed=0,
                job_id=job.id,
            )  # fmt: skip
            store.searches.open(spec, lease=job.lease)
            ids = put_candidates(store, 2)
            members = [front_member(one, p95_ms=row, size_bytes=9, accuracy=row / 10) for row, one in enumerate(ids, 1)]
            front = store.fronts.add(job.id, front_body(members), lease=job.lease)
            queue.succeed(job.lease, {"front": front.id})
            page.wait_for_selector(POINTS)
            assert page.locator(POINTS).count() == 2
            assert page.locator("#limits input").count() == 3
            page.locator(f'#job-{job.id} [data-state="succeeded"]').wait_for()


def test_nothing_is_wider_than_a_narrow_screen(browser: Any, service: Service) -> None:
    for page in _opened(browser, service.url, 320):
        page.wait_for_selector(POINTS)
        page.locator(POINTS).first.press("Enter")
        page.get_by_text("Table of networks").click()
        page.wait_for_selector("#table tbody tr")
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_every_control_has_a_name(page: Any) -> None:
    page.wait_for_selector(POINTS)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button, progress")]
          .filter(node => node.checkVisibility() && !node.labels?.length && !node.getAttribute("aria-label")
            && !node.textContent.trim()).map(node => node.outerHTML)"""
    )
    assert nameless == []


def test_the_page_asks_for_a_key_where_one_is_needed(browser: Any, tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        put_device(store)
        _, key = store.api_keys.create(name="page", tenant="t", scopes=frozenset({"read"}))
        job = JobQueue(store).enqueue("calibration", {"device": PROFILE.id, "space": SPACE.name})
        training = JobQueue(store).enqueue("training", {"data": "fashion-mini", "space": SPACE.name, "epochs": 3})
        with running(store, Home(tmp_path), settings=ServiceSettings(require_keys=True)) as url:
            for page in _opened(browser, url, 800):
                page.get_by_label("API key").fill(key)
                page.get_by_role("button", name="Use this key").click()
                page.get_by_text("no front yet").wait_for()
                page.locator(f"#job-{job.id}").wait_for()
                page.locator(f"#job-{training.id}").get_by_text(f"Training of {SPACE.name}").wait_for()
                assert not page.get_by_label("API key").is_visible()


def test_the_page_is_this_services_own(service: Service) -> None:
    answer = service.client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert service.client.get("/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    for name in ("page.css", "page.js", "elements.js", "front.js", "jobs.js", "plot.js", "service.js"):
        file = service.client.get(f"/page/{name}")
        assert file.status_code == 200
        assert "http://" not in file.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in file.text
    for name in ("index.html", "nothing.js", "..%2Fapp.py", "%2e%2e"):
        problem_of(service.client.get(f"/page/{name}"), 404, "not-found")
