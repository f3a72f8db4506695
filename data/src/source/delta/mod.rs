//! Tables of Delta Lake, read at one of their versions by the kernel of those who keep the protocol. Files that no row of a
//! query can be in are not opened; the others come one after the other, in the order in which they were written.

mod predicate;
mod store;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use delta_kernel::engine::arrow_conversion::TryIntoArrow as _;
use delta_kernel::engine::arrow_data::EngineDataArrowExt as _;
use delta_kernel::scan::state::ScanFile;
use delta_kernel::scan::{Scan, StatsOptions};
use delta_kernel::{
    Engine as _, ExpressionEvaluator, FileDataReadResultIterator, FileMeta, Predicate, PredicateRef, SnapshotRef,
};
use reqwest::Url;

use self::predicate::predicate;
use self::table::{At, Table};
use super::many::guarded;
use super::{Condition, Emit, Reader, Wanted, batch, project};
use crate::error::{Error, Result};
use crate::spec::DeltaSpec;

/// Files of a version that a query reads, at most: half a gigabyte to know their names and folders' values.
const FILES_MAX: usize = 500_000;

/// A table at a version that was chosen when the source was opened: every reading gives the same rows in the same order. Or
/// at its newest one, each time anew.
pub(crate) struct DeltaReader {
    table: Table,
    /// The version, or the newest that was read.
    snapshot: Mutex<SnapshotRef>,
    follows_versions: bool,
    schema: SchemaRef,
    /// A column that is in the files, of those with values of one length where there are any: it is read where rows are
    /// counted, or where all that is wanted is the same for all rows of a file.
    counted: usize,
}

impl fmt::Debug for DeltaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaReader")
            .field("place", &self.table.place)
            .field("version", &self.known().version())
            .finish_non_exhaustive()
    }
}

/// What is read for a query.
struct Plan {
    scan: Scan,
    /// The columns that are read, in order.
    columns: Vec<usize>,
    files: Vec<ScanFile>,
}

/// The rows of a file that are still to come.
struct Part {
    /// What messages call the file.
    place: String,
    rows: FileDataReadResultIterator,
    /// Makes the table's columns of the file's.
    logical: Option<Arc<dyn ExpressionEvaluator>>,
    /// Numbers of its rows that were deleted, in order.
    deleted: Vec<u64>,
    /// Number of the next row.
    next: u64,
}

impl DeltaReader {
    /// Looks up the version and its columns.
    pub(crate) fn open(spec: &DeltaSpec, base: &Path, follows_versions: bool) -> Result<Self> {
        let at = At::of(spec)?;
        let table = Table::open(spec, base)?;
        let snapshot = guarded(Path::new(&table.place), || table.snapshot(at))?;
        let schema = columns(&snapshot, &table.place)?;
        let follows_versions = follows_versions && at == At::Newest;
        let mut reader = Self { table, snapshot: Mutex::new(snapshot), follows_versions, schema, counted: 0 };
        reader.counted = guarded(Path::new(&reader.table.place), || reader.find_counted())?;
        Ok(reader)
    }

    fn find_counted(&self) -> Result<usize> {
        let is_short = |column: &usize| {
            let kind = self.schema.field(*column).data_type();
            kind.is_primitive() || *kind == DataType::Boolean
        };
        let (short, long): (Vec<usize>, Vec<usize>) = (0..self.schema.fields().len()).partition(is_short);
        let snapshot = self.known();
        for column in short.into_iter().chain(long) {
            if self.scan(&snapshot, &[column], None)?.physical_schema().num_fields() > 0 {
                return Ok(column);
            }
        }
        Err(Error::invalid(format!("{} has no columns but those of its partitions", self.table.place)))
    }

    fn known(&self) -> SnapshotRef {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version that is to be read now.
    fn current(&self) -> Result<SnapshotRef> {
        let known = self.known();
        if !self.follows_versions {
            return Ok(known);
        }
        let newest = self.table.newer(&known)?;
        if newest.version() != known.version() {
            if columns(&newest, &self.table.place)? != self.schema {
                return Err(Error::Conflict(format!(
                    "{}: the columns of version {} are no longer those that the source was opened with; start again",
                    self.table.place,
                    newest.version()
                )));
            }
            *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newest);
        }
        Ok(newest)
    }

