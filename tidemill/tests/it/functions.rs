//! What SQL can ask of models and tables.

use serde_json::{Value, json};

use crate::support::Project;

fn rows(project: &Project, query: &str) -> Vec<Value> {
    let document = project.ok(&["sql", "--json", "--rows", "1000", query]).json();
    document["rows"].as_array().unwrap().clone()
}

#[test]
fn sql_answers_as_predict_does() {
    let project = Project::small(400);
    project.ok(&["run", "-q"]);
    project.ok(&["predict", "--input", "rows", "--output", "answers.csv", "-q"]);
    let asked = "SELECT x, predict('kind') AS prediction, confidence('kind') AS confidence, \
                 probability('kind', 'up') AS probability_up FROM rows";
    project.ok(&["sql", "--output", "asked.csv", asked]);
    let columns = |name: &str, wanted: &[&str]| -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(project.path(name)).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let places: Vec<usize> =
            wanted.iter().map(|wanted| head.iter().position(|name| name == wanted).unwrap()).collect();
        lines.map(|line| places.iter().map(|&place| line[place].clone()).collect()).collect()
    };
    let wanted = ["x", "prediction", "confidence", "probability_up"];
    let (ours, theirs) = (columns("asked.csv", &wanted), columns("answers.csv", &wanted));
    assert_eq!(ours.len(), 400);
    assert_eq!(ours, theirs);
}

#[test]
fn predict_reads_the_columns_it_needs_wherever_rows_come_from() {
    let project = Project::small(200);
    project.ok(&["run", "-q"]);
    let one = rows(&project, "SELECT predict('kind') AS p FROM (SELECT 0.9 AS x, 'red' AS colour)");
    assert_eq!(one, [json!({"p": "up"})]);
    let named =
        rows(&project, "SELECT predict('kind:1', r.colour, r.x) AS p FROM rows r WHERE x > 0.9 AND colour = 'red'");
    assert!(!named.is_empty() && named.iter().all(|row| row["p"] == "up"), "{named:?}");
    let grouped =
        rows(&project, "SELECT kind = predict('kind') AS is_right, count(*) AS n FROM rows GROUP BY 1 ORDER BY n DESC");
    assert_eq!(grouped[0]["is_right"], "true");
    let filtered =
        rows(&project, "SELECT count(*) AS n FROM rows WHERE predict('kind') = 'up' AND x < -0.9 AND colour = 'blue'");
    assert_eq!(filtered[0]["n"], "0");
}

#[test]
fn figures_of_models_and_tables_are_tables() {
    let project = Project::small(300);
    let run = project.ok(&["run", "--json", "-q"]).json();
    assert!(run["models"]["kind"]["metrics"]["test"]["accuracy"].as_f64().unwrap() > 0.8);
    let found = rows(&project, "SELECT value, \"rows\" FROM evaluate('kind', 'rows') WHERE metric = 'accuracy'");
    let accuracy: f64 = found[0]["value"].as_str().unwrap().parse().unwrap();
    let counted = rows(&project, "SELECT avg(CASE WHEN kind = predict('kind') THEN 1.0 ELSE 0.0 END) AS a FROM rows");
    assert!((accuracy - counted[0]["a"].as_str().unwrap().parse::<f64>().unwrap()).abs() < 1e-6);
    assert_eq!(found[0]["rows"], "300");
    let profile = rows(&project, "SELECT \"column\", kind, \"rows\", missing FROM profile('rows')");
    assert_eq!(profile.len(), 3);
    assert_eq!(profile[0], json!({"column": "x", "kind": "number", "rows": "300", "missing": "0"}));
    let importance = rows(&project, "SELECT \"column\" FROM importance('kind') ORDER BY \"drop\" DESC");
    assert_eq!(importance[0]["column"], "x");
}

#[test]
fn wrong_words_are_named() {
    let project = Project::small(100);
    let check = |query: &str, expected: &[&str]| {
        let done = project.run(&["sql", query]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    check("SELECT predict('kind') FROM rows", &["kind"]);
    project.ok(&["run", "-q"]);
    check("SELECT predict('kid') FROM rows", &["no model \"kid\"", "did you mean \"kind\"?"]);
    check("SELECT predict('kind:9') FROM rows", &["9"]);
    check("SELECT predict('kind') FROM (SELECT x FROM rows)", &["needs a column \"colour\"", "do not have"]);
    check("SELECT predict('kind', x) FROM rows", &["needs a column \"colour\""]);
    check("SELECT predict('kind') FROM rows a JOIN rows b ON a.x = b.x", &["several tables have one"]);
    check("SELECT predict(x) FROM rows", &["predict takes a model in single quotes"]);
    check("SELECT probability('kind', 'upp') FROM rows", &["no class \"upp\"", "did you mean \"up\"?"]);
    check("SELECT * FROM profile('row')", &["no table or source \"row\""]);
    check("SELECT * FROM evaluate('kind')", &["write evaluate('model', 'table')"]);
}
