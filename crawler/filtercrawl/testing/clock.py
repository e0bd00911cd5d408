"""Another day, as the modules of a plugin see the clock."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

_LATER: Final = 400 * 86_400.0


class _StandsForBase(type):
    """A class whose instances are, to `isinstance`, all those of its base: a plugin may ask for the type of a value."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])


class _LaterDateTime(datetime.datetime, metaclass=_StandsForBase):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=_LATER)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)


class _LaterDate(datetime.date, metaclass=_StandsForBase):
    @classmethod
    def today(cls) -> Any:
        return datetime.date.today() + datetime.timedelta(seconds=_LATER)


@contextmanager
def another_day(module: str) -> Iterator[None]:
    """Let the modules of a plugin's package see a clock that is a year ahead; all others see the time.

    Args:
        module: A module of the package.
    """
    package = module.partition(".")[0]
    own = [loaded for name, loaded in list(sys.modules.items()) if name.partition(".")[0] == package and loaded]
    with ExitStack() as stack:
        for replaced, stands_for in _replacements():
            for loaded in own:
                for name, value in list(vars(loaded).items()):
                    if value is replaced:
                        stack.enter_context(patch.object(loaded, name, stands_for))
        yield


def _replacements() -> Iterator[tuple[Any, Any]]:
    later_time = _Shifted(time, time=lambda: time.time() + _LATER, time_ns=lambda: time.time_ns() + int(_LATER * 1e9))
    yield time, later_time
    yield time.time, later_time.time
    yield time.time_ns, later_time.time_ns
    yield datetime, _Shifted(datetime, datetime=_LaterDateTime, date=_LaterDate)
    yield datetime.datetime, _LaterDateTime
    yield datetime.date, _LaterDate


class _Shifted:
    """A module with other functions or classes."""

    def __init__(self, module: Any, **changed: Any) -> None:
        self._module = module
        vars(self).update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
