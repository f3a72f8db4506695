//! What is to be predicted: classes or numbers?

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::did_you_mean;
use crate::features::values::{
    self, Mismatch, complaint, counted, each_number, each_text, holds, is_number, is_text, sort_values,
};
use crate::hash::QuickMap;
use crate::spec::TaskSpec;
use crate::{Error, Result};

/// Integers with more different values than this are numbers, not classes, where nobody said.
const INTEGER_CLASSES_MAX: usize = 20;

/// Most classes a model can tell apart.
const CLASSES_MAX: usize = 10_000;

/// Rows and labels that an error names.
const NAMED_MAX: usize = 5;

/// The kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A real number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of three classes or more.
    Multiclass,
}

impl From<Task> for TaskSpec {
    fn from(task: Task) -> Self {
        match task {
            Task::Regression => Self::Regression,
            Task::Binary | Task::Multiclass => Self::Classification,
        }
    }
}

/// The fitted target. Classes are numbered by `labels`; numbers are trained on as `(value - mean) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The column.
    pub column: String,
    /// The kind of answer.
    pub task: Task,
    /// Class names in order (sorted: numbers by value, then text); empty for numbers.
    pub labels: Vec<String>,
    /// Mean of the training rows' values, rounded to `f32`; 0 for classes.
    #[serde(with = "single")]
    pub mean: f64,
    /// Standard deviation of the training rows' values, rounded to `f32`; 1 for classes.
    #[serde(with = "single")]
    pub scale: f64,
}

/// Written as `f32`: JSON gives back an `f64` only to the last digit but one.
mod single {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        (*value as f32).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f32::deserialize(deserializer).map(f64::from)
    }
}

impl Target {
    /// Looks at the target column: picks the task where it is `auto`, lists the classes, measures the numbers.
    ///
    /// Fit it on all rows first: that finds what is wrong with the column, and the task, which the split needs. Fitted
    /// again on the training rows with that task, it is what the model learns.
    ///
    /// # Errors
    /// A column that is missing, has missing or infinite values, one value only, or text that never repeats; a class
    /// with one row; text for a regression.
    pub fn fit(task: TaskSpec, column: &str, train: &[RecordBatch]) -> Result<Self> {
        let arrays = arrays(column, train)?;
        let rows: usize = arrays.iter().map(|array| array.len()).sum();
        if rows == 0 {
            return Err(Error::invalid(format!("there are no rows to learn the target \"{column}\" from")));
        }
        let kind = arrays[0].data_type();
        let classes = match task {
            TaskSpec::Regression => false,
            TaskSpec::Classification => true,
            TaskSpec::Auto if kind.is_integer() => few_values(&arrays, rows),
            TaskSpec::Auto => is_text(kind) || matches!(kind, DataType::Boolean | DataType::Dictionary(..)),
        };
        match classes {
            true => Self::fit_classes(column, labels(column, &arrays)?, rows),
            false => Self::fit_numbers(column, &arrays),
        }
    }

    fn fit_classes(column: &str, classes: QuickMap<String, Class>, rows: usize) -> Result<Self> {
        check_classes(column, &classes, rows)?;
        let mut labels: Vec<String> = classes.into_keys().collect();
        sort_values(&mut labels);
        let task = if labels.len() == 2 { Task::Binary } else { Task::Multiclass };
        Ok(Self { column: column.into(), task, labels, mean: 0.0, scale: 1.0 })
    }

