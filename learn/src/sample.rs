//! Which rows stand for all where memory cannot hold all, and which of the others may be learned from?

use std::collections::{BTreeSet, HashSet};

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};

use crate::features::values::each_text;
use crate::hash::Seeded;
use crate::random::Stream;
use crate::repeated::{as_dictionaries, as_they_were};
use crate::spec::SplitSpec;
use crate::split::{self, Split};
use crate::{Error, Result};

/// Stream of the seed that says which rows are drawn.
const SAMPLE_STREAM: u64 = 0x7361_6d70_6c65;
/// Values of the target of which the first row is always drawn: a class that no drawn row has could not be learned.
const CLASSES_MAX: usize = 10_000;
/// Rows of a batch of drawn rows, at least, once there are that many.
const BATCH_ROWS: usize = 8_192;

/// Draws rows while they go by: all of them as long as they fit, then every second, fourth, eighth ... at random, each as
/// likely as the next, in their order. The same rows, seed and bound give the same sample.
#[derive(Debug)]
pub struct Sample {
    drawn: Drawn,
    target: String,
    repeated: Vec<String>,
    bytes_max: usize,
    /// Of the kept rows, as they came.
    bytes: usize,
    /// Batches and which rows they hold.
    kept: Vec<(RecordBatch, Numbers)>,
    /// Values of the target seen so far; `None` once there are too many for classes.
    classes: Option<HashSet<String, Seeded>>,
}

/// The numbers of the rows of a batch.
#[derive(Debug)]
enum Numbers {
    /// From this one on.
    From(u64),
    These(Vec<u64>),
}

impl Numbers {
    fn list(self, batch: &RecordBatch) -> Vec<u64> {
        match self {
            Self::From(first) => (first..first + batch.num_rows() as u64).collect(),
            Self::These(numbers) => numbers,
        }
    }
}

/// Which rows of a table were drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Rows of the table.
    pub rows: u64,
    /// Bytes that all rows would take.
    pub bytes: u64,
    /// Rows that were drawn.
    pub drawn: u64,
    seed: u64,
    /// Rows are drawn whose random number has no bit of these.
    mask: u64,
    /// Rows that are drawn whatever their number: the first ones of their classes.
    firsts: BTreeSet<u64>,
}

impl Drawn {
    /// Whether all rows were.
    pub fn is_all(&self) -> bool {
        self.mask == 0
    }

    fn by_chance(&self, row: u64) -> bool {
        Stream::new(self.seed, SAMPLE_STREAM).bits(row) & self.mask == 0
    }

    fn has(&self, row: u64) -> bool {
        self.by_chance(row) || self.firsts.contains(&row)
    }
}

impl Sample {
    /// Nothing drawn yet; at most `bytes_max` are kept. Of a column `target` every class is drawn at least once.
    pub fn new(target: &str, bytes_max: usize, seed: u64) -> Self {
        let drawn = Drawn { rows: 0, bytes: 0, drawn: 0, seed, mask: 0, firsts: BTreeSet::new() };
        Self {
            drawn,
            target: target.to_owned(),
            repeated: Vec::new(),
            bytes_max,
            bytes: 0,
            kept: Vec::new(),
            classes: Some(HashSet::default()),
        }
    }

    /// Columns whose values come again and again: as long as all rows are kept, each value is held once in a batch, as a
    /// dictionary, where that saves memory. Which rows are drawn is the same.
    #[must_use]
    pub fn with_repeated(self, columns: Vec<String>) -> Self {
        Self { repeated: columns, ..self }
    }

