"""Mean and standard deviation over seeds."""

from experiments.rows.report import seed_table
from experiments.rows.row import RowResult


def result(system, seed, sdr, train_s=1.5):
    medians = {"SDR": sdr, "SIR": 2.0, "SAR": None, "ISR": sdr}
    scores = {"targets": {"vocals": {"median_db": medians}}}
    return RowResult(system=system, seed=seed, scores=scores, train_s=train_s)


def test_mean_and_sample_deviation():
    results = [result("mad", 0, 1.0), result("dws-1-4", 0, 5.0), result("mad", 1, 2.0), result("mad", 2, 6.0)]
    table = seed_table(results)
    (row,) = table.rows
    cells = [column.cell(row) for column in table.columns]
    assert cells == [
        "mad",
        "3",
        "3.00 ± 2.65",
        "2.00 ± 0.00",
        "–",
        "3.00 ± 2.65",
        "4",
    ]  # 2.65 is √7


def test_nothing_for_single_seeds_and_failed_rows():
    failed = RowResult(system="mad", seed=1, status="failed: loss is nan at step 3")
    references = [RowResult(system="mixture", seed=None, scores=result("", 0, 1.0).scores)] * 2
    results = [result("mad", 0, 1.0), failed, *references]
    assert seed_table(results) is None


def test_both_tables_have_the_line():
    table = seed_table([result("mad", 0, 1.0), result("mad", 1, 2.0)])
    assert table.markdown().startswith("Mean ± standard deviation (n - 1) over the seeds:\n\n| system ")
    assert "| mad      |       2 | 1.50 ± 0.71 |" in table.markdown()
    assert table.terminal().row_count == 1
    assert table.terminal().title == "mean ± standard deviation over the seeds"
