"""The table of a comparison for programs: ``arms.csv`` and ``arms.parquet``, one row for each way, failed ones included."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from plaudit.analysis.claims import contest
from plaudit.report.compare_charts import gap
from plaudit.report.compare_ways import Comparison, Way, read
from plaudit.store import atomic

NUMBERS = ("env_steps", "collect_steps", "questions", "tokens", "usd", "seconds", "failures", "flip_rate", "first_rate")
"""Taken over from ``compare.json``; ``usd`` is money, ``seconds`` wall time, the last three are shares."""
TEXTS = ("arm", "route", "status", "reason", "interval", "model", "about")
"""Columns of text."""
WHOLE = ("seeds", "episodes", "env_steps", "collect_steps", "questions", "tokens")
"""Columns of whole numbers; all others are real."""


def write_tables(folder: Path) -> tuple[Path, Path]:
    """Write both files; their paths."""
    rows = table(read(folder))
    paths = folder / "arms.csv", folder / "arms.parquet"
    with atomic(paths[0]) as file:
        file.write(_csv(rows).encode())
    with atomic(paths[1]) as file:
        _parquet(rows, file)
    return paths


def table(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each way, in the order of the page; what is not known is None."""
    plain = next((way.by_seed for way in comparison.ways if way.name == "llm"), {})
    return [_row(way, plain) for way in comparison.ways]


def _row(way: Way, plain: dict[int, float]) -> dict[str, Any]:
    spread = way.success
    row: dict[str, Any] = {"arm": way.name, "route": way.route, "control": way.is_control, "status": way.status}
    row |= {"reason": way.text("reason"), "seeds": len(way.by_seed), "episodes": way.episodes}
    row |= {
        "success_iqm": spread.point if spread else None,
        "success_low": spread.low if spread else None,
        "success_high": spread.high if spread else None,
        "interval": spread.kind if spread else "",
        "success_mean": sum(way.by_seed.values()) / len(way.by_seed) if way.by_seed else None,
        "optimality_gap": gap(way),
        "task_return": way.task_return,
        "length": way.length,
    }
    difference = contest(way.by_seed, plain).difference if way.is_technique and way.by_seed and plain else None
    row |= {
        "difference_to_llm": difference.point if difference else None,
        "difference_low": difference.low if difference else None,
        "difference_high": difference.high if difference else None,
    }
    numbers = {key: way.number(key) for key in NUMBERS}
    row |= {key: int(v) if key in WHOLE and v is not None else v for key, v in numbers.items()}
    return row | {"model": way.text("model"), "about": way.text("about")}


def _csv(rows: list[dict[str, Any]]) -> str:
    """As spreadsheets read it. Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    for row in rows:
        writer.writerow([_inert(value) if isinstance(value, str) else value for value in row.values()])
    return buffer.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _parquet(rows: list[dict[str, Any]], file: Any) -> None:
    """With the types written down, so that a column without any value is still one of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kind(name: str) -> Any:
        return pa.string() if name in TEXTS else pa.int64() if name in WHOLE else pa.float64()

    names = list(rows[0]) if rows else []
    schema = pa.schema([(name, pa.bool_() if name == "control" else kind(name)) for name in names])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")
