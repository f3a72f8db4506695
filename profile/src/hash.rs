//! Which values, and which rows, are the same? 64-bit hashes of Arrow columns, equal for equal values whatever the
//! width or encoding: 1 as `Int8` and 1.0 as `Float64`, a text and the same text in a dictionary.
//!
//! *Not for*: hostile input (the seed is fixed), anything kept on disk.

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Hash of null and of NaN.
pub const MISSING: u64 = 0x6d69_7373_696e_6721;

/// Digits of a decimal that an `f64` holds exactly.
const EXACT_DIGITS: u8 = 15;

const K0: u64 = 0x2d35_8dcc_aa6c_78a5;
const K1: u64 = 0x8bb8_4b93_962e_acc9;
const K2: u64 = 0x4b33_a62e_d433_d4a3;

/// One hash per row.
pub fn hash_column(array: &dyn Array) -> Vec<u64> {
    match array.data_type() {
        DataType::Null => vec![MISSING; array.len()],
        DataType::Boolean => each(array.as_boolean(), |value| hash_integer(u64::from(value))),
        DataType::UInt64 => {
            let array = array.as_primitive::<UInt64Type>();
            patch(array, array.values().iter().map(|&value| hash_integer(value)).collect())
        }
        kind if kind.is_integer() => integers(array, |value| hash_integer(value as u64)),
        kind if kind.is_floating() => floats(array),
        DataType::Decimal32(digits, _) | DataType::Decimal64(digits, _) | DataType::Decimal128(digits, _)
            if *digits <= EXACT_DIGITS =>
        {
            floats(array)
        }
        DataType::Date32 => integers(array, |days| hash_wide(i128::from(days) * 86_400_000_000_000)),
        DataType::Date64 => integers(array, |value| hash_wide(i128::from(value) * 1_000_000)),
        DataType::Timestamp(unit, _) => {
            let nanoseconds = nanoseconds(*unit);
            integers(array, |value| hash_wide(i128::from(value) * nanoseconds))
        }
        DataType::Utf8 => each(array.as_string::<i32>(), |text| hash_bytes(text.as_bytes())),
        DataType::LargeUtf8 => each(array.as_string::<i64>(), |text| hash_bytes(text.as_bytes())),
        DataType::Utf8View => each(array.as_string_view(), |text| hash_bytes(text.as_bytes())),
        DataType::Binary => each(array.as_binary::<i32>(), hash_bytes),
        DataType::LargeBinary => each(array.as_binary::<i64>(), hash_bytes),
        DataType::BinaryView => each(array.as_binary_view(), hash_bytes),
        DataType::FixedSizeBinary(_) => each(array.as_fixed_size_binary(), hash_bytes),
        DataType::Dictionary(..) => dictionary(array),
        DataType::List(_) => list(array),
        _ => formatted(array),
    }
}

/// Adds a column to the hashes of rows. The order of the columns does not matter, their `key` does.
pub fn add_column(rows: &mut [u64], column: &[u64], key: u64) {
    for (row, value) in rows.iter_mut().zip(column) {
        *row = row.wrapping_add(hash_integer(value ^ key));
    }
}

/// Takes a column out of the hashes of rows again.
pub fn remove_column(rows: &mut [u64], column: &[u64], key: u64) {
    for (row, value) in rows.iter_mut().zip(column) {
        *row = row.wrapping_sub(hash_integer(value ^ key));
    }
}

/// Hash of some bytes: 16 at a time by folded multiplication, after wyhash (<https://github.com/wangyi-fudan/wyhash>).
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut state = K2 ^ bytes.len() as u64;
    for block in blocks {
        state = fold(u128::from_le_bytes(*block), state);
    }
    let mut last = [0; 16];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    hash_integer(fold(u128::from_le_bytes(last), state))
}

