"""Decoded images kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import Tensor


class ImageCache:
    """Least recently used images, at most `limit` bytes; empty again in another process."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self.items: OrderedDict[Hashable, Tensor] = OrderedDict()
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["limit"])

    def get(self, key: Hashable) -> Tensor | None:
        with self.lock:
            if key in self.items:
                self.items.move_to_end(key)
            return self.items.get(key)

    def put(self, key: Hashable, image: Tensor) -> None:
        size = image.numel() * image.element_size()
        with self.lock:
            if size > self.limit or key in self.items:
                return
            self.items[key] = image
            self.used += size
            while self.used > self.limit:
                _, gone = self.items.popitem(last=False)
                self.used -= gone.numel() * gone.element_size()
