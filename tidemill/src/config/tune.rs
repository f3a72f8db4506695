//! Can a search try what its section says? Every parameter is laid over the project, as `--set` would, and has to be right.

use learn::search::range_error;
use learn::spec::{RangeSpec, TaskSpec, TuneMethod, TuneSpec};
use serde_json::Value;

use super::overrides::{Step, put, steps};
use super::place::{ConfigError, Place, did_you_mean, join, join_index};
use super::raw::{RawModel, RawProject};
use super::shape::Found;
use super::yaml::{Entry, Node, NodeValue, Scalar};

/// Sections of a model that a search may change: those that leave the rows as they are, so that trials are judged alike.
const SECTIONS: [&str; 3] = ["network", "train", "features"];
/// Values of a list.
const VALUES_MAX: usize = 256;
/// Stands for the place of what is tried, until that is known.
const MARK: &str = "\u{0}tried";

/// A setting and its value, as a search tries them: a key path of the model.
pub(crate) type Setting = (String, Value);

/// Lays settings of a model over the tree.
///
/// # Errors
/// A path that is no path, or that leads into a list or past its end.
pub(super) fn lay(root: &mut Node, model: &str, settings: &[Setting]) -> Result<(), ConfigError> {
    for (path, value) in settings {
        let place = Place::Set(format!("models.{model}.{path}={value}"));
        put_setting(root, model, path, node_of(value, &place), &place)
            .map_err(|message| ConfigError::new(place, message))?;
    }
    Ok(())
}

fn put_setting(root: &mut Node, model: &str, path: &str, value: Node, place: &Place) -> Result<(), String> {
    let mut all = vec![Step::Key("models".into()), Step::Key(model.into())];
    all.extend(steps(path)?);
    put(root, &all, value, place)
}

/// A value as a tree.
pub(super) fn node_of(value: &Value, place: &Place) -> Node {
    let scalar =
        |text: String, plain| NodeValue::Scalar(Scalar { written: text.clone(), text, plain, from_environment: false });
    let value = match value {
        Value::String(text) => scalar(text.clone(), false),
        Value::Array(values) => NodeValue::List(values.iter().map(|value| node_of(value, place)).collect()),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| Entry {
                key: key.clone(),
                key_place: place.clone(),
                node: node_of(value, place),
            };
            NodeValue::Map(entries.iter().map(entry).collect())
        }
        other => scalar(other.to_string(), true),
    };
    Node { place: place.clone(), value }
}

/// The settings as the part of a model's section that they make, as JSON.
pub(super) fn section(settings: &[Setting]) -> Value {
    let mut root = Node { place: Place::File, value: NodeValue::Map(Vec::new()) };
    for (path, value) in settings {
        if let Ok(steps) = steps(path) {
            let _a_list_has_no_part = put(&mut root, &steps, node_of(value, &Place::File), &Place::File);
        }
    }
    json_of(&root)
}

fn json_of(node: &Node) -> Value {
    use super::yaml::Plain;
    match &node.value {
        NodeValue::Scalar(scalar) => match scalar.kind() {
            Plain::Null => Value::Null,
            Plain::Boolean(value) => value.into(),
            Plain::Integer(value) => value.into(),
            Plain::Float(value) => value.into(),
            Plain::Text => scalar.text.clone().into(),
        },
        NodeValue::List(nodes) => nodes.iter().map(json_of).collect(),
        NodeValue::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.node))).collect(),
    }
}

/// Reads a tree that settings were laid over; the errors of what is wrong with it.
pub(super) type Reading<'a> = &'a dyn Fn(&Node) -> Result<(), Vec<ConfigError>>;