    fn scan(&self, snapshot: &SnapshotRef, columns: &[usize], predicate: Option<PredicateRef>) -> Result<Scan> {
        let names: Vec<&str> = columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect();
        let wanted = snapshot.schema().project(&names).map_err(|e| self.table.told(&e))?;
        // What is known of values is read where something can be ruled out by it.
        let stats = if predicate.is_some() { StatsOptions::default() } else { StatsOptions::none() };
        let scan = Arc::clone(snapshot).scan_builder().with_schema(wanted);
        scan.with_predicate(predicate).with_stats(stats).build().map_err(|e| self.table.told(&e))
    }

    /// The files with the rows that are wanted.
    fn plan(&self, wanted: &Wanted) -> Result<Plan> {
        let predicates: Vec<Predicate> =
            wanted.conditions.iter().filter_map(|condition| predicate(condition, &self.schema)).collect();
        let predicate = (!predicates.is_empty()).then(|| Arc::new(Predicate::and_from(predicates)));
        let mut columns = wanted.projection.to_vec();
        if columns.is_empty() {
            columns.push(self.counted);
        }
        columns.sort_unstable();
        let snapshot = self.current()?;
        let mut scan = self.scan(&snapshot, &columns, predicate.clone())?;
        if scan.physical_schema().num_fields() == 0 {
            columns.push(self.counted);
            columns.sort_unstable();
            scan = self.scan(&snapshot, &columns, predicate)?;
        }
        let files = self.files(&scan)?;
        Ok(Plan { scan, columns, files })
    }

    fn files(&self, scan: &Scan) -> Result<Vec<ScanFile>> {
        let keep = |files: &mut Vec<ScanFile>, file: ScanFile| files.push(file);
        let mut files = Vec::new();
        for found in scan.scan_metadata(&self.table.engine).map_err(|e| self.table.told(&e))? {
            let found = found.and_then(|found| found.visit_scan_files(std::mem::take(&mut files), keep));
            files = found.map_err(|e| self.table.told(&e))?;
            if files.len() > FILES_MAX {
                return Err(Error::Exhausted(format!(
                    "{} has more than {FILES_MAX} files; OPTIMIZE makes few of many",
                    self.table.place
                )));
            }
        }
        // The kernel's order is that of the log, which checkpoints change.
        files.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        Ok(files)
    }

    /// Begins with a file.
    fn part(&self, plan: &Plan, file: &ScanFile) -> Result<Part> {
        let (engine, root) = (&self.table.engine, &self.table.root);
        let place = format!("{}/{}", self.table.place, file.path);
        if file.path.starts_with('/') || Url::parse(&file.path).is_ok() {
            return Err(Error::Unsupported(format!(
                "{} has rows in a file outside its folder ({}), as shallow clones have; that is not read",
                self.table.place, file.path
            )));
        }
        let location = root.join(&file.path);
        let location = location.map_err(|e| Error::corrupt(Path::new(&place), format!("its name is no URL ({e})")))?;
        let size = u64::try_from(file.size);
        let size = size.map_err(|_| Error::corrupt(Path::new(&place), "its size is below 0"))?;
        let deleted = file.dv_info.get_row_indexes(engine, root).map_err(|e| self.table.told(&e))?;
        // Parts of a file that are left out would change the numbers of its rows.
        let predicate = plan.scan.physical_predicate().filter(|_| !file.dv_info.has_vector());
        let (physical, logical) = (plan.scan.physical_schema(), plan.scan.logical_schema());
        let meta = FileMeta::new(location, file.modification_time, size);
        let rows = engine.parquet_handler().read_parquet_files(&[meta], Arc::clone(physical), predicate);
        let transform = file.transform.clone().map(|transform| {
            let handler = engine.evaluation_handler();
            handler.new_expression_evaluator(Arc::clone(physical), transform, Arc::clone(logical).into())
        });
        Ok(Part {
            rows: rows.map_err(|e| self.table.told_of(&place, &e))?,
            logical: transform.transpose().map_err(|e| self.table.told_of(&place, &e))?,
            deleted: deleted.unwrap_or_default(),
            next: 0,
            place,
        })
    }

