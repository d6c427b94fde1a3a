//! Dates in tables: as standards, spreadsheets and programs of several countries write them.

use super::columns::Order;
use crate::further::When;

/// A cell with a date; what can't be read as a day stays a text.
pub(super) fn read(cell: &str, order: Order) -> When {
    let when = When::read(cell);
    if !matches!(when, When::Text(_)) {
        return when;
    }
    let date = cell.split(' ').next().unwrap_or_default();
    let Some(mark) = date.chars().find(|c| ['/', '.', '-'].contains(c)) else { return when };
    let numbers: Vec<Option<i16>> = date.split(mark).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect();
    let (first, second, year) = match numbers.as_slice() {
        [Some(first), Some(second)] => (*first, *second, None),
        // A year in front.
        [Some(year @ 32..), Some(month), Some(day)] => return day_of(Some(*year), *month, *day).unwrap_or(when),
        [Some(first), Some(second), Some(year @ 100..)] => (*first, *second, Some(*year)),
        _ => return when,
    };
    // A number above 12 is no month; between points the day stands first.
    let month_first = second > 12 || (mark == '/' && first <= 12 && order == Order::MonthFirst);
    let (month, day) = if month_first { (first, second) } else { (second, first) };
    day_of(year, month, day).unwrap_or(when)
}

fn day_of(year: Option<i16>, month: i16, day: i16) -> Option<When> {
    When::day(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_many_programs_are_read() {
        use Order::{DayFirst, MonthFirst};
        for (cell, order, plain) in [
            ("1970-11-23", MonthFirst, "1970-11-23"),
            ("--11-23", DayFirst, "--11-23"),
            ("11/23/1970", MonthFirst, "1970-11-23"),
            ("23/11/1970", MonthFirst, "1970-11-23"),
            ("2/3/1970", MonthFirst, "1970-02-03"),
            ("2/3/1970", DayFirst, "1970-03-02"),
            ("2.3.1970", MonthFirst, "1970-03-02"),
            ("23.11.1970 00:00:00", DayFirst, "1970-11-23"),
            ("1970/11/23", DayFirst, "1970-11-23"),
            ("24.12.", DayFirst, "--12-24"),
            ("99/99/1970", DayFirst, "99/99/1970"),
            ("2/3/70", DayFirst, "2/3/70"),
            ("in spring", DayFirst, "in spring"),
            ("", DayFirst, ""),
        ] {
            assert_eq!(read(cell, order).plain(), plain, "{cell}");
        }
    }
}
