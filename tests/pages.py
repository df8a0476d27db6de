"""What the pages (README.md and the others) take from files: tables that commands have left, and tables of the code.

`python tests/pages.py` writes them into the pages anew, after a result has been measured again.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

RESULTS = ROOT / "experiments" / "results"

PAGES = [
    "README.md",
    "madsep_jax/README.md",
    "data_pipelines/README.md",
    "experiments/README.md",
    "experiments/benchmarks/README.md",
    "experiments/results/README.md",
    "tests/README.md",
    ".github/CONTRIBUTING.md",
    ".github/CHANGELOG.md",
]


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def kept_tables():
    """Paths of all tables that are kept, below the folder of results."""
    found = [path for name in ("table.md", "summary.md") for path in RESULTS.rglob(name)]
    return sorted(path.relative_to(RESULTS).as_posix() for path in found)


def read_table(file):
    """The first table of a kept file: a dictionary a row."""
    blocks = (RESULTS / file).read_text(encoding="utf-8").split("\n\n")
    lines = next(block for block in blocks if block.startswith("|")).splitlines()
    titles, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def is_printed(table, text):
    """Whether a text has all lines of the first table of a page, cell by cell, as terminals show them."""
    _, _, *rows = [line for line in table.split("\n\n")[0].splitlines() if line.startswith("|")]
    lines = [line.split() for line in text.splitlines()]
    return bool(rows) and all(row.replace("|", " ").split() in lines for row in rows)


def write_table(rows):
    """Rows as Markdown: the first column to the left, numbers to the right."""
    titles = list(rows[0])
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *[list(row.values()) for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quick_table():
    """The columns of the quick run's table that answer the question."""
    names = ["system", "SDR (dB)", "SIR (dB)", "SAR (dB)", "masker params", "GFLOP / s audio", "train step (ms)"]
    return write_table([{name: row[name] for name in names} for row in read_table("quick/table.md")])


def speed_table():
    """The train steps of both measurements beside PyTorch: as the C library comes, and with freed memory kept."""
    plain, kept = [
        {row["system"]: row for row in read_table(f"{folder}/summary.md") if row["mode"] == "train"}
        for folder in ("throughput", "throughput-kept-memory")
    ]
    names = {
        "parameters": "parameters",
        "GFLOP / s audio": "GFLOP / s audio",
        "jax (ms)": "train step (ms)",
        "/ torch": "/ PyTorch",
        "/ torch tuned": "/ tuned",
    }
    ratios = {"/ torch": "memory kept: / PyTorch", "/ torch tuned": "memory kept: / tuned"}
    return write_table(
        [
            {"system": system}
            | {new: row[old] for old, new in names.items()}
            | {new: kept[system][old] for old, new in ratios.items()}
            for system, row in plain.items()
        ]
    )


def deviations():
    from madsep_jax.config.presets import deviations_table

    return deviations_table().strip()


def taken():
    """What stands between the marks, by page and name."""
    return {
        ("README.md", "quick table"): quick_table(),
        ("README.md", "speed table"): speed_table(),
        ("madsep_jax/README.md", "deviations"): deviations(),
        **{
            ("experiments/results/README.md", file): (RESULTS / file).read_text(encoding="utf-8").strip()
            for file in kept_tables()
        },
    }


def marked(text):
    """What stands between all marks of a page, by name."""
    return dict(re.findall(r"<!-- (\S.*?): begin -->\n(.*?)\n<!-- \1: end -->", text, flags=re.DOTALL))


def main():
    for (page, name), table in taken().items():
        found = re.compile(rf"(<!-- {re.escape(name)}: begin -->\n).*?(<!-- {re.escape(name)}: end -->)", re.DOTALL)
        text, count = found.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text_of(page))
        assert count == 1, f"{page}: expected the marks of {name!r} once, found them {count} times"
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
