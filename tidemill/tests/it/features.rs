//! Every way of preparing columns: fitted on training rows alone, the same in files, in requests and in ONNX Runtime, and shown.

use serde_json::{Value, json};

use crate::support::{Project, Server, finish, optional};

const EVERY_WAY: &str = r#"
sources:
  rows: { csv: { path: rows.csv } }
models:
  kind:
    table: rows
    target: kind
    split: { column: { column: part } }
    features:
      columns:
        age: { number: { impute: mode, winsorize: [0.02, 0.98], scale: { quantile: { to: normal, quantiles: 50 } } } }
        income: { number: { scale: yeo_johnson } }
        debt: { number: { scale: log, indicator: true } }
        rooms: { number: { impute: { neighbours: { count: 3, rows_max: 100 } }, indicator: true, scale: robust } }
        area: { number: { bins: { count: 6 } } }
        city: { category: { encode: { target: { smoothing: 5, folds: 4 } } } }
        street: { category: { encode: { hashing: { buckets: 30 } } } }
        built: { date: { parts: [hour, weekday, month, day_of_year], holidays: ["12-25", 2024-02-29] } }
      exclude: [lat, lon, noise]
      products: [[age, income]]
      crosses: [[colour, wet], [area, colour]]
      distances: [{ from: [lat, lon], to: { point: [31.23, 121.47] } }]
      select: { variance_min: 1e-9, correlation_max: 0.999, mutual_information_top: 30 }
    network: { dense: { hidden: [8] } }
    train: { epochs: 6, batch_size: 32, optimizer: { adam: { learning_rate: 0.02 } }, seed: 7 }
    evaluate: { importance_rows_max: 0 }
"#;

const HEAD: &str = "part,age,income,debt,rooms,area,city,street,colour,wet,built,lat,lon,noise,kind\n";

/// A row of a seed: a generator of one line, so that the rows need no file.
fn draw(seed: u64, column: u64) -> u64 {
    let mut z = (seed << 8).wrapping_add(column).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 29)
}

/// The values of a row but its part and its kind.
fn values(row: u64) -> Vec<String> {
    let of = |column: u64| (draw(row, column) % 10_000) as f64 / 10_000.0;
    let some =
        |column: u64, value: String| if draw(row, column + 50).is_multiple_of(9) { String::new() } else { value };
    let colour = ["red", "green", "blue"][draw(row, 7) as usize % 3];
    vec![
        some(1, format!("{:.1}", 18.0 + 70.0 * of(1))),
        format!("{:.2}", (12.0 * of(2)).exp()),
        some(3, format!("{:.3}", (of(3) - 0.3) * 1e4)),
        some(4, format!("{}", (of(2) * 6.0) as i64 + 1)),
        some(5, format!("{:.1}", 20.0 + 200.0 * of(5))),
        some(6, format!("city {}", draw(row, 6) % 40)),
        format!("street {}", draw(row, 8) % 500),
        some(7, colour.to_owned()),
        draw(row, 9).is_multiple_of(2).to_string(),
        format!("2024-{:02}-{:02} {:02}:30:00", 1 + draw(row, 10) % 12, 1 + draw(row, 11) % 28, draw(row, 12) % 24),
        format!("{:.3}", 20.0 + 20.0 * of(13)),
        format!("{:.3}", 100.0 + 30.0 * of(14)),
        format!("{:.4}", of(15)),
    ]
}

fn kind(row: u64) -> &'static str {
    let score = (draw(row, 2) % 10_000) as f64 / 10_000.0 + 0.2 * ((draw(row, 6) % 40) as f64 / 40.0);
    if score > 0.6 { "up" } else { "down" }
}

fn part(row: u64) -> &'static str {
    ["train", "train", "train", "validation", "test"][row as usize % 5]
}

