//! What SQL can ask of models and tables.

use serde_json::{Value, json};

use crate::support::{Project, SMALL};

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

#[test]
fn models_answer_in_the_words_of_bigquery() {
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    let asked = rows(
        &project,
        "SELECT * FROM ML.PREDICT(MODEL kind, (SELECT x, colour, 'ML.PREDICT(' AS note FROM rows WHERE x > 0.9)) LIMIT 1",
    );
    let columns: Vec<&String> = asked[0].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["predicted_kind", "predicted_kind_probs", "x", "colour", "note"]);
    assert_eq!((&asked[0]["predicted_kind"], &asked[0]["note"]), (&json!("up"), &json!("ML.PREDICT(")));
    let probabilities = asked[0]["predicted_kind_probs"].as_str().unwrap();
    assert!(probabilities.contains("label: down") && probabilities.contains("prob: 0."), "{probabilities}");
    let same = rows(
        &project,
        "SELECT count(*) AS n FROM ml.predict(MODEL \"kind:1\", TABLE rows) p WHERE p.predicted_kind = predict('kind')",
    );
    assert_eq!(same[0]["n"], "300");

    let own = rows(&project, "SELECT accuracy FROM ML.EVALUATE(MODEL kind, TABLE rows)");
    let ours = rows(&project, "SELECT value FROM evaluate('kind', 'rows') WHERE metric = 'accuracy'");
    assert_eq!(own[0]["accuracy"], ours[0]["value"]);
    let some = rows(&project, "SELECT * FROM ML.EVALUATE(MODEL kind, (SELECT * FROM rows WHERE colour = 'red')) AS e");
    let columns: Vec<&String> = some[0].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["precision", "recall", "accuracy", "f1_score", "log_loss", "roc_auc"]);
    let of_run = rows(&project, "SELECT accuracy FROM ML.EVALUATE(MODEL kind)");
    assert!(of_run[0]["accuracy"].as_str().unwrap().parse::<f64>().unwrap() > 0.8);
    let importance = rows(&project, "SELECT feature FROM ML.FEATURE_IMPORTANCE(MODEL kind) ORDER BY importance DESC");
    assert_eq!(importance[0]["feature"], "x");

    let check = |query: &str, expected: &[&str]| {
        let done = project.run(&["sql", query]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    check("SELECT * FROM ML.PREDICT(MODEL kid, TABLE rows)", &["line 1, column 32", "did you mean \"kind\"?"]);
    check("SELECT * FROM ML.PREDICT(MODEL kind, TABLE row)", &["no table or source \"row\"", "did you mean \"rows\"?"]);
    check("SELECT * FROM ML.PREDICT(MODEL kind, (SELECT x FROM rows))", &["needs a column \"colour\""]);
    check("SELECT * FROM ML.EVALUATE(MODEL kind, (SELECT x, colour FROM rows))", &["kind"]);
    check("SELECT * FROM ML.PREDICTS(MODEL kind, TABLE rows)", &["did you mean \"ML.PREDICT\"?"]);
}

/// A cell that is a number.
fn figure(row: &Value, name: &str) -> f64 {
    row[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number \"{name}\" in {row}"))
}

