//! Rules of the house that no compiler holds: borders between crates, sizes of files, what must not be in the text.

use std::path::{Path, PathBuf};

use crate::support::workspace;

/// Longest file without its tests, in lines. A table may be longer: these are.
const LINES_MAX: usize = 500;
const TABLES: &[&str] = &["learn/src/spec.rs", "tidemill/src/ui/words.rs"];

#[test]
fn no_leaf_depends_on_another() {
    for leaf in ["data", "learn", "profile", "store"] {
        let manifest = std::fs::read_to_string(workspace().join(leaf).join("Cargo.toml")).unwrap();
        for other in ["data", "learn", "store", "tidemill"] {
            let depends = manifest
                .lines()
                .any(|line| line.starts_with(&format!("{other}.")) || line.starts_with(&format!("{other} =")));
            assert!(!depends, "{leaf} depends on {other}");
        }
    }
}

#[test]
fn leaves_know_neither_environment_nor_command_line_nor_http() {
    let foreign = ["std::env::var", "std::process::", "clap::", "axum::", "println!", "eprintln!"];
    for leaf in ["data", "learn", "profile", "store"] {
        for (path, text) in code(&workspace().join(leaf).join("src")) {
            for word in foreign {
                let process_id = text.replace("std::process::id()", "");
                assert!(!process_id.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn the_engines_do_not_show_in_public_signatures() {
    for (leaf, engines) in [("learn", ["burn::", "rten::"]), ("data", ["datafusion::", "smartcore::"])] {
        for (path, text) in code(&workspace().join(leaf).join("src")) {
            for line in text.lines().filter(|line| line.trim_start().starts_with("pub ")) {
                for engine in engines {
                    assert!(!line.contains(engine), "{}: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn unsafe_stays_in_the_kernels() {
    for krate in ["data", "learn", "profile", "store", "tidemill"] {
        for (path, text) in code(&workspace().join(krate).join("src")) {
            let kernels = path.components().any(|part| part.as_os_str() == "kernels");
            let opened = text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("allow(unsafe_code");
            assert!(kernels || !opened, "{} opens unsafe code", path.display());
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for krate in ["data", "learn", "profile", "store", "tidemill"] {
        for (path, text) in code(&workspace().join(krate).join("src")) {
            let lines = text.lines().count();
            let name = path.strip_prefix(workspace()).unwrap().to_string_lossy().replace('\\', "/");
            assert!(lines <= LINES_MAX || TABLES.contains(&name.as_str()), "{name} has {lines} lines");
        }
    }
}

#[test]
fn both_readmes_have_the_same_shape() {
    let shape = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(workspace().join(name)).unwrap();
        let mut fenced = false;
        let mut shape = Vec::new();
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            } else if fenced && !line.trim_start().starts_with('#') {
                shape.push(line.split(" #").next().unwrap().trim_end().to_owned()); // commands are the same in both
            } else if line.starts_with('#') {
                shape.push("#".repeat(line.chars().take_while(|c| *c == '#').count()));
            }
        }
        shape
    };
    assert_eq!(shape("README.md"), shape("README.zh.md"));
}

/// Rust files below a folder, without their tests.
fn code(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let tests = path.file_stem().is_some_and(|name| name == "tests" || name == "fixtures");
        if path.is_dir() && !tests {
            found.extend(code(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !tests {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, without_tests(&text)));
        }
    }
    found
}

/// The text up to its module of tests, which stands at the end; `mod tests;` is no such module.
fn without_tests(text: &str) -> String {
    let start = text.match_indices("\n#[cfg(test)]\n").find(|(place, mark)| {
        let next = text[place + mark.len()..].lines().next().unwrap_or_default();
        next.contains("mod ") && next.ends_with('{')
    });
    text[..start.map_or(text.len(), |(place, _)| place)].to_owned()
}
