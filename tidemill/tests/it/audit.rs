//! The audit: expectations that hold and that do not, on tables with and without models; suggestions; the page.

use serde_json::Value;

use crate::support::{Done, Project, SMALL};

const SOURCES: &str = "\
sources:
  orders: { csv: orders.csv }
  shops: { csv: shops.csv }
";

const ORDERS: &str = "\
id,shop,age,mail,day,state
1,10,30,a@b.example,2026-01-01,new
2,10,200,b@b.example,2026-01-02,done
3,11,,nobody,2026-01-03,gone
3,12,-1,c@b.example,2026-01-04,new
5,,40,,2026-01-05,
";

/// A project of two tables with these expectations of `orders`.
fn orders(expectations: &[&str]) -> Project {
    let lines: String = expectations.iter().map(|line| format!("    - {line}\n")).collect();
    let section = if lines.is_empty() { String::new() } else { format!("expectations:\n  orders:\n{lines}") };
    let project = Project::new(&format!("{SOURCES}{section}"));
    project.write("orders.csv", ORDERS.as_bytes());
    project.write("shops.csv", b"shop,name\n10,north\n11,south\n");
    project
}

fn results(done: &Done) -> Vec<Value> {
    done.json()["expectations"]["orders"].as_array().unwrap().clone()
}

/// The expectation fails on these rows: exit code 1, a message, counts in the JSON, and the rows in a file.
fn fails(expectation: &str, words: &str, failing: u64, ids: &[&str]) {
    let project = orders(&[expectation]);
    let done = project.run(&["audit"]);
    assert_eq!(done.code, 1, "{expectation}: {}", done.stderr);
    assert!(done.stderr.contains("the audit found 1 failed expectation"), "{}", done.stderr);
    assert!(done.stdout.contains("  FAIL ") && done.stdout.contains(words), "{expectation}: {}", done.stdout);
    let done = project.run(&["audit", "--json"]);
    let result = &results(&done)[0];
    assert_eq!((done.code, &done.json()["passed"]), (1, &Value::Bool(false)));
    assert_eq!((result["status"].as_str(), result["failing"].as_u64()), (Some("failed"), Some(failing)), "{result}");
    let written: Value = serde_json::from_slice(&std::fs::read(project.path(".tidemill/audit.json")).unwrap()).unwrap();
    assert_eq!(written, done.json());
    let rows = match result["failing_rows"].as_str() {
        Some(path) => {
            assert!(path.contains(".tidemill/audit/orders/failing-"), "{path}");
            std::fs::read_to_string(project.path(path)).unwrap()
        }
        None => String::new(),
    };
    let found: Vec<&str> = rows.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(found, ids, "{expectation}");
}

#[test]
fn each_expectation_fails_on_rows_that_break_it() {
    fails("not_null: age", "every row has a value in column \"age\": 1 of 5 rows (20.0 %) does not", 1, &["3"]);
    fails("unique: { columns: [id] }", "column \"id\" tells rows apart: 1 of 5 rows", 1, &["3", "3"]);
    fails("range: { column: age, min: 0, max: 120 }", "lie between 0 and 120: 2 of 4 values", 2, &["2", "3"]);
    fails("range: { column: day, min: 2026-01-02 }", "are 2026-01-02 or more: 1 of 5", 1, &["1"]);
    fails("matches: { column: mail, pattern: \"^[^@]+@[^@]+$$\" }", "match ^[^@]+@[^@]+$: 1 of 4", 1, &["3"]);
    fails("one_of: { column: state, values: [new, done] }", "are one of \"new\", \"done\": 1 of 4", 1, &["3"]);
    fails("foreign_key: { column: shop, table: shops }", "stand in column \"shop\" of \"shops\": 1 of 4", 1, &["3"]);
    fails("row_count: { min: 1000 }", "at least 1,000 rows: there are 5 rows", 1, &[]);
    fails("fresh: { column: day, within_h: 1 }", "it is of 2026-01-05 00:00:00 UTC", 1, &[]);
    fails(
        "sql: { query: \"SELECT id FROM orders WHERE age > 100\", name: too old }",
        "too old: the query has 1 row",
        1,
        &["2"],
    );
}

