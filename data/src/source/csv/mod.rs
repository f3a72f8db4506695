//! Delimited text: CSV, TSV and their kin. Types come from the first rows; every fault names file, line and remedy.

mod sniff;
mod text;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use delimited::{Block, Column, Dialect, Inference, Misfit, Nulls, Piece};

pub(crate) use self::sniff::sniff;
use self::text::{Text, broken};
use super::files::{Files, Input, extension};
use super::many::{ManyFiles, ReadFile};
use super::{BATCH_ROWS, Emit, Place, batch, project};
use crate::error::{Error, Result, did_you_mean};
use crate::spec::{ColumnType, CsvSpec, Encoding};

/// Fields in a batch, at most: bounds the memory of very wide tables.
const BATCH_FIELDS: usize = 1 << 19;
/// Fields that are found before the first of them is made a value: what they are made of should not have left the cache.
const BLOCK_FIELDS: usize = 1 << 14;
/// Pieces of a file that are read ahead of the rows handed out, at most: they and their rows are held in memory.
const PIECES_AHEAD_MAX: usize = 16;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 5] = ["csv", "tsv", "tab", "txt", "data"];

/// Delimited text, its columns known.
#[derive(Debug)]
pub(crate) struct CsvReader {
    /// The file that the others have to be like.
    first: PathBuf,
    dialect: Dialect,
    encoding: Encoding,
    header: bool,
    /// The names are the spec's, whatever the headers say.
    is_renamed: bool,
    nulls: Nulls,
    types: Vec<ColumnType>,
    sampled: usize,
    schema: SchemaRef,
}

/// The rows of a piece up to its end or a fault in it.
struct Rows {
    batches: Vec<RecordBatch>,
    end: Result<()>,
    piece: Piece,
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
            let mut text = Text::open(path, dialect, spec.encoding)?;
            let found = header(&mut text, path, spec)?;
            if names.is_empty() {
                sample.inferences = vec![Inference::default(); found.len()];
                names = found;
            } else {
                same_columns(&names, &found, path, first)?;
            }
            if sample.rows < spec.sample_rows.max(1) {
                let before = sample.rows;
                sample.read(&mut text, &nulls, spec.sample_rows.max(1))?;
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
            sniff::refuse_other_delimiter(first, dialect, spec.encoding)?;
        }
        let types = types(spec, &names, &sample.inferences)?;
        let fields: Vec<Field> =
            names.iter().zip(&types).map(|(name, column)| Field::new(name, column.arrow(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let reader = Self {
            first: first.to_path_buf(),
            dialect,
            encoding: spec.encoding,
            header: spec.header,
            is_renamed: !spec.columns.is_empty(),
            nulls,
            types,
            sampled: sample.rows,
            schema,
        };
        Ok(ManyFiles::new(reader, files))
    }

    /// Begins to read a piece on another thread.
    fn begin<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        piece: Piece,
        path: &'s Path,
        projection: &'s [usize],
    ) -> Receiver<Rows> {
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move |_| {
            let mut batches = Vec::new();
            let end = self.rows(&piece, path, projection, &mut batches);
            let _ = sender.send(Rows { batches, end, piece }); // nobody may want them any more
        });
        receiver
    }

    /// The rows of a piece; where there is a fault in it, those that come before.
    fn rows(&self, piece: &Piece, path: &Path, projection: &[usize], batches: &mut Vec<RecordBatch>) -> Result<()> {
        let schema = project(&self.schema, projection)?;
        let width = self.types.len();
        let batch_rows = (BATCH_FIELDS / width.max(1)).clamp(1, BATCH_ROWS);
        let block_rows = (BLOCK_FIELDS / width.max(1)).max(1);
        let mut records = piece.records(self.dialect, Some(width));
        let mut bytes_left = piece.bytes();
        loop {
            let (mut columns, mut rows) = (Vec::new(), 0);
            while rows < batch_rows
                && let Some(block) =
                    records.next(block_rows.min(batch_rows - rows)).map_err(|fault| broken(path, fault))?
            {
                if rows == 0 {
                    // As many as there are if all are as long as these, and a few more.
                    let room = bytes_left * block.rows() / block.bytes().max(1) * 33 / 32 + 1;
                    let column = |&column: &usize| Column::new(self.types[column], room.min(batch_rows));
                    columns = projection.iter().map(column).collect();
                }
                for (values, &column) in columns.iter_mut().zip(projection) {
                    values
                        .append(&block, column, width, &self.nulls)
                        .map_err(|misfit| self.misfit(&block, &misfit, column, path))?;
                }
                bytes_left -= block.bytes();
                rows += block.rows();
            }
            if rows == 0 {
                return Ok(());
            }
            let columns: Result<_, ArrowError> = columns.into_iter().map(Column::finish).collect();
            let columns = columns.map_err(|e| Error::internal("texts are no column", e))?;
            batches.push(batch(&schema, columns, rows)?);
        }
    }

