//! `ML.PREDICT(MODEL m, TABLE t)` and its kin as queries with our functions.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{ModelAnswer, ModelNames, Pieces};
use crate::engine::{literal, quoted};
use crate::error::{Error, Result, did_you_mean};

/// Calls inside of calls.
const NESTED_MAX: usize = 16;

/// The functions, as BigQuery names them.
const FUNCTIONS: [&str; 4] = ["PREDICT", "EXPLAIN_PREDICT", "EVALUATE", "FEATURE_IMPORTANCE"];
/// What `ML.EXPLAIN_PREDICT` takes in its `STRUCT`.
const SETTINGS: [&str; 2] = ["top_k_features", "permutations"];
/// Features of an answer that `ML.EXPLAIN_PREDICT` names where it is not told how many, as in BigQuery.
const TOP_FEATURES: &str = "5";

/// The query with every call of `ML.` as a query of its own; as it is where there is none.
///
/// # Errors
/// A call that is none, with its place; a model that is not there.
pub(in crate::engine) fn rewritten<'s>(sql: &'s str, models: &dyn ModelNames) -> Result<Cow<'s, str>> {
    if !sql.as_bytes().windows(2).any(|bytes| bytes.eq_ignore_ascii_case(b"ml")) {
        return Ok(Cow::Borrowed(sql));
    }
    let Some(pieces) = Pieces::of(sql) else { return Ok(Cow::Borrowed(sql)) };
    let calls = Calls { pieces: &pieces, models };
    match (0..pieces.all.len()).any(|at| calls.begins(at)) {
        false => Ok(Cow::Borrowed(sql)),
        true => calls.text(0, pieces.all.len(), 0).map(Cow::Owned),
    }
}

struct Calls<'a, 's> {
    pieces: &'a Pieces<'s>,
    models: &'a dyn ModelNames,
}

impl Calls<'_, '_> {
    /// Whether `ML . name (` stands there.
    fn begins(&self, at: usize) -> bool {
        let pieces = self.pieces;
        pieces.is(at, "ml")
            && pieces.is_mark(at + 1, &Token::Period)
            && pieces.word(at + 2).is_some()
            && pieces.is_mark(at + 3, &Token::LParen)
            && !at.checked_sub(1).is_some_and(|before| pieces.is_mark(before, &Token::Period))
    }

    /// The text of these tokens with its calls replaced.
    fn text(&self, from: usize, to: usize, depth: usize) -> Result<String> {
        let pieces = self.pieces;
        let (mut out, mut kept, mut at) = (String::new(), from, from);
        while at < to {
            if !self.begins(at) {
                at += 1;
                continue;
            }
            if depth >= NESTED_MAX {
                return Err(pieces.wrong(at, format!("more than {NESTED_MAX} calls of ML inside of one another")));
            }
            let Some(close) = pieces.closing(at + 3, to) else {
                return Err(pieces.wrong(at + 3, "this bracket is not closed"));
            };
            let before = pieces.all.get(kept).map_or(0, |piece| piece.from);
            out += &pieces.text[before..pieces.all[at].from];
            out += &self.query(at, close, depth + 1)?;
            // what stands between the call and the next token goes with that token
            kept = close + 1;
            at = close + 1;
            if kept < to {
                out += &pieces.text[pieces.all[close].to..pieces.all[kept].from];
            }
        }
        out += pieces.text(kept, to);
        Ok(out)
    }

