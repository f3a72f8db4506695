//! How do the files of a source become one table? One after the other; those that folders rule out are not opened.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};

use super::files::{Files, Input};
use super::{Condition, Emit, Reader, Wanted, batch, project};
use crate::error::{Error, Result};

/// Something that reads rows from one file of several with the same columns.
pub(crate) trait ReadFile: Debug + Send + Sync {
    /// The columns in the files.
    fn schema(&self) -> &SchemaRef;

    /// Hands out batches with the columns of `projection` until there are no more, or `emit` breaks.
    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>>;
}

/// The files of a source as one table: their columns, then those of their folders.
#[derive(Debug)]
pub(crate) struct ManyFiles<R> {
    reader: R,
    files: Files,
    /// The files' columns that are shown: those of folders take the place of columns of the same name.
    shown: Vec<usize>,
    schema: SchemaRef,
}

impl<R: ReadFile> ManyFiles<R> {
    pub(crate) fn new(reader: R, files: Files) -> Self {
        let within = reader.schema();
        let folders = files.folders.fields();
        let is_shown = |column: &usize| !folders.iter().any(|folder| folder.name() == within.field(*column).name());
        let shown: Vec<usize> = (0..within.fields().len()).filter(is_shown).collect();
        let fields = shown.iter().map(|&column| Arc::clone(&within.fields()[column]));
        let fields: Vec<_> = fields.chain(folders.iter().cloned().map(Arc::new)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, within.metadata().clone()));
        Self { reader, files, shown, schema }
    }
}

impl<R: ReadFile> Reader for ManyFiles<R> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        condition.column >= self.shown.len()
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let schema = project(&self.schema, wanted.projection)?;
        let within: Vec<usize> =
            wanted.projection.iter().filter_map(|&column| self.shown.get(column).copied()).collect();
        for (index, file) in self.files.inputs.iter().enumerate() {
            if !self.files.folders.pass(index, wanted.conditions, self.shown.len()) {
                continue;
            }
            let mut fault = None;
            let mut whole = |rows: arrow::record_batch::RecordBatch| {
                let mut next = rows.columns().iter();
                let column = |&column: &usize| match column.checked_sub(self.shown.len()) {
                    None => next.next().map(Arc::clone),
                    Some(folder) => Some(self.files.folders.array(index, folder, rows.num_rows())),
                };
                let columns: Option<Vec<ArrayRef>> = wanted.projection.iter().map(column).collect();
                let columns = columns.ok_or_else(|| Error::Internal("a file gave too few columns".to_owned()));
                match columns.and_then(|columns| batch(&schema, columns, rows.num_rows())) {
                    Ok(batch) => emit(batch),
                    Err(error) => {
                        fault = Some(error);
                        ControlFlow::Break(())
                    }
                }
            };
            let flow = self.reader.read_file(file, &within, &mut whole)?;
            if let Some(error) = fault {
                return Err(error);
            }
            if flow.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Refuses a file whose columns are not those of the first one.
pub(crate) fn check_same(expected: &Schema, found: &Schema, file: &Path, first: &Path) -> Result<()> {
    match expected.fields() == found.fields() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{} has other columns than {}; files of one source must have the same columns and types",
            file.display(),
            first.display()
        ))),
    }
}

/// What another library makes of a file; where it gives up on bytes that nobody should write, the file is broken.
pub(crate) fn guarded<T>(file: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => Err(Error::corrupt(file, "cannot be read, it was cut off or changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::csv::CsvReader;
    use crate::source::testing::{lines, read_all};
    use crate::source::{Comparison, Test, Value};
    use crate::spec::CsvSpec;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_columns_and_rule_files_out() {
        let files = [
            ("logs/year=2024/month=12/a.csv", "a,year\n\"broken\n"),
            ("logs/year=2025/month=01/a.csv", "a,year\n1,5\n2,5\n"),
            ("logs/year=2025/month=02/b.csv", "a,year\n3,5\n"),
        ];
        let folder = folder(&files);
        let open = |path: &str| CsvReader::open(&CsvSpec::new(path), folder.path()).unwrap();
        let reader = open("logs");
        let names: Vec<_> = reader.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "year", "month"], "the folder's year is shown in place of the file's");
        assert!(read_all(&reader).unwrap_err().to_string().contains("year=2024"), "a broken file is told");
        let read = |path: &str, projection: &[usize], conditions: &[Condition]| {
            let mut batches = Vec::new();
            let wanted = Wanted { projection, conditions, limit: None };
            open(path).read_where(&wanted, &mut |batch| {
                batches.push(batch);
                ControlFlow::Continue(())
            })?;
            Ok::<_, Error>(lines(&batches))
        };
        let year = |comparison| [Condition { column: 1, test: Test::Compare(comparison, Value::Integer(2024)) }];
        assert!(reader.takes(&year(Comparison::Greater)[0]));
        assert!(!reader.takes(&Condition { column: 0, test: Test::Missing }));
        let later = year(Comparison::Greater);
        assert_eq!(read("logs", &[2, 0, 1], &later).unwrap(), ["1|1|2025", "1|2|2025", "2|3|2025"]);
        assert_eq!(read("logs/*/*/*.csv", &[2], &later).unwrap(), ["1", "1", "2"]);
        assert_eq!(read("logs/year=2025/month=*/*.csv", &[0, 1], &[]).unwrap(), ["1|2025", "2|2025", "3|2025"]);
        assert!(read("logs", &[0], &year(Comparison::LessOrEqual)).is_err());
        let one = open("logs/year=2025/month=01/a.csv");
        assert_eq!(lines(&read_all(&one).unwrap()), ["1|5", "2|5"], "one file is read as it is");
    }
}
