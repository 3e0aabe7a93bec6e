"""How one model does on the sets that forgetting is measured on, or what a second one has forgotten.

Run: python benchmarks/forgetting.py (the embedded model), or with --after taught.gguf --leave-out wordle
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from plaudit.config import LLMConfig
from plaudit.finetune import forgetting, forgotten_table
from plaudit.finetune.records import Measurement
from plaudit.stages.parts import make_llm


def measured(name: str, suite: forgetting.Suite) -> Measurement:
    llm = make_llm(LLMConfig(model=name))
    start, processor = time.perf_counter(), time.process_time()
    try:
        found = forgetting.measure(llm, suite)
    finally:
        llm.close()
    seconds, used = time.perf_counter() - start, time.process_time() - processor
    print(f"{name}: {suite.size} items in {seconds:.0f} s, {used:.0f} processor seconds")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llm", default="embedded")
    parser.add_argument("--after", default="", help="a second model, to be compared with the first")
    parser.add_argument("--sets", nargs="+", default=forgetting.SETS)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    suite = forgetting.standard_suite(args.sets, leave_out=args.leave_out, every=args.every)
    before = measured(args.llm, suite)
    after = measured(args.after, suite) if args.after else before
    if args.out:
        forgetting.write(before, after, args.out)
    found = forgetting.summary(before, after)
    if args.after:
        print(forgotten_table.markdown(found, kinds=True))
        return
    print("| set | items | chance | right |\n| --- | --- | --- | --- |")
    for row in (*found.sets, *found.kinds):
        low, high = row.before_interval
        print(f"| {row.name} | {row.items} | {row.chance:.0%} | {row.before:.1%} ({low:.1%} to {high:.1%}) |")
    for text in found.text:
        print(f"| perplexity, {text.name} | {text.tokens:,} tokens | | {text.before:.2f} |")


if __name__ == "__main__":
    main()
