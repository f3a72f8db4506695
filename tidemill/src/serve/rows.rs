//! JSON rows to Arrow and back. Every feature must be there, nothing else may be, and a wrong value is named.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, ListArray, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use learn::{Column, ColumnKind, Features};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};

/// Rows of one request.
const ROWS_MAX: usize = 100_000;

/// Key of the metadata that says a binary column holds pictures: `HxWxC` for raw pixels, `encoded` for files.
const IMAGE: &str = "tidemill.image";

/// `input` of a request as rows: one row (list of values in the order of the features, or object by name), or a list of
/// rows. For a model that reads one picture or one text a row may also be the picture or the text itself.
pub(crate) fn from_json(features: &Features, input: &Value) -> Result<RecordBatch> {
    let columns = features.columns();
    let rows = rows_of(columns, input)?;
    if rows.is_empty() {
        return Err(Failure::input("\"input\" has no rows"));
    }
    if rows.len() > ROWS_MAX {
        return Err(Failure::input(format!(
            "\"input\" has {} rows, {ROWS_MAX} are allowed in one request",
            rows.len()
        )));
    }
    let mut by_column: Vec<Vec<&Value>> = vec![Vec::with_capacity(rows.len()); columns.len()];
    for (row, number) in rows.iter().zip(1..) {
        match row {
            Row::Named(object) => by_name(columns, object, number, &mut by_column)?,
            Row::Listed(list) => by_place(columns, list, number, &mut by_column)?,
            Row::Only(value) => by_column[0].push(value),
        }
    }
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns
        .iter()
        .zip(&by_column)
        .map(|(column, values)| array(column, values))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Failure::input(e.to_string()))
}

enum Row<'a> {
    Named(&'a Map<String, Value>),
    Listed(&'a [Value]),
    /// The value of the only column.
    Only(&'a Value),
}

fn rows_of<'a>(columns: &[Column], input: &'a Value) -> Result<Vec<Row<'a>>> {
    let picture = match columns {
        [Column { kind: ColumnKind::Image { height, width, channels, raw, .. }, .. }] => {
            Some(raw.unwrap_or([*height, *width, *channels]))
        }
        _ => None,
    };
    if picture.is_some_and(|shape| is_picture(input, shape)) {
        return Ok(vec![Row::Only(input)]);
    }
    let is_text = matches!(columns, [Column { kind: ColumnKind::Text { .. }, .. }]);
    match input {
        Value::Object(object) => Ok(vec![Row::Named(object)]),
        Value::String(_) if is_text => Ok(vec![Row::Only(input)]),
        Value::Array(items) if is_text && !items.is_empty() && items.iter().all(Value::is_string) => {
            Ok(items.iter().map(Row::Only).collect())
        }
        Value::Array(items) => match items.first() {
            None => Ok(Vec::new()),
            Some(Value::Object(_) | Value::Array(_)) => {
                items.iter().zip(1..).map(|(item, n)| row(picture, item, n)).collect()
            }
            Some(Value::String(text)) if picture.is_some() && text.starts_with("data:") => {
                Ok(items.iter().map(Row::Only).collect())
            }
            Some(_) => Ok(vec![Row::Listed(items)]),
        },
        _ => Err(Failure::input(
            "\"input\" is to be a row (a list of values, or an object by column name) or a list of rows",
        )),
    }
}

fn row(picture: Option<[usize; 3]>, item: &Value, number: usize) -> Result<Row<'_>> {
    match (picture, item) {
        (Some(shape), _) if is_picture(item, shape) => Ok(Row::Only(item)),
        (_, Value::Object(object)) => Ok(Row::Named(object)),
        (_, Value::Array(list)) => Ok(Row::Listed(list)),
        _ => Err(Failure::input(format!("row {number} of \"input\" is neither a list nor an object"))),
    }
}

/// A file as `data:` URL, all values in one list, or one list per picture row (of pixels, or of values).
fn is_picture(value: &Value, [height, width, channels]: [usize; 3]) -> bool {
    match value {
        Value::String(text) => text.starts_with("data:"),
        Value::Array(items) => match items.first() {
            Some(Value::Number(_)) => items.len() == height * width * channels && items.len() > 1,
            Some(Value::Array(first)) => {
                let wide = match first.first() {
                    Some(Value::Array(_)) => first.len() == width,
                    _ => first.len() == width * channels,
                };
                items.len() == height && wide
            }
            _ => false,
        },
        _ => false,
    }
}

