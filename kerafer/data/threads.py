"""Work spread over threads, with results in order and bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

THREADS = min(8, os.cpu_count() or 1)
CHUNK = 256
"""Pictures that are decoded or hashed at a time, which bounds the memory."""

Part = TypeVar("Part")
Result = TypeVar("Result")


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process; a forked process has none of its parent's, and makes its own."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix=f"kerafer-{process}")


def in_order(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield `function(part)` for each part, in order, computed a few parts ahead on threads.

    Example:
        >>> list(in_order(abs, [-2, 1, -3]))
        [2, 1, 3]
    """
    waiting: deque[Future[Result]] = deque()
    pool = _pool(os.getpid())
    try:
        for part in parts:
            waiting.append(pool.submit(function, part))
            if len(waiting) > 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def chunks(count: int, size: int = CHUNK) -> list[range]:
    """Return ranges that cover `count` items.

    Example:
        >>> chunks(5, 2)
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(i, min(i + size, count)) for i in range(0, count, size)]