    /// The next rows of a file; nothing at its end.
    fn next(&self, part: &mut Part) -> Result<Option<RecordBatch>> {
        let Some(rows) = part.rows.next() else { return Ok(None) };
        let rows = rows.and_then(|rows| match &part.logical {
            Some(logical) => logical.evaluate(rows.as_ref()),
            None => Ok(rows),
        });
        let rows = rows.try_into_record_batch().map_err(|e| self.table.told_of(&part.place, &e))?;
        let first = part.next;
        part.next += rows.num_rows() as u64;
        without(rows, &part.deleted, first).map(Some)
    }

    /// The columns that are wanted of those that were read, in their types.
    fn shown(&self, plan: &Plan, schema: &SchemaRef, wanted: &[usize], rows: &RecordBatch) -> Result<RecordBatch> {
        let column = |(column, field): (&usize, &Arc<Field>)| {
            let at = plan.columns.binary_search(column).ok();
            let found = at.and_then(|at| rows.columns().get(at));
            let found = found.ok_or_else(|| Error::Internal("a Delta table gave too few columns".to_owned()))?;
            typed(found, field, &self.table.place)
        };
        let columns: Vec<ArrayRef> = wanted.iter().zip(schema.fields()).map(column).collect::<Result<_>>()?;
        batch(schema, columns, rows.num_rows())
    }
}

impl Reader for DeltaReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn version(&self) -> Option<u64> {
        (!self.follows_versions).then(|| self.known().version())
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        predicate(condition, &self.schema).is_some()
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let place = Path::new(&self.table.place);
        let schema = project(&self.schema, wanted.projection)?;
        let plan = guarded(place, || self.plan(wanted))?;
        let mut left = wanted.limit.filter(|_| wanted.conditions.is_empty()).unwrap_or(usize::MAX);
        for file in &plan.files {
            let mut part = guarded(place, || self.part(&plan, file))?;
            let name = PathBuf::from(&part.place);
            while let Some(rows) = guarded(&name, || self.next(&mut part))? {
                let rows = rows.slice(0, rows.num_rows().min(left));
                left -= rows.num_rows();
                let is_enough =
                    rows.num_rows() > 0 && emit(self.shown(&plan, &schema, wanted.projection, &rows)?).is_break();
                if is_enough || left == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The columns of a version.
fn columns(snapshot: &SnapshotRef, place: &str) -> Result<SchemaRef> {
    let kernel = snapshot.schema();
    let found: Schema = kernel
        .as_ref()
        .try_into_arrow()
        .map_err(|e| Error::Unsupported(format!("{place}: a column has a type that is not read yet ({e})")))?;
    let fields: Vec<Field> = found.fields().iter().map(|field| plain(field).with_nullable(true)).collect();
    match fields.is_empty() {
        true => Err(Error::invalid(format!("{place} has no columns"))),
        false => Ok(Arc::new(Schema::new(fields))),
    }
}

/// A field without the notes of the kernel, within too.
fn plain(field: &Field) -> Field {
    let kind = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| Arc::new(plain(field))).collect()),
        DataType::List(item) => DataType::List(Arc::new(plain(item))),
        DataType::Map(entries, is_sorted) => DataType::Map(Arc::new(plain(entries)), *is_sorted),
        kind => kind.clone(),
    };
    Field::new(field.name(), kind, field.is_nullable())
}

/// The values in the type of their column: files call what is in lists and maps as they like.
fn typed(values: &ArrayRef, field: &Field, place: &str) -> Result<ArrayRef> {
    if values.data_type() == field.data_type() {
        return Ok(Arc::clone(values));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, field.data_type(), &options).map_err(|e| {
        Error::Unsupported(format!(
            "{place}: column \"{}\" of type {} cannot be read: {e}",
            field.name(),
            values.data_type()
        ))
    })
}

/// The rows, of which the first has this number, without those that were deleted.
fn without(rows: RecordBatch, deleted: &[u64], first: u64) -> Result<RecordBatch> {
    let end = first + rows.num_rows() as u64;
    let gone = &deleted[deleted.partition_point(|row| *row < first)..deleted.partition_point(|row| *row < end)];
    if gone.is_empty() {
        return Ok(rows);
    }
    let mut is_kept = vec![true; rows.num_rows()];
    gone.iter().for_each(|row| is_kept[(row - first) as usize] = false);
    filter_record_batch(&rows, &BooleanArray::from(is_kept)).map_err(|e| Error::internal("deleted rows", e))
}

#[cfg(test)]
mod tests;