    fn misfit(&self, block: &Block, misfit: &Misfit, column: usize, path: &Path) -> Error {
        let name = self.schema.field(column).name();
        let line = block.line(misfit.row);
        Error::invalid(format!(
            "{}: column \"{name}\" holds {} in the first {} rows, but here \"{}\"; set sample_rows: {} or more, \
             types: {{\"{name}\": text}}, or add the value to null_values",
            Place(path, line),
            self.types[column].plural(),
            self.sampled,
            misfit.value,
            line.max(self.sampled as u64 + 1),
        ))
    }
}

impl ReadFile for CsvReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Pieces of the file become rows on several threads, and are handed out in order.
    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let mut text = Text::open(file, self.dialect, self.encoding)?;
        if self.header
            && let Some(names) = text.take_first()?
            && !self.is_renamed
        {
            let expected: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
            same_columns(&expected, &unique(names), file, &self.first)?;
        }
        let pieces_ahead = (2 * rayon::current_num_threads()).min(PIECES_AHEAD_MAX);
        rayon::in_place_scope(|scope| {
            let (mut begun, mut end) = (VecDeque::new(), None);
            loop {
                while begun.len() < pieces_ahead && end.is_none() {
                    match text.next() {
                        Ok(Some(piece)) => begun.push_back(self.begin(scope, piece, file, projection)),
                        Ok(None) => end = Some(Ok(ControlFlow::Continue(()))),
                        Err(fault) => end = Some(Err(fault)), // told behind the rows that come before
                    }
                }
                let Some(receiver) = begun.pop_front() else { return end.unwrap_or(Ok(ControlFlow::Continue(()))) };
                let rows = receiver.recv().map_err(|e| Error::internal("rows of a text were lost", e))?;
                text.reuse(rows.piece);
                for batch in rows.batches {
                    if emit(batch).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                rows.end?;
            }
        })
    }
}

/// What the first rows tell about the types.
struct Sample {
    inferences: Vec<Inference>,
    rows: usize,
}

impl Sample {
    fn read(&mut self, text: &mut Text, nulls: &Nulls, rows_max: usize) -> Result<()> {
        let width = self.inferences.len();
        let block_rows = (BLOCK_FIELDS / width.max(1)).max(1);
        while self.rows < rows_max
            && let Some(piece) = text.next()?
        {
            let mut records = piece.records(text.dialect, Some(width));
            while let Some(block) =
                records.next(block_rows.min(rows_max - self.rows)).map_err(|fault| broken(&text.path, fault))?
            {
                for (column, inference) in self.inferences.iter_mut().enumerate() {
                    block
                        .column(column, width)
                        .filter(|value| !nulls.contains(value))
                        .for_each(|value| inference.see(&value));
                }
                self.rows += block.rows();
            }
        }
        Ok(())
    }
}

/// Names of the columns. Without a header, the first record is looked at in a reading of its own.
fn header(text: &mut Text, path: &Input, spec: &CsvSpec) -> Result<Vec<String>> {
    let first = match spec.header {
        true => text.take_first()?,
        false => Text::open(path, text.dialect, spec.encoding)?.take_first()?,
    };
    let first = first.ok_or_else(|| Error::invalid(format!("{} is empty", path.display())))?;
    if !spec.columns.is_empty() {
        if spec.columns.len() != first.len() {
            return Err(Error::invalid(format!(
                "{} has {} columns, but columns: names {}",
                path.display(),
                first.len(),
                spec.columns.len()
            )));
        }
        return Ok(unique(spec.columns.clone()));
    }
    Ok(unique(if spec.header { first } else { vec![String::new(); first.len()] }))
}

/// Columns without a name are numbered, a name that is taken gets a number behind it.
pub(super) fn unique(names: Vec<String>) -> Vec<String> {
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
    result
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
    };
    if dialect.quote == Some(dialect.delimiter) || dialect.comment == Some(dialect.delimiter) {
        return Err(Error::invalid("delimiter, quote and comment must be different characters"));
    }
    Ok(dialect)
}

#[cfg(test)]
mod tests;