    /// Draws from the next rows of the table.
    ///
    /// # Errors
    /// Batches whose columns are not those of the first.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let before = self.drawn.rows;
        self.drawn.rows += batch.num_rows() as u64;
        self.drawn.bytes += bytes(batch) as u64;
        self.note_classes(batch, before);
        self.keep(batch, before)?;
        while self.bytes > self.bytes_max && self.drawn.mask != u64::MAX {
            self.halve()?;
        }
        Ok(())
    }

    /// The drawn rows in their order, and which they are.
    pub fn finish(mut self) -> (Vec<RecordBatch>, Drawn) {
        self.drawn.drawn = self.kept.iter().map(|(batch, _)| batch.num_rows() as u64).sum();
        (self.kept.into_iter().map(|(batch, _)| batch).collect(), self.drawn)
    }

    fn keep(&mut self, batch: &RecordBatch, before: u64) -> Result<()> {
        let (batch, numbers, bytes) = match self.drawn.is_all() {
            true => {
                let held = as_dictionaries(batch, &self.repeated).map_err(|e| changed(&e))?;
                (held, Numbers::From(before), bytes(batch))
            }
            false => {
                let (batch, numbers) = only(&self.drawn, batch, Numbers::From(before))?;
                let bytes = bytes(&batch);
                (batch, Numbers::These(numbers), bytes)
            }
        };
        if batch.num_rows() > 0 || self.kept.is_empty() {
            self.bytes += bytes;
            self.kept.push((batch, numbers));
        }
        Ok(())
    }

    /// Every second of the rows that were drawn by chance goes.
    fn halve(&mut self) -> Result<()> {
        self.drawn.mask = (self.drawn.mask << 1) | 1;
        self.bytes = 0;
        let mut merged: Vec<(Vec<RecordBatch>, Vec<u64>)> = Vec::new();
        for (batch, numbers) in std::mem::take(&mut self.kept) {
            let batch = as_they_were(&batch, &self.repeated).map_err(|e| changed(&e))?;
            let (batch, numbers) = only(&self.drawn, &batch, numbers)?;
            match merged.last_mut() {
                Some((batches, rows)) if rows.len() < BATCH_ROWS => {
                    batches.push(batch);
                    rows.extend(numbers);
                }
                _ => merged.push((vec![batch], numbers)),
            }
        }
        for (batches, numbers) in merged {
            let batch = concat_batches(&batches[0].schema(), &batches).map_err(|e| changed(&e))?;
            self.bytes += bytes(&batch);
            self.kept.push((batch, Numbers::These(numbers)));
        }
        Ok(())
    }

    fn note_classes(&mut self, batch: &RecordBatch, before: u64) {
        let Some(array) = batch.column_by_name(&self.target) else { return };
        let Some(known) = &mut self.classes else { return };
        let all = self.drawn.is_all();
        let (firsts, mut last) = (&mut self.drawn.firsts, None::<String>);
        // A type without words is no target; whoever fits it says so.
        let _ = each_text(array.as_ref(), &mut |row, value| {
            // Most rows are of the class of the row before: nothing to look up.
            if let Some(value) = value
                && last.as_deref() != Some(value)
                && known.len() <= CLASSES_MAX
            {
                last = Some(value.to_owned());
                if !known.contains(value) {
                    known.insert(value.to_owned());
                    firsts.insert(before + row as u64);
                }
            }
        });
        if known.len() > CLASSES_MAX {
            self.classes = None;
            if all {
                firsts.clear(); // none was drawn for that reason alone
            }
        }
    }
}

fn only(drawn: &Drawn, batch: &RecordBatch, numbers: Numbers) -> Result<(RecordBatch, Vec<u64>)> {
    let numbers = numbers.list(batch);
    let wanted: BooleanArray = numbers.iter().map(|&row| Some(drawn.has(row))).collect();
    let batch = filter_record_batch(batch, &wanted).map_err(|e| changed(&e))?;
    Ok((batch, numbers.into_iter().filter(|&row| drawn.has(row)).collect()))
}

fn changed(error: &arrow::error::ArrowError) -> Error {
    Error::Internal(format!("rows cannot be drawn: {error}"))
}

/// Bytes of the rows themselves, not of the buffers that a slice shares with others.
fn bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

/// The rows of a table that were not drawn, as they go by once more: those that belong to the training part.
#[derive(Debug)]
pub struct Others {
    drawn: Drawn,
    by: By,
    /// Rows that went by.
    before: u64,
}

/// What makes a row one of the training part, as the drawn rows were divided.
#[derive(Debug, PartialEq)]
enum By {
    /// Validation and test rows were drawn at random: all others train.
    Any,
    /// Its group has no validation or test rows.
    Group { column: String, held_out: HashSet<String> },
    /// It is no later than the last training row.
    Time { column: String, last: f64 },
    /// Its value in the split column.
    Value { column: String, train: String },
}

