//! Which tensors does a file of `torch.save` hold?
//!
//! Both layouts are read: the zip archive (PyTorch 1.6 and later) with `data.pkl` and one entry per storage, and the run of
//! pickles before it (0.1.10 to 1.5), after which the storages follow one another. The registry's reader
//! (`pytorch-reader`) was looked at: it keeps what a pickle asks to run as an opaque value instead of saying so, and
//! lets a tensor of stride 0 grow to 10 GiB.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::fault::{Fault, Parsed, broken, refused};
use super::format::Format;
use super::pickle::{Id, Pickle, TensorView, Value, parse};
use super::zip::Archive;
use crate::{Tensor, Weights};

/// What a file before PyTorch 1.6 begins with: a pickle of the number 0x1950a86a20f9469cfc6c.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Where a checkpoint keeps the state dict, if not at its root.
const STATE_DICTS: [&str; 6] = ["state_dict", "model_state_dict", "model", "module", "net", "params"];

/// How many numbers there may be per byte of the file: tied weights and shared layers are views of one storage.
const NUMBERS_PER_BYTE_MAX: usize = 4;

/// Reads a zip archive of `torch.save`.
pub(super) fn read_zip(file: &[u8]) -> Parsed<Weights> {
    let mut archive = Archive::open(file)?;
    let root = archive
        .names()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| root.is_empty() || root.ends_with('/'))
        .min_by_key(|root| root.len())
        .map(str::to_owned)
        .ok_or_else(|| Fault::Refused("a zip archive without data.pkl is no file of torch.save".into()))?;
    if archive.entry(&format!("{root}byteorder"))?.is_some_and(|order| order.trim_ascii() != b"little") {
        return refused("the file was written on a big-endian machine; save it again on another");
    }
    let pickle = archive.entry(&format!("{root}data.pkl"))?.unwrap_or_default();
    let pickle = parse(&pickle)?;
    let mut storages = BTreeMap::new();
    let views = views(&pickle)?;
    for view in views.values() {
        let key = view.storage.key;
        if !storages.contains_key(key) {
            let Some(bytes) = archive.entry(&format!("{root}data/{key}"))? else {
                return broken(format!("the file lacks storage \"{}\"", key.escape_debug()));
            };
            storages.insert(key, bytes);
        }
    }
    gather(&views, &storages, file.len())
}

/// Reads the layout before the zip archive.
pub(super) fn read_legacy(file: &[u8]) -> Parsed<Weights> {
    let mut at = MAGIC.len();
    let mut next = || -> Parsed<Pickle<'_>> {
        let pickle = parse(file.get(at..).unwrap_or_default())?;
        at += pickle.length;
        Ok(pickle)
    };
    let protocol = next()?;
    if protocol.values[protocol.root] != Value::Int(1001) {
        return refused("a protocol of torch.save other than 1001");
    }
    let system = next()?;
    if let Some(little) = entry(&system, system.root, "little_endian")
        && system.values[little] != Value::Bool(true)
    {
        return refused("the file was written on a big-endian machine; save it again on another");
    }
    let (pickle, keys) = (next()?, next()?);
    let Value::List(order) = &keys.values[keys.root] else { return broken("the file has no list of its storages") };
    // A storage's size in bytes follows from its class, which only the tensors name: all tensors, not only those kept.
    let formats: BTreeMap<&str, Format> = pickle
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.format)),
            _ => None,
        })
        .collect();
    let mut storages = BTreeMap::new();
    for &key in order {
        let Value::Text(key) = keys.values[key] else { return broken("the name of a storage is not a text") };
        let cut = || Fault::Broken(format!("the file is cut off in storage \"{}\"", key.escape_debug()));
        let Some(format) = formats.get(key) else {
            return broken(format!("storage \"{}\" is in no tensor", key.escape_debug()));
        };
        let (length, rest) = file.get(at..).and_then(|rest| rest.split_first_chunk()).ok_or_else(cut)?;
        let bytes =
            usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| length.checked_mul(format.bytes()));
        let bytes = bytes.and_then(|bytes| rest.get(..bytes)).ok_or_else(cut)?;
        at += 8 + bytes.len();
        storages.insert(key, Cow::Borrowed(bytes));
    }
    gather(&views(&pickle)?, &storages, file.len())
}

