//! From an Arrow batch to raw numbers, codes, tokens and pixels: the host part. The way of every row, in training and serving.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use rayon::prelude::*;

use super::column::{Column, ColumnKind, Vocabulary};
use super::combined::Sources;
use super::numeric::{Encoded, ImageBlock, SeriesBlock, TokenBlock};
use super::prepared::{Prepared, bin};
use super::statistics::Statistics;
use super::target_encoding::Averaged;
use super::text::{TextCode, Tokenizer};
use super::values::{Mismatch, complaint, each_boolean, each_date, each_number, narrow};
use super::{BagBlock, Features, category, date, image, series, text};
use crate::error::did_you_mean;
use crate::{Error, Result, Target};

/// Rows encoded at a time, so that what is written stays in the cache.
const BLOCK_ROWS: usize = 2_048;

/// Pictures encoded at a time.
const BLOCK_PICTURES: usize = 64;

/// Encodes a batch, large ones in blocks on every core.
pub(super) fn encode(features: &Features, batch: &RecordBatch) -> Result<Encoded> {
    let block = if features.numeric.images.is_empty() { BLOCK_ROWS } else { BLOCK_PICTURES };
    let rows = batch.num_rows();
    if rows <= block {
        return encode_filled(features, batch, 0);
    }
    let starts: Vec<usize> = (0..rows).step_by(block).collect();
    let blocks: Vec<Result<Encoded>> = starts
        .into_par_iter()
        .map(|start| encode_filled(features, &batch.slice(start, block.min(rows - start)), start))
        .collect();
    let mut all = empty(features, rows);
    // In order, so that of several wrong rows the first is named.
    for block in blocks {
        let block = block?;
        all.rows += block.rows;
        all.numbers.extend_from_slice(&block.numbers);
        all.codes.extend_from_slice(&block.codes);
        for (all, block) in all.images.iter_mut().zip(&block.images) {
            all.pixels.extend_from_slice(&block.pixels);
        }
        for (all, block) in all.texts.iter_mut().zip(&block.texts) {
            all.tokens.extend_from_slice(&block.tokens);
        }
        for (all, block) in all.bags.iter_mut().zip(&block.bags) {
            all.append(block);
        }
        for (all, block) in all.series.iter_mut().zip(&block.series) {
            all.values.extend_from_slice(&block.values);
        }
    }
    Ok(all)
}

/// The training rows, in the order in which they were fitted: a category that is encoded by the target is given the means
/// of other training rows.
pub(super) fn encode_training(features: &Features, target: &Target, train: &[RecordBatch]) -> Result<Encoded> {
    let mut encoded = empty(features, 0);
    for batch in train {
        encoded.append(encode(features, batch)?);
    }
    let width = features.numeric.numbers.len();
    let mut place = 0;
    let mut averaged = None;
    for column in &features.columns {
        if let (Prepared::Target(table), ColumnKind::Category { values }) = (&column.prepared, &column.kind) {
            let averaged = match &averaged {
                Some(averaged) => averaged,
                None => averaged.insert(Averaged::of(target, train)?),
            };
            let mut codes = Vec::with_capacity(encoded.rows);
            for batch in train {
                let (_, array) = find(batch, &column.name, &mut 0)?;
                let complain = |mismatch| complaint(&column.name, array, codes.len(), mismatch, category::EXPECTED);
                codes.extend(codes_of(array, &|value| values.code(value)).map_err(complain)?);
            }
            table.cross_fitted(&codes, averaged, &mut |row, means| {
                encoded.numbers[row * width + place..][..means.len()].copy_from_slice(means);
            });
        }
        place += column.numbers();
    }
    Ok(encoded)
}

/// The codes of all rows.
fn codes_of(array: &dyn Array, code: &dyn Fn(&str) -> i32) -> Result<Vec<i32>, Mismatch> {
    let mut codes = vec![Vocabulary::MISSING; array.len()];
    if array.null_count() < array.len() {
        category::encode(array, code, &mut |row, code| codes[row] = code)?;
    }
    Ok(codes)
}

/// Rows before neighbours stand in for missing numbers.
pub(super) fn encode_unfilled(features: &Features, batch: &RecordBatch) -> Result<Encoded> {
    encode_block(features, batch, 0)
}

fn encode_filled(features: &Features, batch: &RecordBatch, before: usize) -> Result<Encoded> {
    let mut encoded = encode_block(features, batch, before)?;
    if let Some(neighbours) = &features.neighbours {
        let width = features.numeric.numbers.len();
        encoded.numbers.chunks_exact_mut(width).for_each(|row| neighbours.fill(row));
    }
    Ok(encoded)
}

