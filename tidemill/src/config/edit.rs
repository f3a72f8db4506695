//! How does an entry get into a project file that people write? As text, so that all else stays as it is: comments, order
//! and blanks. Whoever edits reads the result before it is written.

use serde_json::{Map, Value};

use super::render;

/// The text with this entry in a section: in place of the one of its name, or behind the last one.
///
/// # Errors
/// In words: a section that is not written one entry to a line.
pub(super) fn with_entry(text: &str, section: &str, name: &str, body: &Value) -> Result<String, String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if let Some(last) = lines.last_mut().filter(|line| !line.ends_with('\n')) {
        last.push('\n');
    }
    let entry = Value::Object(Map::from_iter([(name.to_owned(), body.clone())]));
    let Some(head) = lines.iter().position(|line| value_of(line, section).is_some()) else {
        let between = if lines.is_empty() { "" } else { "\n" };
        return Ok(format!("{}{between}{section}:\n{}", lines.concat(), indented(&entry, 2)));
    };
    match value_of(&lines[head], section) {
        Some("") => {}
        Some("{}") => lines[head] = format!("{section}:\n"),
        _ => return Err(format!("the section {section} does not have its entries on lines of their own")),
    }
    let is_content = |line: &String| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let next = lines[head + 1..].iter().position(|line| is_content(line) && indent_of(line) == 0);
    let end = next.map_or(lines.len(), |next| head + 1 + next);
    let indent = lines[head + 1..end].iter().find(|line| is_content(line)).map_or(2, |line| indent_of(line));
    let last = lines[..end].iter().rposition(is_content).map_or(end, |last| last + 1);
    let is_entry = |line: &String| is_content(line) && indent_of(line) == indent;
    let old = (head + 1..end).find(|&at| is_entry(&lines[at]) && value_of(lines[at].trim_start(), name).is_some());
    let (from, to) = match old {
        None => (last, last),
        Some(from) => {
            let inside = |line: &String| line.trim().is_empty() || indent_of(line) > indent;
            let to = (from + 1..end).find(|&at| !inside(&lines[at])).unwrap_or(end);
            let filled = (from..to).rposition(|at| !lines[at].trim().is_empty()).unwrap_or(0);
            (from, from + filled + 1)
        }
    };
    lines.splice(from..to, [indented(&entry, indent)]);
    Ok(lines.concat())
}

/// What stands behind `key:` at the begin of a line, without a comment.
fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let plain = line.strip_prefix(key);
    let rest =
        plain.or_else(|| line.strip_prefix(&format!("\"{key}\""))).or_else(|| line.strip_prefix(&format!("'{key}'")));
    let value = rest?.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    if !value.starts_with(char::is_whitespace) && !value.is_empty() {
        return None;
    }
    let value = value.trim();
    Some(if value.starts_with('#') { "" } else { value.split(" #").next().unwrap_or(value).trim_end() })
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn indented(entry: &Value, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{blanks}{line}\n") };
    render::plain(entry).lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, name: &str, expected: &str) {
        let body = json!({"table": "t", "size": 1});
        assert_eq!(with_entry(text, "models", name, &body).unwrap(), expected, "{text}");
    }

    #[test]
    fn an_entry_is_added_behind_the_last_one() {
        check("", "b", "models:\n  b:\n    table: t\n    size: 1\n");
        check("a: 1", "b", "a: 1\n\nmodels:\n  b:\n    table: t\n    size: 1\n");
        check("models: {} # none\nz: 1\n", "b", "models:\n  b:\n    table: t\n    size: 1\nz: 1\n");
        check(
            "models: # mine\n    a: { table: x } # x\n    # end\n\n# the rest\nz: 1\n",
            "b",
            "models: # mine\n    a: { table: x } # x\n    b:\n      table: t\n      size: 1\n    # end\n\n# the rest\nz: 1\n",
        );
    }

    #[test]
    fn an_entry_takes_the_place_of_its_name() {
        check(
            "models:\n  a:\n    table: x\n\n    n: |\n      two\n\n  # of c\n  c: { table: y }\n",
            "a",
            "models:\n  a:\n    table: t\n    size: 1\n\n  # of c\n  c: { table: y }\n",
        );
        check(
            "models:\n  ab: { table: x }\n  \"a\": 1\nz: 1",
            "a",
            "models:\n  ab: { table: x }\n  a:\n    table: t\n    size: 1\nz: 1\n",
        );
        let wrong = with_entry("models: { a: { table: x } }\n", "models", "b", &json!({})).unwrap_err();
        assert!(wrong.contains("section models"), "{wrong}");
    }
}
