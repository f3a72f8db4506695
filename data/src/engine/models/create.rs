//! `CREATE MODEL name OPTIONS(...) AS SELECT ...`, taken apart.

use datafusion::sql::sqlparser::tokenizer::Token;
use serde_json::{Number, Value};

use super::Pieces;
use crate::error::Result;

/// Most options of a statement.
const OPTIONS_MAX: usize = 200;

/// What a `CREATE MODEL` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateModel {
    /// The model's name.
    pub name: String,
    /// Where it stands, `line 1, column 14`.
    pub place: String,
    /// What is to happen where there is a model of this name.
    pub if_exists: IfModelExists,
    /// The options, in their order.
    pub options: Vec<ModelOption>,
    /// The query that gives the rows to learn from.
    pub query: String,
}

/// What `CREATE MODEL` does where there is a model of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfModelExists {
    /// `CREATE MODEL`: an error.
    Refuse,
    /// `CREATE OR REPLACE MODEL`: the new one takes its place.
    Replace,
    /// `CREATE MODEL IF NOT EXISTS`: nothing.
    Keep,
}

/// An option: `name = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOption {
    /// Its name, in lower case.
    pub name: String,
    /// Text, a number, true or false, null, or a list of them.
    pub value: Value,
    /// Where the name stands.
    pub place: String,
}

/// Takes a `CREATE MODEL` apart; nothing for any other text.
///
/// # Errors
/// A `CREATE MODEL` that is not written as one, with the place.
pub fn create_model(sql: &str) -> Result<Option<CreateModel>> {
    let Some(pieces) = Pieces::of(sql) else { return Ok(None) };
    let pieces = Reader { pieces: &pieces };
    match pieces.head() {
        Some(head) => pieces.create(head).map(Some),
        None => Ok(None),
    }
}

struct Reader<'a, 's> {
    pieces: &'a Pieces<'s>,
}

impl Reader<'_, '_> {
    /// Where the name stands, and what is to happen to one of that name; nothing for another statement.
    fn head(&self) -> Option<(usize, IfModelExists)> {
        let is = |at, word| self.pieces.is(at, word);
        match is(0, "create") {
            true if is(1, "or") && is(2, "replace") && is(3, "model") => Some((4, IfModelExists::Replace)),
            true if is(1, "model") && is(2, "if") && is(3, "not") && is(4, "exists") => Some((5, IfModelExists::Keep)),
            true if is(1, "model") => Some((2, IfModelExists::Refuse)),
            _ => None,
        }
    }

    fn create(&self, (name_at, if_exists): (usize, IfModelExists)) -> Result<CreateModel> {
        let pieces = self.pieces;
        let mut end = name_at + 1;
        while end < pieces.all.len() && !pieces.is(end, "options") && !pieces.is(end, "as") {
            if matches!(pieces.word(end), Some(word) if word.quote_style.is_none()) && end == name_at + 1 {
                return Err(pieces.wrong(end, format!("expected OPTIONS or AS, found {}", pieces.found(end))));
            }
            end += 1;
        }
        let name = pieces.model(name_at, end)?.to_owned();
        let (options, at) = match pieces.is(end, "options") {
            true => self.options(end + 1)?,
            false => (Vec::new(), end),
        };
        if !pieces.is(at, "as") {
            return Err(pieces.wrong(at, format!("expected AS SELECT ..., found {}", pieces.found(at))));
        }
        let last = match pieces.all.iter().rposition(|piece| piece.token != Token::SemiColon) {
            Some(last) if last > at => last + 1,
            _ => return Err(pieces.wrong(at, "the query behind AS is missing; write AS SELECT ...")),
        };
        if let Some(more) = (at + 1..last).find(|&at| pieces.is_mark(at, &Token::SemiColon)) {
            return Err(pieces.wrong(more, "CREATE MODEL stands alone; run what follows by itself"));
        }
        if !pieces.is(at + 1, "select") && !pieces.is(at + 1, "with") && !pieces.is_mark(at + 1, &Token::LParen) {
            return Err(pieces.wrong(at + 1, format!("expected SELECT, found {}", pieces.found(at + 1))));
        }
        let query = pieces.text(at + 1, last).to_owned();
        Ok(CreateModel { name, place: pieces.place(name_at), if_exists, options, query })
    }

    /// The options in the brackets at this place, and what stands behind them.
    fn options(&self, open: usize) -> Result<(Vec<ModelOption>, usize)> {
        let pieces = self.pieces;
        let closed = pieces.is_mark(open, &Token::LParen).then(|| pieces.closing(open, pieces.all.len())).flatten();
        let Some(close) = closed else {
            return Err(pieces.wrong(open, "OPTIONS is followed by brackets: OPTIONS(model_type='auto', ...)"));
        };
        let mut options: Vec<ModelOption> = Vec::new();
        for (from, to) in pieces.parts(open + 1, close) {
            let Some(word) = pieces.word(from).filter(|_| pieces.is_mark(from + 1, &Token::Eq) && to > from + 2) else {
                return Err(pieces.wrong(from, format!("expected an option, name=value, found {}", pieces.found(from))));
            };
            let name = word.value.to_ascii_lowercase();
            if options.iter().any(|known| known.name == name) {
                return Err(pieces.wrong(from, format!("option \"{name}\" stands there twice")));
            }
            if options.len() >= OPTIONS_MAX {
                return Err(pieces.wrong(from, format!("more than {OPTIONS_MAX} options")));
            }
            let value = self.value(from + 2, to, &name)?;
            options.push(ModelOption { name, value, place: pieces.place(from) });
        }
        Ok((options, close + 1))
    }