    /// What the call from `at` to its closing bracket stands for.
    fn query(&self, at: usize, close: usize, depth: usize) -> Result<String> {
        let pieces = self.pieces;
        let name = pieces.word(at + 2).map(|word| word.value.to_ascii_uppercase()).unwrap_or_default();
        if !FUNCTIONS.contains(&name.as_str()) {
            let near = did_you_mean(&name, FUNCTIONS).replace("mean \"", "mean \"ML.");
            let known = FUNCTIONS.map(|name| format!("ML.{name}")).join(", ");
            return Err(pieces.wrong(at, format!("no function ML.{name}{near} (there are {known})")));
        }
        let usage = usage_of(&name);
        let parts = pieces.parts(at + 4, close);
        let Some(&(from, to)) = parts.first().filter(|(from, to)| pieces.is(*from, "model") && to - from > 1) else {
            return Err(pieces.wrong(at + 4, format!("ML.{name} begins with a model; {usage}")));
        };
        let most = match name.as_str() {
            "FEATURE_IMPORTANCE" => 1,
            "EXPLAIN_PREDICT" => 3,
            _ => 2,
        };
        if let Some((from, _)) = parts.get(most) {
            return Err(pieces.wrong(*from, format!("ML.{name} takes nothing more here; {usage}")));
        }
        let model = pieces.model(from + 1, to)?;
        let answer = self.models.answer(model).map_err(|error| placed(error, &pieces.place(from + 1)))?;
        let rows = parts.get(1).map(|&(from, to)| self.rows(from, to, depth, usage)).transpose()?;
        let word = literal(model);
        Ok(match (name.as_str(), rows) {
            ("PREDICT" | "EXPLAIN_PREDICT", None) => {
                return Err(pieces.wrong(close, format!("ML.{name} needs rows; {usage}")));
            }
            ("PREDICT", Some(rows)) => {
                let column = format!("predicted_{}", answer.label);
                let probabilities = match answer.has_classes {
                    true => format!(", probabilities({word}) AS {}", quoted(&format!("{column}_probs"))),
                    false => String::new(),
                };
                format!("(SELECT predict({word}) AS {}{probabilities}, * FROM {rows})", quoted(&column))
            }
            ("EXPLAIN_PREDICT", Some(rows)) => {
                let settings = parts.get(2).map(|&(from, to)| self.settings(from, to, usage)).transpose()?;
                explained(&word, &answer, &rows, settings.unwrap_or_default())
            }
            ("EVALUATE", None) => format!("ml_evaluate({word})"),
            ("EVALUATE", Some(rows)) => format!("ml_evaluate({word}, {})", literal(&format!("SELECT * FROM {rows}"))),
            _ => format!("(SELECT \"column\" AS feature, \"drop\" AS importance FROM importance({word}))"),
        })
    }

    /// The numbers of `STRUCT(3 AS top_k_features, 256 AS permutations)`, in the order of [`SETTINGS`].
    fn settings(&self, from: usize, to: usize, usage: &str) -> Result<[Option<String>; 2]> {
        let pieces = self.pieces;
        let is_struct = pieces.is(from, "struct") && pieces.is_mark(from + 1, &Token::LParen);
        if !is_struct || pieces.closing(from + 1, to) != Some(to - 1) {
            return Err(pieces.wrong(from, format!("this is no STRUCT; {usage}")));
        }
        let mut found = [None, None];
        for (from, to) in pieces.parts(from + 2, to - 1) {
            let name = pieces.word(from + 2).filter(|_| pieces.is(from + 1, "as") && to == from + 3);
            let (Some(Token::Number(number, _)), Some(name)) = (pieces.token(from), name) else {
                return Err(pieces.wrong(from, format!("expected a number and its name, such as 3 AS {}", SETTINGS[0])));
            };
            let Some(place) = SETTINGS.iter().position(|known| name.value.eq_ignore_ascii_case(known)) else {
                let near = did_you_mean(&name.value, SETTINGS);
                let known = SETTINGS.join(", ");
                return Err(pieces.wrong(from + 2, format!("no setting \"{}\"{near} (there are {known})", name.value)));
            };
            found[place] = Some(number.clone());
        }
        Ok(found)
    }

    /// `TABLE t` as `t`, `(SELECT ...)` as itself.
    fn rows(&self, from: usize, to: usize, depth: usize, usage: &str) -> Result<String> {
        let pieces = self.pieces;
        if pieces.is(from, "table") && to == from + 2 && pieces.word(from + 1).is_some() {
            return Ok(pieces.text(from + 1, to).to_owned());
        }
        if pieces.is_mark(from, &Token::LParen) && to > from + 2 && pieces.closing(from, to) == Some(to - 1) {
            return Ok(format!("({})", self.text(from + 1, to - 1, depth)?));
        }
        Err(pieces.wrong(from, format!("these are no rows; {usage}")))
    }
}

