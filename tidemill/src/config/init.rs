//! `tidemill init`: a first project file for a file and a target, with the reasons beside the choices.

use std::fmt::Write as _;
use std::path::Path;

use data::{ColumnKind, ColumnProfile, SourceSpec, TableProfile};
use serde_json::Value;

use super::place::did_you_mean;
use super::render::{escape, scalar_text};
use super::resolve::{is_name, is_sql_name};

/// Columns that get a line of their own; the rest is prepared as its type suggests.
const COLUMNS_MAX: usize = 300;
/// Integers of at most so many values are taken for classes, as `task: auto` does.
const INTEGER_CLASSES_MAX: u64 = 20;
/// Values of a category that a comment shows.
const VALUES_SHOWN: usize = 4;

/// What a project file is written from.
pub struct InitRequest<'a> {
    /// What the rows hold.
    pub profile: &'a TableProfile,
    /// How the file is read, with paths as given on the command line.
    pub source: &'a SourceSpec,
    /// The file or folder.
    pub from: &'a Path,
    /// The folder that the project file will stand in.
    pub folder: &'a Path,
    /// The column to predict.
    pub target: &'a str,
    /// Name of the model; that of the target where absent.
    pub name: Option<&'a str>,
}

/// The text of the project file.
///
/// # Errors
/// In words: no such target, a target with one value only or one that differs in every row, a name that cannot be one.
pub fn init(request: &InitRequest<'_>) -> Result<String, String> {
    let target = target(request)?;
    let model = match request.name {
        Some(name) if is_name(name) => name.to_owned(),
        Some(name) => {
            return Err(format!(
                "{name:?} cannot be the name of a model: lower-case letters, digits, _ and -, 1 to 64 of them"
            ));
        }
        None => named(request.target, "model"),
    };
    let stem = request.from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let source = match named(stem.split('.').next().unwrap_or_default(), "rows") {
        name if is_sql_name(&name) => name,
        name => format!("{}_rows", &name[..name.len().min(59)]),
    };
    let columns: Vec<(&ColumnProfile, Option<String>)> = request
        .profile
        .columns
        .iter()
        .filter(|column| column.name != request.target)
        .map(|column| (column, left_out_of(request.source, column, request.profile.rows)))
        .collect();
    if columns.iter().all(|(_, reason)| reason.is_some()) {
        return Err(format!("no column but {:?} has anything to learn from", request.target));
    }
    let mut text = format!(
        "# Written by tidemill init from {} rows of {} columns; every line can be changed.\n\
         # tidemill config shows all defaults, tidemill schema describes every key.\n\n",
        request.profile.rows,
        request.profile.columns.len()
    );
    let _ = write!(
        text,
        "sources:\n  {source}: {}\n\n\
         # tables: SQL over sources and other tables, to filter, join or compute columns. For example:\n\
         # tables:\n#   recent: SELECT * FROM {source} WHERE ...\n\n\
         models:\n  {model}:\n    table: {source}\n    target: {} # {}\n    task: {}\n",
        source_text(request),
        scalar_text(&escape(request.target)),
        describe(target, request.profile.rows),
        task(target, request.profile.rows)
    );
    features(&mut text, &columns, request.profile.rows);
    learning(&mut text, request, target, &columns);
    Ok(text)
}

/// The target's profile.
fn target<'a>(request: &InitRequest<'a>) -> Result<&'a ColumnProfile, String> {
    let InitRequest { profile, target, .. } = request;
    let names = || profile.columns.iter().map(|column| column.name.as_str());
    let Some(column) = profile.column(target) else {
        let known: Vec<_> = names().take(40).collect();
        let hint = did_you_mean(target, names());
        return Err(format!(
            "no column {target:?} in {}{hint} (columns: {})",
            request.from.display(),
            known.join(", ")
        ));
    };
    if column.kind == ColumnKind::Image {
        return Err(format!("column {target:?} holds pictures; a target is a class or a number"));
    }
    if column.distinct < 2 {
        return Err(format!("column {target:?} has {} value; there is nothing to predict", column.distinct));
    }
    let is_text = matches!(column.kind, ColumnKind::Category | ColumnKind::Text);
    if is_text && column.distinct + column.missing >= profile.rows && profile.rows > 2 {
        return Err(format!("column {target:?} is text that differs in every row; a class needs several rows"));
    }
    Ok(column)
}