/// The rows of every part; where `poisoned`, those of validation and test are garbage.
fn rows(poisoned: bool) -> String {
    let mut text = String::from(HEAD);
    for row in 0..900 {
        let mut values = values(row);
        let mut kind = kind(row);
        if poisoned && part(row) != "train" {
            for (column, value) in values.iter_mut().enumerate() {
                *value = match column {
                    0 | 1 | 2 | 4 | 12 => "-7.77e8".to_owned(),
                    3 => "99999".to_owned(),
                    8 => "true".to_owned(),
                    9 => "1800-02-29 00:00:00".to_owned(),
                    10 | 11 => "0.001".to_owned(),
                    _ => "poison".to_owned(),
                };
            }
            kind = if row % 2 == 0 { "up" } else { "down" };
        }
        text += &format!("{},{},{kind}\n", part(row), values.join(","));
    }
    text
}

fn project() -> Project {
    let project = Project::new(EVERY_WAY);
    project.write("rows.csv", rows(false).as_bytes());
    project
}

fn steps<'a>(features: &'a Value, name: &str) -> Vec<&'a str> {
    let found = features.as_array().unwrap().iter().find(|feature| feature["name"] == name).unwrap();
    found["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

#[test]
fn each_step_is_shown_before_and_after_training() {
    let project = project();
    let planned = project.ok(&["features", "--json"]).json();
    assert_eq!((planned[0]["model"].as_str(), &planned[0]["version"]), (Some("kind"), &Value::Null));
    let features = &planned[0]["features"];
    assert_eq!(steps(features, "age"), ["read", "quantile", "impute", "clip"]);
    assert_eq!(steps(features, "income"), ["read", "yeo_johnson", "impute", "scale"]);
    assert_eq!(steps(features, "rooms"), ["read", "neighbours", "impute", "scale"]);
    assert_eq!(steps(features, "area"), ["read", "bins", "one_hot"]);
    assert_eq!(steps(features, "city")[..2], ["vocabulary", "target"]);
    assert_eq!(steps(features, "street"), ["hashing", "one_hot"]);
    assert_eq!(steps(features, "lat"), ["read", "read_for_others"]);
    assert_eq!(steps(features, "colour & wet"), ["cross", "one_hot"]);
    assert_eq!(steps(features, "distance lat, lon to 31.23, 121.47")[0], "distance");
    project.ok(&["run", "-q"]);
    let done = project.ok(&["features", "kind:1", "--json"]).json();
    assert_eq!(done[0]["version"], 1);
    assert_eq!(done[0]["features"], *features, "what was planned is what was fitted");
    let table = project.ok(&["features"]).stdout;
    assert!(table.starts_with("model \"kind\", version 1\n") && table.contains("yeo johnson lambda="), "{table}");
    let wrong = project.run(&["features", "kind:last"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("\"last\" is no version; write kind:1"), "{}", wrong.stderr);
    assert_eq!(project.run(&["features", "kind:7"]).code, 1);
}

#[test]
fn garbage_in_validation_and_test_rows_changes_nothing_that_is_fitted() {
    let project = project();
    let fitted = project.ok(&["features", "--json"]).stdout;
    project.write("rows.csv", rows(true).as_bytes());
    let again = project.ok(&["features", "--json"]).stdout;
    assert_eq!(again, fitted);
    // And garbage in a single training row does.
    let text = rows(false).replacen("train,", "train,55555", 1);
    project.write("rows.csv", text.as_bytes());
    assert_ne!(project.ok(&["features", "--json"]).stdout, fitted);
}

#[test]
fn garbage_in_the_future_changes_no_window_of_the_past() {
    let project = Project::new(
        r#"
sources:
  machines: { csv: { path: machines.csv } }
models:
  load:
    table: machines
    target: next
    window: { key: [machine], order: t, steps: 8, columns: [load] }
    split: { column: { column: part } }
    features:
      columns:
        load: { series: { statistics: [mean, std, min, max, slope, last, last_difference], fourier: [4], seasons: [4] } }
    network: linear
"#,
    );
    let write = |poisoned: bool| {
        let mut text = String::from("machine,t,part,load,next\n");
        for machine in 0..6 {
            for t in 0..60_u64 {
                let part = if t < 40 { "train" } else { ["validation", "test"][t as usize % 2] };
                let bad = poisoned && part != "train";
                let load = |t: u64| if bad { 1e9 } else { (t % 7) as f64 + (draw(t, machine) % 100) as f64 / 100.0 };
                text += &format!("{machine},{t},{part},{},{}\n", load(t), load(t + 1));
            }
        }
        project.write("machines.csv", text.as_bytes());
        project.ok(&["features", "--json"]).json()
    };
    let fitted = write(false);
    let inputs = fitted[0]["features"].as_array().unwrap().iter().find(|feature| feature["name"] == "load").unwrap();
    assert_eq!(inputs["inputs"], 8 + 7 + 2 + 1);
    assert_eq!(write(true), fitted);
}

/// The host part by numpy and scipy from `features.json`, then ONNX Runtime: probabilities of the second class.
const ONNX_RUNTIME: &str = r#"
import csv, datetime, json, math, sys
import numpy as np, onnxruntime
from scipy.stats import norm, yeojohnson
folder, path = sys.argv[1:3]
features = json.load(open(folder + "/features.json"))
columns = {column["name"]: column for column in features["columns"]}
rows = list(csv.DictReader(open(path)))
def number(row, name):
    return float(np.float32(row[name])) if row[name] else math.nan
def bend(curve, x):
    if math.isnan(x):
        return x
    if curve == "log":
        return math.copysign(math.log1p(abs(x)), x)
    if "yeo_johnson" in curve:
        return float(yeojohnson(np.array([x]), curve["yeo_johnson"]["lambda"])[0])
    table = np.array(curve["quantile"]["table"], np.float32).astype(float)
    shares = np.linspace(0, 1, len(table))
    share = 0.5 * (np.interp(x, table, shares) - np.interp(-x, -table[::-1], -shares[::-1]))
    return float(norm.ppf(np.clip(share, 1e-7, 1 - 1e-7))) if curve["quantile"]["normal"] else share
def bin_of(edges, x):
    return int(np.searchsorted(np.array(edges, np.float32), np.float32(x), side="right"))
def code(known, text):
    return 1 if text is None else known.index(text) + 2 if text in known else 0
def fnv(text):
    hash = 0xCBF29CE484222325
    for byte in text.encode():
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash
def date(column, text):
    time = datetime.datetime.fromisoformat(text)
    values = {"hour": (time.hour, 0, 24), "weekday": (time.weekday(), 0, 7), "month": (time.month, 1, 12),
              "day_of_year": (time.timetuple().tm_yday, 1, 366)}
    for part in column["kind"]["date"]["parts"]:
        value, first, length = values[part["part"]]
        angle = 2 * math.pi * (value - first) / length
        yield from (math.sin(angle), math.cos(angle))
    yield float(text[:10] in column["prepared"]["holidays"] or text[5:10] in column["prepared"]["holidays"])
def word(row, name):
    column = columns[name]
    edges = column.get("prepared", {}).get("bins", {}).get("edges")
    if edges is not None:
        return None if row[name] == "" else str(bin_of(edges, number(row, name)))
    return row[name] or None
def haversine(a, b):
    (n1, e1), (n2, e2) = np.radians(a), np.radians(b)
    h = math.sin((n2 - n1) / 2) ** 2 + math.cos(n1) * math.cos(n2) * math.sin((e2 - e1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))
def encode(row):
    numbers, codes = [], []
    for name, column in columns.items():
        kind, prepared = column["kind"], column.get("prepared", {})
        if "apart" in prepared:
            continue
        if kind == "boolean":
            numbers.append(float(row[name] == "true"))
        elif "date" in kind:
            numbers.extend(date(column, row[name]))
        elif "bins" in prepared:
            codes.append(1 if row[name] == "" else 2 + bin_of(prepared["bins"]["edges"], number(row, name)))
        elif "number" in kind:
            x = number(row, name)
            numbers.append(bend(prepared["curve"], x) if "curve" in prepared else x)
        elif "hashed" in prepared:
            codes.append(2 + fnv(row[name]) % prepared["hashed"]["buckets"] if row[name] else 1)
        elif "target" in prepared:
            numbers.append(prepared["target"]["means"][code(kind["category"]["values"], row[name] or None)])
        else:
            codes.append(code(kind["category"]["values"], row[name] or None))
    for combined in features["combined"]:
        (kind, how), = combined["kind"].items()
        if kind == "product":
            a, b = (number(row, name) for name in how["of"])
            numbers.append(a * b)
        elif kind == "missing":
            numbers.append(float(row[how["of"]] == ""))
        elif kind == "distance":
            numbers.append(haversine([number(row, name) for name in how["from"]], how["to"]["point"]))
        else:
            words = [word(row, name) for name in how["of"]]
            codes.append(code(how["values"], None if None in words else "\x1f".join(words)))
    near = features["neighbours"]
    kept = np.array([math.nan if x is None else x for x in near["rows"]]).reshape(-1, len(near["columns"]))
    mine = np.array([numbers[column["place"]] for column in near["columns"]])
    apart = ((kept - mine) * [column["scale"] for column in near["columns"]]) ** 2
    common = (~np.isnan(apart)).sum(1)
    distance = np.where(common > 0, np.nansum(apart, 1) * len(near["columns"]) / np.maximum(common, 1), np.inf)
    for at, column in enumerate(near["columns"]):
        if column["count"] and math.isnan(mine[at]):
            donors = [kept[place, at] for place in np.argsort(distance, kind="stable") if not math.isnan(kept[place, at])]
            numbers[column["place"]] = float(np.mean(donors[:column["count"]]))
    return numbers, codes
encoded = [encode(row) for row in rows]
session = onnxruntime.InferenceSession(folder + "/model.onnx")
feeds = {"numbers": np.array([numbers for numbers, _ in encoded], np.float32), "codes": np.array([codes for _, codes in encoded], np.int64)}
print(json.dumps(session.run(["probabilities"], feeds)[0][:, 1].tolist()))
"#;

#[test]
fn files_requests_and_onnx_runtime_agree_on_every_way_of_preparing() {
    let project = project();
    // A run registers a version only where the network and the ONNX file agree.
    project.ok(&["run", "-q"]);
    let mut text = HEAD.trim_end().replace("part,", "").replace(",kind", "") + "\n";
    let mut input = Vec::new();
    let names: Vec<&str> = HEAD.trim_end().split(',').collect();
    let read: Vec<String> =
        serde_json::from_slice::<Value>(&std::fs::read(project.version("kind", 1).join("features.json")).unwrap())
            .unwrap()["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap().to_owned())
            .collect();
    for row in 5_000..5_400 {
        // Values that no training row has, too.
        let mut values = values(row);
        values[5] = if row % 11 == 0 { "city of nowhere".into() } else { values[5].clone() };
        values[0] = if row % 13 == 0 { "150".into() } else { values[0].clone() };
        text += &(values.join(",") + "\n");
        let cell = |(name, value): (&&str, &String)| {
            let value = match *name {
                _ if value.is_empty() => Value::Null,
                "city" | "street" | "colour" | "built" => json!(value),
                "wet" => json!(value == "true"),
                _ => json!(value.parse::<f64>().unwrap()),
            };
            read.iter().any(|column| column == name).then(|| ((*name).to_owned(), value))
        };
        input.push(Value::Object(names[1..].iter().zip(&values).filter_map(cell).collect()));
    }
    let rows = project.write("new.csv", text.as_bytes());
    let output = project.path("answers.jsonl");
    project.ok(&["predict", "--input", rows.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    let by_file: Vec<f64> = std::fs::read_to_string(&output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["probability_up"].as_f64().unwrap())
        .collect();
    let server = Server::of(&project);
    let (status, reply) = server.post("/predict", &json!({ "input": input, "proba": true }));
    assert_eq!(status, 200, "{reply}");
    let by_request: Vec<f64> =
        reply["probabilities"].as_array().unwrap().iter().map(|shares| shares["up"].as_f64().unwrap()).collect();
    agree(&by_file, &by_request, 1e-6);
    assert!(by_file.iter().any(|p| *p > 0.8) && by_file.iter().any(|p| *p < 0.2), "nothing was learned");
    let Some(python) = optional("TIDEMILL_PYTHON", "ONNX Runtime") else { return };
    let done =
        finish(std::process::Command::new(python).args(["-c", ONNX_RUNTIME]).arg(project.version("kind", 1)).arg(rows));
    assert_eq!(done.code, 0, "{}", done.stderr);
    agree(&by_file, &serde_json::from_str::<Vec<f64>>(&done.stdout).unwrap(), 1e-5);
}

fn agree(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!((a.len(), b.len()), (400, 400));
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(most < tolerance, "{most}");
}

#[test]
fn the_features_of_every_row_are_written_as_a_matrix_or_a_table() {
    let project = project();
    project.ok(&["run", "-q"]);
    let write = |name: &str, more: &[&str]| {
        let path = project.path(name);
        let done = project.run(&[&["features", "kind:1", "--output", path.to_str().unwrap()], more].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        path
    };
    let table = std::fs::read_to_string(write("all.csv", &[])).unwrap();
    let mut lines = table.lines();
    let names = lines.next().unwrap();
    for name in
        ["age,", ",rooms missing", ",colour & wet=red & true,", ",area missing,", ",street#29,", ",age * income,"]
    {
        assert!(names.contains(name), "no {name:?} in {names:?}");
    }
    let width = lines.clone().next().unwrap().split(',').count();
    let table: Vec<f32> = lines.flat_map(|line| line.split(',').map(|x| x.parse::<f32>().unwrap())).collect();
    assert_eq!(table.len(), 900 * width);
    let matrix = std::fs::read(write("all.npy", &[])).unwrap();
    let shape = format!("'shape': (900, {width}), }}");
    assert!(String::from_utf8_lossy(&matrix[..128]).contains(&shape), "{shape}");
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect()
    };
    assert!(floats(&matrix[128..]) == table, "both hold the same numbers");

    // A file with some of the rows, one by one, has the same bits.
    let text = rows(false);
    let all: Vec<&str> = text.lines().collect();
    for row in [1, 17, 400, 900] {
        let one = project.write("one.csv", format!("{}\n{}\n", all[0], all[row]).as_bytes());
        let alone = std::fs::read(write("one.npy", &["--input", one.to_str().unwrap()])).unwrap();
        assert!(alone[128..] == matrix[128 + (row - 1) * 4 * width..][..4 * width], "row {row}");
    }

    let embedded = ["--set", "models.kind.features.columns.street.category.encode={embedding: {dimension: 4}}"];
    project.ok(&[&["run", "-q"][..], &embedded].concat());
    let unknown = project.run(&["features", "kind:1", "--output", "x.xlsx"]);
    assert!(unknown.stderr.contains("x.xlsx: features are written as .npy, .csv,"), "{}", unknown.stderr);
    let refused = project.run(&["features", "kind:2", "--output", "new.npy"]);
    assert!(refused.code == 1 && refused.stderr.contains("write a .parquet"), "{}", refused.stderr);
    let path = project.path("new.parquet");
    project.ok(&["features", "kind:2", "--output", path.to_str().unwrap()]);
    assert!(path.metadata().unwrap().len() > 10_000);
    let refused = project.run(&["features", "--output", "new.npy"]);
    assert_eq!(refused.code, 2, "a model has to be named: {}", refused.stderr);
}

#[test]
fn wrong_settings_are_said_with_their_place() {
    let project = project();
    let check = |set: &str, expected: &str| {
        let done = project.run(&["features", "--set", set]);
        assert!(done.code != 0 && done.stderr.contains(expected), "{set}: {}", done.stderr);
    };
    check(
        "models.kind.features.columns.age.number={winsorize: [0.9, 0.1]}",
        "winsorize: the lowest value has to be below",
    );
    check("models.kind.features.columns.age.number={winsorize: [0.1, 1.5]}", "winsorize");
    check("models.kind.features.columns.area.number.bins={count: 1}", "bins.count");
    check("models.kind.features.columns.built.date.holidays=[2024-02-30]", "holiday \"2024-02-30\" is no day");
    check("models.kind.features.products=[[age, kind]]", "column \"kind\" is the target; it cannot be a feature");
    check("models.kind.features.products=[[age, incme]]", "no column \"incme\" in the table; did you mean \"income\"?");
    check("models.kind.features.select={correlation_max: 2}", "correlation_max");
}
