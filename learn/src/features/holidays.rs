//! Which days are unlike others? A list from the settings.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Most days of a list.
const DAYS_MAX: usize = 10_000;

/// Days, by date or the same every year; saved as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Holidays {
    written: Vec<String>,
    dates: BTreeSet<NaiveDate>,
    /// Month and day.
    yearly: BTreeSet<(u32, u32)>,
}

impl Holidays {
    /// How many days.
    pub(crate) fn len(&self) -> usize {
        self.dates.len() + self.yearly.len()
    }

    /// 1 on one of the days (UTC), 0 on others, NaN where missing.
    pub(crate) fn flag(&self, seconds: Option<i64>) -> f32 {
        let Some(time) = seconds.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0)) else {
            return f32::NAN;
        };
        let day = time.date_naive();
        f32::from(self.yearly.contains(&(day.month(), day.day())) || self.dates.contains(&day))
    }
}

impl TryFrom<Vec<String>> for Holidays {
    type Error = String;

    fn try_from(written: Vec<String>) -> Result<Self, String> {
        if written.len() > DAYS_MAX {
            return Err(format!("{} holidays, at most {DAYS_MAX} are allowed", written.len()));
        }
        let (mut dates, mut yearly) = (BTreeSet::new(), BTreeSet::new());
        for day in &written {
            // 2024 is a leap year: the 29th of February is a day.
            let of_a_year = || NaiveDate::parse_from_str(&format!("2024-{day}"), "%Y-%m-%d").ok();
            match NaiveDate::parse_from_str(day, "%Y-%m-%d") {
                Ok(date) => drop(dates.insert(date)),
                Err(_) => match of_a_year().filter(|_| day.len() <= 5) {
                    Some(date) => drop(yearly.insert((date.month(), date.day()))),
                    None => {
                        return Err(format!("holiday \"{day}\" is no day; write 2024-02-10, or 12-25 for every year"));
                    }
                },
            }
        }
        Ok(Self { written, dates, yearly })
    }
}

impl From<Holidays> for Vec<String> {
    fn from(holidays: Holidays) -> Self {
        holidays.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::date::parse;

    #[test]
    fn days_are_found_by_date_and_every_year() {
        let holidays =
            Holidays::try_from(vec!["2024-02-10".to_owned(), "12-25".to_owned(), "02-29".to_owned()]).unwrap();
        for (text, expected) in [
            ("2024-02-10T00:00:00Z", 1.0),
            ("2024-02-10T23:59:59Z", 1.0),
            ("2024-02-11", 0.0),
            ("2023-02-10", 0.0),
            ("1999-12-25", 1.0),
            ("2024-02-29", 1.0),
        ] {
            assert_eq!(holidays.flag(parse(text)), expected, "{text}");
        }
        assert!(holidays.flag(None).is_nan() && holidays.flag(Some(i64::MAX)).is_nan());
        for wrong in ["2023-02-29", "13-01", "tomorrow", "", "2024-01"] {
            let error = Holidays::try_from(vec![wrong.to_owned()]).unwrap_err();
            assert!(error.contains(&format!("holiday \"{wrong}\" is no day")), "{error}");
        }
    }
}
