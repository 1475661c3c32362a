"""CSV tables of a run that is stopped, resumed, and logs more than it did."""

import csv

from b2scvr.engine.training_log import Table, time_left


def rows(path):
    return list(csv.DictReader(path.open()))


def test_rows_after_the_saved_step_and_cut_rows_go(tmp_path):
    table = Table(tmp_path / "log.csv")
    for step in (1, 2, 3):
        table.add({"step": step, "loss": step / 3})
    with table.path.open("a") as file:
        file.write("4")  # killed while it wrote
    table.forget_after(2)
    table.add({"step": 3, "loss": 0.25})
    assert [(row["step"], row["loss"]) for row in rows(table.path)] == [
        ("1", "0.333333"),
        ("2", "0.666667"),
        ("3", "0.25"),
    ]


def test_a_column_that_comes_later_is_empty_before(tmp_path):
    table = Table(tmp_path / "log.csv")
    table.add({"step": 1, "loss": 1.0})
    table.add({"step": 2, "loss": 0.5, "adversarial": 2.0})
    table.add({"step": 3, "loss": 0.25})
    table.forget_after(3)
    assert [row["adversarial"] for row in rows(table.path)] == ["", "2", ""]


def test_time_left_in_words():
    assert [time_left(seconds) for seconds in (0, 61.9, 90_000)] == ["0:00:00", "0:01:01", "25:00:00"]
