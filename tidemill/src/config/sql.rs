//! Which tables does a query read? The names after FROM and JOIN, without a full parser.

use std::collections::BTreeSet;

/// Words that end a FROM list.
const ENDS: [&str; 14] = [
    "where",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "window",
    "qualify",
    "fetch",
    "select",
    "with",
];

/// Words that may stand between FROM and a table, or follow it, and are no names.
const NO_NAMES: [&str; 5] = ["lateral", "only", "unnest", "values", "table"];

/// Those of them whose brackets hold no tables.
const CALLS: [&str; 3] = ["unnest", "values", "table"];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word, in lower case unless it was quoted.
    Word(String, bool),
    Mark(char),
}

#[derive(Clone, Copy, Default)]
struct Level {
    /// A SELECT stands in these brackets, so that FROM is followed by tables.
    has_select: bool,
    /// Between FROM and the next clause.
    in_from: bool,
}

/// Names of tables that `sql` reads, as SQL folds them (lower case unless quoted), without its own WITH names; once each.
pub(crate) fn tables_read(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let own = with_names(&tokens);
    let mut names = Vec::new();
    let mut levels = vec![Level::default()];
    let mut expects_table = false;
    for (index, token) in tokens.iter().enumerate() {
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::Mark('(') => {
                // `FROM (a JOIN b ...)` goes on with tables, `FROM (SELECT ...)` says so itself
                let before = index.checked_sub(1).and_then(|before| tokens.get(before));
                let is_call = matches!(before, Some(Token::Word(word, false)) if CALLS.contains(&word.as_str()));
                expects_table = expects_table && !is_call;
                levels.push(Level { has_select: expects_table, in_from: expects_table });
            }
            Token::Mark(')') => {
                if levels.len() > 1 {
                    levels.pop();
                }
                expects_table = false;
            }
            Token::Mark(',') => expects_table = level.in_from,
            Token::Mark(_) => expects_table = false,
            Token::Word(word, quoted) if expects_table && (*quoted || !is_clause(word)) => {
                let is_call = tokens.get(index + 1) == Some(&Token::Mark('('));
                if !quoted && NO_NAMES.contains(&word.as_str()) {
                    let is_list = word == "values";
                    level.in_from &= !is_list; // `(VALUES (1), (2))`: rows follow
                    expects_table &= !is_list;
                    continue;
                }
                expects_table = false;
                let is_dotted = tokens.get(index + 1) == Some(&Token::Mark('.'));
                if !is_call && !is_dotted && !own.contains(word) && !names.contains(word) {
                    names.push(word.clone());
                }
            }
            Token::Word(_, true) => {}
            Token::Word(word, false) => match word.as_str() {
                "select" => {
                    *level = Level { has_select: true, in_from: false };
                    expects_table = false;
                }
                "from" if level.has_select && !is_distinct_from(&tokens[..index]) => {
                    level.in_from = true;
                    expects_table = true;
                }
                "join" => expects_table = level.in_from,
                // as in `ML.PREDICT(MODEL m, TABLE t)`
                "table" if index > 0 && tokens[index - 1] == Token::Mark(',') => {
                    expects_table = matches!(tokens.get(index + 1), Some(Token::Word(..)));
                }
                word if is_clause(word) => {
                    level.in_from = false;
                    expects_table = false;
                }
                _ => {}
            },
        }
    }
    names
}

/// Whether a word begins another clause, so that no table follows.
fn is_clause(word: &str) -> bool {
    ENDS.contains(&word)
}

/// `a IS [NOT] DISTINCT FROM b` compares.
fn is_distinct_from(before: &[Token]) -> bool {
    let word = |back: usize| match before.len().checked_sub(back).and_then(|index| before.get(index)) {
        Some(Token::Word(word, false)) => word.as_str(),
        _ => "",
    };
    word(1) == "distinct" && matches!(word(2), "is" | "not")
}

/// Names that the query gives itself: `WITH a AS (...), b (x) AS (...)`.
fn with_names(tokens: &[Token]) -> BTreeSet<String> {
    let word =
        |index: usize, wanted: &str| matches!(tokens.get(index), Some(Token::Word(word, false)) if word == wanted);
    let mut names = BTreeSet::new();
    if !tokens.contains(&Token::Word("with".into(), false)) {
        return names;
    }
    for (index, token) in tokens.iter().enumerate() {
        let Token::Word(name, _) = token else { continue };
        let mut next = index + 1;
        if tokens.get(next) == Some(&Token::Mark('(')) {
            next += tokens[next..].iter().position(|token| *token == Token::Mark(')')).unwrap_or(0) + 1;
        }
        if word(next, "as") && tokens.get(next + 1) == Some(&Token::Mark('(')) {
            names.insert(name.clone());
        }
    }
    names
}

/// Words and marks; strings and comments are left out.
fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '\'' => {
                tokens.push(Token::Mark('\''));
                quoted(rest, '\'')
            }
            '"' => {
                let length = quoted(rest, '"');
                tokens.push(Token::Word(rest[..length].trim_matches('"').replace("\"\"", "\""), true));
                length
            }
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            c if c.is_alphanumeric() || c == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_lowercase(), false));
                length
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => {
                tokens.push(Token::Mark(c));
                c.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    tokens
}

/// Length of a quoted part with its quotes; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(end) = text[from..].find(quote) {
        from += end + 1;
        if !text[from..].starts_with(quote) {
            return from;
        }
        from += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[&str]) {
        assert_eq!(tables_read(sql), expected, "{sql}");
    }

    #[test]
    fn tables_are_found_after_from_and_join() {
        check("SELECT * FROM people", &["people"]);
        check("select a.x, b.y from People a left join Towns AS b on a.id = b.id where a.x > 1", &["people", "towns"]);
        check("SELECT * FROM a, b x, (SELECT * FROM c) d, e WHERE f IN (SELECT g FROM h)", &["a", "b", "c", "e", "h"]);
        check("SELECT 1 FROM a UNION ALL SELECT 2 FROM b ORDER BY c, d", &["a", "b"]);
        check("SELECT * FROM a JOIN b ON f(a.x, c) = b.x, g", &["a", "b", "g"]);
        check("SELECT * FROM a, (VALUES (0), (1)) v, b", &["a", "b"]);
        check("SELECT * FROM ML.PREDICT(MODEL m, TABLE t) p JOIN a ON true", &["t", "a"]);
        check("SELECT * FROM ML.EVALUATE(MODEL m, (SELECT x, y FROM t JOIN b ON true))", &["t", "b"]);
        check("SELECT * FROM \"Odd Name\" JOIN \"b\" USING (id)", &["Odd Name", "b"]);
    }

    #[test]
    fn what_only_looks_like_a_table_is_left_alone() {
        check(
            "SELECT EXTRACT(YEAR FROM born), SUBSTRING(name FROM 2), 'FROM x' -- FROM y\n FROM a /* JOIN z */",
            &["a"],
        );
        check("SELECT a IS NOT DISTINCT FROM b FROM t", &["t"]);
        check("SELECT * FROM generate_series(1, 10), information_schema.tables, UNNEST([1, 2]) u, t", &["t"]);
        check(
            "WITH x AS (SELECT * FROM a), y (n) AS (SELECT 1) SELECT * FROM x JOIN y ON true JOIN b ON true",
            &["a", "b"],
        );
        check("SELECT 'it''s FROM x' AS \"from\" FROM t", &["t"]);
        check("", &[]);
        check("FROM (", &[]);
        check("SELECT ')' FROM ((a)) JOIN 'b", &["a"]);
    }
}