fn is_integer(column: &ColumnProfile) -> bool {
    column.data_type.starts_with("Int") || column.data_type.starts_with("UInt")
}

/// The task and the reason, as a value with its comment.
fn task(target: &ColumnProfile, rows: u64) -> String {
    let classes = format!("classification # {} classes", target.distinct);
    match target.kind {
        ColumnKind::Category | ColumnKind::Text | ColumnKind::Boolean => classes,
        ColumnKind::Number if is_integer(target) && target.distinct <= 2 => classes,
        ColumnKind::Number
            if is_integer(target) && target.distinct <= INTEGER_CLASSES_MAX && target.distinct * 5 <= rows =>
        {
            format!("{classes}, since there are few; regression where they measure something")
        }
        _ => "regression # a number".to_owned(),
    }
}

fn is_classification(target: &ColumnProfile, rows: u64) -> bool {
    task(target, rows).starts_with("classification")
}

/// Why a column of this kind of source is not read; `None` where it is.
fn left_out_of(source: &SourceSpec, column: &ColumnProfile, rows: u64) -> Option<String> {
    let reason = match (source, column.name.as_str()) {
        (SourceSpec::Logs(_), "template_id") => "is counted anew in other files; the template says the same",
        (SourceSpec::Logs(_), "parameters") => "is a list of texts",
        (SourceSpec::Logs(_), "line") => "holds what all other columns say",
        (SourceSpec::Logs(_), "line_number") => "is where a line stands",
        _ => return left_out(column, rows),
    };
    Some(reason.to_owned())
}

/// Why a column is not read; `None` where it is.
fn left_out(column: &ColumnProfile, rows: u64) -> Option<String> {
    let present = rows.saturating_sub(column.missing);
    if present == 0 {
        return Some("has no values".into());
    }
    if column.distinct <= 1 && column.missing == 0 && column.kind != ColumnKind::Image {
        return Some("has one value only".into());
    }
    match column.kind {
        ColumnKind::Text if is_series(column) || reads_like_text(column) => None,
        ColumnKind::Text => Some("is text that hardly repeats, as names and ids do".into()),
        ColumnKind::Category if column.distinct > 20 && column.distinct * 10 >= present * 9 => {
            Some("differs in nearly every row, as a name or an id does".into())
        }
        ColumnKind::Number if is_integer(column) && column.missing == 0 && rows >= 20 => {
            let differs = column.distinct * 50 >= rows * 49; // the count may be an estimate
            let range = column.max.unwrap_or(f64::MAX) - column.min.unwrap_or(f64::MIN);
            let is_dense = range < 4.0 * rows as f64;
            (differs && (is_dense || called_id(&column.name))).then(|| "differs in every row, as an id does".into())
        }
        _ => None,
    }
}

fn is_series(column: &ColumnProfile) -> bool {
    ["List", "LargeList", "FixedSizeList"].iter().any(|kind| column.data_type.starts_with(kind))
}

/// Words that texts have on average.
const WORDS_MIN: usize = 3;

/// Whether the values are of several words, or of as many Chinese characters.
fn reads_like_text(column: &ColumnProfile) -> bool {
    let words = |value: &str| -> usize {
        let unspaced = value.chars().filter(|c| ('\u{3040}'..='\u{9fff}').contains(c)).count();
        let spaced = value.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 1);
        unspaced + spaced.count()
    };
    let all: usize = column.top.iter().map(|(value, _)| words(value)).sum();
    !column.top.is_empty() && all >= WORDS_MIN * column.top.len()
}

