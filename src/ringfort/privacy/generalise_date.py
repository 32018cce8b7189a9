"""Dates and times as coarser ones, as columns: what `ringfort.year_date_v1` and the like give, row by row.

A time with a zone is taken in UTC. An infinity (the lowest and the highest value of the Arrow type, as
PostgreSQL's own binary format has it) and what lies outside PostgreSQL's range become null. Years are those
of the proleptic Gregorian calendar. Of a year without four digits nothing is told but, of a birth, that it
was before `form_rules.BORN` or after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ringfort.errors import UsageError
from ringfort.privacy.form_rules import BORN_BANDS, BORN_LABELS, YEARS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FIRST_DAY = -2_440_588  # 4714-11-24 BC, PostgreSQL's first
LAST_DAY = {"date": 2_145_042_905, "timestamp": 106_762_939}  # 5874897-12-31 and 294276-12-31
_UNITS_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_TOLD = tuple(
    int(np.datetime64(f"{each:04}-01-01", "D").astype(np.int64)) for each in (YEARS[0], YEARS[1] + 1)
)
_TABLE = 4096  # texts are made by table if there are not more between the least and the largest


def day(values: pa.Array) -> pa.Array:
    """The day."""
    days, told = _told(values)
    return pa.array(days.astype(np.int32), pa.int32(), mask=~told).cast(pa.date32())


def month(values: pa.Array) -> pa.Array:
    """Year and month, `1999-02`."""
    days, told = _told(values)
    years, months, _ = civil(days)
    return _texts(years * 12 + (months - 1), told, lambda number: f"{number // 12}-{number % 12 + 1:02}")


def year(values: pa.Array) -> pa.Array:
    """The year, as int32."""
    days, told = _told(values)
    return pa.array(civil(days)[0].astype(np.int32), pa.int32(), mask=~told)


def born(values: pa.Array) -> pa.Array:
    """Five years, `1995-1999`."""
    days, finite = days_of(values)
    return five_years(civil(days)[0], finite)


def five_years(years: NDArray[np.int64], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """The five years that a year lies in, as text, with one band for all before and one for all after."""
    places = np.searchsorted(np.array(BORN_BANDS), years, side="right")
    mask = None if valid is None else ~valid
    return pa.array(BORN_LABELS, pa.string()).take(pa.array(places, pa.int64(), mask=mask))


def _told(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970-01-01, and which of them lie in a year of four digits; 0 for the others."""
    days, finite = days_of(values)
    told = finite & (days >= _TOLD[0]) & (days < _TOLD[1])
    return np.where(told, days, 0), told


def days_of(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970-01-01, 0 where there is none, and where there is one."""
    arrow = values.type
    if pa.types.is_date32(arrow):
        raw, per_day, last = values.view(pa.int32()), 1, LAST_DAY["date"]
    elif pa.types.is_date64(arrow):
        raw, per_day, last = values.view(pa.int64()), _UNITS_A_DAY["ms"], LAST_DAY["date"]
    elif pa.types.is_timestamp(arrow):
        raw, per_day, last = values.view(pa.int64()), _UNITS_A_DAY[arrow.unit], LAST_DAY["timestamp"]
    else:
        raise UsageError(f"values of type `{arrow}` are no dates")
    numbers: NDArray[Any] = raw.fill_null(0).to_numpy(zero_copy_only=False)
    limits = np.iinfo(numbers.dtype)
    finite = values.is_valid().to_numpy(zero_copy_only=False)
    days = numbers if per_day == 1 else np.floor_divide(numbers, per_day)
    finite &= (numbers != limits.min) & (numbers != limits.max) & (days >= FIRST_DAY) & (days <= last)
    return np.where(finite, days, 0).astype(np.int64), finite


def civil(days: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Astronomical years, months (1 to 12) and days of the month, of days since 1970-01-01.

    Source: Howard Hinnant, chrono-compatible low-level date algorithms, `civil_from_days`.
    """
    shifted = days + 719_468  # since 0000-03-01
    era = np.floor_divide(shifted, 146_097)
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * of_year + 2) // 153
    months = np.where(from_march < 10, from_march + 3, from_march - 9)
    return year_of_era + era * 400 + (months <= 2), months, of_year - (153 * from_march + 2) // 5 + 1


def _texts(
    numbers: NDArray[np.int64], valid: NDArray[np.bool_], text: Callable[[int], str]
) -> pa.StringArray:
    """A text for each number, null where not valid; each distinct text is made once."""
    numbers = np.where(valid, numbers, 0 if not valid.any() else numbers[valid.argmax()])
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if high - low < _TABLE:
        present, places = np.arange(low, high + 1), numbers - low
    else:
        present, places = np.unique(numbers, return_inverse=True)
    labels = pa.array([text(int(each)) for each in present], pa.string())
    return labels.take(pa.array(places, pa.int64(), mask=~valid))
