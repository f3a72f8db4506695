//! What does a pickle say, as far as a state dict goes?
//!
//! A pickle is a program for a stack machine (Python's `pickletools` lists it). This one knows how to build numbers,
//! strings, tuples, lists, dicts and tensors; every other thing a pickle may ask Python to import or to call is refused
//! by its name, and nothing is ever executed. Values lie in one list and refer to one another by index, so that a pickle
//! that names a value a million times costs a million indices, not a million copies.

mod machine;

use machine::Machine;

use super::fault::{Parsed, refused};
use super::format::Format;

/// The place of a value in `Pickle::values`.
pub(super) type Id = usize;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// None, a float, bytes, a long integer: nothing a state dict's tensors depend on.
    Other,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Callable(Callable),
    Storage(Storage<'a>),
    Tensor(Box<TensorView<'a>>),
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    StorageClass(Format),
}

/// A run of numbers that lies outside the pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    /// Its name.
    pub(super) key: &'a str,
    /// Its number format.
    pub(super) format: Format,
    /// How many numbers it has.
    pub(super) length: usize,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorView<'a> {
    /// The numbers.
    pub(super) storage: Storage<'a>,
    /// Index of the first one.
    pub(super) offset: usize,
    /// Length of each axis.
    pub(super) shape: Vec<usize>,
    /// Distance of neighbours along each axis.
    pub(super) strides: Vec<usize>,
}

/// What a pickle says.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    /// Every value.
    pub(super) values: Vec<Value<'a>>,
    /// The outermost one.
    pub(super) root: Id,
    /// How many bytes it took.
    pub(super) length: usize,
}

/// Reads the pickle that these bytes begin with.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Pickle<'_>> {
    let mut machine = Machine::new(bytes);
    loop {
        let [op] = machine.take()?;
        if op == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.at });
        }
        if !(machine.scalar(op)? || machine.memory(op)? || machine.container(op)? || machine.object(op)?) {
            return refused(format!(
                "instruction {op:#04x} at byte {} of the pickle is not one of a state dict's",
                machine.at - 1
            ));
        }
    }
}
