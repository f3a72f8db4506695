//! The text of a query: names are quoted, values stand apart.

use crate::error::{Error, Result};
use crate::source::{Comparison, Condition, Test, Value};

/// How a query for all columns begins.
const ALL: &str = "SELECT * FROM ";

/// What is read, as it stands behind `FROM`.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    from: String,
    quote: char,
}

/// Where values stand in a query.
pub(super) type Placeholder<'a> = &'a dyn Fn(usize, &Condition) -> String;

impl Relation {
    /// A table by its name, or the user's query; names are quoted with `quote`.
    pub(super) fn of(table: Option<&str>, query: Option<&str>, quote: char) -> Result<Self> {
        let from = match (table, query) {
            (Some(table), None) => {
                let parts: Vec<String> = table.split('.').map(|part| quoted(part, quote)).collect();
                parts.join(".")
            }
            (None, Some(query)) => {
                let query = query.trim().trim_end_matches(';');
                // The bracket is on a line of its own: the query may end in a comment.
                format!("({query}\n) AS {}", quoted("rows of the query", quote))
            }
            (Some(_), Some(_)) => return Err(Error::invalid("a source has table and query; leave one of them out")),
            (None, None) => return Err(Error::invalid("a source needs the name of a table or a query")),
        };
        Ok(Self { from, quote })
    }

    /// A name as this database wants it.
    pub(super) fn name(&self, name: &str) -> String {
        quoted(name, self.quote)
    }

    /// The place in the user's query, from 1, of a character of [`Relation::all`].
    pub(super) fn place(&self, character: usize) -> Option<(usize, usize)> {
        let before = ALL.chars().count() + 2; // the bracket, and places are counted from 1
        let query = self.from.strip_prefix('(')?;
        let read: Vec<char> = query.chars().take(character.checked_sub(before)?).collect();
        let line = read.iter().filter(|c| **c == '\n').count() + 1;
        Some((line, read.iter().rev().take_while(|c| **c != '\n').count() + 1))
    }

    /// A query for all columns, and for no rows or so many.
    pub(super) fn all(&self, limit: usize) -> String {
        format!("{ALL}{} LIMIT {limit}", self.from)
    }

    /// A query for some columns, `columns` as they are written in SQL, with the values of its placeholders in their order.
    pub(super) fn select(
        &self,
        columns: &[String],
        conditions: &[Condition],
        column: &dyn Fn(usize) -> String,
        placeholder: Placeholder,
        limit: Option<usize>,
    ) -> (String, Vec<Value>) {
        let mut values: Vec<Value> = Vec::new();
        let mut place = |condition: &Condition, value: &Value| {
            values.push(value.clone());
            placeholder(values.len(), condition)
        };
        let mut tests = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let name = column(condition.column);
            tests.push(match &condition.test {
                Test::Missing => format!("{name} IS NULL"),
                Test::Present => format!("{name} IS NOT NULL"),
                Test::Compare(comparison, value) => {
                    format!("{name} {} {}", sign(*comparison), place(condition, value))
                }
                Test::In(list) => {
                    let places: Vec<String> = list.iter().map(|value| place(condition, value)).collect();
                    format!("{name} IN ({})", places.join(", "))
                }
            });
        }
        // Where no column is wanted, the rows are counted.
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        let mut sql = format!("SELECT {columns} FROM {}", self.from);
        if !tests.is_empty() {
            sql += &format!(" WHERE {}", tests.join(" AND "));
        }
        if let Some(limit) = limit {
            sql += &format!(" LIMIT {limit}");
        }
        (sql, values)
    }
}

fn quoted(name: &str, quote: char) -> String {
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_stand_apart() {
        let relation = Relation::of(Some("shop.odd\"name"), None, '"').unwrap();
        let conditions = [
            Condition { column: 0, test: Test::Compare(Comparison::GreaterOrEqual, Value::Integer(3)) },
            Condition {
                column: 1,
                test: Test::In(vec![Value::Text("'; DROP TABLE x".into()), Value::Text("b".into())]),
            },
            Condition { column: 0, test: Test::Present },
        ];
        let columns = ["\"a\"".to_owned(), "\"b\"".to_owned()];
        let column = |index: usize| columns[index].clone();
        let (sql, values) = relation.select(&columns, &conditions, &column, &|number, _| format!("${number}"), Some(5));
        assert_eq!(
            sql,
            "SELECT \"a\", \"b\" FROM \"shop\".\"odd\"\"name\" WHERE \"a\" >= $1 AND \"b\" IN ($2, $3) AND \"a\" IS NOT \
             NULL LIMIT 5"
        );
        assert_eq!(values, [Value::Integer(3), Value::Text("'; DROP TABLE x".into()), Value::Text("b".into())]);
    }

    #[test]
    fn a_query_is_read_like_a_table_and_one_of_both_is_needed() {
        let relation = Relation::of(None, Some("SELECT 1 AS a -- one\n;"), '`').unwrap();
        let (sql, _) = relation.select(&[], &[], &|_| String::new(), &|_, _| String::new(), None);
        assert_eq!(sql, "SELECT 1 FROM (SELECT 1 AS a -- one\n\n) AS `rows of the query`");
        let relation = Relation::of(None, Some("SELECT a\nFROM b"), '"').unwrap();
        let (all, error) = (relation.all(0), "FROM b");
        let at = all.find(error).unwrap();
        assert_eq!(relation.place(at + 1), Some((2, 1)));
        assert_eq!(relation.place(at - 1), Some((1, 8)));
        assert_eq!(Relation::of(Some("a"), None, '"').unwrap().place(16), None);
        assert!(
            Relation::of(None, None, '"').unwrap_err().to_string().contains("needs the name of a table or a query")
        );
        assert!(Relation::of(Some("a"), Some("b"), '"').unwrap_err().to_string().contains("leave one of them out"));
    }
}
