//! What do the names of folders say about the rows in them? `year=2026/month=01/a.csv` gives two columns (Hive's way).

use std::path::{Component, Path};
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use delimited::types;

use super::condition::{Comparison, Condition, Test, Value};
use super::files::Input;
use crate::error::{Error, Result};

/// What Hive calls a folder of missing values.
const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that folders make, and their values for each file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folders {
    fields: Vec<Field>,
    /// Of each file, in the order of the columns.
    values: Vec<Vec<Option<Value>>>,
}

impl Folders {
    /// The columns that the folders below `root` make.
    pub(super) fn of(files: &[Input], root: &Path) -> Result<Self> {
        let mut names: Option<Vec<String>> = None;
        let mut texts = Vec::with_capacity(files.len());
        for file in files {
            let (found, values): (Vec<String>, Vec<Option<String>>) = parts(file, root).into_iter().unzip();
            match &names {
                None => names = Some(found),
                Some(names) if *names == found => {}
                Some(names) => {
                    let shown =
                        |names: &[String]| if names.is_empty() { "no".to_owned() } else { names.join("=, ") + "=" };
                    return Err(Error::invalid(format!(
                        "{} has {} folders, but {} has {}; files of one source must have the same",
                        files[0].display(),
                        shown(names),
                        file.display(),
                        shown(&found)
                    )));
                }
            }
            texts.push(values);
        }
        let names = names.unwrap_or_default();
        if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
            return Err(Error::invalid(format!("two folders of {} are called {name}=", files[0].display())));
        }
        let kinds: Vec<DataType> = (0..names.len()).map(|at| kind(texts.iter().map(|values| &values[at]))).collect();
        let typed = |values: Vec<Option<String>>| {
            values.into_iter().zip(&kinds).map(|(text, kind)| text.and_then(|text| value(text, kind))).collect()
        };
        let values = texts.into_iter().map(typed).collect();
        let fields = names.into_iter().zip(kinds.iter()).map(|(name, kind)| Field::new(name, kind.clone(), true));
        Ok(Self { fields: fields.collect(), values })
    }

    /// The columns.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A column's value for a file, as often as it has rows.
    pub(super) fn array(&self, file: usize, column: usize, rows: usize) -> ArrayRef {
        let value = self.values.get(file).and_then(|values| values.get(column)).and_then(Option::as_ref);
        match self.fields[column].data_type() {
            DataType::Int64 => {
                let value = value.and_then(|value| if let Value::Integer(x) = value { Some(*x) } else { None });
                Arc::new(Int64Array::from(vec![value; rows]))
            }
            DataType::Date32 => {
                let value = value.and_then(|value| if let Value::Date(x) = value { Some(*x) } else { None });
                Arc::new(Date32Array::from(vec![value; rows]))
            }
            _ => {
                let value = value.and_then(|value| if let Value::Text(x) = value { Some(x.as_str()) } else { None });
                Arc::new(StringArray::from(vec![value; rows]))
            }
        }
    }

    /// Whether rows of a file can meet the conditions; those on columns before `first` are not about folders.
    pub(super) fn pass(&self, file: usize, conditions: &[Condition], first: usize) -> bool {
        conditions.iter().all(|condition| {
            let Some(column) = condition.column.checked_sub(first) else { return true };
            let value = self.values.get(file).and_then(|values| values.get(column)).and_then(Option::as_ref);
            meets(value, &condition.test)
        })
    }
}

/// Names and values of the folders between the root and a file.
fn parts(file: &Path, root: &Path) -> Vec<(String, Option<String>)> {
    let below = file.strip_prefix(root).unwrap_or(file);
    let folders = below.parent().map(Path::components).into_iter().flatten();
    let part = |folder: Component| {
        let text = folder.as_os_str().to_str()?;
        let (name, value) = text.split_once('=')?;
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        is_name.then(|| (name.to_owned(), (value != MISSING).then(|| unescaped(value))))
    };
    folders.filter_map(part).collect()
}

/// The text with `%20` and the like replaced by what they mean, where that is text.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *byte == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(meant) => {
                bytes.push(meant);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The type that all values of a column have: whole numbers, also `01` of months and days, dates, or texts.
fn kind<'a>(values: impl Iterator<Item = &'a Option<String>>) -> DataType {
    let (mut is_integer, mut is_date, mut is_seen) = (true, true, false);
    for text in values.flatten() {
        is_seen = true;
        is_integer &= integer(text).is_some();
        is_date &= types::date(text).is_some();
    }
    match (is_seen, is_integer, is_date) {
        (true, true, _) => DataType::Int64,
        (true, _, true) => DataType::Date32,
        _ => DataType::Utf8,
    }
}

