"""``plaudit export RUN --to trl|reward``: what a run has made, for other people's programs.

Each export is a new folder that appears whole or not at all, with ``export.json`` beside the rest: what it is, what it came
from, how many of what. Leaves out uploading it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit import __version__
from plaudit.config import to_dict
from plaudit.errors import ConfigError, StoreError, did_you_mean
from plaudit.store import Run, explain_disk_errors
from plaudit.world_file import title

KINDS = ("trl", "reward")
"""What ``--to`` takes."""


@dataclass(frozen=True)
class ExportOptions:
    """What ``plaudit export`` is told."""

    to: str
    """``trl``: preference pairs as a data set; ``reward``: the fitted networks with a loader."""
    out: str = ""
    """The new folder; empty for RUN/export/KIND."""
    margin: bool = False
    """Whether pairs have the column ``margin``, which TRL's RewardTrainer takes off in its loss wherever it is there."""


def export(run: Run, options: ExportOptions) -> Path:
    """Write the export; returns its folder."""
    if options.to not in KINDS:
        raise ConfigError(f"--to takes {' or '.join(KINDS)}, got {options.to!r}.{did_you_mean(options.to, KINDS)}")
    if options.margin and options.to != "trl":
        raise ConfigError("--margin is a column of preference pairs: --to trl")
    path = Path(options.out) if options.out else run.folder / "export" / options.to
    with new_folder(path) as folder:
        if options.to == "trl":
            from plaudit.exports.pairs import write_pairs

            write_pairs(run, folder, options.margin)
        else:
            from plaudit.exports.reward import write_reward

            write_reward(run, folder)
    return path


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that gets its name when it is whole; one that exists is never overwritten."""
    if path.exists():
        raise StoreError(f"{path} exists already. Give another folder (--out FOLDER), or delete that one.")
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def origin(run: Run) -> dict[str, Any]:
    """Where an export comes from; of a world's file its name only, since folders are nobody else's business."""
    asked = (run.finished("annotate") or {}).get("summary", {})
    world = to_dict(run.config)["world"]
    return {
        "plaudit": __version__,
        "world": world | {"name": title(world["name"])},
        "route": run.config.route,
        "goal": asked.get("goal", ""),
        "judge": {key: asked.get(key) for key in ("model", "protocol", "prompt_hash")},
    }
