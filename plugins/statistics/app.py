"""The tools `statistics_describe` and `statistics_fit_line`."""

import statistics

import wit_world
from componentize_py_types import Err

# A float holds the square of such a number, and sums of many squares.
LARGEST = 1e150


class WitWorld(wit_world.WitWorld):
    """The functions of `wit/world.wit`. What they raise as `Err` is the tool's error, which a model reads."""

    def describe(self, numbers: list[float]) -> wit_world.Summary:
        if not numbers:
            raise Err("nothing to describe: give at least one number")
        require_moderate(numbers)
        lower, median, upper = quartiles(numbers)
        return wit_world.Summary(
            count=len(numbers),
            minimum=min(numbers),
            lower_quartile=lower,
            median=median,
            upper_quartile=upper,
            maximum=max(numbers),
            mean=statistics.mean(numbers),
            standard_deviation=statistics.stdev(numbers) if len(numbers) > 1 else None,
        )

    def fit_line(self, points: list[wit_world.Point]) -> wit_world.Line:
        xs, ys = [point.x for point in points], [point.y for point in points]
        require_moderate(xs + ys)
        try:
            slope, intercept = statistics.linear_regression(xs, ys)
        except statistics.StatisticsError:
            raise Err("no line is determined: give at least two points that differ in x")
        return wit_world.Line(slope=slope, intercept=intercept, correlation=correlation(xs, ys))


def correlation(xs: list[float], ys: list[float]) -> float | None:
    """Pearson's correlation, which is not defined when all y are equal."""
    try:
        return statistics.correlation(xs, ys)
    except statistics.StatisticsError:
        return None


def quartiles(numbers: list[float]) -> list[float]:
    """The quartiles as spreadsheets have them (QUARTILE.INC)."""
    if len(numbers) == 1:
        return numbers * 3
    return statistics.quantiles(numbers, n=4, method="inclusive")


def require_moderate(numbers: list[float]) -> None:
    """Refuses what cannot be calculated with."""
    for number in numbers:
        if abs(number) > LARGEST:
            raise Err(f"{number} is too large to calculate with: give all numbers in a larger unit")
