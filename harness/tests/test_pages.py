"""The pages in a real browser: they open, fold and unfold by keyboard, show the timeline, and run nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


def test_failures_stand_open_and_passes_open_by_keyboard(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    failed, passed = browser.find_elements("css selector", "details")
    assert failed.get_attribute("open") and not passed.get_attribute("open")
    summary = passed.find_element("css selector", "summary")
    summary.send_keys("\n")
    assert passed.get_attribute("open")
    summary.click()
    assert not passed.get_attribute("open")


def test_the_step_that_broke_is_marked_and_so_is_its_moment(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    (broken,) = browser.find_elements("css selector", "li.broke")
    assert "gets" in broken.text
    if shutil.which("strace"):
        (mark,) = browser.find_elements("css selector", "svg.timeline text.mark")
        assert mark.text.startswith("ann gets") and mark.is_displayed()


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
    browser.get((tmp_path / "site" / "index.html").as_uri())
    entries = browser.find_elements("css selector", ".sidebar-tree a")
    assert len(entries) >= 8, "a link in the navigation for each lab"
    browser.get((tmp_path / "site" / "search.html").as_uri() + "?q=zombie")
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 30).until(lambda driver: driver.find_elements("css selector", "ul.search li a"))