fn by_name<'a>(
    columns: &[Column],
    object: &'a Map<String, Value>,
    row: usize,
    into: &mut [Vec<&'a Value>],
) -> Result<()> {
    for (column, values) in columns.iter().zip(into) {
        let value = object.get(&column.name).ok_or_else(|| {
            let close = crate::config::did_you_mean(&column.name, object.keys().map(String::as_str));
            Failure::input(format!(
                "feature \"{}\" is missing in row {row}{close} (null where the value is not known)",
                column.name
            ))
        })?;
        values.push(value);
    }
    if object.len() > columns.len()
        && let Some(extra) = object.keys().find(|name| !columns.iter().any(|column| column.name == **name))
    {
        let close = crate::config::did_you_mean(extra, columns.iter().map(|column| column.name.as_str()));
        return Err(Failure::input(format!("row {row} has \"{extra}\", which is no feature of this model{close}")));
    }
    Ok(())
}

fn by_place<'a>(columns: &[Column], list: &'a [Value], row: usize, into: &mut [Vec<&'a Value>]) -> Result<()> {
    if list.len() != columns.len() {
        let expected = match columns {
            [Column { name, kind: ColumnKind::Image { height, width, channels, raw, .. }, .. }] => {
                let [height, width, channels] = raw.unwrap_or([*height, *width, *channels]);
                format!(
                    "the {} values of picture \"{name}\" ({height} x {width} x {channels})",
                    height * width * channels
                )
            }
            _ => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).take(20).collect();
                format!("{} values are expected: {}", columns.len(), names.join(", "))
            }
        };
        return Err(Failure::input(format!("row {row} has {} values; {expected}", list.len())));
    }
    for (value, values) in list.iter().zip(into) {
        values.push(value);
    }
    Ok(())
}

fn array(column: &Column, values: &[&Value]) -> Result<(Field, ArrayRef)> {
    let name = column.name.as_str();
    let wrong = |row: usize, value: &Value, expected: &str| {
        let shown: String = value.to_string().chars().take(40).collect();
        Failure::input(format!("feature \"{name}\" of row {row} is {shown}, expected {expected}"))
    };
    let plain = |array: ArrayRef| (Field::new(name, array.data_type().clone(), true), array);
    match &column.kind {
        ColumnKind::Number { .. } => {
            let numbers = each(values, |row, value| match value {
                Value::Null => Ok(None),
                Value::Number(number) => Ok(number.as_f64()),
                _ => Err(wrong(row, value, "a number or null")),
            })?;
            Ok(plain(Arc::new(Float64Array::from(numbers))))
        }
        ColumnKind::Boolean => {
            let flags = each(values, |row, value| match value {
                Value::Null => Ok(None),
                Value::Bool(flag) => Ok(Some(*flag)),
                _ => Err(wrong(row, value, "true, false or null")),
            })?;
            Ok(plain(Arc::new(BooleanArray::from(flags))))
        }
        ColumnKind::Category { .. } | ColumnKind::Date { .. } | ColumnKind::Text { .. } => {
            let expected =
                if matches!(column.kind, ColumnKind::Date { .. }) { "a date as text, or null" } else { "text or null" };
            let texts = each(values, |row, value| match value {
                Value::Null => Ok(None),
                Value::String(text) => Ok(Some(text.clone())),
                Value::Number(number) if expected.starts_with("text") => Ok(Some(number.to_string())),
                Value::Bool(flag) if expected.starts_with("text") => Ok(Some(flag.to_string())),
                _ => Err(wrong(row, value, expected)),
            })?;
            Ok(plain(Arc::new(StringArray::from(texts))))
        }
        ColumnKind::Series { .. } => {
            let lists = each(values, |row, value| match value {
                Value::Null => Ok(None),
                Value::Array(items) => items
                    .iter()
                    .map(|item| match item {
                        Value::Null => Some(None),
                        item => item.as_f64().map(Some),
                    })
                    .collect::<Option<Vec<_>>>()
                    .map(Some)
                    .ok_or_else(|| wrong(row, value, "a list of numbers (null where one is missing)")),
                _ => Err(wrong(row, value, "a list of numbers, oldest first, or null")),
            })?;
            Ok(plain(Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))))
        }
        ColumnKind::Image { height, width, channels, raw } => {
            pictures(name, values, raw.unwrap_or([*height, *width, *channels]), wrong)
        }
    }
}

