"""Seconds and megabytes that an import of a large Inspect log takes.

Makes a log of 100,000 samples in ten epochs, with the members and summaries that
Inspect writes (zstd, where inspect-ai is installed, else deflate), and imports it in
a process of its own. Prints the time, the peak memory and what was read:

    python benchmarks/import_inspect.py --samples 100000 --epochs 10
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

IMPORT = """
import resource, sys, time
from pathlib import Path
import bayes_rare
started = time.perf_counter()
made = bayes_rare.import_inspect(
    sys.argv[1], behaviour_values=["C"], family="group", max_dropped=0.05
)
made.save(Path(sys.argv[2]))
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
(tally,) = made.dropped.tallies
print(f"{seconds:.1f} s, peak {peak:.0f} MB, {tally.read:,} rows read, "
      f"{tally.kept:,} kept, {tally.lost:,} lost, {tally.queries:,} queries")
"""
WORDS = ["please", "explain", "how", "a", "careful", "person", "would", "answer", "it"]


def summaries(samples: int, epochs: int, seed: int) -> Iterator[str]:
    """Summaries as Inspect writes them, some failed and some without a score."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=40)) for _ in range(1_000)]
    for epoch in range(1, epochs + 1):
        for number in range(samples):
            failed, unscored = rng.random() < 0.01, rng.random() < 0.01
            value = float("nan") if unscored else "C" if rng.random() < 0.02 else "I"
            score = {"value": value, "explanation": "mock judge", "history": []}
            yield json.dumps(
                {
                    "id": f"q{number:06d}",
                    "epoch": epoch,
                    "input": f"{number}: {texts[number % 1_000]}",
                    "target": "harmful",
                    "metadata": {"group": f"g{number % 50}", "subgroup": "s1"},
                    "scores": {} if failed else {"leaks": score},
                    "model_usage": {"m": {"input_tokens": 50, "output_tokens": 90}},
                    "role_usage": {},
                    "started_at": "2026-11-23T14:49:05.860548+00:00",
                    "completed_at": "2026-11-23T14:49:06.034810+00:00",
                    "total_time": round(rng.random(), 3),
                    "working_time": round(rng.random(), 3),
                    "uuid": f"{rng.getrandbits(120):030x}",
                    "error": "RuntimeError('provider timed out')" if failed else None,
                    "retries": 0,
                    "completed": True,
                    "message_count": 2,
                    "turn_count": 1,
                }
            )


def write_log(path: Path, samples: int, epochs: int, seed: int) -> None:
    """A finished log, with a member for each sample, as in a real one."""
    method = zipfile.ZIP_DEFLATED
    try:
        import zipfile_zstd  # noqa: F401  # pyright: ignore
    except ImportError:
        if sys.version_info >= (3, 14):
            method = zipfile.ZIP_ZSTANDARD  # pyright: ignore
    else:
        method = 93
    spec = {
        "task": "large",
        "task_id": "large",
        "model": "mockllm/model",
        "created": "2026-11-23T14:49:05+00:00",
        "dataset": {"sample_ids": [f"q{n:06d}" for n in range(samples)]},
        "config": {"epochs": epochs},
        "scorers": [{"name": "leaks"}],
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(
            "_journal/start.json", json.dumps({"version": 2, "eval": spec})
        )
        for epoch in range(1, epochs + 1):
            for number in range(samples):
                archive.writestr(
                    f"samples/q{number:06d}_epoch_{epoch}.json",
                    "{}",
                    zipfile.ZIP_STORED,
                )
        with archive.open("summaries.json", "w", force_zip64=True) as file:
            for number, text in enumerate(summaries(samples, epochs, seed)):
                file.write((",\n" if number else "[\n").encode() + text.encode())
            file.write(b"\n]")
        head = {"version": 2, "status": "success", "eval": spec, "plan": {}}
        archive.writestr("header.json", json.dumps(head))


def main() -> None:
    """Make the log, import it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log, output = Path(folder) / "log.eval", Path(folder) / "evaluation.parquet"
        write_log(log, given.samples, given.epochs, given.seed)
        with zipfile.ZipFile(log) as archive:
            size = archive.getinfo("summaries.json").file_size
        print(
            f"{given.samples:,} samples x {given.epochs} epochs, "
            f"{size / 1e6:,.0f} MB of summaries in a log of "
            f"{log.stat().st_size / 1e6:,.0f} MB:",
            flush=True,
        )
        subprocess.run(
            [sys.executable, "-c", IMPORT, str(log), str(output)], check=True
        )


if __name__ == "__main__":
    main()
