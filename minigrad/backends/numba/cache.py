"""Numba's cache of compiled code, which ends no run: damaged, full or missing, it is done without.

Numba unpickles what its files hold, and then runs it. After a loss of power a file may be empty or
hold zeros, so each entry carries its SHA-256; where no file can be written, each start compiles.
"""

# mypy: disable-error-code="no-untyped-call, misc"
from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.serialize import dumps

F = TypeVar("F", bound=Callable[..., Any])


_REMEDY = "set NUMBA_CACHE_DIR to a folder in which you may write"
_problems: list[str] = []  # the first is said, since all functions share it


def _warn(problem: str) -> None:
    _problems.append(problem)
    if len(_problems) == 1:
        warnings.warn(f"minigrad: compiled kernels {problem}", RuntimeWarning, stacklevel=3)


def cached(function: F, **options: Any) -> F:
    """Compile a function at its first call, or take what an earlier process has compiled."""
    compiled = numba.njit(function, **options)
    try:
        compiled._cache = _Cache(function)
    except (RuntimeError, OSError) as error:  # Numba found no folder that it can write to
        _warn(f"cannot be kept, so each start compiles them anew ({error}); {_REMEDY}")
    return compiled  # type: ignore[no-any-return]


class _Entries(IndexDataCacheFile):
    """The files of a function's cache, with a checksum over each entry and its key."""

    def save(self, key: Any, data: Any) -> None:
        content = dumps((key, data))
        super().save(key, (hashlib.sha256(content).digest(), content))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        if found is None:
            return None
        digest, content = found
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its checksum is not that of its content")
        own, data = pickle.loads(content)
        return data if own == key else None


class _Cache(FunctionCache):
    """Numba's cache of a function, without its errors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp, name = self._impl.locator.get_source_stamp(), self._impl.filename_base
        self._cache_file = _Entries(self.cache_path, f"{name}-checked", stamp)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except OSError:  # `save_overload` will say what is wrong there
            return None
        except Exception as error:  # of a damaged file pickle may raise anything
            _warn(
                f"in {self.cache_path} are damaged ({error!r}) and compiled anew; if this comes "
                "again, delete the .nbi and .nbc files there"
            )
        try:
            self.flush()
        except OSError:
            self.disable()
        return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except Exception as error:
            _warn(f"cannot be kept in {self.cache_path} ({error}); {_REMEDY}")
            self.disable()
