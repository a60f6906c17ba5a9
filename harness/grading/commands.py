"""How every command of the harness begins and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from labkit.steps import CouldNotTell
from labkit.surroundings import settle

from .model import Unusable


def command(name: str, main: Callable[[], int]) -> NoReturn:
    """Runs main() in surroundings that are always the same, and ends with its exit status.

    2 if the command cannot be used so, 3 if the machine did not let it do its work, 130 after Ctrl-C.
    """
    try:
        for note in settle():
            print(f"{name}: {note}", file=sys.stderr)
        status = main()
    except Unusable as error:
        print(f"{name}: {error}", file=sys.stderr)
        status = 2
    except (CouldNotTell, OSError) as error:  # a full disk, say
        print(f"{name}: {error}", file=sys.stderr)
        status = 3
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