/// No rows yet, with room for some.
fn empty(features: &Features, room: usize) -> Encoded {
    let numeric = &features.numeric;
    let block = |values| ImageBlock { values, pixels: Vec::with_capacity(room * values) };
    Encoded {
        rows: 0,
        numbers: Vec::with_capacity(room * numeric.numbers.len()),
        codes: Vec::with_capacity(room * numeric.categories.len()),
        images: numeric.images.iter().map(|image| block(image.values())).collect(),
        texts: (numeric.texts.iter())
            .map(|text| TokenBlock { length: text.length, tokens: Vec::with_capacity(room * text.length) })
            .collect(),
        bags: numeric.bags.iter().map(|bag| BagBlock::new(bag.width)).collect(),
        series: (numeric.series.iter())
            .map(|series| SeriesBlock { steps: series.steps, values: Vec::with_capacity(room * series.steps) })
            .collect(),
    }
}

fn encode_block(features: &Features, batch: &RecordBatch, before: usize) -> Result<Encoded> {
    let mut encoded = empty(features, 0);
    encoded.rows = batch.num_rows();
    encoded.numbers.resize(encoded.rows * features.numeric.numbers.len(), f32::NAN);
    encoded.codes.resize(encoded.rows * features.numeric.categories.len(), Vocabulary::MISSING);
    let mut place = Place { number: 0, code: 0, image: 0, text: 0, bag: 0, series: 0, before };
    let mut near = 0;
    for column in &features.columns {
        let (field, array) = find(batch, &column.name, &mut near)?;
        write_column(features, column, (batch, field, array), &mut place, &mut encoded)?;
    }
    if !features.combined.is_empty() {
        write_combined(features, &Sources { columns: &features.columns, batch, before }, &place, &mut encoded)?;
    }
    Ok(encoded)
}

/// What is made of several columns, after all columns.
fn write_combined(features: &Features, sources: &Sources<'_>, place: &Place, encoded: &mut Encoded) -> Result<()> {
    let (numbers, codes) = (features.numeric.numbers.len(), features.numeric.categories.len());
    let (mut number, mut code) = (place.number, place.code);
    for combined in &features.combined {
        match combined.cardinality() {
            Some(_) => {
                let found = combined.codes_of(sources)?;
                found.into_iter().enumerate().for_each(|(row, x)| encoded.codes[row * codes + code] = x);
                code += 1;
            }
            None => {
                let found = combined.numbers_of(sources)?;
                found.into_iter().enumerate().for_each(|(row, x)| encoded.numbers[row * numbers + number] = x);
                number += 1;
            }
        }
    }
    Ok(())
}

/// Where the next column writes, and the rows that precede the batch.
struct Place {
    number: usize,
    code: usize,
    image: usize,
    text: usize,
    bag: usize,
    series: usize,
    before: usize,
}

fn write_column(
    features: &Features,
    column: &Column,
    (batch, field, array): (&RecordBatch, &Field, &ArrayRef),
    place: &mut Place,
    encoded: &mut Encoded,
) -> Result<()> {
    let numbers = features.numeric.numbers.len();
    let (first, code, image) = (place.number, place.code, place.image);
    place.number += column.numbers();
    place.code += usize::from(column.cardinality().is_some());
    // A column without any value may come with any type: readers of files cannot know better.
    let blank = array.null_count() == array.len();
    let array = array.as_ref();
    let (done, expected) = match &column.kind {
        // Whoever makes something of it reads it.
        _ if matches!(column.prepared, Prepared::Apart { .. }) => return Ok(()),
        ColumnKind::Image { .. } => {
            place.image += 1;
            if !super::values::is_binary(array.data_type()) && !array.is_empty() {
                return Err(complaint(&column.name, array, place.before, Mismatch::Type, image::EXPECTED));
            }
            encoded.images[image].pixels = image::encode(array, field, &column.kind, paths(batch), place.before)?;
            return Ok(());
        }
        ColumnKind::Text { tokenizer, code } => {
            (write_text(tokenizer, code, (!blank).then_some(array), place, encoded), text::EXPECTED)
        }
        ColumnKind::Series { steps, .. } => {
            let array = (!blank).then_some(array);
            (write_series(column, *steps, array, (first, numbers), place, encoded), series::EXPECTED)
        }
        ColumnKind::Category { values } => {
            // Missing values have means of their own.
            let blank = blank && !matches!(column.prepared, Prepared::Target(_));
            let done =
                if blank { Ok(()) } else { write_category(features, column, values, array, (first, code), encoded) };
            (done, category::EXPECTED)
        }
        _ if blank => (Ok(()), ""),
        ColumnKind::Number { .. } => (write_number(features, column, array, (first, code), encoded), "a number"),
        ColumnKind::Boolean => {
            let out = &mut encoded.numbers;
            (each_boolean(array, &mut |row, x| out[row * numbers + first] = x), "true or false")
        }
        ColumnKind::Date { parts, .. } => {
            let (out, width) = (&mut encoded.numbers, column.numbers());
            let holidays = if let Prepared::Holidays(days) = &column.prepared { Some(days) } else { None };
            let write = &mut |row: usize, seconds| {
                let out = &mut out[row * numbers + first..][..width];
                date::write(seconds, parts, out);
                if let (Some(days), Some(last)) = (holidays, out.last_mut()) {
                    *last = days.flag(seconds);
                }
            };
            (each_date(array, write), date::EXPECTED)
        }
    };
    done.map_err(|mismatch| complaint(&column.name, array, place.before, mismatch, expected))
}