/// The tensors of the state dict by name.
fn views<'p, 'a>(pickle: &'p Pickle<'a>) -> Parsed<BTreeMap<&'a str, &'p TensorView<'a>>> {
    let of = |dict: Id| -> BTreeMap<&'a str, &'p TensorView<'a>> {
        let Value::Dict(items) = &pickle.values[dict] else { return BTreeMap::new() };
        let named = items.iter().filter_map(|&(name, value)| match (&pickle.values[name], &pickle.values[value]) {
            (&Value::Text(name), Value::Tensor(view)) => Some((name, view.as_ref())),
            _ => None,
        });
        named.collect()
    };
    let inner = STATE_DICTS.iter().filter_map(|name| entry(pickle, pickle.root, name));
    match inner.chain([pickle.root]).map(of).find(|views| !views.is_empty()) {
        Some(views) => Ok(views),
        None => refused(format!(
            "no tensors by name at the root of the file nor under {}; save model.state_dict()",
            STATE_DICTS.join(", ")
        )),
    }
}

/// The last value of this name in a dict.
fn entry(pickle: &Pickle<'_>, dict: Id, name: &str) -> Option<Id> {
    let Value::Dict(items) = &pickle.values[dict] else { return None };
    items.iter().rev().find(|(key, _)| pickle.values[*key] == Value::Text(name)).map(|&(_, value)| value)
}

fn gather(
    views: &BTreeMap<&str, &TensorView<'_>>,
    storages: &BTreeMap<&str, Cow<'_, [u8]>>,
    file_bytes: usize,
) -> Parsed<Weights> {
    let mut left = file_bytes.saturating_mul(NUMBERS_PER_BYTE_MAX);
    let mut tensors = BTreeMap::new();
    for (&name, view) in views {
        let wrong = |reason: String| Fault::Broken(format!("tensor \"{}\": {reason}", name.escape_debug()));
        let Some(bytes) = storages.get(view.storage.key) else {
            return Err(wrong(format!("the file lacks storage \"{}\"", view.storage.key.escape_debug())));
        };
        let (count, reach) = extent(view).ok_or_else(|| wrong(format!("impossible shape {:?}", view.shape)))?;
        let stored = bytes.len() / view.storage.format.bytes();
        if reach > stored || view.storage.length > stored {
            let reach = reach.max(view.storage.length);
            return Err(wrong(format!("reaches to number {reach} of a storage of {stored}")));
        }
        // What no honest file does, but a small one can: be a large tensor by repeating a number along an axis.
        left = left.checked_sub(count).ok_or_else(|| {
            let name = name.escape_debug();
            Fault::Refused(format!("tensor \"{name}\" {:?} makes the weights far larger than the file", view.shape))
        })?;
        tensors.insert(name.to_owned(), Tensor { shape: view.shape.clone(), data: numbers(view, count, bytes) });
    }
    Ok(Weights { tensors })
}

/// How many numbers a tensor has, and up to which number of its storage they reach.
fn extent(view: &TensorView<'_>) -> Option<(usize, usize)> {
    let count = view.shape.iter().try_fold(1usize, |count, &length| count.checked_mul(length))?;
    if count == 0 {
        return Some((0, 0));
    }
    let last = view
        .shape
        .iter()
        .zip(&view.strides)
        .try_fold(view.offset, |last, (&length, &stride)| last.checked_add((length - 1).checked_mul(stride)?))?;
    Some((count, last.checked_add(1)?))
}

/// The numbers of a view, row-major.
fn numbers(view: &TensorView<'_>, count: usize, bytes: &[u8]) -> Vec<f32> {
    let format = view.storage.format;
    let run = |first: usize, length: usize| format.numbers(&bytes[first * format.bytes()..][..length * format.bytes()]);
    let mut dense = 1;
    let contiguous = view.shape.iter().zip(&view.strides).rev().all(|(&length, &stride)| {
        let fits = length == 1 || stride == dense;
        dense *= length;
        fits
    });
    if contiguous || count == 0 {
        return run(if count == 0 { 0 } else { view.offset }, count);
    }
    let mut data = Vec::with_capacity(count);
    let mut index = vec![0; view.shape.len()];
    let mut place = view.offset;
    for _ in 0..count {
        data.extend(run(place, 1));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            place += view.strides[axis];
            if index[axis] < view.shape[axis] {
                break;
            }
            place -= view.strides[axis] * view.shape[axis];
            index[axis] = 0;
        }
    }
    data
}
