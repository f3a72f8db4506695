//! From an Arrow batch to raw numbers, codes, tokens and pixels: the host part. The way of every row, in training and serving.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use rayon::prelude::*;

use super::column::{Column, ColumnKind, Vocabulary};
use super::numeric::{Encoded, ImageBlock, SeriesBlock, TokenBlock};
use super::text::{TextCode, Tokenizer};
use super::values::{Mismatch, complaint, each_boolean, each_date, each_number, narrow};
use super::{BagBlock, Features, category, date, image, series, text};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// Rows encoded at a time, so that what is written stays in the cache.
const BLOCK_ROWS: usize = 2_048;

/// Pictures encoded at a time.
const BLOCK_PICTURES: usize = 64;

/// Encodes a batch, large ones in blocks on every core.
pub(super) fn encode(features: &Features, batch: &RecordBatch) -> Result<Encoded> {
    let block = if features.numeric.images.is_empty() { BLOCK_ROWS } else { BLOCK_PICTURES };
    let rows = batch.num_rows();
    if rows <= block {
        return encode_block(features, batch, 0);
    }
    let starts: Vec<usize> = (0..rows).step_by(block).collect();
    let blocks: Vec<Result<Encoded>> = starts
        .into_par_iter()
        .map(|start| encode_block(features, &batch.slice(start, block.min(rows - start)), start))
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
    Ok(encoded)
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
    let (numbers, codes) = (features.numeric.numbers.len(), features.numeric.categories.len());
    let (first, code, image) = (place.number, place.code, place.image);
    place.number += column.kind.numbers();
    // A column without any value may come with any type: readers of files cannot know better.
    let blank = array.null_count() == array.len();
    let array = array.as_ref();
    let (done, expected) = match &column.kind {
        ColumnKind::Image { .. } => {
            place.image += 1;
            if !super::values::is_binary(array.data_type()) && !array.is_empty() {
                return Err(complaint(&column.name, array, place.before, Mismatch::Type, image::EXPECTED));
            }
            encoded.images[image].pixels = image::encode(array, field, &column.kind, paths(batch), place.before)?;
            return Ok(());
        }
        ColumnKind::Category { values } => {
            place.code += 1;
            let out = &mut encoded.codes;
            let done = match blank {
                true => Ok(()),
                false => category::encode(array, values, &mut |row, x| out[row * codes + code] = x),
            };
            (done, category::EXPECTED)
        }
        ColumnKind::Text { tokenizer, code } => {
            (write_text(tokenizer, code, (!blank).then_some(array), place, encoded), text::EXPECTED)
        }
        ColumnKind::Series { steps, flat: false, .. } => {
            (write_series(*steps, (!blank).then_some(array), place, encoded), series::EXPECTED)
        }
        _ if blank => (Ok(()), ""),
        ColumnKind::Series { steps, .. } => {
            let out = &mut encoded.numbers;
            let write = &mut |row: usize, step: usize, x| out[row * numbers + first + step] = x;
            (series::encode(array, *steps, write), series::EXPECTED)
        }
        ColumnKind::Number { .. } => {
            let out = &mut encoded.numbers;
            (each_number(array, &mut |row, x| out[row * numbers + first] = narrow(x)), "a number")
        }
        ColumnKind::Boolean => {
            let out = &mut encoded.numbers;
            (each_boolean(array, &mut |row, x| out[row * numbers + first] = x), "true or false")
        }
        ColumnKind::Date { parts, .. } => {
            let (out, width) = (&mut encoded.numbers, column.kind.numbers());
            let write = &mut |row: usize, seconds| {
                date::write(seconds, parts, &mut out[row * numbers + first..][..width]);
            };
            (each_date(array, write), date::EXPECTED)
        }
    };
    done.map_err(|mismatch| complaint(&column.name, array, place.before, mismatch, expected))
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

/// Series step by step; nothing for a column without any value.
fn write_series(
    steps: usize,
    array: Option<&dyn Array>,
    place: &mut Place,
    encoded: &mut Encoded,
) -> Result<(), Mismatch> {
    place.series += 1;
    let values = &mut encoded.series[place.series - 1].values;
    values.resize(encoded.rows * steps, f32::NAN);
    match array {
        None => Ok(()),
        Some(array) => series::encode(array, steps, &mut |row, step, x| values[row * steps + step] = x),
    }
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

/// The column with the pictures' files, where there is one.
pub(super) fn paths(batch: &RecordBatch) -> Option<&dyn Array> {
    batch.column_by_name("path").map(AsRef::as_ref)
}
