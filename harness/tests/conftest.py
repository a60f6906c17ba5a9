"""How the tests are shared out between two workers, where pytest-xdist is installed."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The kill matrices, which take longest, come first, each for itself; of the others each file stays
    together.
    """
    items.sort(key=is_no_matrix)
    for item in filter(is_no_matrix, items):
        item.add_marker(pytest.mark.xdist_group(item.path.name))


def is_no_matrix(item: pytest.Item) -> bool:
    return item.path.name != "test_house_mistakes.py"
