//! Delimited text: CSV, TSV and their kin. Types come from the first rows; every fault names file, line and remedy.

mod columns;
mod records;
mod sniff;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};

use self::columns::{Nulls, decode};
use self::records::{Block, Dialect, Records};
pub(crate) use self::sniff::sniff;
use super::files::{Files, Input, extension};
use super::many::{ManyFiles, ReadFile};
use super::types::Inference;
use super::{BATCH_ROWS, Emit, Place, batch, project};
use crate::error::{Error, Result, did_you_mean};
use crate::spec::{ColumnType, CsvSpec};

/// Fields in a batch, at most: bounds the memory of very wide tables.
const BATCH_FIELDS: usize = 1 << 19;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 5] = ["csv", "tsv", "tab", "txt", "data"];

/// Delimited text, its columns known.
#[derive(Debug)]
pub(crate) struct CsvReader {
    /// The file that the others have to be like.
    first: PathBuf,
    dialect: Dialect,
    header: bool,
    /// The names are the spec's, whatever the headers say.
    is_renamed: bool,
    nulls: Nulls,
    types: Vec<ColumnType>,
    sampled: usize,
    schema: SchemaRef,
}

impl CsvReader {
    /// Looks at the first rows, and at the headers of all files; of some where they are far away or in many folders.
    pub(crate) fn open(spec: &CsvSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let first = files.first()?;
        let dialect = dialect(spec, first)?;
        let nulls = Nulls::new(&spec.null_values);
        let mut sample = Sample { inferences: Vec::new(), rows: 0 };
        let mut names = Vec::new();
        files.look(|path| {
            let mut records = Records::open(path, dialect)?;
            let found = header(&mut records, path, spec)?;
            if names.is_empty() {
                sample.inferences = vec![Inference::default(); found.len()];
                names = found;
            } else {
                same_columns(&names, &found, path, first)?;
            }
            if sample.rows < spec.sample_rows.max(1) {
                let before = sample.rows;
                sample.read(&mut records, &nulls, spec.sample_rows.max(1))?;
                if sample.rows == before && files.inputs.len() == 1 {
                    return Err(Error::invalid(format!("{} has a header but no rows", path.display())));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if sample.rows == 0 {
            return Err(Error::invalid(format!("{} and the files like it have headers but no rows", first.display())));
        }
        if names.len() == 1 {
            sniff::refuse_other_delimiter(first, dialect)?;
        }
        let types = types(spec, &names, &sample.inferences)?;
        let fields: Vec<Field> =
            names.iter().zip(&types).map(|(name, column)| Field::new(name, column.arrow(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let (first, is_renamed) = (first.to_path_buf(), !spec.columns.is_empty());
        let reader =
            Self { first, dialect, header: spec.header, is_renamed, nulls, types, sampled: sample.rows, schema };
        Ok(ManyFiles::new(reader, files))
    }

    fn columns(&self, block: &Block, path: &Path, projection: &[usize]) -> Result<Vec<ArrayRef>> {
        let decode = |&column: &usize| {
            decode(block, column, self.types.len(), self.types[column], &self.nulls).map_err(|misfit| {
                let name = self.schema.field(column).name();
                let line = block.lines.get(misfit.row).copied().unwrap_or_default();
                Error::invalid(format!(
                    "{}: column \"{name}\" holds {} in the first {} rows, but here \"{}\"; set sample_rows: {} or more, \
                     types: {{\"{name}\": text}}, or add the value to null_values",
                    Place(path, line),
                    self.types[column].plural(),
                    self.sampled,
                    misfit.value,
                    line.max(self.sampled as u64 + 1),
                ))
            })
        };
        projection.iter().map(decode).collect()
    }
}

impl ReadFile for CsvReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let rows_max = (BATCH_FIELDS / self.types.len().max(1)).clamp(1, BATCH_ROWS);
        let mut records = Records::open(file, self.dialect)?;
        if self.header
            && let Some(block) = records.next(1)?
            && !self.is_renamed
        {
            let found = unique(block.record(0).map(Cow::into_owned).collect())?;
            let expected: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
            same_columns(&expected, &found, file, &self.first)?;
        }
        records.width = Some(self.types.len());
        while let Some(block) = records.next(rows_max)? {
            let columns = self.columns(&block, file, projection)?;
            if emit(batch(&schema, columns, block.rows())?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What the first rows tell about the types.
struct Sample {
    inferences: Vec<Inference>,
    rows: usize,
}

impl Sample {
    fn read(&mut self, records: &mut Records, nulls: &Nulls, rows_max: usize) -> Result<()> {
        let width = self.inferences.len();
        records.width = Some(width);
        let block_rows = (BATCH_FIELDS / width.max(1)).clamp(1, BATCH_ROWS);
        while self.rows < rows_max {
            let Some(block) = records.next(block_rows.min(rows_max - self.rows))? else { break };
            for (column, inference) in self.inferences.iter_mut().enumerate() {
                block
                    .column(column, width)
                    .filter(|value| !nulls.contains(value))
                    .for_each(|value| inference.see(&value));
            }
            self.rows += block.rows();
        }
        Ok(())
    }
}

/// Names of the columns. Without a header, the first record is looked at in a reading of its own.
fn header(records: &mut Records, path: &Input, spec: &CsvSpec) -> Result<Vec<String>> {
    let empty = || Error::invalid(format!("{} is empty", path.display()));
    let names: Vec<String> = if spec.header {
        let block = records.next(1)?.ok_or_else(empty)?;
        block.record(0).map(Cow::into_owned).collect()
    } else {
        let mut ahead = Records::open(path, records.dialect())?;
        let block = ahead.next(1)?.ok_or_else(empty)?;
        vec![String::new(); block.record(0).count()]
    };
    if !spec.columns.is_empty() {
        if spec.columns.len() != names.len() {
            return Err(Error::invalid(format!(
                "{} has {} columns, but columns: names {}",
                path.display(),
                names.len(),
                spec.columns.len()
            )));
        }
        return unique(spec.columns.clone());
    }
    unique(names)
}

/// Columns without a name are numbered, a name that is taken gets a number behind it.
pub(super) fn unique(names: Vec<String>) -> Result<Vec<String>> {
    let mut taken = std::collections::HashSet::with_capacity(names.len());
    let mut result = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let name = if name.is_empty() { format!("column_{}", index + 1) } else { name };
        let mut free = name.clone();
        let mut number = 2;
        while !taken.insert(free.clone()) {
            free = format!("{name}_{number}");
            number += 1;
        }
        result.push(free);
    }
    Ok(result)
}

fn same_columns(expected: &[String], found: &[String], path: &Path, first: &Path) -> Result<()> {
    if expected.len() != found.len() {
        return Err(Error::invalid(format!(
            "{} has {} columns, but {} has {}; files of one source must have the same",
            path.display(),
            found.len(),
            first.display(),
            expected.len()
        )));
    }
    match expected.iter().zip(found).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(index) => Err(Error::invalid(format!(
            "{}: column {} is called \"{}\", but in {} \"{}\"; files of one source must have the same columns",
            path.display(),
            index + 1,
            found[index],
            first.display(),
            expected[index]
        ))),
    }
}

fn types(spec: &CsvSpec, names: &[String], inferences: &[Inference]) -> Result<Vec<ColumnType>> {
    if let Some(unknown) = spec.types.keys().find(|name| !names.contains(name)) {
        let near = did_you_mean(unknown, names.iter().map(String::as_str));
        return Err(Error::NotFound(format!("types: there is no column \"{unknown}\" in {}{near}", spec.path)));
    }
    let found = |(name, inference): (&String, &Inference)| {
        spec.types.get(name).copied().unwrap_or_else(|| inference.column_type())
    };
    Ok(names.iter().zip(inferences).map(found).collect())
}

fn dialect(spec: &CsvSpec, path: &Path) -> Result<Dialect> {
    let ascii = |name: &str, character: char| {
        u8::try_from(character).ok().filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r')).ok_or_else(|| {
            Error::invalid(format!("{name}: \"{character}\" cannot be used; it must be one ASCII character of a line"))
        })
    };
    let by_extension = if matches!(extension(path).as_str(), "tsv" | "tab") { '\t' } else { ',' };
    let dialect = Dialect {
        delimiter: ascii("delimiter", spec.delimiter.unwrap_or(by_extension))?,
        quote: spec.quote.map(|quote| ascii("quote", quote)).transpose()?,
        comment: spec.comment.map(|comment| ascii("comment", comment)).transpose()?,
        trim: spec.trim,
        encoding: spec.encoding,
    };
    if dialect.quote == Some(dialect.delimiter) || dialect.comment == Some(dialect.delimiter) {
        return Err(Error::invalid("delimiter, quote and comment must be different characters"));
    }
    Ok(dialect)
}

#[cfg(test)]
mod tests;