/// A whole number; long ones with a 0 before them are numbers of telephones, places and things.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() <= 2 || !digits.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn value(text: String, kind: &DataType) -> Option<Value> {
    match kind {
        DataType::Int64 => integer(&text).map(Value::Integer),
        DataType::Date32 => types::date(&text).map(Value::Date),
        _ => Some(Value::Text(text)),
    }
}

fn meets(value: Option<&Value>, test: &Test) -> bool {
    match (test, value) {
        (Test::Missing, value) => value.is_none(),
        (_, None) => false,
        (Test::Present, Some(_)) => true,
        (Test::In(values), Some(value)) => values.contains(value),
        (Test::Compare(comparison, other), Some(value)) => {
            let order = match (value, other) {
                (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
                (Value::Date(a), Value::Date(b)) => a.cmp(b),
                (Value::Text(a), Value::Text(b)) => a.cmp(b),
                _ => return true, // not ours to judge
            };
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Result<Folders> {
        Folders::of(&paths.iter().map(Input::here).collect::<Vec<_>>(), Path::new("logs"))
    }

    #[test]
    fn names_of_folders_become_typed_columns() {
        let check = |paths: &[&str], expected: &[(&str, DataType)]| {
            let found = of(paths).unwrap();
            let fields: Vec<_> =
                found.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
            assert_eq!(fields, expected, "{paths:?}");
        };
        check(
            &["logs/year=2026/month=01/a.csv", "logs/year=2025/month=12/a.csv"],
            &[("year", DataType::Int64), ("month", DataType::Int64)],
        );
        check(&["logs/day=2026-01-31/a.csv"], &[("day", DataType::Date32)]);
        check(&["logs/day=2026-01-31/a.csv", "logs/day=later/a.csv"], &[("day", DataType::Utf8)]);
        check(&["logs/zip=01234/a.csv"], &[("zip", DataType::Utf8)]);
        check(&["logs/n=1/a.csv", "logs/n=__HIVE_DEFAULT_PARTITION__/a.csv"], &[("n", DataType::Int64)]);
        check(&["logs/a=b.csv", "logs/plain/c.csv"], &[]);
        check(&["x=1/logs/a.csv"], &[("x", DataType::Int64)]);
        check(&[], &[]);
        let error = of(&["logs/year=2026/a.csv", "logs/b.csv"]).unwrap_err().to_string();
        assert!(error.contains("logs/year=2026/a.csv has year= folders, but logs/b.csv has no"), "{error}");
    }

    #[test]
    fn values_are_those_of_the_folders() {
        let found = of(&[
            "logs/city=S%C3%A3o%20Paulo/a.csv",
            "logs/city=100%/a.csv",
            "logs/city=__HIVE_DEFAULT_PARTITION__/a.csv",
        ])
        .unwrap();
        let cell = |file: usize| arrow::util::display::array_value_to_string(&found.array(file, 0, 2), 1).unwrap();
        assert_eq!([cell(0), cell(1), cell(2)], ["São Paulo", "100%", ""]);
        assert_eq!(found.array(2, 0, 2).null_count(), 2);
    }

    #[test]
    fn conditions_leave_files_out() {
        let found = of(&["logs/y=2025/a.csv", "logs/y=2026/a.csv", "logs/y=__HIVE_DEFAULT_PARTITION__/a.csv"]).unwrap();
        let check = |test: Test, expected: [bool; 3]| {
            let condition = [Condition { column: 4, test }];
            assert_eq!([0, 1, 2].map(|file| found.pass(file, &condition, 4)), expected, "{condition:?}");
        };
        let year = |year: i64| Value::Integer(year);
        check(Test::Compare(Comparison::Equal, year(2026)), [false, true, false]);
        check(Test::Compare(Comparison::Less, year(2026)), [true, false, false]);
        check(Test::Compare(Comparison::LessOrEqual, year(2026)), [true, true, false]);
        check(Test::Compare(Comparison::Greater, year(2025)), [false, true, false]);
        check(Test::Compare(Comparison::GreaterOrEqual, year(2025)), [true, true, false]);
        check(Test::In(vec![year(2024), year(2025)]), [true, false, false]);
        check(Test::Missing, [false, false, true]);
        check(Test::Present, [true, true, false]);
        let other = [Condition { column: 1, test: Test::Missing }];
        assert!(found.pass(0, &other, 4), "a condition on another column");
    }
}
