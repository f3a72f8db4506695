//! Do the expectations make sense? Tables that are there, patterns and ranges that can hold; and expectations as YAML.

use data::{Expectation, OnFailure};
use serde_json::{Map, Value, json};

use super::place::{join, join_index};
use super::render::{escape, scalar_text};
use super::resolve::{Check, snapshot_name};
use super::sql::tables_read;

/// What has to hold for the rows of a table or source.
#[derive(Debug, Clone, PartialEq)]
pub struct TableExpectations {
    /// The table or source.
    pub table: String,
    /// In the order of the file.
    pub all: Vec<Expectation>,
}

impl TableExpectations {
    /// The path in the project file of the value under `key` of an expectation.
    pub(crate) fn path(&self, index: usize, key: &str) -> String {
        let path = join_index(&join("expectations", &self.table), index);
        let path = self.all.get(index).map_or(path.clone(), |check| join(&path, check.kind()));
        if key.is_empty() { path } else { format!("{path}.{key}") }
    }
}

/// Whether `against` names a file and no table.
pub(crate) fn is_file(against: &str) -> bool {
    snapshot_name(against).is_none() && against.contains(['.', '/', '\\'])
}

impl Check<'_> {
    /// Checks what can be checked without the rows.
    pub(super) fn expectations(&mut self, table: &str, all: &[Expectation]) {
        let path = join("expectations", table);
        self.table_exists_by_key(&path, table);
        let here = TableExpectations { table: table.to_owned(), all: all.to_vec() };
        for (index, check) in all.iter().enumerate() {
            for (key, why) in check.faults() {
                let path = here.path(index, &key);
                // the reason may repeat a value that came from the environment
                let why = match self.found.written(&path) {
                    Some(written) => format!("{written:?} cannot be what is wanted here"),
                    None => why,
                };
                self.at_value(&path, format!("{path}: {why}"));
            }
            match check {
                Expectation::ForeignKey(key) => self.table_exists(&here.path(index, "table"), &key.table),
                Expectation::Drift(drift) => {
                    if let Some(against) = drift.against.as_deref().filter(|against| !is_file(against)) {
                        self.table_exists(&here.path(index, "against"), against);
                    }
                }
                Expectation::Sql(sql) => {
                    for name in tables_read(&sql.query) {
                        self.table_exists(&here.path(index, "query"), &name);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Expectations as a section of a project file.
pub(crate) fn expectations_yaml(tables: &[TableExpectations]) -> String {
    let mut text = String::from("expectations:\n");
    for TableExpectations { table, all } in tables {
        text += &format!("  {}:\n", scalar_text(table));
        for check in all {
            text += &format!("    - {}\n", one_line(check));
        }
    }
    text
}

/// `not_null: age`, or the kind with its keys, without those that have their defaults.
fn one_line(check: &Expectation) -> String {
    let kind = check.kind();
    let Ok(Value::Object(all)) = serde_json::to_value(check) else { return String::new() };
    let Some(Value::Object(keys)) = all.get(kind) else { return String::new() };
    let is_default = |key: &str, value: &Value| match key {
        "at_most" => value == &json!(0.0),
        "on_failure" => value == &json!(OnFailure::default()),
        _ => value.is_null(),
    };
    let keys: Map<String, Value> = keys
        .iter()
        .filter(|(key, value)| !is_default(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    match keys.get("column") {
        Some(column) if keys.len() == 1 && kind == "not_null" => format!("{kind}: {}", flow(column)),
        _ => format!("{kind}: {}", flow(&Value::Object(keys))),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(keys) => {
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar_text(&escape(text)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Project;

    use super::*;

    const ORDERS: &str = "sources:\n  orders: { csv: orders.csv }\n  shops: { csv: shops.csv }\n";

    fn load(text: &str) -> Result<Project, String> {
        let none = |_: &str| None;
        Project::parse(text, Path::new("t.yaml"), &[], &none).map_err(|errors| errors.to_string())
    }

    #[test]
    fn expectations_read_back_as_they_are_written() {
        let section = "expectations:\n  orders:\n    - not_null: id\n    - unique: { columns: [id, \"d$$y\"] }\n    \
                       - range: { column: age, min: 0, max: 1.5, at_most: 0.25, on_failure: warn }\n    \
                       - matches: { column: mail, pattern: \"^[a-z]+@\\\\S+$$\" }\n    \
                       - one_of: { column: state, values: [new, \"yes\", 3, true] }\n    - row_count: { min: 5 }\n";
        let project = load(&format!("{ORDERS}{section}")).unwrap();
        assert_eq!(project.expectations.len(), 1);
        assert_eq!(project.expectations[0].all.len(), 6);
        assert_eq!(expectations_yaml(&project.expectations), section);
        let Expectation::Matches(check) = &project.expectations[0].all[3] else { panic!("a pattern") };
        assert_eq!(check.pattern, "^[a-z]+@\\S+$");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let check = |expectation: &str, words: &[&str]| {
            let text = format!("{ORDERS}expectations:\n  orders:\n    - {expectation}\n");
            let error = load(&text).map(|_| ()).unwrap_err();
            words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
            assert!(error.contains("t.yaml:6:"), "{error}");
        };
        check(
            "matches: { column: a, pattern: \"[a\" }",
            &["expectations.orders[0].matches.pattern", "no regular expression"],
        );
        check(
            "range: { column: a, min: 2, max: 1 }",
            &["expectations.orders[0].range.min: the lowest value 2 is above"],
        );
        check("range: { column: a, min: 2, at_most: 2 }", &["at_most", "to below 1"]);
        check("foreign_key: { column: a, table: shop }", &["no table or source \"shop\"; did you mean \"shops\"?"]);
        check("drift: { against: order }", &["did you mean \"orders\"?"]);
        check("sql: SELECT * FROM ordrs", &["query", "did you mean \"orders\"?"]);
        check("not_nul: a", &["unknown choice \"not_nul\"", "did you mean \"not_null\"?"]);
        check("range: { colum: a, min: 1 }", &["unknown key \"colum\"", "did you mean \"column\"?"]);
        check("one_of: { column: a, values: [] }", &["at least 1"]);
        let error = load(&format!("{ORDERS}expectations:\n  order: []\n")).map(|_| ()).unwrap_err();
        assert!(error.contains("no table or source \"order\"; did you mean \"orders\"?"), "{error}");
    }
}
