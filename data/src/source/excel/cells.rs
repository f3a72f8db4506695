//! Which cells of a sheet have values? Those of an area, row by row, in bounded memory whatever the file says of itself.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use calamine::{Data, DataRef, Ods, Reader as _, SheetType, Xls, Xlsb, Xlsx};
use delimited::types;
use zip::ZipArchive;

use crate::error::{Error, Result, did_you_mean};
use crate::source::files::Input;
use crate::source::open;
use crate::source::packing::unreadable;

/// Largest workbook, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// What the parts of a workbook may unpack to, in bytes.
const PARTS_BYTES_MAX: u64 = 2 << 30;
/// Cells with values of a sheet, at most.
const CELLS_MAX: usize = 50_000_000;
/// Rows and columns that a sheet can have.
const ROWS_MAX: u32 = 1_048_576;
const COLUMNS_MAX: u32 = 16_384;

/// The value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    /// Also spans of time, in seconds.
    Number(f64),
    /// Microseconds since 1970.
    Time(i64),
    Text(Box<str>),
}

impl Value {
    /// As a person would write it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Boolean(is) => is.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            Self::Time(micros) => match chrono::DateTime::from_timestamp_micros(*micros) {
                Some(time) if micros % 86_400_000_000 == 0 => time.format("%Y-%m-%d").to_string(),
                Some(time) => time.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
                None => micros.to_string(),
            },
        }
    }
}

/// The cells that are read: rows and columns, counted from 0, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    rows: (u32, u32),
    columns: (u32, u32),
}

impl Area {
    /// Of `B3:F200`, or everything.
    pub(super) fn of(range: Option<&str>) -> Result<Self> {
        let Some(range) = range else { return Ok(Self { rows: (0, ROWS_MAX), columns: (0, COLUMNS_MAX) }) };
        let ends = range.split_once(':').and_then(|(from, to)| Some((place(from)?, place(to)?)));
        match ends {
            Some(((top, left), (bottom, right))) if top <= bottom && left <= right => {
                Ok(Self { rows: (top, bottom), columns: (left, right) })
            }
            _ => Err(Error::invalid(format!(
                "range: \"{range}\" is no range of cells; write the first and the last one, such as B3:F200"
            ))),
        }
    }

    fn has_column(&self, column: u32) -> bool {
        (self.columns.0..=self.columns.1).contains(&column)
    }
}

/// Row and column of `B3`.
fn place(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let (letters, digits) = text.split_at(text.find(|c: char| c.is_ascii_digit())?);
    let digit = |sum: u32, letter: u8| {
        letter.is_ascii_alphabetic().then(|| sum * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1)
    };
    let column = letters.bytes().take(4).try_fold(0, digit).filter(|column| (1..=COLUMNS_MAX).contains(column))?;
    let row = digits.parse().ok().filter(|row| (1..=ROWS_MAX).contains(row))?;
    (letters.len() <= 3).then_some((row - 1, column - 1))
}

/// `B3` for row 2 and column 1.
pub(super) fn cell_name(row: u32, column: u32) -> String {
    let (mut letters, mut rest) = (Vec::new(), column + 1);
    while rest > 0 {
        letters.push((b'A' + ((rest - 1) % 26) as u8) as char);
        rest = (rest - 1) / 26;
    }
    format!("{}{}", letters.iter().rev().collect::<String>(), row + 1)
}

/// A column of a sheet.
#[derive(Debug)]
pub(super) struct Column {
    /// Its place in the sheet, counted from 0.
    pub(super) number: u32,
    /// Values by their row in the sheet's list of rows.
    pub(super) cells: Vec<(u32, Value)>,
}

impl Column {
    /// Values from a row on.
    pub(super) fn from(&self, begin: usize) -> &[(u32, Value)] {
        &self.cells[self.cells.partition_point(|(row, _)| (*row as usize) < begin)..]
    }
}