fn fold(block: u128, state: u64) -> u64 {
    let product = u128::from(block as u64 ^ K0) * u128::from((block >> 64) as u64 ^ K1 ^ state);
    product as u64 ^ (product >> 64) as u64 ^ state.rotate_left(23)
}

/// Hash without collisions: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
pub fn hash_integer(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn hash_wide(value: i128) -> u64 {
    let (low, high) = (value as u64, (value >> 64) as u64);
    hash_integer(low ^ hash_integer(high))
}

fn hash_number(value: f64) -> u64 {
    // Saturates, so that only whole numbers within the range come back as themselves. NaN does not.
    let whole = value as i64;
    match whole as f64 == value {
        true => hash_integer(whole as u64),
        false if value.is_nan() => MISSING,
        false => hash_integer(value.to_bits() ^ K0),
    }
}

/// Nanoseconds of a unit.
pub fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn each<A: ArrayAccessor>(array: A, hash: impl Fn(A::Item) -> u64) -> Vec<u64> {
    let rows = 0..array.len();
    rows.map(|row| if array.is_null(row) { MISSING } else { hash(array.value(row)) }).collect()
}

fn integers(array: &dyn Array, hash: impl Fn(i64) -> u64) -> Vec<u64> {
    let Ok(whole) = cast(array, &DataType::Int64) else { return formatted(array) };
    let whole = whole.as_primitive::<Int64Type>();
    patch(whole, whole.values().iter().map(|&value| hash(value)).collect())
}

fn floats(array: &dyn Array) -> Vec<u64> {
    let Ok(numbers) = cast(array, &DataType::Float64) else { return formatted(array) };
    let numbers = numbers.as_primitive::<Float64Type>();
    patch(numbers, numbers.values().iter().map(|&value| hash_number(value)).collect())
}

fn patch(array: &dyn Array, mut hashes: Vec<u64>) -> Vec<u64> {
    if array.null_count() > 0 {
        hashes.iter_mut().enumerate().filter(|(row, _)| array.is_null(*row)).for_each(|(_, hash)| *hash = MISSING);
    }
    hashes
}

/// Hashes every value of the dictionary once.
fn dictionary(array: &dyn Array) -> Vec<u64> {
    let Some(dictionary) = array.as_any_dictionary_opt() else { return formatted(array) };
    let values = hash_column(dictionary.values());
    let keys: Vec<usize> = match values.is_empty() {
        true => vec![0; array.len()],
        false => dictionary.normalized_keys(),
    };
    let rows = keys.into_iter().enumerate();
    rows.map(|(row, key)| match array.is_null(row) {
        true => MISSING,
        false => values.get(key).copied().unwrap_or(MISSING),
    })
    .collect()
}

/// Lists by the hashes of their values in order.
fn list(array: &dyn Array) -> Vec<u64> {
    let lists = array.as_list::<i32>();
    let values = hash_column(lists.values());
    let of = |row: usize| {
        let (start, end) = (lists.offsets()[row] as usize, lists.offsets()[row + 1] as usize);
        values[start..end]
            .iter()
            .fold(K2 ^ (end - start) as u64, |state, &hash| hash_integer(state ^ hash).rotate_left(7))
    };
    (0..array.len()).map(|row| if array.is_null(row) { MISSING } else { of(row) }).collect()
}

/// Types that are no features (structs, times of day) by how they are written; slow.
fn formatted(array: &dyn Array) -> Vec<u64> {
    let options = FormatOptions::default();
    let Ok(formatter) = ArrayFormatter::try_new(array, &options) else { return vec![MISSING; array.len()] };
    let nulls = array.logical_nulls();
    (0..array.len())
        .map(|row| match nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            true => MISSING,
            false => hash_bytes(formatter.value(row).try_to_string().unwrap_or_default().as_bytes()),
        })
        .collect()
}

