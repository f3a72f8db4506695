//! `--set PATH=VALUE`: keys of the project file given on the command line, laid over the tree before it is checked.

use super::environment::Environment;
use super::place::{ConfigError, Place, did_you_mean};
use super::yaml::{Entry, Node, NodeValue, Scalar, parse_argument};

/// Sections whose keys are names that the user chose.
const NAMED: [&str; 4] = ["sources", "tables", "models", "endpoints"];

/// Lays every argument over the tree, in order; a later one wins.
///
/// # Errors
/// Arguments that are no `PATH=VALUE`, values that are no YAML, and names that are not in the file.
pub(super) fn apply(
    root: &mut Node,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<(), Vec<ConfigError>> {
    let mut errors = Vec::new();
    for argument in arguments {
        if let Err(more) = apply_one(root, argument, environment) {
            errors.extend(more);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn apply_one(root: &mut Node, argument: &str, environment: Environment<'_>) -> Result<(), Vec<ConfigError>> {
    let place = Place::Set(argument.to_owned());
    let refuse = |message: String| vec![ConfigError::new(place.clone(), message)];
    let Some((path, value)) = argument.split_once('=') else {
        return Err(refuse("expected PATH=VALUE, such as models.income.train.epochs=2".into()));
    };
    let steps = steps(path).map_err(refuse)?;
    let empty = Node { place: place.clone(), value: NodeValue::Scalar(Scalar { plain: true, ..Scalar::default() }) };
    let value = parse_argument(value.trim(), argument, environment)?.unwrap_or(empty);
    name_exists(root, &steps).map_err(refuse)?;
    put(root, &steps, value, &place).map_err(refuse)
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// `models.income.network.dense.hidden[0]`; a key with a dot in it stands in double quotes.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, String> {
    let malformed = || format!("{path:?} is not a path of keys such as models.income.train.epochs");
    let mut steps = Vec::new();
    let mut rest = path.trim();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (key, after) = quoted.split_once('"').ok_or_else(malformed)?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(malformed());
            }
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        while let Some(inside) = rest.strip_prefix('[') {
            let (index, after) = inside.split_once(']').ok_or_else(malformed)?;
            steps.push(Step::Index(index.trim().parse().map_err(|_| malformed())?));
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(steps),
            None => return Err(malformed()),
        }
    }
}

/// Keys below a model that is not in the file would make a second one by accident.
fn name_exists(root: &Node, steps: &[Step]) -> Result<(), String> {
    let [Step::Key(section), Step::Key(name), _, ..] = steps else { return Ok(()) };
    if !NAMED.contains(&section.as_str()) {
        return Ok(());
    }
    let NodeValue::Map(entries) = &root.value else { return Ok(()) };
    let names: Vec<&str> = match entries.iter().find(|entry| entry.key == *section).map(|entry| &entry.node.value) {
        Some(NodeValue::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    };
    if names.contains(&name.as_str()) {
        return Ok(());
    }
    let kind = section.trim_end_matches('s');
    Err(format!("no {kind} {name:?} in the project file{}", did_you_mean(name, names)))
}

pub(super) fn put(node: &mut Node, steps: &[Step], value: Node, place: &Place) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return Ok(());
    };
    match step {
        Step::Index(index) => match &mut node.value {
            NodeValue::List(nodes) => match nodes.get_mut(*index) {
                Some(node) => put(node, rest, value, place),
                None => Err(format!("index {index} is past the end of a list of {}", nodes.len())),
            },
            _ => Err(format!("index {index} is put to something that is not a list in the project file")),
        },
        Step::Key(key) => {
            open(node, key, place);
            let NodeValue::Map(entries) = &mut node.value else {
                return Err(format!("the key {key:?} is put to a list"));
            };
            let at = match entries.iter().position(|entry| entry.key == *key) {
                Some(at) => at,
                None => {
                    let node = Node { place: place.clone(), value: NodeValue::Map(Vec::new()) };
                    entries.push(Entry { key: key.clone(), key_place: place.clone(), node });
                    entries.len() - 1
                }
            };
            entries[at].key_place = place.clone();
            put(&mut entries[at].node, rest, value, place)
        }
    }
}

/// Makes a mapping of a short form, so that a key fits in: `network: dense` becomes `network: {dense: {}}`.
fn open(node: &mut Node, key: &str, place: &Place) {
    let NodeValue::Scalar(scalar) = &node.value else { return };
    let mut entries = Vec::new();
    if scalar.text == key {
        let inner = Node { place: place.clone(), value: NodeValue::Map(Vec::new()) };
        entries.push(Entry { key: key.to_owned(), key_place: place.clone(), node: inner });
    }
    *node = Node { place: place.clone(), value: NodeValue::Map(entries) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Step {
        Step::Key(key.to_owned())
    }

    #[test]
    fn paths_are_keys_quoted_keys_and_indices() {
        assert_eq!(steps("a.b-c.d_1"), Ok(vec![key("a"), key("b-c"), key("d_1")]));
        assert_eq!(steps("columns.\"a.b\".number"), Ok(vec![key("columns"), key("a.b"), key("number")]));
        assert_eq!(steps("hidden[0]"), Ok(vec![key("hidden"), Step::Index(0)]));
        for wrong in ["", ".a", "a.", "a..b", "a[", "a[x]", "a[1]b", "\"a"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }
}
