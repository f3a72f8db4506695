//! Numbers and names as findings write them.

use super::EXAMPLES_MAX;

/// `1 row`, `12,000 rows`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match n {
        _ if what.is_empty() => text,
        1 => format!("{text} {what}"),
        _ => format!("{text} {what}s"),
    }
}

/// `12 of 300 rows (4.0 %)`.
pub(crate) fn part(n: u64, all: u64, what: &str) -> String {
    format!("{} of {} ({})", counted(n, ""), counted(all, what), percent(share(n, all)))
}

pub(crate) fn share(n: u64, all: u64) -> f64 {
    n as f64 / all.max(1) as f64
}

/// `4.0 %`, with two digits at least where it is little.
pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        x if x > 0.0 && x < 0.01 => "<0.01 %".into(),
        x if x < 0.1 && x > 0.0 => format!("{x:.2} %"),
        x if x > 99.9 && x < 100.0 => ">99.9 %".into(),
        x => format!("{x:.1} %"),
    }
}

/// `"a", "b" and 12 more`.
pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    let named: Vec<String> = all.iter().take(EXAMPLES_MAX).map(|name| format!("\"{name}\"")).collect();
    match all.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `rows 3, 7 and more`, counted from 1 as people do.
pub(crate) fn places(rows: &[u64], all: u64) -> String {
    let shown: Vec<String> = rows.iter().take(5).map(|row| (row + 1).to_string()).collect();
    let more = if all > shown.len() as u64 { " and more" } else { "" };
    format!("row{} {}{more}", if all == 1 { "" } else { "s" }, shown.join(", "))
}

/// The first rows that were met, at most ten.
#[derive(Default)]
pub(crate) struct Examples {
    pub(crate) count: u64,
    pub(crate) rows: Vec<u64>,
}

impl Examples {
    /// Notes a row; rows may come in any order.
    pub(crate) fn add(&mut self, row: u64) {
        self.count += 1;
        if self.rows.len() == EXAMPLES_MAX && self.rows.last().is_some_and(|last| *last < row) {
            return;
        }
        let place = self.rows.partition_point(|other| *other < row);
        self.rows.insert(place, row);
        self.rows.truncate(EXAMPLES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
        assert_eq!(counted(999, "row"), "999 rows");
        assert_eq!(counted(1_234_567, ""), "1,234,567");
        assert_eq!(counted(1, ""), "1");
        assert_eq!(part(12, 300, "row"), "12 of 300 rows (4.0 %)");
        assert_eq!(
            [0.0, 0.00001, 0.0007, 0.5, 0.9999, 1.0].map(percent),
            ["0.0 %", "<0.01 %", "0.07 %", "50.0 %", ">99.9 %", "100.0 %"]
        );
        assert_eq!(names(["a", "b"].into_iter()), "\"a\", \"b\"");
        assert!(names(std::iter::repeat_n("a", 14)).ends_with("\"a\" and 4 more"));
        assert_eq!(places(&[0], 1), "row 1");
        assert_eq!(places(&[0, 4], 20), "rows 1, 5 and more");
    }

    #[test]
    fn examples_are_the_first_rows_in_order() {
        let mut examples = Examples::default();
        (0..30).rev().for_each(|row| examples.add(row * 2));
        assert_eq!(examples.rows, (0..10).map(|row| row * 2).collect::<Vec<u64>>());
        assert_eq!(examples.count, 30);
    }
}