    fn fit_numbers(column: &str, arrays: &[&dyn Array]) -> Result<Self> {
        let values = numbers(column, arrays)?;
        if values.iter().all(|&x| x == values[0]) {
            return Err(constant(column, &values[0].to_string(), values.len()));
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let (mean, scale) = (mean as f32, variance.sqrt() as f32);
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let (mean, scale) = (f64::from(mean), f64::from(scale));
        Ok(Self { column: column.into(), task: Task::Regression, labels: vec![], mean, scale })
    }

    /// The class numbers or the values of the rows, in the target's units: `[rows]`.
    ///
    /// # Errors
    /// A missing column or value, a label that the training rows do not have.
    pub fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<f32>> {
        let arrays = arrays(&self.column, batches)?;
        if self.task == Task::Regression {
            return numbers(&self.column, &arrays);
        }
        let codes: QuickMap<&str, usize> = self.labels.iter().map(String::as_str).zip(0..).collect();
        let mut classes = Vec::with_capacity(arrays.iter().map(|array| array.len()).sum());
        let mut foreign = None;
        each_label(&self.column, &arrays, &mut |row, label| {
            let class = codes.get(label).copied();
            if class.is_none() && foreign.is_none() {
                foreign = Some((row, label.to_owned()));
            }
            classes.push(class.unwrap_or_default() as f32);
        })?;
        let Some((row, label)) = foreign else { return Ok(classes) };
        let known: Vec<String> = self.labels.iter().take(NAMED_MAX).map(|label| format!("\"{label}\"")).collect();
        let more = if self.labels.len() > NAMED_MAX { ", ..." } else { "" };
        Err(Error::invalid(format!(
            "target column \"{}\", row {}: no training row has the class \"{label}\" (they have {}{more}){}; write it the \
             same in every row, or leave such rows out in the table's SQL",
            self.column,
            row + 1,
            known.join(", "),
            did_you_mean(&label, self.labels.iter().map(String::as_str)),
        )))
    }

    /// Class numbers or values as a column of the target's own words: labels as text, values as `Float32`.
    pub fn decode(&self, values: &[f32]) -> ArrayRef {
        if self.labels.is_empty() {
            return Arc::new(Float32Array::from(values.to_vec()));
        }
        Arc::new(values.iter().map(|&class| self.label(class as u32)).collect::<StringArray>())
    }

    /// The name of a class; nothing for numbers and for classes that are not there.
    pub fn label(&self, class: u32) -> Option<&str> {
        self.labels.get(class as usize).map(String::as_str)
    }
}

/// Whether integers look like class numbers: two values, or few and each of them often.
fn few_values(arrays: &[&dyn Array], rows: usize) -> bool {
    let mut seen: Vec<f64> = Vec::new();
    for array in arrays {
        // Integers can be read as numbers; a NaN is a missing value and is complained about later.
        let _ = each_number(*array, &mut |_, x| {
            if seen.len() <= INTEGER_CLASSES_MAX && !x.is_nan() && !seen.contains(&x) {
                seen.push(x);
            }
        });
    }
    seen.len() <= 2 || (seen.len() <= INTEGER_CLASSES_MAX && seen.len() * 5 <= rows)
}

/// Rows of a class and the first of them.
struct Class {
    rows: usize,
    first: usize,
}

fn labels(column: &str, arrays: &[&dyn Array]) -> Result<QuickMap<String, Class>> {
    let found: Vec<_> = arrays.par_iter().map(|array| labels_of(column, *array)).collect();
    let mut classes: QuickMap<String, Class> = QuickMap::default();
    let (mut before, mut missing) = (0, Vec::new());
    for (array, found) in arrays.iter().zip(found) {
        let (labels, gaps) = found?;
        for (label, Class { rows, first }) in labels {
            classes.entry(label).or_insert(Class { rows: 0, first: before + first }).rows += rows;
        }
        missing.extend(gaps.into_iter().map(|row| before + row));
        before += array.len();
    }
    check_labels(column, &missing, before)?;
    Ok(classes)
}

/// The classes of an array, and its rows without one.
fn labels_of(column: &str, array: &dyn Array) -> Result<(QuickMap<String, Class>, Vec<usize>)> {
    let (mut classes, mut missing) = (QuickMap::<String, Class>::default(), Vec::new());
    each_label_of(column, array, &mut |row, label| match label {
        None => missing.push(row),
        Some(label) => match classes.get_mut(label) {
            Some(class) => class.rows += 1,
            None => drop(classes.insert(label.to_owned(), Class { rows: 1, first: row })),
        },
    })?;
    Ok((classes, missing))
}

fn check_classes(column: &str, classes: &QuickMap<String, Class>, rows: usize) -> Result<()> {
    if let Some(label) = classes.keys().next().filter(|_| classes.len() == 1) {
        return Err(constant(column, &format!("\"{label}\""), rows));
    }
    if classes.len() == rows {
        return Err(Error::invalid(format!(
            "target column \"{column}\": all {rows} values are different, so no class can be learned; name another target, \
             or ask for a regression if they are numbers"
        )));
    }
    if classes.len() > CLASSES_MAX {
        let count = classes.len();
        return Err(Error::invalid(format!(
            "target column \"{column}\" has {count} classes, at most {CLASSES_MAX} can be learned"
        )));
    }
    let mut single: Vec<(usize, &str)> = classes
        .iter()
        .filter(|(_, class)| class.rows == 1)
        .map(|(label, class)| (class.first, label.as_str()))
        .collect();
    single.sort_unstable();
    let Some((row, label)) = single.first() else { return Ok(()) };
    let others = match single.len() - 1 {
        0 => String::new(),
        others => format!(", and so {} more", if others == 1 { "has 1".into() } else { format!("have {others}") }),
    };
    Err(Error::invalid(format!(
        "target column \"{column}\": the class \"{label}\" has only one row (row {}){others}; a class needs two rows at \
         least: add rows, merge it with another class or leave it out in the table's SQL",
        row + 1
    )))
}

/// The target's part of each batch.
fn arrays<'a>(column: &str, batches: &'a [RecordBatch]) -> Result<Vec<&'a dyn Array>> {
    let array = |batch: &'a RecordBatch| {
        batch.column_by_name(column).map(AsRef::as_ref).ok_or_else(|| {
            let hint = did_you_mean(column, batch.schema_ref().fields().iter().map(|field| field.name().as_str()));
            Error::NotFound(format!("no target column \"{column}\" in the table{hint}"))
        })
    };
    batches.iter().map(array).collect()
}