impl Others {
    /// For a table of which `sample` was `drawn` and divided into `parts`.
    ///
    /// # Errors
    /// A split column that is missing or cannot be read.
    pub fn new(spec: &SplitSpec, drawn: Drawn, sample: &[RecordBatch], parts: &Split) -> Result<Self> {
        let grouped = |column: &String| -> Result<By> {
            let names = groups(column, sample)?;
            let held_out = parts.validation.iter().chain(&parts.test);
            let held_out = held_out.filter_map(|&row| names[row as usize].clone()).collect();
            Ok(By::Group { column: column.clone(), held_out })
        };
        let by = match spec {
            SplitSpec::Fraction(_) => By::Any,
            SplitSpec::Tables(spec) => match &spec.group {
                Some(column) => grouped(column)?,
                None => By::Any,
            },
            SplitSpec::Group(spec) => grouped(&spec.column)?,
            SplitSpec::Column(spec) => By::Value { column: spec.column.clone(), train: spec.train.trim().to_owned() },
            SplitSpec::Time(spec) => {
                let times = split::times(&spec.column, sample)?;
                let last = parts.train.iter().map(|&row| times[row as usize]).fold(f64::NEG_INFINITY, f64::max);
                By::Time { column: spec.column.clone(), last }
            }
        };
        Ok(Self { drawn, by, before: 0 })
    }

    /// The training rows of the next batch of the table that were not drawn.
    ///
    /// # Errors
    /// A value of the split column that cannot be read.
    pub fn of(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let before = self.before;
        self.before += batch.num_rows() as u64;
        let batches = std::slice::from_ref(batch);
        let trains: Vec<bool> = match &self.by {
            By::Any => vec![true; batch.num_rows()],
            By::Group { column, held_out } => {
                let names = groups(column, batches)?.into_iter();
                names.map(|name| name.is_some_and(|name| !held_out.contains(&name))).collect()
            }
            By::Value { column, train } => {
                let names = groups(column, batches)?.into_iter();
                names.map(|name| name.is_some_and(|name| name.trim() == train)).collect()
            }
            By::Time { column, last } => {
                let times = split::times(column, batches).map_err(|e| e.at(&format!("beyond row {before}")))?;
                times.into_iter().map(|time| time <= *last).collect()
            }
        };
        let rows = trains.into_iter().enumerate().filter(|(_, trains)| *trains).map(|(row, _)| row as u32);
        let rows: UInt32Array = rows.filter(|&row| !self.drawn.has(before + u64::from(row))).collect();
        take_record_batch(batch, &rows).map_err(|e| changed(&e))
    }
}

