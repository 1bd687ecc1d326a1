"""How long a table of counts takes to read, against the engine's own bare query.

Makes a Parquet file of as many rows as asked for, each a query with its behaviour,
family, successes and trials; then takes turns: DuckDB's own ``group by`` of these four
columns, with the same memory limit, and `read_table`, each in a process of its own.
Prints the seconds of each, without the start of its process and imports, the ratio of
the medians, and the peak memory of read_table's process.

    python benchmarks/summarise.py [--rows 1e8] [--turns 5] [--weights] [--identities]

The file lies in a temporary folder (2 to 30 bytes a row) and goes with it.
"""

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from study import study

from bayes_rare.readers.tables.read_table import MEMORY_LIMIT

# Four behaviours, 50 families, 10 to 100 trials, half of the successes 0.
ROWS = """
select 'behaviour ' || i % 4 as behaviour,
  'template ' || hash(i) % 50 as family,
  least(trials, floor(-1.5 * ln((hash(i + 2) % 1000003 + 1) / 1000004)))::int
    as successes,
  trials {more}
from (select i, (10 * (1 + hash(i + 1) % 10))::int as trials from range({rows}) t(i))
"""
WEIGHTS = ", (1 + hash(i + 3) % 1000) / 10 as weight"
IDENTITIES = ", 'query ' || i as query_id"

BARE = """
import json, sys, time
import duckdb
connection = duckdb.connect(config={"memory_limit": sys.argv[2]})
connection.execute("set enable_progress_bar = false")
more = ", sum(weight), sum(weight * weight)" if sys.argv[3] == "True" else ""
start = time.perf_counter()
connection.execute(
    f"select behaviour, family, successes, trials, count(*) {more} "
    f"from read_parquet('{sys.argv[1]}') group by all"
).fetchall()
print(json.dumps({"seconds": time.perf_counter() - start}))
"""
READ = """
import json, re, sys, time
from pathlib import Path
import bayes_rare.readers.tables.summarise, pandas
from bayes_rare.readers.tables.read_table import read_table
start = time.perf_counter()
evaluation = read_table(sys.argv[1])
seconds = time.perf_counter() - start
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 2**20
queries = sum(evaluation.sizes.values())
cells = len(evaluation.tallied["count"])
print(json.dumps(dict(seconds=seconds, peak=peak, queries=queries, cells=cells)))
"""


def run(script: str, path: Path, weights: bool) -> dict[str, float]:
    """What a script prints, in a process of its own."""
    arguments = [str(path), MEMORY_LIMIT, str(weights)]
    command = [sys.executable, "-c", script, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Print seconds, their ratio and the peak memory."""
    parser = study(__doc__)
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--identities", action="store_true")
    given = parser.parse_args()
    rows, more = (
        int(given.rows),
        WEIGHTS * given.weights + IDENTITIES * given.identities,
    )
    with TemporaryDirectory(prefix="bayes-rare-") as folder:
        free = shutil.disk_usage(folder).free
        if free < 60 * rows:
            sys.exit(f"{folder} has {free / 1e9:.0f} GB free, too few for {rows} rows")
        path = Path(folder) / "counts.parquet"
        duckdb.connect(
            config={"memory_limit": "2GB", "preserve_insertion_order": "false"}
        ).execute(f"copy ({ROWS.format(rows=rows, more=more)}) to '{path}'")
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        bare, read = [], []
        for turn in range(given.turns):
            bare.append(run(BARE, path, given.weights)["seconds"])
            read.append(run(READ, path, given.weights))
            print(
                f"turn {turn + 1}: bare group by {bare[-1]:.2f} s, "
                f"read_table {read[-1]['seconds']:.2f} s, {read[-1]['peak']:.2f} GiB",
                flush=True,
            )
    assert read[0]["queries"] == rows
    seconds = statistics.median(one["seconds"] for one in read)
    ratio = seconds / statistics.median(bare)
    print(f"{read[0]['cells']:,.0f} cells")
    print(f"read_table takes {ratio:.2f} times as long as the bare query (medians)")
    print(f"peak memory of read_table {max(one['peak'] for one in read):.2f} GiB")


if __name__ == "__main__":
    main()
