"""The pages in a real browser: they open, fold and unfold by keyboard, show the timeline, and run nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grading import pages

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent
HOSTILE = "</pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"

selenium = pytest.importorskip("selenium.webdriver", reason="python3-selenium is missing: sh harness/setup")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if shutil.which("chromedriver") is None:
        pytest.skip("chromium-driver is missing: sh harness/setup")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    for word in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        "window-size=1300,1000",
    ):
        options.add_argument(f"--{word}")
    driver = selenium.Chrome(service=Service(shutil.which("chromedriver") or "chromedriver"), options=options)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server that answers with markup and prints some, too."""
    tree = tmp_path_factory.mktemp("pages")
    lab = tree / "lab02_tcp_iterative"
    lab.mkdir()
    (lab / "Makefile").write_text("all:\n")
    (lab / "upper_server").write_text(
        "#!/usr/bin/python3 -IS\nimport os, signal, socket, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: (print('Exiting', flush=True), os._exit(0)))\n"
        "s = socket.create_server(('127.0.0.1', int(sys.argv[2])))\n"
        "print('listening on 127.0.0.1:%d' % s.getsockname()[1], flush=True)\n"
        f"hostile = {HOSTILE!r}\n"
        "c, _ = s.accept(); c.recv(100); print(hostile, flush=True)\n"
        "c.sendall(hostile.encode() * 3); signal.pause()\n"
    )
    (lab / "upper_server").chmod(0o755)
    command = [
        HARNESS / "grade",
        "lab02",
        "--tree",
        tree,
        "--checks",
        HARNESS / "tests" / "checks",
        "--out",
        tree / "out",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return tree / "out" / "report.html"


def test_the_report_opens_and_nothing_in_it_is_run(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    assert browser.title == "Report"
    assert not browser.find_elements("css selector", "script, img")
    assert (
        "</pre><sc" in browser.find_element("tag name", "main").text
    ), "what the program sent is shown as text"


def test_the_first_failure_stands_open_and_passes_open_by_keyboard(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    failed, group, passed, around = browser.find_elements("css selector", "details")
    assert failed.get_attribute("open")
    assert not any(folded.get_attribute("open") for folded in (group, passed, around))
    for folded in (group, passed):
        summary = folded.find_element("css selector", "summary")
        summary.send_keys("\n")
        assert folded.get_attribute("open")
    summary.click()
    assert not passed.get_attribute("open")


def test_a_dot_for_each_check_leads_to_it(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    dots = browser.find_elements("css selector", ".dots a")
    assert [dot.get_attribute("class") for dot in dots] == ["fail", "pass"]
    for dot in dots:
        identity = dot.get_attribute("href").partition("#")[2]
        assert browser.find_element("id", identity).tag_name == "details"


def test_what_to_read_next_is_a_link_to_a_page(browser: Any, report: Path) -> None:
    pytest.importorskip("markdown_it", reason="python3-markdown-it is missing: sh harness/setup")
    browser.get(report.as_uri())
    link = browser.find_element("css selector", "details[open] a")
    anchor = link.get_attribute("href").partition("#")[2]
    link.click()
    assert browser.title.startswith("Lab 2")
    assert browser.find_element("id", anchor).tag_name in ("h2", "h3")
    assert not browser.find_elements("css selector", "script")


def test_the_step_that_broke_is_marked_and_so_is_its_moment(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    (broken,) = browser.find_elements("css selector", "li.broke")
    assert "gets" in broken.text
    if shutil.which("strace"):
        number, mark = browser.find_elements("css selector", "svg.timeline text.mark")
        assert "ann gets" in mark.text
        assert mark.text.startswith(number.text)
        picture = browser.find_element("css selector", "svg.timeline")
        assert picture.size["width"] <= 960 and picture.size["height"] < 600


def test_forty_failures_open_in_a_second(browser: Any, tmp_path: Path, report: Path) -> None:
    results = json.loads((report.parent / "results.json").read_text())
    failed = next(test for test in results["tests"] if test["status"] == "failed")
    results["tests"] = []
    for number in range(40):
        data = failed["extra_data"] | {
            "check": f"check_{number}",
            "steps": failed["extra_data"]["steps"] * 20,
        }
        results["tests"].append(failed | {"number": f"2.{number}", "extra_data": data})
    svg = re.search(r"<svg.*?</svg>", report.read_text(), re.DOTALL)
    timelines = {f"check_{number}": svg[0] for number in range(40)} if svg else {}
    assert pages.write_report(results, tmp_path, timelines=timelines)
    took = []
    for _ in range(5):  # the machine may be busy: the best of some
        browser.get((tmp_path / "report.html").as_uri())
        took.append(
            browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
        )
    assert len(browser.find_elements("css selector", ".dots a.fail")) == 40
    assert min(took) < 1000, took


def test_a_class_page_leads_to_its_students(browser: Any, tmp_path: Path) -> None:
    submissions = tmp_path / "class"
    for name in ("ann", "<b onmouseover=alert(1)>bob"):
        (submissions / name / "lab01_cas_stdin").mkdir(parents=True)
    command = [HARNESS / "grade-class", submissions, "--out", tmp_path / "out", "--labs", "lab01"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    browser.get((tmp_path / "out" / "class.html").as_uri())
    links = browser.find_elements("css selector", "td a")
    assert {link.text for link in links} == {"ann", "<b onmouseover=alert(1)>bob"}
    links[0].click()
    assert browser.title in ("ann", "<b onmouseover=alert(1)>bob")


def test_the_site_is_searchable_and_whole(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="python3-sphinx is missing: sh harness/setup")
    done = subprocess.run([HARNESS / "site", "--out", tmp_path / "site"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [*tmp_path.glob("site/answers*"), *tmp_path.glob("site/instructors*")]
    assert "man7.org" in (tmp_path / "site" / "glossary.html").read_text(), "the glossary's sources are links"
    browser.get((tmp_path / "site" / "index.html").as_uri())
    entries = browser.find_elements("css selector", ".sidebar-tree a")
    assert len(entries) >= 8, "a link in the navigation for each lab"
    browser.get((tmp_path / "site" / "search.html").as_uri() + "?q=zombie")
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 30).until(lambda driver: driver.find_elements("css selector", "ul.search li a"))