#[test]
fn what_columns_contribute_makes_up_the_answer() {
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    let kept = std::fs::read_to_string(project.version("kind", 1).join("background.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Value>>(&kept).unwrap().len(), 100);

    let told = rows(&project, "SELECT * FROM explain('kind', 'rows') LIMIT 6");
    let names: Vec<&String> = told[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["row_number", "prediction", "confidence", "base", "column", "value", "contribution"]);
    for (row, pair) in told.chunks(2).enumerate() {
        let [one, other] = [0, 1].map(|at| figure(&pair[at], "contribution"));
        assert!(one.abs() >= other.abs() && pair[0]["column"] != pair[1]["column"], "{pair:?}");
        assert!((figure(&pair[0], "base") + one + other - figure(&pair[0], "confidence")).abs() < 1e-6, "{pair:?}");
        assert_eq!(figure(&pair[1], "row_number"), (row + 1) as f64);
    }
    let far = "SELECT max(abs(answer - base - all_of_it)) AS far, count(*) AS n FROM (SELECT max(confidence) AS answer, \
               max(base) AS base, sum(contribution) AS all_of_it FROM explain('kind', 'rows', 8) GROUP BY row_number)";
    let far = rows(&project, far);
    assert!(figure(&far[0], "far") < 1e-6 && far[0]["n"] == "300", "{far:?}");
    // `kind` is whether x and the size of the colour are above 0 together.
    let means =
        "SELECT avg(contribution) AS mean FROM explain('kind', 'rows') WHERE \"column\" = 'colour' AND value = ";
    let of = |colour: &str, kind: &str| {
        figure(&rows(&project, &format!("{means}'{colour}' AND prediction = '{kind}'"))[0], "mean")
    };
    assert!(of("red", "up") > 0.05 && of("red", "down") < -0.05 && of("blue", "down") > 0.05);

    project.ok(&["predict", "--input", "rows", "--output", "why.csv", "--explain", "--permutations", "8", "-q"]);
    let text = std::fs::read_to_string(project.path("why.csv")).unwrap();
    assert!(text.lines().next().unwrap().ends_with("base,contribution_x,contribution_colour"), "{text:.200}");
    let theirs: f64 = text.lines().nth(3).unwrap().split(',').next_back().unwrap().parse().unwrap();
    let ours = "SELECT contribution FROM explain('kind', 'rows', 8) WHERE row_number = 3 AND \"column\" = 'colour'";
    assert!((theirs - figure(&rows(&project, ours)[0], "contribution")).abs() < 1e-9);
    assert_eq!(project.run(&["predict", "--input", "rows", "--output", "y.csv", "--permutations", "8"]).code, 2);
}

#[test]
fn answers_are_explained_in_the_words_of_bigquery() {
    let project = Project::small(300);
    project.ok(&["run", "-q"]);
    let asked = "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL kind, (SELECT x, colour FROM rows WHERE x > 0.9), \
                 STRUCT(1 AS top_k_features)) LIMIT 1";
    let asked = rows(&project, asked);
    let names: Vec<&String> = asked[0].as_object().unwrap().keys().collect();
    let expected = [
        "predicted_kind",
        "probability",
        "top_feature_attributions",
        "baseline_prediction_value",
        "prediction_value",
        "x",
        "colour",
    ];
    assert_eq!(names, expected);
    let top = asked[0]["top_feature_attributions"].as_str().unwrap();
    assert!(top.contains("feature: x") && top.contains("attribution: 0.") && !top.contains("colour"), "{top}");
    let all = rows(&project, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL kind, TABLE rows) LIMIT 5");
    for row in &all {
        let told = row["top_feature_attributions"].as_str().unwrap().split("attribution: ").skip(1);
        let shares: Vec<f64> = told.map(|part| part[..part.find('}').unwrap()].parse().unwrap()).collect();
        let answer = figure(row, "baseline_prediction_value") + shares.iter().sum::<f64>();
        assert!(shares.len() == 2 && (answer - figure(row, "prediction_value")).abs() < 1e-6, "{row}");
        assert_eq!(row["probability"], row["prediction_value"]);
    }
    let one = rows(&project, "SELECT attributions('kind', 1) AS a FROM (SELECT 0.9 AS x, 'red' AS colour)");
    assert_eq!(one[0]["a"].as_str().unwrap().matches("feature").count(), 1);
}

#[test]
fn what_cannot_be_explained_is_named() {
    let project = Project::small(200);
    project.write("tidemill.yaml", format!("{SMALL}tables:\n  half: SELECT x FROM rows\n").as_bytes());
    let without = "models.kind.evaluate.background_rows_max=0";
    project.ok(&["run", "-q", "--set", without]);
    assert!(!project.version("kind", 1).join("background.json").exists());
    let usual = rows(&project, "SELECT DISTINCT prediction, round(base, 5) AS base FROM explain('kind', 'rows', 2)");
    assert_eq!(usual.len(), 2, "against one row of usual values: {usual:?}");
    let check = |query: &str, expected: &[&str]| {
        let done = project.run(&["sql", query]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
    };
    check("SELECT * FROM explain('kid', 'rows')", &["no model \"kid\"", "did you mean \"kind\"?"]);
    check("SELECT * FROM explain('kind', 'row')", &["no table or source \"row\"", "did you mean \"rows\"?"]);
    check("SELECT * FROM explain('kind')", &["write explain('model', 'table')"]);
    check("SELECT * FROM explain('kind', 'rows', 'many')", &["\"many\" is no number of permutations"]);
    check("SELECT * FROM explain('kind', 'rows', 0)", &["permutations is 0; give a number from 1 to 100000"]);
    check("SELECT * FROM explain('kind', 'half')", &["no column \"colour\""]);
    check("SELECT attributions('kind') FROM half", &["needs a column \"colour\""]);
    check("SELECT attributions(x) FROM rows", &["attributions takes a model in single quotes"]);
    check("SELECT * FROM ML.EXPLAIN_PREDICT(MODEL kind, TABLE half)", &["needs a column \"colour\""]);
}

#[test]
fn create_model_trains_registers_and_writes_the_project_file() {
    let project = Project::small(300);
    let before = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    let sql = "CREATE MODEL half OPTIONS(model_type='boosted_tree_classifier', input_label_cols=['kind'], max_iterations=5) \
               AS SELECT x / 2 AS half, colour, kind FROM rows WHERE colour <> 'it''s $x';";
    let done = project.ok(&["sql", "--json", "-q", sql]).json();
    assert_eq!((&done["model"], &done["created"], &done["run"]["version"]), (&json!("half"), &json!(true), &json!(1)));
    let text = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(text.starts_with(&before), "all that stood there stays: {text}");
    assert!(text.contains("half_rows:") && text.contains("gradient_boosting:\n        trees: 5"), "{text}");
    project.ok(&["config"]);
    let found = rows(&project, "SELECT * FROM ML.PREDICT(MODEL half, TABLE half_rows) LIMIT 3");
    assert_eq!(found.len(), 3);
    project.ok(&["predict", "--model", "half", "--input", "half_rows", "--output", "answers.csv", "-q"]);
    project.ok(&["run", "half", "-q"]);

    let again = project.run(&["sql", sql]);
    assert_eq!(again.code, 1);
    assert!(
        again.stderr.contains("there is a model \"half\" already; write CREATE OR REPLACE MODEL"),
        "{}",
        again.stderr
    );
    let kept = project.ok(&["sql", "--json", "CREATE MODEL IF NOT EXISTS half AS SELECT * FROM rows"]).json();
    assert_eq!(kept["created"], false);
    let replaced = "CREATE OR REPLACE MODEL half OPTIONS(model_type='logistic_reg', input_label_cols=['kind'], \
                    max_iterations=4) AS SELECT * FROM rows";
    let done = project.ok(&["sql", "--json", "-q", replaced]).json();
    assert_eq!(
        (&done["run"]["version"], &done["run"]["champion"]),
        (&json!(3), &json!(3)),
        "the name means the new one"
    );
    let text = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(!text.contains("gradient_boosting") && text.contains("linear: {}"), "{text}");
}

#[test]
fn a_model_that_cannot_be_made_changes_no_file() {
    let project = Project::small(100);
    let before = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    let check = |sql: &str, expected: &[&str]| {
        let done = project.run(&["sql", sql]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        expected.iter().for_each(|part| assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr));
        assert_eq!(std::fs::read_to_string(project.path("tidemill.yaml")).unwrap(), before);
    };
    check(
        "CREATE MODEL a OPTIONS(model_typ='auto') AS SELECT * FROM rows",
        &["column 24", "did you mean \"model_type\"?"],
    );
    check("CREATE MODEL a OPTIONS(model_type='dnn_classifier') AS SELECT * FROM rows", &["label"]);
    check("CREATE MODEL a AS SELECT * FROM row", &["row", "did you mean"]);
    check("CREATE MODEL Ab AS SELECT * FROM rows", &["lower-case letters"]);
    let wrong = "CREATE MODEL a OPTIONS(model_type='dnn_classifier', input_label_cols=['kind'], dropout=2) AS SELECT * FROM rows";
    check(wrong, &["models.a.network.dense.dropout"]);
    check("CREATE MODEL a", &["expected AS SELECT"]);
    let done = project.run(&["sql", "--output", "x.csv", "CREATE MODEL a AS SELECT * FROM rows"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
}