#[test]
fn what_holds_passes_and_a_warning_stops_nothing() {
    let project = orders(&[
        "not_null: id",
        "not_null: { column: age, at_most: 0.2 }",
        "range: { column: age, max: 120, on_failure: warn }",
        "foreign_key: { column: shop, table: shops, at_most: 0.25 }",
        "row_count: { min: 5, max: 5 }",
        "drift: { against: orders.csv }",
        "drift: { against: orders }",
    ]);
    let done = project.ok(&["audit", "--json"]);
    let status: Vec<String> = results(&done).iter().map(|r| r["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(status, ["passed", "passed", "warned", "passed", "passed", "passed", "passed"]);
    assert_eq!(done.json()["passed"], true);
    assert_eq!(done.json()["tables"]["orders"]["profile"]["rows"], 5, "a table without a model is profiled too");
    assert!(project.ok(&["audit", "shops"]).stdout.contains("table \"shops\": 2 rows"), "a table with none of its own");
    let done = project.run(&["audit", "shop"]);
    assert!(done.code == 1 && done.stderr.contains("did you mean \"shops\"?"), "{}", done.stderr);
}

#[test]
fn a_wrong_expectation_is_said_with_its_place_before_rows_are_read() {
    let check = |expectation: &str, words: &[&str]| {
        let project = orders(&[expectation]);
        for command in [&["audit"][..], &["audit", "orders"]] {
            let done = project.run(command);
            assert_eq!(done.code, 1, "{expectation}: {}", done.stderr);
            words.iter().for_each(|word| assert!(done.stderr.contains(word), "no {word:?}: {}", done.stderr));
            assert!(done.stderr.contains("tidemill.yaml:6:"), "{}", done.stderr);
        }
    };
    check(
        "not_null: agee",
        &["no column \"agee\" in table \"orders\"; did you mean \"age\"?", "orders[0].not_null.column"],
    );
    check("range: { column: state, min: 1 }", &["holds text, which has no range"]);
    check("range: { column: age, min: young }", &["\"young\" cannot be compared with column \"age\""]);
    check("matches: { column: mail, pattern: \"[a\" }", &["no regular expression", "unclosed"]);
    check("foreign_key: { column: shop, table: shops, other: nme }", &["did you mean \"name\"?"]);
    check("foreign_key: { column: shop, table: shopps }", &["did you mean \"shops\"?"]);
    check("fresh: { column: state, within_h: 1 }", &["not dates"]);
    check("drift: { against: gone.csv }", &["gone.csv"]);
}

#[test]
fn wrong_sql_of_an_expectation_names_it() {
    let done = orders(&["sql: SELECT agee FROM orders"]).run(&["audit"]);
    assert_eq!(done.code, 1);
    let words = "expectations of \"orders\": no column \"agee\" in table \"orders\"; did you mean \"age\"?";
    assert!(done.stderr.contains(words), "{}", done.stderr);
}

/// A model's project with an expectation of its source.
fn small(expectation: &str) -> Project {
    let project = Project::small(300);
    let tune = "    tune: { parameters: { train.batch_size: [16, 32] }, trials: 2 }\n";
    project.write("tidemill.yaml", format!("{SMALL}{tune}expectations:\n  rows:\n    - {expectation}\n").as_bytes());
    project
}

#[test]
fn a_run_and_a_search_stop_before_they_train_on_rows_that_break_a_promise() {
    let project = small("range: { column: x, max: 0.5 }");
    for command in ["run", "tune"] {
        let done = project.run(&[command]);
        assert_eq!(done.code, 1, "{command}: {}", done.stderr);
        let words = ["breaks 1 of its 1 expectations", "values of column \"x\" are 0.5 or less", "failing-range-x.csv"];
        words.iter().for_each(|word| assert!(done.stderr.contains(word), "{command}: no {word:?}: {}", done.stderr));
        assert!(!done.stderr.contains("epoch"), "{}", done.stderr);
    }
    assert!(!project.version("kind", 1).exists());
    let project = small("range: { column: x, max: 0.5, on_failure: warn }");
    let done = project.ok(&["run"]);
    assert!(done.stderr.contains("warning: table \"rows\": values of column \"x\""), "{}", done.stderr);
    assert!(project.version("kind", 1).exists());
}

#[test]
fn drift_is_measured_against_the_last_snapshot() {
    let project = small("drift: { columns: [x] }");
    let done = project.ok(&["run"]);
    assert!(done.stderr.contains("there is no snapshot yet"), "{}", done.stderr);
    assert!(project.ok(&["audit", "--json"]).json()["expectations"]["rows"][0]["status"] == "passed");
    let rows = std::fs::read_to_string(project.path("rows.csv")).unwrap();
    let moved: Vec<String> = rows
        .lines()
        .enumerate()
        .map(|(n, line)| if n == 0 { line.to_owned() } else { format!("1{}", line.trim_start_matches('-')) })
        .collect();
    project.write("rows.csv", moved.join("\n").as_bytes());
    let done = project.run(&["run"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("1 of 1 column drifts (\"x\": Kolmogorov-Smirnov p = "), "{}", done.stderr);
}

#[test]
fn suggestions_hold_and_can_be_added_to_the_file() {
    let project = Project::new("# mine\nsources:\n  things: { csv: things.csv } # all of them\n");
    let mut text = String::from("id,code,colour,size,day\n");
    for n in 0..200 {
        text += &format!(
            "{n},AB-{:04},{},{},2026-01-{:02}\n",
            n * 37 % 10_000,
            ["red", "blue"][n % 2],
            n % 7 * 10,
            n % 28 + 1
        );
    }
    project.write("things.csv", text.as_bytes());
    let printed = project.ok(&["audit", "--suggest", "things"]).stdout;
    for line in [
        "    - row_count: { min: 100 }",
        "    - not_null: id",
        "    - unique: { columns: [id] }",
        "    - matches: { column: code, pattern: \"^AB-[0-9]{4}$$\" }",
        "    - one_of: { column: colour, values: [blue, red] }",
        "    - range: { column: size, min: 0, max: 66 }",
    ] {
        assert!(printed.contains(line), "no {line:?} in {printed}");
    }
    assert!(!printed.contains("unique: { columns: [size] }"), "{printed}");
    project.ok(&["audit", "--suggest", "things", "--write"]);
    let yaml = std::fs::read_to_string(project.path("tidemill.yaml")).unwrap();
    assert!(
        yaml.starts_with("# mine\nsources:\n  things: { csv: things.csv } # all of them\n\nexpectations:\n"),
        "{yaml}"
    );
    assert!(project.ok(&["audit"]).stdout.contains("expectations hold"));
    let again = project.run(&["audit", "--suggest", "things", "--write"]);
    assert!(again.code == 1 && again.stderr.contains("has expectations already"), "{}", again.stderr);
    project.write("things.csv", text.replace("AB-0037", "AB_0037").replace(",red,", ",pink,").as_bytes());
    let done = project.run(&["audit"]);
    assert!(done.code == 1 && done.stderr.contains("2 failed expectations"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn the_page_is_one_file_in_both_languages() {
    let project = orders(&["range: { column: age, max: 120 }", "not_null: id"]);
    for (lang, words) in [("en", ["FAIL", "Expectations", "Columns"]), ("zh", ["未通过", "期望检查", "各列"])]
    {
        let output = project.path(&format!("audit-{lang}.html"));
        let done = project.run(&["audit", "--output", output.to_str().unwrap(), "--lang", lang]);
        assert_eq!(done.code, 1);
        let page = std::fs::read_to_string(&output).unwrap();
        words.iter().for_each(|word| assert!(page.contains(word), "{lang}: {word}"));
        assert!(page.contains("svg class=\"spark\"") && page.contains("failing-range-age.csv"));
        for loads in ["src=\"http", "href=\"http", "src=\"/", "url(http"] {
            assert!(!page.contains(loads), "{loads}");
        }
    }
    assert!(project.path(".tidemill/audit.json").exists(), "the JSON is there beside the page");
}

#[test]
fn personal_data_is_found_and_masked() {
    let project = Project::new("sources:\n  people: { csv: people.csv }\n");
    let rows: String = (0..60).map(|n| format!("{n},person{}@mail.example,{}\n", n % 6, n * 3)).collect();
    project.write("people.csv", format!("number,contact,points\n{rows}").as_bytes());
    let done = project.ok(&["audit", "people"]);
    assert!(done.stdout.contains("\"contact\" has e-mail addresses in 100.0 %"), "{}", done.stdout);
    let json = project.ok(&["audit", "people", "--json"]).stdout;
    assert!(!json.contains("@mail.example") && !done.stdout.contains("@mail.example"), "{json}");
}