/// The cells of a sheet that have values.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) name: String,
    /// Rows that have values, counted from 0.
    pub(super) rows: Vec<u32>,
    pub(super) columns: Vec<Column>,
}

impl Sheet {
    /// Reads a sheet, the first one where none is named.
    pub(super) fn read(file: &Input, name: Option<&str>, area: &Area, skip_rows: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        let count = open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| unreadable(file, e))?;
        if count as u64 > FILE_BYTES_MAX {
            let mb = FILE_BYTES_MAX >> 20;
            return Err(Error::Exhausted(format!("{} is larger than {mb} MB; save the sheet as CSV", file.display())));
        }
        let top = u64::from(area.rows.0) + skip_rows as u64;
        let gather = Gather {
            top,
            area,
            sheet: Self { name: String::new(), rows: Vec::new(), columns: Vec::new() },
            cells: 0,
            file,
        };
        let broken = |e: &dyn std::fmt::Display| Error::corrupt(file, format!("the workbook cannot be read ({e})"));
        match kind(&bytes, file)? {
            Kind::Xlsx => {
                let mut book = Xlsx::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
                let name = choose(book.sheets_metadata(), name, file)?;
                let mut cells = book.worksheet_cells_reader(&name).map_err(|e| broken(&e))?;
                gather.streamed(name, || cells.next_cell().map_err(|e| broken(&e)))
            }
            Kind::Xlsb => {
                let mut book = Xlsb::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
                let name = choose(book.sheets_metadata(), name, file)?;
                let mut cells = book.worksheet_cells_reader(&name).map_err(|e| broken(&e))?;
                gather.streamed(name, || cells.next_cell().map_err(|e| broken(&e)))
            }
            Kind::Xls => {
                let mut book = Xls::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
                let name = choose(book.sheets_metadata(), name, file)?;
                let cells = book.worksheet_range(&name).map_err(|e| broken(&e))?;
                gather.whole(name, &cells)
            }
            Kind::Ods => {
                let mut book = Ods::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
                let name = choose(book.sheets_metadata(), name, file)?;
                let cells = book.worksheet_range(&name).map_err(|e| broken(&e))?;
                gather.whole(name, &cells)
            }
        }
    }
}

/// How a workbook is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Xlsx,
    Xlsb,
    Xls,
    Ods,
}

/// By the bytes, whatever the extension says. The parts of archives are unpacked once to see that they stay in bounds.
fn kind(bytes: &[u8], file: &Path) -> Result<Kind> {
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Ok(Kind::Xls);
    }
    if bytes.is_empty() {
        return Err(Error::invalid(format!("{} is empty", file.display())));
    }
    if !bytes.starts_with(b"PK") {
        return Err(Error::invalid(format!(
            "{} is no workbook, whatever its name says; known are .xlsx, .xlsb, .xls and .ods",
            file.display()
        )));
    }
    let broken = |e: &dyn std::fmt::Display| Error::corrupt(file, format!("the workbook was cut off or changed ({e})"));
    let mut parts = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
    let (mut left, mut found) = (PARTS_BYTES_MAX, None);
    for index in 0..parts.len() {
        let part = parts.by_index(index).map_err(|e| broken(&e))?;
        found = match &*part.name().map_err(|e| broken(&e))? {
            "xl/workbook.xml" => Some(Kind::Xlsx),
            "xl/workbook.bin" => Some(Kind::Xlsb),
            "content.xml" => Some(Kind::Ods),
            _ => found,
        };
        let count = io::copy(&mut part.take(left + 1), &mut io::sink()).map_err(|e| broken(&e))?;
        left = left.checked_sub(count).ok_or_else(|| {
            let mb = PARTS_BYTES_MAX >> 20;
            Error::Exhausted(format!("{} unpacks to more than {mb} MB; save the sheet as CSV", file.display()))
        })?;
    }
    found.ok_or_else(|| Error::invalid(format!("{} is an archive, but no workbook", file.display())))
}