fn called_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is = |word: &str| matches!(word, "id" | "uuid" | "guid" | "key" | "index" | "rownum" | "rowid" | "编号");
    lower.split(|c: char| !c.is_alphanumeric()).any(is) || name.ends_with("Id") || name.ends_with("ID")
}

fn features(text: &mut String, columns: &[(&ColumnProfile, Option<String>)], rows: u64) {
    text.push_str("    features:\n");
    let left_out: Vec<_> = columns.iter().filter_map(|(column, reason)| Some((column, reason.as_ref()?))).collect();
    if !left_out.is_empty() {
        text.push_str("      exclude:\n");
        for (column, reason) in left_out {
            let _ = writeln!(text, "        - {} # {reason}", scalar_text(&escape(&column.name)));
        }
    }
    text.push_str("      columns:\n");
    let read: Vec<_> = columns.iter().filter(|(_, reason)| reason.is_none()).map(|(column, _)| *column).collect();
    for column in read.iter().take(COLUMNS_MAX) {
        let _ = writeln!(
            text,
            "        {}: {} # {}",
            scalar_text(&column.name),
            kind(column, rows),
            describe(column, rows)
        );
    }
    if read.len() > COLUMNS_MAX {
        let _ = writeln!(text, "        # and {} more, each as its type suggests", read.len() - COLUMNS_MAX);
    }
}

/// The short form of how a column is prepared.
fn kind(column: &ColumnProfile, rows: u64) -> &'static str {
    match column.kind {
        ColumnKind::Number if column.missing * 100 > rows => "{number: {indicator: true}}",
        ColumnKind::Number => "number",
        // of many values `auto` leaves the rare ones out
        ColumnKind::Category if column.distinct > 64 => "auto",
        ColumnKind::Category => "category",
        ColumnKind::Text if is_series(column) => "series",
        ColumnKind::Text => "text",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Date => "date",
        ColumnKind::Image => "image",
    }
}

/// What a column holds, for a comment.
fn describe(column: &ColumnProfile, rows: u64) -> String {
    let mut parts = Vec::new();
    match column.kind {
        ColumnKind::Number => {
            if let (Some(min), Some(max)) = (column.min, column.max) {
                parts.push(format!("{} to {}", number(min), number(max)));
            }
            if let Some(median) = column.quantile(0.5) {
                parts.push(format!("median {}", number(median)));
            }
        }
        ColumnKind::Image => parts.push(match column.image.as_deref() {
            Some(shape) if shape != "encoded" => format!("pictures of {shape} pixels"),
            _ => "picture files".to_owned(),
        }),
        ColumnKind::Date => parts.push("dates".to_owned()),
        ColumnKind::Text if is_series(column) => parts.push("lists of numbers".to_owned()),
        ColumnKind::Category | ColumnKind::Boolean | ColumnKind::Text => {
            let about = if column.distinct_approximate { "about " } else { "" };
            let shown: Vec<_> = column.top.iter().take(VALUES_SHOWN).map(|(value, _)| printable(value)).collect();
            let more = if column.distinct > shown.len() as u64 { ", ..." } else { "" };
            parts.push(format!("{about}{} values: {}{more}", column.distinct, shown.join(", ")));
        }
    }
    if column.missing > 0 {
        parts.push(format!("{:.1} % missing", 100.0 * column.missing as f64 / rows.max(1) as f64));
    }
    if parts.is_empty() { "no values".to_owned() } else { parts.join("; ") }
}

fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e9).contains(&value.abs()) {
        let text = format!("{value:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.3e}")
    }
}

