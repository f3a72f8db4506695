//! How is a column held whose values come again and again? Each value once, and for each row its place among them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveDictionaryBuilder, RecordBatch, StringDictionaryBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, UInt16Type};
use arrow::error::ArrowError;

/// The batch with its columns of these names as dictionaries, where they hold text or whole numbers and that saves memory.
///
/// # Errors
/// Memory that ends.
pub(crate) fn as_dictionaries(batch: &RecordBatch, names: &[String]) -> Result<RecordBatch, ArrowError> {
    with_columns(batch, names, |array| Ok(as_dictionary(array)))
}

/// The batch with its columns of these names as they were before [`as_dictionaries`].
///
/// # Errors
/// Memory that ends.
pub(crate) fn as_they_were(batch: &RecordBatch, names: &[String]) -> Result<RecordBatch, ArrowError> {
    with_columns(batch, names, |array| match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values).map(Some),
        _ => Ok(None),
    })
}

/// The batch with what `other` makes of its columns of these names.
fn with_columns(
    batch: &RecordBatch,
    names: &[String],
    other: impl Fn(&ArrayRef) -> Result<Option<ArrayRef>, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    if names.is_empty() {
        return Ok(batch.clone());
    }
    let (mut fields, mut columns) = (batch.schema_ref().fields().to_vec(), batch.columns().to_vec());
    for (field, column) in fields.iter_mut().zip(&mut columns).filter(|(field, _)| names.contains(field.name())) {
        if let Some(other) = other(column)? {
            *field = Arc::new(Field::clone(field).with_data_type(other.data_type().clone()));
            *column = other;
        }
    }
    let schema = Schema::new_with_metadata(fields, batch.schema_ref().metadata().clone());
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// The column as a dictionary; nothing where it is none of text or whole numbers, or where most of its values are different.
fn as_dictionary(array: &ArrayRef) -> Option<ArrayRef> {
    // A place has 16 bits.
    if array.len() > usize::from(u16::MAX) {
        return None;
    }
    let dictionary: ArrayRef = match array.data_type() {
        DataType::Utf8 => {
            let mut builder = StringDictionaryBuilder::<UInt16Type>::with_capacity(array.len(), 0, 0);
            array.as_string::<i32>().iter().for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        DataType::Int32 => whole::<Int32Type>(array),
        DataType::Int64 => whole::<Int64Type>(array),
        _ => return None,
    };
    (dictionary.as_any_dictionary().values().len() <= array.len() / 2).then_some(dictionary)
}

fn whole<T: ArrowPrimitiveType<Native: Eq + std::hash::Hash>>(array: &ArrayRef) -> ArrayRef {
    let mut builder = PrimitiveDictionaryBuilder::<UInt16Type, T>::with_capacity(array.len(), 0);
    array.as_primitive::<T>().iter().for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn only_what_comes_again_becomes_a_dictionary_and_comes_back_as_it_was() {
        let words = StringArray::from_iter((0..900).map(|row| (row % 7 > 0).then(|| ["", "b", "日本"][row % 3])));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("words", Arc::new(words.clone()) as ArrayRef, true),
            ("numbers", Arc::new(Int64Array::from_iter((0..900).map(|row| (row % 5 > 0).then_some(row % 4)))), true),
            ("names", Arc::new(StringArray::from_iter_values((0..900).map(|row| format!("n{row}")))), true),
            ("others", Arc::new(words), true),
        ]);
        let batch = batch.unwrap();
        let names = ["words", "numbers", "names"].map(str::to_owned);
        let held = as_dictionaries(&batch, &names).unwrap();
        let is_dictionary = |column: &ArrayRef| matches!(column.data_type(), DataType::Dictionary(..));
        assert_eq!(held.columns().iter().map(is_dictionary).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(held.column(0).as_any_dictionary().values().len(), 3);
        assert!(held.get_array_memory_size() < batch.get_array_memory_size());
        assert_eq!(as_they_were(&held, &names).unwrap(), batch);
        assert_eq!(as_they_were(&held.slice(500, 100), &names).unwrap(), batch.slice(500, 100));
    }

    #[test]
    fn more_rows_than_places_stay_as_they_are() {
        let same: ArrayRef = Arc::new(StringArray::from_iter_values((0..70_000).map(|_| "same")));
        assert!(as_dictionary(&same).is_none() && as_dictionary(&same.slice(0, 65_535)).is_some());
        assert!(as_dictionary(&same.slice(0, 0)).is_some_and(|none| none.is_empty()));
    }
}
