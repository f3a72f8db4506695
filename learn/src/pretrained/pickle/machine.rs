//! The stack machine of a pickle.

use std::collections::HashMap;

use super::{Callable, Id, Storage, TensorView, Value};
use crate::pretrained::fault::{Fault, Parsed, broken, refused};
use crate::pretrained::format::Format;

/// What a pickle may put on its stack, into its memo and into shapes, all in all; a tensor of a state dict takes about 50.
const STEPS_MAX: usize = 8_000_000;
/// Axes a tensor may have, as PyTorch.
const AXES_MAX: usize = 64;

/// A pickle at work.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// How far it was read.
    pub(super) at: usize,
    /// Every value made so far.
    pub(super) values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    steps: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new(), steps: 0 }
    }

    /// Instructions that push one plain value. All methods of this kind say whether the instruction was theirs.
    pub(super) fn scalar(&mut self, op: u8) -> Parsed<bool> {
        let value = match op {
            0x80 => {
                self.take::<1>()?;
                return Ok(true);
            }
            0x95 => {
                self.take::<8>()?;
                return Ok(true);
            }
            b'N' => Value::Other,
            0x88 | 0x89 => Value::Bool(op == 0x88),
            b'J' => Value::Int(i32::from_le_bytes(self.take()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(self.take()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.take()?).into()),
            0x8a => {
                let [length] = self.take()?;
                long(self.slice(length.into())?)
            }
            b'G' => {
                self.take::<8>()?;
                Value::Other
            }
            b'U' | 0x8c => {
                let [length] = self.take()?;
                self.text(length.into())?
            }
            b'X' | b'T' => {
                let length = u32::from_le_bytes(self.take()?);
                self.text(length.into())?
            }
            0x8d => {
                let length = u64::from_le_bytes(self.take()?);
                self.text(length)?
            }
            b'C' => {
                let [length] = self.take()?;
                self.slice(length.into())?;
                Value::Other
            }
            b'B' => {
                let length = u32::from_le_bytes(self.take()?);
                self.slice(length.into())?;
                Value::Other
            }
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Instructions about the stack and the memo.
    pub(super) fn memory(&mut self, op: u8) -> Parsed<bool> {
        match op {
            b'(' => {
                self.spend(1)?;
                self.marks.push(self.stack.len());
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            b'q' => {
                let [key] = self.take()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.take()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [key] = self.take()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.take()?);
                self.recall(key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions that build tuples, lists and dicts.
    pub(super) fn container(&mut self, op: u8) -> Parsed<bool> {
        match op {
            b')' => self.push(Value::Tuple(vec![]))?,
            b']' => self.push(Value::List(vec![]))?,
            b'}' => self.push(Value::Dict(vec![]))?,
            0x85..=0x87 => {
                let count = usize::from(op - 0x84);
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            b'd' => {
                let pairs = pairs(&self.pop_to_mark()?)?;
                self.push(Value::Dict(pairs))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.set(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions that name, call or change objects of Python.
    pub(super) fn object(&mut self, op: u8) -> Parsed<bool> {
        match op {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Callable(callable(module, name)?))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let callable = callable(self.text_of(module)?, self.text_of(name)?)?;
                self.push(Value::Callable(callable))?;
            }
            // NEWOBJ of a class is for our few names the same as calling it.
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let Value::Callable(callable) = self.values[callable] else {
                    return broken("the pickle calls what cannot be called");
                };
                let Value::Tuple(arguments) = &self.values[arguments] else {
                    return broken("the pickle calls without a tuple of arguments");
                };
                let mut first = [None; 4];
                first.iter_mut().zip(arguments).for_each(|(first, &argument)| *first = Some(argument));
                self.call(callable, first)?;
            }
            b'b' => {
                // PyTorch hangs the versions of the modules on an ordered dict; they do not matter to us.
                self.pop()?;
                let object = self.top()?;
                if !matches!(self.values[object], Value::Dict(_)) {
                    return refused(
                        "the file asks to change the insides of an object (BUILD); save model.state_dict()",
                    );
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Pushes what this call gives; further arguments (gradients, hooks) do not matter to weights.
    fn call(&mut self, callable: Callable, arguments: [Option<Id>; 4]) -> Parsed<()> {
        match (callable, arguments) {
            (Callable::OrderedDict, [None, ..]) => self.push(Value::Dict(vec![])),
            (Callable::OrderedDict, [Some(items), None, ..]) => {
                let items = self.items(items)?.to_vec();
                self.spend(items.len())?;
                let pair = |item: Id| match *self.items(item)? {
                    [key, value] => Ok((key, value)),
                    _ => broken("an OrderedDict of the pickle is not made of pairs"),
                };
                let pairs = items.into_iter().map(pair).collect::<Parsed<_>>()?;
                self.push(Value::Dict(pairs))
            }
            (Callable::RebuildTensor, [Some(storage), Some(offset), Some(shape), Some(strides)]) => {
                let Value::Storage(storage) = self.values[storage] else {
                    return broken("a tensor of the pickle has no storage");
                };
                let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
                self.spend(2 * shape.len())?;
                if shape.len() != strides.len() {
                    let (axes, strides) = (shape.len(), strides.len());
                    return broken(format!("a tensor of the pickle has {axes} axes and {strides} strides"));
                }
                let offset = self.length(offset)?;
                self.push(Value::Tensor(Box::new(TensorView { storage, offset, shape, strides })))
            }
            (Callable::RebuildParameter, [Some(tensor), ..]) if matches!(self.values[tensor], Value::Tensor(_)) => {
                self.push_id(tensor)
            }
            (Callable::Size, [Some(lengths), None, ..]) => {
                self.items(lengths)?;
                self.push_id(lengths)
            }
            _ => broken(format!("the pickle calls {callable:?} with the wrong arguments")),
        }
    }

    fn items(&self, id: Id) -> Parsed<&[Id]> {
        match &self.values[id] {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            _ => broken("the pickle has no tuple or list where one is expected"),
        }
    }

    /// `('storage', class, key, device, length)` and, in old files, what it is a view of.
    fn storage(&self, id: Id) -> Parsed<Storage<'a>> {
        let Value::Tuple(parts) = &self.values[id] else { return broken("a storage of the pickle is not a tuple") };
        let Some((&[kind, class, key, _, length], view)) = parts.split_first_chunk() else {
            return broken(format!("a storage of the pickle has {} parts, expected 5", parts.len()));
        };
        if self.text_of(kind)? != "storage" {
            return refused(format!("the pickle refers to \"{}\" outside of it", self.text_of(kind)?));
        }
        if view.iter().any(|&part| self.values[part] != Value::Other) {
            return refused("a storage that is a view of another; save the file again with a newer PyTorch");
        }
        let Value::Callable(Callable::StorageClass(format)) = self.values[class] else {
            return broken("a storage of the pickle has no class of numbers");
        };
        Ok(Storage { key: self.text_of(key)?, format, length: self.length(length)? })
    }

    fn lengths(&self, id: Id) -> Parsed<Vec<usize>> {
        let items = self.items(id)?;
        if items.len() > AXES_MAX {
            return broken(format!("a tensor of the pickle has {} axes, {AXES_MAX} are allowed", items.len()));
        }
        items.iter().map(|&item| self.length(item)).collect()
    }

    fn length(&self, id: Id) -> Parsed<usize> {
        match self.values[id] {
            Value::Int(length) => usize::try_from(length)
                .map_err(|_| Fault::Broken(format!("the pickle says {length} where a length is expected"))),
            _ => broken("the pickle has no number where a length is expected"),
        }
    }

    fn text_of(&self, id: Id) -> Parsed<&'a str> {
        match self.values[id] {
            Value::Text(text) => Ok(text),
            _ => broken("the pickle has no text where a name is expected"),
        }
    }

    fn extend(&mut self, items: &[Id]) -> Parsed<()> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            _ => return broken("the pickle appends to what is not a list"),
        }
        Ok(())
    }

    fn set(&mut self, items: &[(Id, Id)]) -> Parsed<()> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(dict) => dict.extend(items),
            _ => return broken("the pickle sets items of what is not a dict"),
        }
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Parsed<()> {
        self.values.push(value);
        self.push_id(self.values.len() - 1)
    }

    fn push_id(&mut self, id: Id) -> Parsed<()> {
        self.spend(1)?;
        self.stack.push(id);
        Ok(())
    }

    /// Everything that takes memory is counted, because values that are named again and again would make much of little.
    fn spend(&mut self, steps: usize) -> Parsed<()> {
        self.steps += steps;
        match self.steps {
            ..=STEPS_MAX => Ok(()),
            _ => refused(format!("the pickle takes more than {STEPS_MAX} steps; save model.state_dict()")),
        }
    }

    /// The top of the stack above the last mark.
    fn top(&self) -> Parsed<Id> {
        let floor = self.marks.last().copied().unwrap_or_default();
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => broken("the pickle takes from an empty stack"),
        }
    }

    pub(super) fn pop(&mut self) -> Parsed<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Parsed<Vec<Id>> {
        let mark =
            self.marks.pop().ok_or_else(|| Fault::Broken("the pickle goes back to a mark it never set".into()))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Parsed<()> {
        self.memo.insert(key, self.top()?);
        self.spend(1)
    }

    fn recall(&mut self, key: u32) -> Parsed<()> {
        match self.memo.get(&key) {
            Some(&id) => self.push_id(id),
            None => broken(format!("the pickle recalls value {key}, which it never kept")),
        }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.slice(N as u64)?);
        Ok(taken)
    }

    fn slice(&mut self, length: u64) -> Parsed<&'a [u8]> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).ok_or_else(cut)?;
        let slice = self.bytes.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(slice)
    }

    fn text(&mut self, length: u64) -> Parsed<Value<'a>> {
        match std::str::from_utf8(self.slice(length)?) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) => broken("the pickle has a text that is not UTF-8"),
        }
    }

    fn line(&mut self) -> Parsed<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(cut)?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length])
            .map_err(|_| Fault::Broken("the pickle has a name that is not UTF-8".into()))
    }
}

fn cut() -> Fault {
    Fault::Broken("the pickle is cut off".into())
}

/// An integer of up to eight bytes, two's complement; longer ones are no lengths.
fn long(bytes: &[u8]) -> Value<'static> {
    if bytes.len() > 8 {
        return Value::Other;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut number = [if negative { 0xff } else { 0 }; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(number))
}

fn pairs(items: &[Id]) -> Parsed<Vec<(Id, Id)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => broken("a dict of the pickle has a key without a value"),
    }
}

fn callable(module: &str, name: &str) -> Parsed<Callable> {
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Callable::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Callable::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Callable::RebuildParameter),
        ("torch", "Size") => Ok(Callable::Size),
        _ => match Format::of_torch(name).filter(|_| module == "torch") {
            Some(format) => Ok(Callable::StorageClass(format)),
            None => refused(format!(
                "the file asks to run {}.{}; weights are tensors only, save model.state_dict()",
                module.escape_debug(),
                name.escape_debug()
            )),
        },
    }
}