fn each<T>(values: &[&Value], read: impl Fn(usize, &Value) -> Result<T>) -> Result<Vec<T>> {
    values.iter().zip(1..).map(|(value, row)| read(row, value)).collect()
}

fn pictures(
    name: &str,
    values: &[&Value],
    [height, width, channels]: [usize; 3],
    wrong: impl Fn(usize, &Value, &str) -> Failure,
) -> Result<(Field, ArrayRef)> {
    let shape = format!("{height}x{width}x{channels}");
    let field = |kind: DataType, image: &str| {
        Field::new(name, kind, true).with_metadata([(IMAGE.to_owned(), image.to_owned())].into())
    };
    if values.iter().all(|value| value.is_string()) {
        let files = each(values, |row, value| {
            let encoded = value.as_str().and_then(|text| text.split_once(";base64,")).map(|(_, encoded)| encoded);
            encoded
                .and_then(|encoded| BASE64.decode(encoded).ok())
                .ok_or_else(|| wrong(row, value, "a picture file as \"data:image/png;base64,...\""))
        })?;
        let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(files));
        return Ok((field(DataType::Binary, "encoded"), array));
    }
    let size = height * width * channels;
    let expected =
        format!("{size} whole numbers 0 to 255 ({shape}, row by row), or a file as \"data:image/png;base64,...\"");
    let mut pixels = Vec::with_capacity(size * values.len());
    for (value, row) in values.iter().zip(1..) {
        let before = pixels.len();
        flatten(value, &mut pixels, before + size).ok_or_else(|| wrong(row, value, &expected))?;
        if pixels.len() - before != size {
            return Err(wrong(row, value, &expected));
        }
    }
    let size = i32::try_from(size).map_err(|_| Failure::input(format!("picture \"{name}\" is too large")))?;
    let array = FixedSizeBinaryArray::try_new(size, pixels.into(), None).map_err(|e| Failure::input(e.to_string()))?;
    Ok((field(DataType::FixedSizeBinary(size), &shape), Arc::new(array)))
}

/// The numbers of nested lists in order; `None` where one is no pixel value or `into` would hold more than `most`.
fn flatten(value: &Value, into: &mut Vec<u8>, most: usize) -> Option<()> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, into, most)),
        Value::Number(number) if into.len() < most => {
            let pixel = number.as_f64().filter(|x| (0.0..=255.0).contains(x))?;
            into.push(pixel.round() as u8);
            Some(())
        }
        _ => None,
    }
}

/// One row as the object a request would send.
pub(crate) fn as_json(features: &Features, batch: &RecordBatch, row: usize) -> Result<Value> {
    let mut object = Map::new();
    for column in features.columns() {
        let array = batch
            .column_by_name(&column.name)
            .ok_or_else(|| Failure::input(format!("no column \"{}\" in these rows", column.name)))?;
        object.insert(column.name.clone(), cell(column, array, row)?);
    }
    Ok(Value::Object(object))
}

/// The list of a row, whatever its numbers are.
fn list(name: &str, array: &ArrayRef, row: usize) -> Result<Value> {
    let numbers = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
    let lists = cast(&array.slice(row, 1), &numbers).map_err(|e| Failure::input(format!("column \"{name}\": {e}")))?;
    let values = lists.as_list::<i32>().value(0);
    // What is no number in JSON (NaN) becomes null.
    Ok(json!(values.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()))
}

fn cell(column: &Column, array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    if let Some(pixels) = array.as_any().downcast_ref::<FixedSizeBinaryArray>() {
        return Ok(json!(pixels.value(row)));
    }
    if let Some(file) = array.as_any().downcast_ref::<BinaryArray>() {
        return Ok(json!(format!("data:image/png;base64,{}", BASE64.encode(file.value(row)))));
    }
    if let ColumnKind::Series { .. } = column.kind {
        return list(&column.name, array, row);
    }
    let format = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())
        .map_err(|e| Failure::input(format!("column \"{}\": {e}", column.name)))?;
    // A date beyond the calendar has no text, and is no value to a model either.
    let Ok(text) = format.value(row).try_to_string() else { return Ok(Value::Null) };
    Ok(match &column.kind {
        ColumnKind::Number { .. } => text.parse::<f64>().map_or(Value::Null, |number| json!(number)),
        ColumnKind::Boolean => json!(text == "true"),
        _ => json!(text),
    })
}

#[cfg(test)]
mod tests;