/// Calls `f` with the row and the label of each row, blanks at its ends taken off.
fn each_label(column: &str, arrays: &[&dyn Array], f: &mut dyn FnMut(usize, &str)) -> Result<()> {
    let (mut before, mut missing) = (0, Vec::new());
    for array in arrays {
        each_label_of(column, *array, &mut |row, label| match label {
            Some(label) => f(before + row, label),
            None => missing.push(before + row),
        })?;
        before += array.len();
    }
    check_labels(column, &missing, before)
}

/// Calls `f` with the label of each row of an array, if it has one.
fn each_label_of(column: &str, array: &dyn Array, f: &mut dyn FnMut(usize, Option<&str>)) -> Result<()> {
    each_text(array, &mut |row, label| f(row, label.map(str::trim).filter(|label| !label.is_empty())))
        .map_err(|_| unfit(column, array))
}

fn check_labels(column: &str, missing: &[usize], rows: usize) -> Result<()> {
    check_rows(column, "no value", missing, rows, "IS NOT NULL")
}

/// The numbers of a regression's target.
fn numbers(column: &str, arrays: &[&dyn Array]) -> Result<Vec<f32>> {
    let (mut values, mut missing, mut infinite) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = 0;
    for array in arrays {
        if !is_number(array.data_type()) && !is_text(array.data_type()) && array.data_type() != &DataType::Null {
            return Err(unfit(column, *array));
        }
        each_number(*array, &mut |row, x| {
            let value = values::narrow(x);
            if x.is_nan() {
                missing.push(before + row);
            } else if value.is_nan() {
                infinite.push(before + row);
            }
            values.push(value);
        })
        .map_err(|_| {
            complaint(column, *array, before, Mismatch::Type, "a number, because it is the target of a regression")
        })?;
        before += array.len();
    }
    check_rows(column, "no value (or NaN)", &missing, before, "IS NOT NULL")?;
    check_rows(column, "an infinite value", &infinite, before, "< 1e37")?;
    Ok(values)
}

fn check_rows(column: &str, what: &str, wrong: &[usize], rows: usize, condition: &str) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = wrong.iter().take(NAMED_MAX).map(|row| (row + 1).to_string()).collect();
    Err(Error::invalid(format!(
        "target column \"{column}\" has {what} in {} of {rows} ({} {}{}); leave them out in the table's SQL: WHERE \
         \"{column}\" {condition}",
        wrong.len(),
        if wrong.len() == 1 { "row" } else { "rows" },
        named.join(", "),
        if wrong.len() > NAMED_MAX { ", ..." } else { "" },
    )))
}

fn constant(column: &str, value: &str, rows: usize) -> Error {
    let rows = counted(rows as u64, "row");
    Error::invalid(format!(
        "target column \"{column}\" has the same value {value} in all {rows}: there is nothing to learn; name another target"
    ))
}

