"""Many texts by number, on disk: one file without a name, and eight bytes of memory for each text.

The file is gone when it is closed or the process ends, whatever ends it. Leaves out changing a text.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plaudit.store import explain_disk_errors


class Texts:
    """Texts by number, in the order in which they were added; the file lies in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with explain_disk_errors(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, texts: Iterable[str]) -> None:
        """Append these."""
        coded = [text.encode("utf-8", "surrogatepass") for text in texts]
        with explain_disk_errors(self.folder):
            self._file.write(b"".join(coded))
            self._file.flush()
        self._ends.extend((self._ends[-1] + np.cumsum([len(each) for each in coded], dtype=np.int64)).tolist())

    def take(self, numbers: Iterable[int] | NDArray[np.integer]) -> list[str]:
        """The texts of these numbers, in their order."""
        file, ends = self._file.fileno(), self._ends
        return [os.pread(file, ends[i + 1] - ends[i], ends[i]).decode("utf-8", "surrogatepass") for i in numbers]

    def close(self) -> None:
        """Give up the file."""
        self._file.close()
