//! Sheets of workbooks: Excel's (`.xlsx`, `.xlsm`, `.xlsb`, `.xls`) and OpenDocument's (`.ods`). A sheet is read whole, since
//! only all of its cells tell the types of the columns; every fault names sheet, cell and remedy.

mod cells;
mod columns;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

pub(crate) use self::cells::is_workbook;
use self::cells::{Area, Sheet};
use self::columns::{Faulty, decode, infer};
use super::csv::unique;
use super::files::{Files, Input};
use super::many::{ManyFiles, ReadFile, guarded};
use super::{BATCH_ROWS, Emit, batch, project};
use crate::error::{Error, Result, did_you_mean};
use crate::spec::{ColumnType, ExcelSpec};

/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 5] = ["xlsx", "xlsm", "xlsb", "xls", "ods"];

/// Workbooks, the columns of their sheets known.
#[derive(Debug)]
pub(crate) struct ExcelReader {
    spec: ExcelSpec,
    area: Area,
    /// The file that the types are from, and its rows.
    first: (PathBuf, RecordBatch),
    types: Vec<ColumnType>,
    schema: SchemaRef,
}

impl ExcelReader {
    /// Reads the first sheet.
    pub(crate) fn open(spec: &ExcelSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let area = Area::of(spec.range.as_deref())?;
        let mut known = None;
        files.look(|file| {
            let table = table(spec, &area, file)?;
            let types = types(spec, &table, file)?;
            let columns = table.decode(&types, spec, file)?;
            let fields: Vec<Field> =
                table.names.iter().zip(&types).map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect();
            let schema = Arc::new(Schema::new(fields));
            let rows = batch(&schema, columns, table.rows)?;
            known = Some((types, schema, (file.to_path_buf(), rows)));
            Ok(ControlFlow::Break(()))
        })?;
        let known = known.ok_or_else(|| Error::Internal("a source of no workbooks".to_owned()))?;
        let (types, schema, first) = known;
        Ok(ManyFiles::new(Self { spec: spec.clone(), area, first, types, schema }, files))
    }

    fn rows(&self, file: &Input) -> Result<RecordBatch> {
        if **file == *self.first.0 {
            return Ok(self.first.1.clone());
        }
        let table = table(&self.spec, &self.area, file)?;
        let expected: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        if expected != table.names {
            return Err(Error::invalid(format!(
                "{} has the columns {}, but {} has {}; files of one source must have the same",
                file.display(),
                table.names.join(", "),
                self.first.0.display(),
                expected.join(", ")
            )));
        }
        batch(&self.schema, table.decode(&self.types, &self.spec, file)?, table.rows)
    }
}

impl ReadFile for ExcelReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let rows = self.rows(file)?;
        let columns: Vec<ArrayRef> = projection.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let all = batch(&schema, columns, rows.num_rows())?;
        for begin in (0..all.num_rows()).step_by(BATCH_ROWS) {
            if emit(all.slice(begin, BATCH_ROWS.min(all.num_rows() - begin))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The cells of a sheet as a table.
struct Table {
    sheet: Sheet,
    names: Vec<String>,
    /// The row of the sheet's list on which the values begin.
    begin: usize,
    rows: usize,
}

fn table(spec: &ExcelSpec, area: &Area, file: &Input) -> Result<Table> {
    let sheet = guarded(file, || Sheet::read(file, spec.sheet.as_deref(), area, spec.skip_rows))?;
    let begin = usize::from(spec.header);
    let place = || format!("{}, sheet \"{}\"", file.display(), sheet.name);
    if sheet.rows.is_empty() {
        return Err(Error::invalid(format!("{} is empty; set sheet, range or skip_rows", place())));
    }
    if sheet.rows.len() <= begin {
        return Err(Error::invalid(format!("{} has a header but no rows", place())));
    }
    let name = |column: &cells::Column| match spec.header {
        true => column.cells.first().filter(|(row, _)| *row == 0).map(|(_, value)| value.text()).unwrap_or_default(),
        false => String::new(),
    };
    let names = unique(sheet.columns.iter().map(|column| name(column).trim().to_owned()).collect());
    let rows = sheet.rows.len() - begin;
    Ok(Table { sheet, names, begin, rows })
}

fn types(spec: &ExcelSpec, table: &Table, file: &Path) -> Result<Vec<ColumnType>> {
    if let Some(unknown) = spec.types.keys().find(|name| !table.names.contains(name)) {
        let near = did_you_mean(unknown, table.names.iter().map(String::as_str));
        return Err(Error::NotFound(format!("types: there is no column \"{unknown}\" in {}{near}", file.display())));
    }
    let found = |(column, name): (&cells::Column, &String)| match spec.types.get(name) {
        Some(kind) => *kind,
        None => infer(column.from(table.begin), &spec.null_values),
    };
    Ok(table.sheet.columns.iter().zip(&table.names).map(found).collect())
}

impl Table {
    fn decode(&self, types: &[ColumnType], spec: &ExcelSpec, file: &Path) -> Result<Vec<ArrayRef>> {
        let column = |((column, name), &kind): ((&cells::Column, &String), &ColumnType)| {
            decode(column.from(self.begin), self.begin, self.rows, kind, &spec.null_values).map_err(|faulty| {
                let Faulty { row, value } = faulty;
                let cell = cells::cell_name(self.sheet.rows.get(row).copied().unwrap_or_default(), column.number);
                Error::invalid(format!(
                    "{}, sheet \"{}\", cell {cell}: column \"{name}\" holds {}, but here \"{value}\"; set types: {{\"{name}\": \
                     text}}, or add the value to null_values",
                    file.display(),
                    self.sheet.name,
                    kind.plural(),
                ))
            })
        };
        self.sheet.columns.iter().zip(&self.names).zip(types).map(column).collect()
    }
}

#[cfg(test)]
mod tests;