/// A value on one line of a comment.
fn printable(value: &str) -> String {
    let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.char_indices().nth(24) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

fn learning(
    text: &mut String,
    request: &InitRequest<'_>,
    target: &ColumnProfile,
    columns: &[(&ColumnProfile, Option<String>)],
) {
    let rows = request.profile.rows;
    let share = if rows < 500 { 0.2 } else { 0.15 };
    let _ = writeln!(
        text,
        "    split: {{fraction: {{validation: {share}, test: {share}}}}} # about {} rows to train on",
        (rows as f64 * (1.0 - 2.0 * share)) as u64
    );
    let date = columns.iter().find(|(column, _)| column.kind == ColumnKind::Date);
    if let Some((date, _)) = date {
        let column = scalar_text(&escape(&date.name));
        let _ = writeln!(
            text,
            "    # split: {{time: {column}}} # the newest rows for testing, where the future is to be predicted"
        );
    }
    let has_images = columns.iter().any(|(column, _)| column.kind == ColumnKind::Image);
    let (hidden, batch_size) = match rows {
        _ if has_images => ("[128]", if rows < 10_000 { 32 } else { 64 }),
        0..1_000 => ("[32]", 16),
        1_000..20_000 => ("[64, 32]", 64),
        _ => ("[128, 64]", 256),
    };
    let _ = writeln!(
        text,
        "    network: {{dense: {{hidden: {hidden}}}}} # units of each hidden layer; [] for a linear model"
    );
    let _ = writeln!(
        text,
        "    train:\n      epochs: 50 # at most: training ends when validation no longer gains\n      batch_size: {batch_size}\n      \
         optimizer: {{adam: {{learning_rate: 0.001}}}}\n      seed: 42 # the same seed gives the same model"
    );
    let rarest = target.top.iter().map(|(_, count)| *count).min().unwrap_or(0);
    if is_classification(target, rows) && target.distinct == 2 && rarest * 5 < rows {
        let share = 100.0 * rarest as f64 / rows.max(1) as f64;
        let _ = writeln!(text, "    evaluate: {{threshold: best_f1}} # one class has {share:.1} % of the rows");
    }
}

/// A name of lower-case letters, digits and `_`, made of any text.
fn named(text: &str, fallback: &str) -> String {
    let mut name = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(60);
    let name = name.trim_end_matches('_');
    if name.is_empty() { fallback.to_owned() } else { name.to_owned() }
}

/// The source in one line, without what is default, with paths from the project's folder.
fn source_text(request: &InitRequest<'_>) -> String {
    let Ok(Value::Object(spec)) = serde_json::to_value(request.source) else { return String::new() };
    let schema = super::schema::described();
    let Some((kind, Value::Object(keys))) = spec.into_iter().next() else { return String::new() };
    let definition = super::schema::variant(&schema, "SourceSpec", &kind);
    let mut parts = Vec::new();
    for (key, value) in keys {
        if definition.and_then(|definition| definition.pointer(&format!("/properties/{key}/default"))) == Some(&value) {
            continue;
        }
        let value = match &value {
            Value::String(path) if matches!(key.as_str(), "path" | "images" | "labels") => {
                scalar_text(&escape(&from_folder(path, request.folder)))
            }
            Value::String(text) => scalar_text(&escape(text)),
            other => escape(&other.to_string()), // JSON is YAML
        };
        parts.push(format!("{key}: {value}"));
    }
    format!("{{{kind}: {{{}}}}}", parts.join(", "))
}

/// The path as seen from the project's folder: relative below it, absolute elsewhere.
fn from_folder(path: &str, folder: &Path) -> String {
    let (Ok(full), Ok(folder)) = (std::fs::canonicalize(path), std::fs::canonicalize(folder)) else {
        return path.to_owned();
    };
    full.strip_prefix(&folder).unwrap_or(&full).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use data::CsvSpec;

    use super::super::Project;
    use super::*;

    fn column(name: &str, kind: ColumnKind, data_type: &str, distinct: u64) -> ColumnProfile {
        let is_number = kind == ColumnKind::Number;
        ColumnProfile {
            name: name.into(),
            kind,
            data_type: data_type.into(),
            image: None,
            missing: 0,
            infinite: 0,
            distinct,
            distinct_approximate: false,
            min: is_number.then_some(1.0),
            max: is_number.then_some(1e12),
            mean: None,
            std: None,
            quantiles: if is_number { vec![(0.5, 37.25)] } else { vec![] },
            histogram: None,
            top: vec![("a\nb".into(), 900), ("# x: [y".into(), 100)],
        }
    }

    fn profile() -> TableProfile {
        use ColumnKind::{Boolean, Category, Date, Number, Text};
        let mut columns = vec![
            column("customer_id", Number, "Int64", 1000),
            column("age", Number, "Float64", 70),
            column("plan: $x", Category, "Utf8", 2),
            column("e-mail", Category, "Utf8", 1000),
            column("note", Text, "Utf8", 900),
            column("country", Category, "Utf8", 1),
            column("joined", Date, "Date32", 300),
            column("yes", Boolean, "Boolean", 2),
            column("Has Left?", Category, "Utf8", 2),
        ];
        columns[1].missing = 50;
        TableProfile { rows: 1000, columns }
    }

    fn write(target: &str, name: Option<&str>) -> Result<String, String> {
        let (profile, source) = (profile(), SourceSpec::Csv(CsvSpec::new("Order 2.csv.gz")));
        init(&InitRequest {
            profile: &profile,
            source: &source,
            from: Path::new("Order 2.csv.gz"),
            folder: Path::new("."),
            target,
            name,
        })
    }

    #[test]
    fn the_file_written_loads_and_says_why() {
        let text = write("Has Left?", None).unwrap();
        let project =
            Project::parse(&text, Path::new("tidemill.yaml"), &[], &|_| None).unwrap_or_else(|e| panic!("{text}\n{e}"));
        let model = &project.models[0];
        assert_eq!(
            (model.name.as_str(), model.table.as_str(), model.target.as_str()),
            ("has_left", "order_2", "Has Left?")
        );
        assert_eq!(model.features.exclude, ["customer_id", "e-mail", "note", "country"]);
        assert_eq!(model.features.columns.keys().collect::<Vec<_>>(), ["age", "joined", "plan: $x", "yes"]);
        for reason in [
            "- customer_id # differs in every row, as an id does\n",
            "- country # has one value only\n",
            "age: {number: {indicator: true}} # 1 to 1.000e12; median 37.25; 5.0 % missing\n",
            "task: classification # 2 classes\n",
            "evaluate: {threshold: best_f1} # one class has 10.0 % of the rows\n",
            "# split: {time: joined}",
            "order_2: {csv: {path: Order 2.csv.gz}}\n",
        ] {
            assert!(text.contains(reason), "{reason}\n{text}");
        }
    }

    #[test]
    fn numbers_are_predicted_by_regression_and_names_can_be_given() {
        let text = write("age", Some("years")).unwrap();
        assert!(text.contains("  years:\n") && text.contains("task: regression # a number\n"), "{text}");
    }

    #[test]
    fn a_target_that_cannot_be_one_is_refused() {
        let check = |target: &str, expected: &str| {
            let message = write(target, None).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        };
        check(
            "has left?",
            "no column \"has left?\" in Order 2.csv.gz; did you mean \"Has Left?\"? (columns: customer_id, age",
        );
        check("country", "column \"country\" has 1 value; there is nothing to predict");
        check("e-mail", "column \"e-mail\" is text that differs in every row; a class needs several rows");
        assert!(write("age", Some("A b")).unwrap_err().starts_with("\"A b\" cannot be the name of a model"));
    }

    #[test]
    fn names_are_made_of_any_text() {
        for (text, expected) in
            [("Has Left?", "has_left"), ("_x", "x"), ("年龄", "fallback"), ("", "fallback"), ("2024", "2024")]
        {
            assert_eq!(named(text, "fallback"), expected);
        }
    }
}
