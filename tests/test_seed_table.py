"""Several seeds of a system in one row."""

from experiments.rows.report import system_table
from experiments.rows.row import RowResult


def result(system, seed, sdr, train_s=1.5, **more):
    medians = {"SDR": sdr, "SIR": 2.0, "SAR": None, "ISR": sdr}
    scores = {"targets": {"vocals": {"median_db": medians}, "accompaniment": {"median_db": {"SDR": 1.0}}}}
    return RowResult(system=system, seed=seed, scores=scores, train_s=train_s, **more)


def cells(table):
    return [{column.title: column.cell(row) for column in table.columns} for row in table.rows]


def test_mean_and_sample_deviation():
    results = [result("mad", 0, 1.0), result("mad", 1, 2.0), result("mad", 2, 6.0), result("dws-1-4", 0, 5.0)]
    mad, dws = cells(system_table(results))
    expected = {"system": "mad", "seeds": "3", "SDR (dB)": "3.00 ± 2.65", "SIR (dB)": "2.00 ± 0.00", "SAR (dB)": "–"}
    assert mad.items() >= (expected | {"ISR (dB)": "3.00 ± 2.65", "training (s)": "4"}).items()  # 2.65 is √7
    assert dws.items() >= {"system": "dws-1-4", "seeds": "1", "SDR (dB)": "5.00", "training (s)": "2"}.items()


def test_costs_are_those_of_a_seed_and_times_medians():
    times = (0.010, 0.030, 0.011)
    more = [{"train_step_s": time, "masker_parameters": 1234567, "total_parameters": 2} for time in times]
    (row,) = cells(system_table([result("mad", seed, 1.0, **one) for seed, one in enumerate(more)]))
    assert row["train step (ms)"] == "11.0"
    assert (row["masker params"], row["total params"], row["compile (s)"]) == ("1,234,567", "2", "–")


def test_in_a_terminal_the_sdr_alone_has_a_deviation():
    table = system_table([result("mad", 0, 1.0), result("mad", 1, 2.0)], spread=["voice_sdr_db"])
    (row,) = cells(table)
    assert (row["SDR (dB)"], row["SIR (dB)"]) == ("1.50 ± 0.71", "2.00")


def test_nothing_for_single_seeds_and_failed_rows():
    failed = RowResult(system="mad", seed=1, status="failed: loss is nan at step 3")
    mixture = RowResult(system="mixture", seed=None, scores=result("", 0, 1.0).scores)
    results = [mixture, result("mad", 0, 1.0), failed]
    assert system_table(results) is None
    of_mixture, mad = system_table([*results, result("mad", 2, 2.0)]).rows
    assert (of_mixture["status"], of_mixture["seeds"], of_mixture["voice_sdr_db"]) == ("done", None, "1.00")
    assert (mad["status"], mad["seeds"], mad["voice_sdr_db"]) == (failed.status, 2, "1.50 ± 0.71")


def test_the_file_says_what_stands_there():
    table = system_table([result("mad", 0, 1.0), result("mad", 1, 2.0)])
    assert table.markdown().startswith("Mean ± standard deviation (n - 1) over the seeds; times: median.\n\n| system ")
    assert "| mad      |       2 | 1.50 ± 0.71 |" in table.markdown()