fn usage_of(function: &str) -> &'static str {
    match function {
        "PREDICT" => "write ML.PREDICT(MODEL name, TABLE table) or ML.PREDICT(MODEL name, (SELECT ...))",
        "EXPLAIN_PREDICT" => {
            "write ML.EXPLAIN_PREDICT(MODEL name, TABLE table) or ML.EXPLAIN_PREDICT(MODEL name, (SELECT ...)), with \
             STRUCT(3 AS top_k_features) behind a comma where that is wanted"
        }
        "EVALUATE" => "write ML.EVALUATE(MODEL name), or with TABLE table or (SELECT ...) behind a comma",
        _ => "write ML.FEATURE_IMPORTANCE(MODEL name)",
    }
}

/// The query of `ML.EXPLAIN_PREDICT`: what is explained is the probability of the predicted class, or the value.
fn explained(word: &str, answer: &ModelAnswer, rows: &str, [top, permutations]: [Option<String>; 2]) -> String {
    let top = literal(top.as_deref().unwrap_or(TOP_FEATURES));
    let more = permutations.map(|number| format!(", {}", literal(&number))).unwrap_or_default();
    let (probability, value) = match answer.has_classes {
        true => (format!("confidence({word}) AS probability, "), "confidence"),
        false => (String::new(), "predict"),
    };
    format!(
        "(SELECT predict({word}) AS {}, {probability}attributions({word}, {top}{more}) AS top_feature_attributions, \
         baseline({word}{more}) AS baseline_prediction_value, {value}({word}) AS prediction_value, * FROM {rows})",
        quoted(&format!("predicted_{}", answer.label))
    )
}