/// A number as it is, bent, or the code of its bin.
fn write_number(
    features: &Features,
    column: &Column,
    array: &dyn Array,
    (first, code): (usize, usize),
    encoded: &mut Encoded,
) -> Result<(), Mismatch> {
    let (numbers, codes) = (features.numeric.numbers.len(), features.numeric.categories.len());
    let (out, coded) = (&mut encoded.numbers, &mut encoded.codes);
    match &column.prepared {
        Prepared::Curve(curve) => each_number(array, &mut |row, x| out[row * numbers + first] = curve.bend(narrow(x))),
        Prepared::Bins { edges } => each_number(array, &mut |row, x| coded[row * codes + code] = bin(edges, narrow(x))),
        _ => each_number(array, &mut |row, x| out[row * numbers + first] = narrow(x)),
    }
}

/// A category as its code, its bucket, or means of the target.
fn write_category(
    features: &Features,
    column: &Column,
    values: &Vocabulary,
    array: &dyn Array,
    (first, code): (usize, usize),
    encoded: &mut Encoded,
) -> Result<(), Mismatch> {
    let (numbers, codes) = (features.numeric.numbers.len(), features.numeric.categories.len());
    let (out, coded) = (&mut encoded.numbers, &mut encoded.codes);
    match &column.prepared {
        Prepared::Target(table) => {
            for (row, code) in codes_of(array, &|value| values.code(value))?.into_iter().enumerate() {
                out[row * numbers + first..][..table.width()].copy_from_slice(table.means(code));
            }
            Ok(())
        }
        Prepared::Hashed { buckets } => {
            let bucket = |value: &str| category::bucket(value, *buckets);
            category::encode(array, bucket, &mut |row, x| coded[row * codes + code] = x)
        }
        _ => category::encode(array, |value| values.code(value), &mut |row, x| coded[row * codes + code] = x),
    }
}

/// Token numbers or weighted terms; nothing for a column without any value.
fn write_text(
    tokenizer: &Tokenizer,
    code: &TextCode,
    array: Option<&dyn Array>,
    place: &mut Place,
    encoded: &mut Encoded,
) -> Result<(), Mismatch> {
    match code {
        TextCode::Tokens { vocabulary, .. } => {
            place.text += 1;
            text::encode_tokens(array, encoded.rows, tokenizer, vocabulary, &mut encoded.texts[place.text - 1])
        }
        TextCode::TfIdf { .. } | TextCode::Hashing { .. } => {
            place.bag += 1;
            text::encode_bag(array, encoded.rows, tokenizer, code, &mut encoded.bags[place.bag - 1])
        }
    }
}

/// Series step by step, as numbers or apart, and their figures; nothing for a column without any value.
fn write_series(
    column: &Column,
    steps: usize,
    array: Option<&dyn Array>,
    (first, numbers): (usize, usize),
    place: &mut Place,
    encoded: &mut Encoded,
) -> Result<(), Mismatch> {
    let mut values = vec![f32::NAN; encoded.rows * steps];
    if let Some(array) = array {
        series::encode(array, steps, &mut |row, step, x| values[row * steps + step] = x)?;
    }
    let flat = column.steps();
    let figures: Option<&Statistics> =
        if let Prepared::Statistics(figures) = &column.prepared { Some(figures) } else { None };
    for (row, values) in values.chunks_exact(steps.max(1)).enumerate() {
        let out = &mut encoded.numbers[row * numbers + first..][..column.numbers()];
        out[..flat].copy_from_slice(&values[..flat]);
        if let Some(figures) = figures {
            figures.write(values, &mut out[flat..]);
        }
    }
    if column.is_sequence() {
        place.series += 1;
        encoded.series[place.series - 1].values = values;
    }
    Ok(())
}

/// The column of this name. Looks first where the last one was found: batches mostly come in the fitted order.
fn find<'a>(batch: &'a RecordBatch, name: &str, near: &mut usize) -> Result<(&'a Field, &'a ArrayRef)> {
    let fields = batch.schema_ref().fields();
    let places = (*near..fields.len()).chain(0..(*near).min(fields.len()));
    for place in places {
        if fields[place].name() == name {
            *near = place + 1;
            return Ok((&fields[place], batch.column(place)));
        }
    }
    let given = fields.iter().map(|field| field.name().as_str());
    let hint = did_you_mean(name, given);
    Err(Error::NotFound(format!("no column \"{name}\" in the rows, which the model reads{hint}")))
}

/// The column with the files of pictures, by which messages name them.
pub const PATH_COLUMN: &str = "path";

/// The column with the pictures' files, where there is one.
pub(super) fn paths(batch: &RecordBatch) -> Option<&dyn Array> {
    batch.column_by_name(PATH_COLUMN).map(AsRef::as_ref)
}
