"""The run's log: one JSON object per line, and TensorBoard when asked for."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from visus.extras import need
from visus.records import write_atomically


class RunLog:
    """Rows of numbers, buffered; values may be tensors on a device and are read when the buffer is flushed.

    The number of rows is part of a checkpoint: `truncate` takes back what came after it.
    """

    def __init__(self, file: Path | None, *, tensorboard: Path | None = None) -> None:
        self.file = file
        self.rows: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []
        self._board: Any = None
        if tensorboard is not None:
            need("tensorboard", extra="tensorboard", purpose="writing TensorBoard logs")
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(tensorboard))

    def add(self, **row: Any) -> None:
        """Add one row."""
        self._waiting.append({"time": round(time.time(), 3), **row})

    def flush(self) -> list[dict[str, Any]]:
        """Write waiting rows and return them as plain numbers."""
        fresh = [{key: _plain(value) for key, value in row.items()} for row in self._waiting]
        self._waiting.clear()
        self.rows += fresh
        if self.file is not None and fresh:
            with open(self.file, "a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in fresh)
        if self._board is not None:
            for row in fresh:
                for key, value in row.items():
                    if isinstance(value, float) and key != "time":
                        self._board.add_scalar(f"{row['phase']}/{key}", value, row["step"])
            self._board.flush()
        return fresh

    def truncate(self, count: int) -> None:
        """Keep the first `count` rows of the file of an earlier process."""
        self.rows = []
        if self.file is None or not self.file.exists():
            return
        for draft in self.file.parent.glob(
            f".{self.file.name}.*"
        ):  # of a process killed while it wrote below
            draft.unlink()
        lines = self.file.read_text(encoding="utf-8").splitlines()[:count]
        self.rows = [json.loads(line) for line in lines]
        write_atomically(self.file, "".join(line + "\n" for line in lines))

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._board is not None:
            self._board.close()


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