/// The words of a column, row by row.
fn groups(name: &str, batches: &[RecordBatch]) -> Result<Vec<Option<String>>> {
    let mut names = Vec::new();
    for batch in batches {
        let array = split::column(batch, name, "split")?;
        let mut add = |value: Option<String>| names.push(value);
        if each_text(array, &mut |_, value| add(value.map(str::to_owned))).is_err() {
            return Err(Error::invalid(format!("split: column \"{name}\" has no words to divide the rows by")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Int64Type};

    use super::*;
    use crate::Task;
    use crate::spec::{ColumnSplit, FractionSplit, GroupSplit, TimeSplit};

    const ROWS: i64 = 60_000;

    /// A number, a group of twenty rows, a part and a class; the class of the last rows is one that few have.
    fn batches(rows: usize) -> Vec<RecordBatch> {
        let words = |word: &dyn Fn(i64) -> String, rows: &[i64]| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(word(*row))).collect::<StringArray>())
        };
        let part = |row: i64| ["train", "train", "test", "validation"][row as usize % 4].to_owned();
        let kind = |row: i64| if row > ROWS - 3 { "rare".to_owned() } else { format!("kind {}", row % 2) };
        let all: Vec<i64> = (0..ROWS).collect();
        let batch = |rows: &[i64]| {
            RecordBatch::try_from_iter([
                ("n", Arc::new(Int64Array::from(rows.to_vec())) as ArrayRef),
                ("machine", words(&|row| format!("m{}", row / 20), rows)),
                ("part", words(&part, rows)),
                ("kind", words(&kind, rows)),
            ])
        };
        all.chunks(rows).map(|rows| batch(rows).unwrap()).collect()
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn drawn(bytes_max: usize, rows: usize) -> (Vec<RecordBatch>, Drawn) {
        let mut sample = Sample::new("kind", bytes_max, 42);
        batches(rows).iter().for_each(|batch| sample.push(batch).unwrap());
        sample.finish()
    }

    #[test]
    fn rows_are_drawn_evenly_within_the_bound_and_every_class_is_there() {
        let bound = 300_000;
        let (sample, which) = drawn(bound, 1_000);
        let all = numbers(&sample);
        assert!(sample.iter().map(bytes).sum::<usize>() <= bound && all.len() > 3_000, "{}", all.len());
        assert!(all.is_sorted() && all.len() as u64 == which.drawn && which.rows == ROWS as u64);
        assert!(!which.is_all());
        // Each tenth of the table has its share: within five standard deviations.
        for tenth in 0..10 {
            let n = all.iter().filter(|row| *row / (ROWS / 10) == tenth).count() as f64;
            let expected = all.len() as f64 / 10.0;
            assert!((n - expected).abs() < 5.0 * expected.sqrt(), "tenth {tenth} has {n}, not {expected}");
        }
        assert!(all.contains(&(ROWS - 2)), "the first row of the rare class");
        // The size of the batches does not matter while the bound is passed in whole batches of a common size.
        assert_eq!(numbers(&drawn(bound, 1_000).0), all);
        let (whole, which) = drawn(usize::MAX, 1_000);
        assert!(which.is_all() && numbers(&whole) == (0..ROWS).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_rows_are_drawn_where_each_value_is_held_once() {
        let repeated = ["part", "kind"].map(str::to_owned);
        for (bytes_max, is_all) in [(300_000, false), (usize::MAX, true)] {
            let mut sample = Sample::new("kind", bytes_max, 42).with_repeated(repeated.to_vec());
            batches(1_000).iter().for_each(|batch| sample.push(batch).unwrap());
            let (held, which) = sample.finish();
            let (plain, of_plain) = drawn(bytes_max, 1_000);
            assert_eq!((&which, which.is_all()), (&of_plain, is_all));
            let is_dictionary = |column: &ArrayRef| matches!(column.data_type(), DataType::Dictionary(..));
            let dictionaries =
                held.iter().flat_map(RecordBatch::columns).filter(|column| is_dictionary(column)).count();
            assert_eq!(dictionaries, if is_all { 2 * plain.len() } else { 0 });
            let held: Vec<RecordBatch> = held.iter().map(|batch| as_they_were(batch, &repeated).unwrap()).collect();
            assert_eq!(held, plain);
        }
    }

    /// Rows of the sample's three parts, and the other rows that train.
    fn divided(spec: &SplitSpec) -> ([Vec<i64>; 3], Vec<i64>) {
        let (sample, which) = drawn(300_000, 1_000);
        let parts = split::split(spec, "kind", Task::Multiclass, &sample, 7).unwrap();
        let all = numbers(&sample);
        let rows = |rows: &[u32]| rows.iter().map(|row| all[*row as usize]).collect::<Vec<_>>();
        let mut others = Others::new(spec, which, &sample, &parts).unwrap();
        // In other batches than those that were drawn from.
        let found: Vec<RecordBatch> = batches(777).iter().map(|batch| others.of(batch).unwrap()).collect();
        let found = numbers(&found);
        let sample: HashSet<i64> = all.iter().copied().collect();
        assert!(found.is_sorted() && found.iter().all(|row| !sample.contains(row)), "a drawn row came again");
        ([rows(&parts.train), rows(&parts.validation), rows(&parts.test)], found)
    }

    #[test]
    fn no_row_beyond_the_sample_belongs_to_what_is_held_out() {
        let ([train, validation, test], others) = divided(&SplitSpec::Fraction(FractionSplit::default()));
        assert_eq!(train.len() + validation.len() + test.len() + others.len(), ROWS as usize);

        let machine = "machine".to_owned();
        let spec = SplitSpec::Group(GroupSplit { column: machine, validation: 0.1, test: 0.1 });
        let ([_, validation, test], others) = divided(&spec);
        let held_out: HashSet<i64> = validation.iter().chain(&test).map(|row| row / 20).collect();
        assert!(held_out.len() > 100 && others.iter().all(|row| !held_out.contains(&(row / 20))));
        assert!(others.len() > 30_000, "{}", others.len());

        let spec = SplitSpec::Time(TimeSplit { column: "n".into(), validation: 0.2, test: 0.2 });
        let ([train, validation, _], others) = divided(&spec);
        assert!(others.iter().all(|row| row <= train.last().unwrap() && row < validation.first().unwrap()));
        assert!(others.len() > 30_000, "{}", others.len());

        let part = |name: &str| name.to_owned();
        let spec = ColumnSplit {
            column: part("part"),
            train: part("train"),
            validation: part("validation"),
            test: part("test"),
        };
        let ([train, ..], others) = divided(&SplitSpec::Column(spec));
        assert!(others.iter().all(|row| row % 4 < 2));
        assert_eq!(train.len() + others.len(), ROWS as usize / 2);
    }
}