fn unfit(column: &str, array: &dyn Array) -> Error {
    let holds = holds(array.data_type());
    Error::invalid(format!(
        "target column \"{column}\" holds {holds}, expected classes (text, whole numbers, booleans) or numbers"
    ))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, DictionaryArray, Float64Array, Int64Array};
    use arrow::datatypes::Int8Type;

    use super::*;

    fn batch(array: impl Array + 'static) -> [RecordBatch; 1] {
        [RecordBatch::try_from_iter([("y", Arc::new(array) as ArrayRef)]).unwrap()]
    }

    fn words(values: &[&str]) -> [RecordBatch; 1] {
        batch(StringArray::from(values.to_vec()))
    }

    #[test]
    fn the_task_follows_type_and_values() {
        let check = |rows: &[RecordBatch], task, labels: &[&str]| {
            let target = Target::fit(TaskSpec::Auto, "y", rows).unwrap();
            assert_eq!(
                (target.task, target.labels.iter().map(String::as_str).collect::<Vec<_>>()),
                (task, labels.to_vec())
            );
        };
        check(&words(&["no", "yes ", " no", "yes"]), Task::Binary, &["no", "yes"]);
        check(&words(&["10", "9", "a", "10", "9", "a", "-1", "-1"]), Task::Multiclass, &["-1", "9", "10", "a"]);
        check(
            &words(&["<=50K.", "<=50K", ">50K", "<=50K.", "<=50K", ">50K"]),
            Task::Multiclass,
            &["<=50K", "<=50K.", ">50K"],
        );
        check(&batch(BooleanArray::from(vec![true, false, true, false])), Task::Binary, &["false", "true"]);
        check(&batch(Int64Array::from(vec![1, 0, 1, 0])), Task::Binary, &["0", "1"]);
        check(
            &batch(Int64Array::from_iter_values((0..100).map(|i| i % 12))),
            Task::Multiclass,
            &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
        );
        check(&batch(Int64Array::from_iter_values((0..50).map(|i| i % 12))), Task::Regression, &[]);
        check(&batch(Int64Array::from_iter_values(0..100)), Task::Regression, &[]);
        check(&batch(Float64Array::from(vec![0.0, 1.0, 0.0, 1.0])), Task::Regression, &[]);
        let codes: DictionaryArray<Int8Type> = ["b", "a", "b", "a"].into_iter().collect();
        check(&batch(codes), Task::Binary, &["a", "b"]);
    }

    #[test]
    fn classes_become_numbers_and_back() {
        let rows = words(&["no", "yes", "no ", "yes"]);
        let target = Target::fit(TaskSpec::Auto, "y", &rows).unwrap();
        let codes = target.encode(&rows).unwrap();
        assert_eq!(codes, [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(target.decode(&codes).as_ref(), &StringArray::from(vec!["no", "yes", "no", "yes"]) as &dyn Array);
        let message = target.encode(&words(&["yes", "No."])).unwrap_err().to_string();
        assert!(
            message.contains(
                "row 2: no training row has the class \"No.\" (they have \"no\", \"yes\"); did you mean \"no\"?"
            ),
            "{message}"
        );
    }

    #[test]
    fn numbers_are_measured_and_survive_their_file() {
        let target = Target::fit(TaskSpec::Auto, "y", &batch(Float64Array::from(vec![0.1, 0.2, 0.3, 0.7]))).unwrap();
        // numpy.mean and numpy.std
        assert!((target.mean - 0.325).abs() < 1e-7 && (target.scale - 0.227_760_84).abs() < 1e-7, "{target:?}");
        let file = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<Target>(&file).unwrap(), target);
        assert_eq!(target.encode(&batch(Int64Array::from(vec![7]))).unwrap(), [7.0]);
    }

    #[test]
    fn a_target_that_cannot_be_learned_is_refused_with_its_place() {
        let check = |task, rows: &[RecordBatch], expected: &str| {
            let message = Target::fit(task, "y", rows).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let auto = TaskSpec::Auto;
        let named = RecordBatch::try_from_iter([("yy", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        check(auto, &[named], "no target column \"y\" in the table; did you mean \"yy\"?");
        check(auto, &[], "there are no rows");
        check(auto, &words(&[]), "there are no rows");
        check(auto, &words(&["a", "a", "a "]), "has the same value \"a\" in all 3 rows");
        check(auto, &batch(Float64Array::from(vec![2.5; 4])), "has the same value 2.5 in all 4 rows");
        check(auto, &words(&["a", "b", "c"]), "all 3 values are different");
        check(auto, &words(&["a", "b", "b", "a", "c"]), "the class \"c\" has only one row (row 5)");
        check(auto, &words(&["a", "b", "b", "d", "c"]), "the class \"a\" has only one row (row 1), and so have 2 more");
        check(auto, &batch(StringArray::from(vec![Some("a"), None, Some(" ")])), "has no value in 2 of 3 (rows 2, 3)");
        check(
            auto,
            &batch(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)])),
            "has no value (or NaN) in 2 of 3 (rows 2, 3)",
        );
        check(auto, &batch(Float64Array::from(vec![1.0, f64::INFINITY])), "has an infinite value in 1 of 2 (row 2)");
        check(TaskSpec::Regression, &words(&["1", "2", "n/a"]), "row 3: \"n/a\" is text, expected a number");
        check(TaskSpec::Classification, &batch(Int64Array::from_iter_values(0..30)), "all 30 values are different");
        check(auto, &batch(arrow::array::BinaryArray::from(vec![b"x".as_ref()])), "holds binary data, expected");
        check(auto, &batch(arrow::array::Date32Array::from(vec![1, 2])), "holds dates, expected");
        check(auto, &batch(arrow::array::NullArray::new(2)), "has no value");
    }
}