    fn value(&self, from: usize, to: usize, option: &str) -> Result<Value> {
        let pieces = self.pieces;
        if pieces.is_mark(from, &Token::LBracket) && pieces.closing(from, to) == Some(to - 1) {
            let items = pieces.parts(from + 1, to - 1).into_iter();
            return items.map(|(from, to)| self.single(from, to, option)).collect();
        }
        self.single(from, to, option)
    }

    fn single(&self, from: usize, to: usize, option: &str) -> Result<Value> {
        let number = |text: &str| text.parse::<Number>().ok().map(Value::Number);
        let tokens: Vec<&Token> = (from..to).filter_map(|at| self.pieces.token(at)).collect();
        let found = match tokens.as_slice() {
            [Token::SingleQuotedString(text)] => Some(Value::String(text.clone())),
            [Token::Word(word)] if word.quote_style == Some('"') => Some(Value::String(word.value.clone())),
            [Token::Word(word)] if word.quote_style.is_none() => match word.value.to_ascii_lowercase().as_str() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                "null" => Some(Value::Null),
                _ => None,
            },
            [Token::Number(text, _)] => number(text.trim_start_matches('+')),
            [Token::Minus, Token::Number(text, _)] => number(&format!("-{text}")),
            _ => None,
        };
        found.ok_or_else(|| {
            let takes = "text in single quotes, a number, TRUE, FALSE or a list of them in [ ]";
            self.pieces.wrong(from, format!("the value of option \"{option}\" is none; an option takes {takes}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statements_are_taken_apart() {
        let sql = "CREATE OR REPLACE MODEL churn -- the first\nOPTIONS(model_type='dnn_classifier', INPUT_LABEL_COLS=['left'],\n\
                   hidden_units=[64, 32], dropout=0.1, \"early_stop\"=true, l1_reg = -1e-3)\n\
                   AS SELECT a, ';' AS b FROM t WHERE c IN (1, 2);\n";
        let found = create_model(sql).unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.if_exists), ("churn", IfModelExists::Replace));
        assert_eq!(found.place, "line 1, column 25");
        let values: Vec<(&str, &Value)> =
            found.options.iter().map(|option| (option.name.as_str(), &option.value)).collect();
        let expected = [
            ("model_type", json!("dnn_classifier")),
            ("input_label_cols", json!(["left"])),
            ("hidden_units", json!([64, 32])),
            ("dropout", json!(0.1)),
            ("early_stop", json!(true)),
            ("l1_reg", json!(-1e-3)),
        ];
        assert_eq!(values, expected.iter().map(|(name, value)| (*name, value)).collect::<Vec<_>>());
        assert_eq!(found.options[1].place, "line 2, column 38");
        assert_eq!(found.query, "SELECT a, ';' AS b FROM t WHERE c IN (1, 2)");
        let found = create_model("create model if not exists `a-b` as select 1").unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.if_exists), ("a-b", IfModelExists::Keep));
        assert!(found.options.is_empty());
    }

    #[test]
    fn other_statements_are_left_alone() {
        for sql in [
            "SELECT 'CREATE MODEL a AS SELECT 1'",
            "CREATE TABLE model AS SELECT 1",
            "-- CREATE MODEL\nSELECT 1",
            "",
            "'",
        ] {
            assert_eq!(create_model(sql).unwrap(), None, "{sql}");
        }
    }

    #[test]
    fn wrong_statements_are_named_with_their_place() {
        let check = |sql: &str, words: &[&str]| {
            let error = create_model(sql).unwrap_err().to_string();
            words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
        };
        check("CREATE MODEL a.b AS SELECT 1", &["column 14", "one name"]);
        check("CREATE MODEL a-b AS SELECT 1", &["stands in quotes"]);
        check("CREATE MODEL a TRANSFORM(x) AS SELECT 1", &["column 16", "expected OPTIONS or AS, found \"TRANSFORM\""]);
        check("CREATE MODEL a OPTIONS(x=1)", &["the end", "expected AS SELECT"]);
        check("CREATE MODEL a OPTIONS(x=1) AS", &["query behind AS is missing"]);
        check("CREATE MODEL a AS TABLE t", &["expected SELECT, found \"TABLE\""]);
        check("CREATE MODEL a OPTIONS x=1 AS SELECT 1", &["followed by brackets"]);
        check("CREATE MODEL a OPTIONS(x 1) AS SELECT 1", &["column 24", "name=value"]);
        check("CREATE MODEL a OPTIONS(x=1, X=2) AS SELECT 1", &["column 29", "\"x\" stands there twice"]);
        check("CREATE MODEL a OPTIONS(x=STRUCT(1)) AS SELECT 1", &["option \"x\"", "a list of them"]);
        check("CREATE MODEL a AS SELECT 1; SELECT 2", &["stands alone"]);
        check("CREATE MODEL", &["the name of a model"]);
    }
}