/// A column of several batches, one hash per row.
pub fn hash_arrays<'a>(arrays: impl IntoIterator<Item = &'a ArrayRef>) -> Vec<u64> {
    arrays.into_iter().flat_map(|array| hash_column(array)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float32Array,
        Float64Array, Int8Array, Int64Array, LargeStringArray, ListArray, NullArray, StringArray, StringViewArray,
        TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn equal_values_have_equal_hashes_in_every_encoding() {
        let check = |same: Vec<ArrayRef>| {
            let first = hash_column(&same[0]);
            assert_eq!(
                first.iter().collect::<HashSet<_>>().len(),
                first.len(),
                "{:?}: values differ",
                same[0].data_type()
            );
            for other in &same[1..] {
                assert_eq!(first, hash_column(other), "{:?}", other.data_type());
            }
        };
        check(vec![
            Arc::new(Int8Array::from(vec![Some(1), Some(-3), None])),
            Arc::new(Int64Array::from(vec![Some(1), Some(-3), None])),
            Arc::new(Float64Array::from(vec![Some(1.0), Some(-3.0), Some(f64::NAN)])),
            Arc::new(Float32Array::from(vec![Some(1.0), Some(-3.0), None])),
            Arc::new(Decimal128Array::from(vec![Some(100), Some(-300), None]).with_precision_and_scale(10, 2).unwrap()),
        ]);
        check(vec![
            Arc::new(StringArray::from(vec![Some("a"), Some(""), None])),
            Arc::new(LargeStringArray::from(vec![Some("a"), Some(""), None])),
            Arc::new(StringViewArray::from(vec![Some("a"), Some(""), None])),
            Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("a"), Some(""), None])),
            Arc::new(BinaryArray::from(vec![Some(&b"a"[..]), Some(&b""[..]), None])),
        ]);
        check(vec![
            Arc::new(Date32Array::from(vec![Some(1), Some(-1), None])),
            Arc::new(TimestampSecondArray::from(vec![Some(86_400), Some(-86_400), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(86_400_000_000), Some(-86_400_000_000), None])),
        ]);
        check(vec![Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))]);
        check(vec![Arc::new(Float64Array::from(vec![0.1, -0.1, f64::INFINITY, f64::NEG_INFINITY, 1e300, 1e-300]))]);
        check(vec![Arc::new(UInt64Array::from(vec![0, u64::MAX, u64::MAX - 1]))]);
        check(vec![Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            Some(vec![]),
            None,
        ]))]);
        assert_eq!(hash_column(&Float64Array::from(vec![0.0])), hash_column(&Float64Array::from(vec![-0.0])));
        assert_eq!(hash_column(&NullArray::new(2)), [MISSING, MISSING]);
        let empty: DictionaryArray<Int32Type> = vec![None::<&str>, None].into_iter().collect();
        assert_eq!(hash_column(&empty), [MISSING, MISSING], "a dictionary without values");
    }

    #[test]
    fn every_byte_of_a_picture_and_its_length_count() {
        let mut pictures = vec![vec![0_u8; 784]; 785];
        for (place, picture) in pictures.iter_mut().enumerate().skip(1) {
            picture[place - 1] = 1;
        }
        let array = FixedSizeBinaryArray::try_from_iter(pictures.iter()).unwrap();
        assert_eq!(hash_column(&array).into_iter().collect::<HashSet<_>>().len(), 785);
        let zeros = [0_u8; 64];
        assert_eq!((0..64).map(|n| hash_bytes(&zeros[..n])).collect::<HashSet<_>>().len(), 64);
    }

    #[test]
    fn a_column_is_taken_out_of_a_row_again() {
        let (a, b) = (hash_column(&Int8Array::from(vec![1, 2])), hash_column(&Int8Array::from(vec![2, 1])));
        let mut rows = vec![0; 2];
        add_column(&mut rows, &a, 7);
        let only_a = rows.clone();
        add_column(&mut rows, &b, 8);
        assert_ne!(rows[0], rows[1], "(1, 2) is not (2, 1)");
        remove_column(&mut rows, &b, 8);
        assert_eq!(rows, only_a);
    }
}