/// Checks the searches of all models.
///
/// # Errors
/// Key paths that are not there, ranges without values, values that the key does not take.
pub(super) fn check(
    root: &Node,
    raw: &RawProject,
    found: &Found,
    reading: Reading<'_>,
) -> Result<(), Vec<ConfigError>> {
    let mut errors = Vec::new();
    for (name, model) in &raw.models.0 {
        if let Some(tune) = &model.tune {
            let path = join(&join("models", name), "tune");
            let check = Check { root, found, reading, name, tune, path };
            errors.extend(check.whole(model));
            errors.extend(tune.parameters.iter().flat_map(|(path, range)| check.parameter(path, range)));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

struct Check<'a> {
    root: &'a Node,
    found: &'a Found,
    reading: Reading<'a>,
    name: &'a str,
    tune: &'a TuneSpec,
    /// Of the section.
    path: String,
}

impl Check<'_> {
    fn whole(&self, model: &RawModel) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.tune.parameters.is_empty() {
            let path = join(&self.path, "parameters");
            let message = format!("{path} is empty: there is nothing to try");
            errors.push(ConfigError::new(self.found.key_place(&path), message));
        }
        if let (Some(of_numbers), TaskSpec::Classification | TaskSpec::Regression) =
            (self.tune.metric.is_of_numbers(), model.task)
            && of_numbers != (model.task == TaskSpec::Regression)
        {
            let path = join(&self.path, "metric");
            let what = if of_numbers { "is for regression" } else { "is for classes" };
            errors.push(ConfigError::new(self.found.value_place(&path), format!("{path}: this figure {what}")));
        }
        if let TuneMethod::Halving(halving) = &self.tune.method {
            errors.extend(self.resource(&halving.resource, halving.min, model));
        }
        errors
    }

    /// What halving makes longer has to be a whole number of the model that no parameter changes.
    fn resource(&self, resource: &str, min: Option<usize>, model: &RawModel) -> Option<ConfigError> {
        let path = join(&join(&join(&self.path, "method"), "halving"), "resource");
        let refuse = |what: String| {
            Some(ConfigError::new(self.found.value_place(&path), format!("{path}: {resource:?} {what}")))
        };
        let section = serde_json::to_value(model).unwrap_or_default();
        let Some(longest) = number_at(&section, resource) else {
            return refuse("is no key path of the model with a whole number; take train.epochs".into());
        };
        let clash = self.tune.parameters.keys().find(|path| *path == resource || is_below(resource, path));
        if let Some(clash) = clash {
            return refuse(format!("is changed by the parameter {clash:?}; take another one"));
        }
        match min {
            Some(min) if min > longest => refuse(format!("is {longest} in the model, below min {min}")),
            _ => None,
        }
    }

    fn parameter(&self, parameter: &str, range: &RangeSpec) -> Vec<ConfigError> {
        let path = join(&join(&self.path, "parameters"), parameter);
        let at_key = |message: String| vec![ConfigError::new(self.found.key_place(&path), message)];
        let first = match steps(parameter).as_deref() {
            Ok([Step::Key(first), ..]) => first.clone(),
            _ => {
                let example = "train.optimizer.adam.learning_rate";
                return at_key(format!("{parameter:?} is not a path of keys such as {example}"));
            }
        };
        if !SECTIONS.contains(&first.as_str()) {
            let hint = did_you_mean(&first, SECTIONS);
            let message = format!("{parameter:?} cannot be tuned{hint}");
            let note = "parameters begin with network, train or features: what else a model has decides which rows it is \
                        judged on";
            return vec![ConfigError::new(self.found.key_place(&path), message).note(note)];
        }
        if parameter == "train.seed" {
            return at_key(format!("{parameter:?} cannot be tuned: it decides which rows a trial is judged on"));
        }
        if let Some(wrong) = range_error(range) {
            return vec![ConfigError::new(self.found.value_place(&path), format!("{path}: {wrong}"))];
        }
        self.values(parameter, range, &path)
    }

    /// Lays the values over the project: all of a list; the ends and something between of a range.
    fn values(&self, parameter: &str, range: &RangeSpec, path: &str) -> Vec<ConfigError> {
        let mut root = self.root.clone();
        if let Err(error) = self.make_room(&mut root, parameter, path) {
            return vec![error];
        }
        let tried: Vec<(Value, Place)> = match range {
            RangeSpec::Values(values) if values.len() > VALUES_MAX => {
                let message = format!("{path}: {} values, {VALUES_MAX} are allowed", values.len());
                return vec![ConfigError::new(self.found.value_place(path), message)];
            }
            RangeSpec::Values(values) => {
                let place = |at| self.found.value_place(&join_index(path, at));
                values.iter().enumerate().map(|(at, value)| (value.clone(), place(at))).collect()
            }
            RangeSpec::Numbers(n) => {
                let number = |x: f64| if n.integer { Value::from(x as i64) } else { Value::from(x) };
                let between = n.step.map_or(n.min + (n.max - n.min) * 0.618, |step| (n.min + step).min(n.max));
                [("min", n.min), ("max", n.max), ("min", between)]
                    .map(|(key, x)| (number(x), self.found.value_place(&join(path, key))))
                    .into()
            }
        };
        for (value, place) in tried {
            let errors = self.lay_and_read(&root, parameter, &value, &place, path);
            if !errors.is_empty() {
                return errors;
            }
        }
        Vec::new()
    }

    /// A parameter below another one has a place only beside some of its values: `network.dense.dropout` beside
    /// `network: dense`.
    fn make_room(&self, root: &mut Node, parameter: &str, path: &str) -> Result<(), ConfigError> {
        for (parent, range) in &self.tune.parameters {
            let RangeSpec::Values(values) = range else { continue };
            if !is_below(parameter, parent) {
                continue;
            }
            let next = parameter[parent.len() + 1..].split(['.', '[']).next().unwrap_or_default();
            let fits = |value: &&Value| match value {
                Value::String(word) => word == next,
                Value::Object(inner) => inner.contains_key(next),
                _ => false,
            };
            let Some(value) = values.iter().find(fits) else {
                let message = format!("{parameter:?} has no effect: no value of {parent:?} is {next:?}");
                return Err(ConfigError::new(self.found.key_place(path), message));
            };
            let place = Place::Set(MARK.into());
            let laid = put_setting(root, self.name, parent, node_of(value, &place), &place);
            laid.map_err(|message| ConfigError::new(self.found.key_place(path), message))?;
        }
        Ok(())
    }

    fn lay_and_read(&self, root: &Node, parameter: &str, value: &Value, at: &Place, path: &str) -> Vec<ConfigError> {
        let mark = Place::Set(MARK.into());
        let mut root = root.clone();
        if let Err(message) = put_setting(&mut root, self.name, parameter, node_of(value, at), &mark) {
            return vec![ConfigError::new(self.found.key_place(path), message)];
        }
        let place = |mut error: ConfigError| {
            if error.place == mark {
                error.place = self.found.key_place(path);
            }
            error
        };
        let wrong = (self.reading)(&root).err().unwrap_or_default();
        let note = |error: ConfigError| match error.message.contains("expected an integer") {
            true => error.note("\"integer: true\" tries whole numbers only"),
            false => error,
        };
        wrong.into_iter().map(place).map(note).collect()
    }
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// The whole number under a key path of a section.
pub(super) fn number_at(section: &Value, path: &str) -> Option<usize> {
    let mut value = section;
    for step in steps(path).ok()? {
        value = match step {
            Step::Key(key) => value.get(key)?,
            Step::Index(index) => value.get(index)?,
        };
    }
    usize::try_from(value.as_u64()?).ok()
}
