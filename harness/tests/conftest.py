"""How the tests are shared out between two workers, where pytest-xdist is installed."""

import pytest
from _pytest.terminal import TerminalReporter

from labkit.surroundings import default_signals


def pytest_configure() -> None:
    """A shell's `&` leaves SIGINT ignored; but some tests, and what they start, wait for it."""
    default_signals()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The kill matrices and the solutions, which take longest, come first, each for itself; of the others
    each file stays together.
    """
    items.sort(key=is_short)
    for item in filter(is_short, items):
        item.add_marker(pytest.mark.xdist_group(item.path.name))


def is_short(item: pytest.Item) -> bool:
    return item.path.name not in ("test_house_mistakes.py", "test_house_references.py")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Says where the time went: the seconds of each file, most first. Two workers' seconds overlap."""
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                name = report.nodeid.partition("::")[0].rpartition("/")[2]
                seconds[name] = seconds.get(name, 0.0) + report.duration
    terminalreporter.section("where the time went")
    for name, spent in sorted(seconds.items(), key=lambda entry: -entry[1]):
        terminalreporter.write_line(f"{spent:8.1f} s  {name}")