/// The error with the place of the model in front.
fn placed(error: Error, place: &str) -> Error {
    let message = |text: &str| format!("SQL, {place}: {}", text.trim_start_matches("SQL: "));
    match &error {
        Error::NotFound(text) => Error::NotFound(message(text)),
        Error::Invalid(text) => Error::Invalid(message(text)),
        Error::Unsupported(text) => Error::Unsupported(message(text)),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Known;

    impl ModelNames for Known {
        fn answer(&self, model: &str) -> Result<ModelAnswer> {
            match model {
                "churn" => Ok(ModelAnswer { label: "left".into(), has_classes: true }),
                "it's" => Ok(ModelAnswer { label: "price".into(), has_classes: false }),
                _ => Err(Error::NotFound(format!("no model \"{model}\""))),
            }
        }
    }

    #[test]
    fn calls_become_queries() {
        let check = |sql: &str, expected: &str| assert_eq!(rewritten(sql, &Known).unwrap(), expected, "{sql}");
        check(
            "SELECT * FROM ML.PREDICT(MODEL churn, TABLE t) AS p WHERE 1 = 1 -- ok",
            "SELECT * FROM (SELECT predict('churn') AS \"predicted_left\", probabilities('churn') AS \
             \"predicted_left_probs\", * FROM t) AS p WHERE 1 = 1",
        );
        check(
            "select a from\n ml.predict(model `it's`, (SELECT a, ')' AS b FROM \"t\" /* ) */ WHERE a IN (1, 2)))\nLIMIT 1",
            "select a from\n (SELECT predict('it''s') AS \"predicted_price\", * FROM (SELECT a, ')' AS b FROM \"t\" /* ) */ \
             WHERE a IN (1, 2)))\nLIMIT 1",
        );
        check(
            "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL churn, TABLE t)",
            "SELECT * FROM (SELECT predict('churn') AS \"predicted_left\", confidence('churn') AS probability, \
             attributions('churn', '5') AS top_feature_attributions, baseline('churn') AS baseline_prediction_value, \
             confidence('churn') AS prediction_value, * FROM t)",
        );
        check(
            "SELECT * FROM ml.explain_predict(MODEL \"it's\", (SELECT 1), STRUCT(256 AS permutations, 3 AS Top_K_Features)) e",
            "SELECT * FROM (SELECT predict('it''s') AS \"predicted_price\", attributions('it''s', '3', '256') AS \
             top_feature_attributions, baseline('it''s', '256') AS baseline_prediction_value, predict('it''s') AS \
             prediction_value, * FROM (SELECT 1)) e",
        );
        check("SELECT * FROM ML.EVALUATE(MODEL churn)", "SELECT * FROM ml_evaluate('churn')");
        check(
            "SELECT * FROM ML.EVALUATE(MODEL churn, (SELECT '数' AS c)) e",
            "SELECT * FROM ml_evaluate('churn', 'SELECT * FROM (SELECT ''数'' AS c)') e",
        );
        check(
            "SELECT feature FROM ML . FEATURE_IMPORTANCE (MODEL churn)",
            "SELECT feature FROM (SELECT \"column\" AS feature, \"drop\" AS importance FROM importance('churn'))",
        );
        let nested = "SELECT * FROM ML.PREDICT(MODEL churn, (SELECT * FROM ML.PREDICT(MODEL `it's`, TABLE t)))";
        assert_eq!(rewritten(nested, &Known).unwrap().matches("SELECT predict(").count(), 2);
    }

    #[test]
    fn what_only_looks_like_a_call_stays_as_it_is() {
        for sql in [
            "SELECT 'ML.PREDICT(MODEL x, TABLE t)' FROM t -- ML.PREDICT(MODEL x)",
            "SELECT ml.predict FROM t ml",
            "SELECT \"ml\".predict(1)",
            "SELECT a.ml.predict(1)",
            "SELECT 'open",
            "",
        ] {
            assert_eq!(rewritten(sql, &Known).unwrap(), sql);
        }
    }

    #[test]
    fn wrong_calls_are_named_with_their_place() {
        let check = |sql: &str, words: &[&str]| {
            let error = rewritten(sql, &Known).unwrap_err().to_string();
            words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
        };
        check("SELECT *\nFROM ML.PREDICT(MODEL chrn, TABLE t)", &["line 2, column 23", "no model \"chrn\""]);
        check("SELECT * FROM ML.PREDCIT(MODEL churn)", &["line 1, column 15", "did you mean \"ML.PREDICT\"?"]);
        check(
            "SELECT * FROM ML.PREDICT(churn, TABLE t)",
            &["column 26", "begins with a model", "ML.PREDICT(MODEL name"],
        );
        check("SELECT * FROM ML.PREDICT(MODEL churn)", &["needs rows"]);
        check("SELECT * FROM ML.PREDICT(MODEL churn, SELECT 1)", &["column 39", "these are no rows"]);
        check("SELECT * FROM ML.PREDICT(MODEL churn, TABLE t, STRUCT(0.5 AS threshold))", &["takes nothing more here"]);
        check("SELECT * FROM ML.PREDICT(MODEL a.churn, TABLE t)", &["one name"]);
        check("SELECT * FROM ML.PREDICT(MODEL churn-1, TABLE t)", &["stands in quotes"]);
        check("SELECT * FROM ML.PREDICT(MODEL churn, (SELECT 1", &["column 25", "not closed"]);
        check("SELECT * FROM ML.EVALUATE()", &["begins with a model"]);
        let explain = |more: &str| format!("SELECT * FROM ML.EXPLAIN_PREDICT(MODEL churn{more})");
        check(&explain(""), &["ML.EXPLAIN_PREDICT needs rows", "(MODEL name, TABLE table)"]);
        check(&explain(", TABLE t, 3"), &["column 56", "this is no STRUCT"]);
        check(&explain(", TABLE t, STRUCT(3)"), &["column 63", "such as 3 AS top_k_features"]);
        check(&explain(", TABLE t, STRUCT(3 AS top_k_feature)"), &["did you mean \"top_k_features\"?"]);
        check(&explain(", TABLE t, STRUCT(3 AS permutations), 1"), &["takes nothing more here"]);
        let deep =
            (0..40).fold("TABLE t".to_owned(), |rows, _| format!("(SELECT * FROM ML.PREDICT(MODEL churn, {rows}))"));
        check(&deep, &["more than 16 calls"]);
    }
}
