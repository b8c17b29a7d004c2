#!/usr/bin/env python3
"""report_test.py - the arithmetic of report.py: what is paired with what, and when a goal counts as reached."""
import unittest

from report import Cell, Goal, Results, Table, goal_rows, goals_table, paired_table, ratio_text, shape_table

TITLES = {"binary": "ours", "http": "ours, HTTP", "redis": "Redis", "beanstalkd": "beanstalkd"}
DURABLE = ["redis", "beanstalkd"]


def results(shape: str, **rates: list[float]) -> Results:
    """Each server's rates by round, the same in put and take; the faster, the smaller its p99. 0: not measured."""
    made = Results()
    for server, list_of_rates in rates.items():
        for round_, rate in enumerate(list_of_rates):
            for work in ("put", "take") if rate else ():
                made.add(round_, server, shape, work, Cell(rate, 1e6 / rate / 2, 1e6 / rate))
    return made


class Ratios(unittest.TestCase):
    def test_a_ratio_is_of_the_same_round(self) -> None:
        # The machine is ten times as fast in the second round; the medians of the rates would say 11/20.
        made = results("1", binary=[10, 200, 11], redis=[5, 100, 20])
        self.assertEqual(made.ratios("binary", "redis", "1", "put"), [2, 2, 0.55])
        self.assertEqual(ratio_text(made.ratios("binary", "redis", "1", "put")), "2.00 [0.55-2.00]")

    def test_a_round_that_one_of_them_lacks_is_no_pair(self) -> None:
        self.assertEqual(results("1", binary=[0, 20, 30], redis=[5, 10, 0]).ratios("binary", "redis", "1", "put"),
                         [2])

    def test_the_best_peer_has_the_best_median(self) -> None:
        made = results("16", redis=[1, 5, 6], beanstalkd=[4, 4, 100])
        self.assertEqual(made.best(DURABLE, "16", "put"), "redis")
        self.assertIsNone(made.best(DURABLE, "64", "put"))


class Goals(unittest.TestCase):
    def verdicts(self, made: Results, goal: Goal) -> list[tuple[str, str]]:
        return [(row[2], row[-1]) for row in goal_rows(made, goal, TITLES, DURABLE)]

    def test_a_ratio_that_is_just_enough_is_reached_and_p99_stands_beside_it(self) -> None:
        goal = Goal("1", "redis", 2.0, works=("put",))
        self.assertEqual(self.verdicts(results("1", binary=[10], redis=[5]), goal),
                         [("ours to Redis", "reached"), ("p99: ours to Redis", "reached")])
        self.assertEqual(self.verdicts(results("1", binary=[9], redis=[10]), goal),
                         [("ours to Redis", "NOT REACHED"), ("p99: ours to Redis", "NOT REACHED")])

    def test_the_best_peer_is_named(self) -> None:
        made = results("16", binary=[10], redis=[5], beanstalkd=[6])
        self.assertEqual(self.verdicts(made, Goal("16", "best", 1.6, works=("take",)))[0],
                         ("ours to beanstalkd", "reached"))

    def test_what_was_not_measured_is_not_reached_either(self) -> None:
        for made in (results("16", redis=[5]), results("16", binary=[5]), Results()):
            self.assertEqual(self.verdicts(made, Goal("16", "redis", 1, works=("put",))),
                             [("ours to Redis", "not measured")])

    def test_a_rate_of_its_own_is_judged_by_its_median(self) -> None:
        goal = Goal("64", "", 20, ours="http", works=("put",))
        self.assertEqual(self.verdicts(results("64", http=[19, 20, 90]), goal), [("ours, HTTP", "reached")])
        self.assertEqual(self.verdicts(results("64", http=[19, 19, 90]), goal), [("ours, HTTP", "NOT REACHED")])

    def test_goals_of_other_shapes_are_left_out(self) -> None:
        self.assertEqual(goals_table(Results(), [], TITLES, DURABLE).rows, [])
        self.assertEqual(len(goals_table(Results(), ["16"], TITLES, DURABLE).rows), 2)


class Tables(unittest.TestCase):
    def test_a_row_has_a_cell_for_each_head(self) -> None:
        made = results("1", binary=[10, 20], redis=[5, 10])
        for ours in ("binary", None):
            table = shape_table(made, "1", TITLES, ours)
            self.assertEqual([row[0] for row in table.rows], ["ours", "Redis"])
            self.assertTrue(all(len(row) == len(table.head) for row in table.rows))
        self.assertEqual(shape_table(made, "1", TITLES, "binary").rows[1][3], "2.00 [2.00-2.00]")

    def test_takes_that_failed_leave_the_puts_to_be_read(self) -> None:
        made = results("1", binary=[10])
        made.add(0, "redis", "1", "put", Cell(5, 1, 1))
        table = shape_table(made, "1", TITLES, "binary")
        self.assertEqual(table.rows[1][3:], ["2.00", "failed", "", ""])
        self.assertEqual(len(table.rows[1]), len(table.head))

    def test_columns_stand_below_each_other(self) -> None:
        text = Table(["a", "long head"], [["long cell", "b"]]).text()
        self.assertEqual({line.index("|", 1) for line in text.splitlines()}, {12})

    def test_a_pair_is_judged_by_the_median_of_its_ratios(self) -> None:
        last = paired_table("p99", [(1, 1.9), (1, 2), (1, 9)], 2, str).rows[-1]
        self.assertIn("2.00 [1.90-9.00], goal <= 2: reached", last)
        self.assertIn("NOT REACHED", paired_table("p99", [(1, 3)], 2, str).rows[-1][-1])


if __name__ == "__main__":
    unittest.main()