/// The sheet of that name, or the first one.
fn choose(sheets: &[calamine::Sheet], name: Option<&str>, file: &Path) -> Result<String> {
    let tables: Vec<&str> =
        sheets.iter().filter(|sheet| sheet.typ == SheetType::WorkSheet).map(|sheet| sheet.name.as_str()).collect();
    match (name, tables.first()) {
        (Some(name), _) if tables.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => {
            let near = did_you_mean(name, tables.iter().copied());
            let shown = tables.iter().take(20).map(|table| format!("\"{table}\"")).collect::<Vec<_>>().join(", ");
            let near = if near.is_empty() { format!("; there are {shown}") } else { near };
            Err(Error::NotFound(format!("{}: no sheet \"{name}\"{near}", file.display())))
        }
        (None, Some(first)) => Ok((*first).to_owned()),
        (None, None) => Err(Error::invalid(format!("{} has no sheet with cells", file.display()))),
    }
}

/// Takes cells in the order of their rows.
struct Gather<'a> {
    /// Rows before it are left out.
    top: u64,
    area: &'a Area,
    sheet: Sheet,
    cells: usize,
    file: &'a Path,
}

impl Gather<'_> {
    fn streamed<'c>(
        mut self,
        name: String,
        mut next: impl FnMut() -> Result<Option<calamine::Cell<DataRef<'c>>>>,
    ) -> Result<Sheet> {
        self.sheet.name = name;
        while let Some(cell) = next()? {
            let (row, column) = cell.get_position();
            if let Some(value) = of_reference(cell.get_value()) {
                self.push(row, column, value)?;
            }
        }
        Ok(self.done())
    }

    fn whole(mut self, name: String, cells: &calamine::Range<Data>) -> Result<Sheet> {
        self.sheet.name = name;
        let (top, left) = cells.start().unwrap_or_default();
        for (row, column, value) in cells.used_cells() {
            if let Some(value) = of_data(value) {
                self.push(top + row as u32, left + column as u32, value)?;
            }
        }
        Ok(self.done())
    }

    fn push(&mut self, row: u32, column: u32, value: Value) -> Result<()> {
        if u64::from(row) < self.top || row > self.area.rows.1 || !self.area.has_column(column) {
            return Ok(());
        }
        match self.sheet.rows.last() {
            Some(&last) if row < last => {
                let (cell, file) = (cell_name(row, column), self.file);
                return Err(Error::corrupt(file, format!("cell {cell} stands behind cells of rows below it")));
            }
            Some(&last) if row == last => {}
            _ => self.sheet.rows.push(row),
        }
        self.cells += 1;
        if self.cells > CELLS_MAX {
            return Err(Error::Exhausted(format!(
                "{}: a sheet of more than {CELLS_MAX} cells; save it as CSV",
                self.file.display()
            )));
        }
        let columns = &mut self.sheet.columns;
        let at = match columns.binary_search_by_key(&column, |known| known.number) {
            Ok(at) => at,
            Err(at) => {
                columns.insert(at, Column { number: column, cells: Vec::new() });
                at
            }
        };
        let index = (self.sheet.rows.len() - 1) as u32;
        match columns[at].cells.last_mut() {
            Some((last, known)) if *last == index => *known = value,
            _ => columns[at].cells.push((index, value)),
        }
        Ok(())
    }

    fn done(self) -> Sheet {
        self.sheet
    }
}

fn of_reference(value: &DataRef<'_>) -> Option<Value> {
    match value {
        DataRef::Int(number) => Some(Value::Number(*number as f64)),
        DataRef::Float(number) => Some(Value::Number(*number)),
        DataRef::Bool(is) => Some(Value::Boolean(*is)),
        DataRef::String(text) => written(text),
        DataRef::SharedString(text) => written(text),
        DataRef::DateTime(time) => Some(time_of(time)),
        DataRef::DateTimeIso(text) => Some(iso_time(text)),
        DataRef::DurationIso(text) => Some(iso_span(text)),
        DataRef::Error(_) | DataRef::Empty => None,
    }
}

