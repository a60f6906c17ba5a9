"""How the tests are shared out between two workers, where pytest-xdist is installed."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The kill matrices, which take longest, come first, each for itself; of the others each file stays together."""
    items.sort(key=lambda item: item.path.name != "test_house_mistakes.py")
    for item in items:
        if item.path.name != "test_house_mistakes.py":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
