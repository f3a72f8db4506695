//! What does `${VAR}` stand for? Values from the environment, put into the scalars of the project file.
//!
//! A value from the environment may be a secret: it never gets into a message. The text as written is kept beside it.

/// Where values come from: `std::env::var` in `main`, a table in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces `${VAR}`, `${VAR:-default}` and `$$` in `text`; the flag says whether a variable was read.
///
/// A dollar sign before anything else stays as it is. As in a shell, `:-` also stands in for an empty variable.
///
/// # Errors
/// What is wrong, in words, without values: a variable that is not set and has no default, or a `${` that is unfinished.
pub(super) fn interpolate(text: &str, environment: Environment<'_>) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len());
    let mut read = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some((inside, tail)) = after.split_once('}') else {
                let begin: String = rest.chars().take(40).collect();
                return Err(format!("{begin:?} has no closing brace; write $$ for a dollar sign"));
            };
            out.push_str(&value(inside, environment)?);
            read = true;
            rest = tail;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok((out, read))
}

fn value(inside: &str, environment: Environment<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !is_name(name) || default.is_some_and(|default| default.contains("${")) {
        return Err(format!(
            "\"${{{inside}}}\" is neither ${{NAME}} nor ${{NAME:-default}}; write $$ for a dollar sign"
        ));
    }
    match (environment(name), default) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(_)) if !found.is_empty() => Ok(found),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name:?} is not set; set it, or give it a default: ${{{name}:-default}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "DATA" => Some("/data".into()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${DATA}".into()),
            _ => None,
        }
    }

    fn check(text: &str, expected: &str) {
        let found = match interpolate(text, &environment) {
            Ok((found, _)) => found,
            Err(message) => format!("error: {message}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn variables_defaults_and_dollars() {
        check("plain", "plain");
        check("${DATA}/adult", "/data/adult");
        check("${DATA:-x}", "/data");
        check("${NONE:-x y}z", "x yz");
        check("${NONE:-}", "");
        check("${EMPTY}|${EMPTY:-d}", "|d");
        check("cost: $5, $$5, $${DATA}, end$", "cost: $5, $5, ${DATA}, end$");
        check("${NESTED}", "${DATA}");
        check("ü${DATA}ü", "ü/dataü");
    }

    #[test]
    fn what_is_wrong_is_said_without_values() {
        let unset =
            "error: the environment variable \"NONE\" is not set; set it, or give it a default: ${NONE:-default}";
        check("${DATA}${NONE}", unset);
        check("a ${DATA", "error: \"${DATA\" has no closing brace; write $$ for a dollar sign");
        check("${}", "error: \"${}\" is neither ${NAME} nor ${NAME:-default}; write $$ for a dollar sign");
        check("${A B}", "error: \"${A B}\" is neither ${NAME} nor ${NAME:-default}; write $$ for a dollar sign");
        let nested = "error: \"${A:-${B}\" is neither ${NAME} nor ${NAME:-default}; write $$ for a dollar sign";
        check("${A:-${B}}", nested);
    }

    #[test]
    fn it_is_known_whether_a_variable_was_read() {
        assert_eq!(interpolate("$$x", &environment), Ok(("$x".into(), false)));
        assert_eq!(interpolate("${NONE:-x}", &environment), Ok(("x".into(), true)));
    }
}