fn of_data(value: &Data) -> Option<Value> {
    match value {
        Data::Int(number) => Some(Value::Number(*number as f64)),
        Data::Float(number) => Some(Value::Number(*number)),
        Data::Bool(is) => Some(Value::Boolean(*is)),
        Data::String(text) => written(text),
        Data::DateTime(time) => Some(time_of(time)),
        Data::DateTimeIso(text) => Some(iso_time(text)),
        Data::DurationIso(text) => Some(iso_span(text)),
        Data::Error(_) | Data::Empty => None,
    }
}

fn written(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::Text(text.into()))
}

/// Excel counts days; its times are exact to the millisecond.
fn time_of(time: &calamine::ExcelDateTime) -> Value {
    match time.as_datetime().filter(|_| time.is_datetime() && time.as_f64().abs() < 3e6) {
        Some(at) => Value::Time(at.and_utc().timestamp_micros()),
        None if time.is_datetime() => Value::Number(time.as_f64()),
        None => Value::Number((time.as_f64() * 86_400_000.0).round() / 1_000.0),
    }
}

fn iso_time(text: &str) -> Value {
    types::timestamp(text).map_or_else(|| Value::Text(text.into()), Value::Time)
}

/// Seconds of `PT10H30M15.5S`.
fn iso_span(text: &str) -> Value {
    let parse = || {
        let (mut seconds, mut rest) = (0.0, text.strip_prefix("PT")?);
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let number: f64 = rest[..end].parse().ok()?;
            seconds += number
                * [("H", 3_600.0), ("M", 60.0), ("S", 1.0)].iter().find(|(unit, _)| rest[end..].starts_with(unit))?.1;
            rest = &rest[end + 1..];
        }
        Some(seconds)
    };
    parse().map_or_else(|| Value::Text(text.into()), Value::Number)
}

/// Whether a file's first bytes are those of a workbook: its kind told by what is in the archive.
pub(crate) fn is_workbook(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut first = [0; 4];
    if file.read_exact(&mut first).is_err() {
        return false;
    }
    let has_parts = || {
        let parts = ZipArchive::new(File::open(path).ok()?).ok()?;
        Some(
            ["xl/workbook.xml", "xl/workbook.bin", "content.xml"]
                .iter()
                .any(|name| parts.index_for_name(name).is_some()),
        )
    };
    first == [0xd0, 0xcf, 0x11, 0xe0] || (first.starts_with(b"PK") && has_parts().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_names() {
        for (name, expected) in
            [("A1", (0, 0)), ("B3", (2, 1)), ("Z10", (9, 25)), ("AA1", (0, 26)), ("XFD1048576", (1_048_575, 16_383))]
        {
            assert_eq!(place(name), Some(expected), "{name}");
            assert_eq!(cell_name(expected.0, expected.1), name);
        }
        for name in ["", "A", "1", "A0", "XFE1", "A1048577", "AAAA1", "1A", "A-1", "Ä1"] {
            assert_eq!(place(name), None, "{name}");
        }
        assert_eq!(Area::of(Some("b3:F200")).unwrap(), Area { rows: (2, 199), columns: (1, 5) });
        for range in ["B3", "F1:B3", "B3:F1", "B3:F", "B3-F9"] {
            assert!(Area::of(Some(range)).unwrap_err().to_string().contains("such as B3:F200"), "{range}");
        }
    }

    #[test]
    fn spans_of_time_are_seconds() {
        assert_eq!(iso_span("PT10H30M15.5S"), Value::Number(37_815.5));
        assert_eq!(iso_span("PT45M"), Value::Number(2_700.0));
        assert_eq!(iso_span("half an hour"), Value::Text("half an hour".into()));
    }
}
