//! All pages, with ordinary and with hostile names, in both languages.

use std::collections::BTreeSet;

use super::fixtures::*;
use super::words::WORDS;
use super::*;

/// Breaks out of text, of attributes in either quotes, of scripts and of comments.
const HOSTILE: &str = "x\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;<!--";

/// Text of a page without its tags, and of attributes that people read or hear.
fn said(page: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = page;
    let mut skip = false;
    while let Some((text, after)) = rest.split_once('<') {
        if !skip && !text.trim().is_empty() {
            out.push(text.trim().to_owned());
        }
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        skip =
            tag.starts_with("script") || tag.starts_with("style") || tag.starts_with("code") || tag.starts_with("pre");
        for attribute in ["aria-label=\"", "title=\"", "alt=\"", "placeholder=\""] {
            if let Some((_, value)) = tag.split_once(attribute) {
                out.push(value.split('"').next().unwrap_or_default().to_owned());
            }
        }
        rest = after;
    }
    out.retain(|text| !text.is_empty());
    out
}

/// The tags of a page, scripts' contents left out.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|part| part.split_once('>').map(|(tag, _)| tag)).collect()
}

#[test]
fn hostile_names_stay_text_everywhere() {
    for lang in [Lang::En, Lang::Zh] {
        for (name, page) in all_pages(&context(lang), HOSTILE) {
            for bad in ["<script>alert", "<img src=x", "<!--", "javascript:"] {
                assert!(!page.contains(bad), "{name}: {bad}");
            }
            for tag in tags(&page) {
                let handler = tag.split_whitespace().skip(1).any(|part| part.starts_with("on") && part.contains('='));
                let quoted = tag.contains("onerror=alert(2)") && !tag.contains("&quot;");
                assert!(!(handler && quoted), "{name}: <{tag}>");
            }
        }
    }
    let file = report(&version_view(HOSTILE), Lang::En);
    assert!(!file.contains("<script>alert") && !file.contains("<img src=x") && !file.contains("<!--"));
}

#[test]
fn chart_json_is_json_and_its_names_are_no_html() {
    let page = model(&context(Lang::En), &version_view(HOSTILE)).into_string();
    let mut charts = 0;
    for block in page.split("<script class=\"chart-data\" type=\"application/json\">").skip(1) {
        let text = block.split("</script>").next().unwrap();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(json["data"].is_array());
        let mut strings = Vec::new();
        collect(&json, &mut strings);
        assert!(strings.iter().all(|text| !text.contains('<')), "{strings:?}");
        charts += 1;
    }
    assert_eq!(charts, 7);
}

fn collect(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Array(list) => list.iter().for_each(|inner| collect(inner, out)),
        serde_json::Value::Object(map) => map.values().for_each(|inner| collect(inner, out)),
        _ => {}
    }
}

#[test]
fn pages_are_built_for_everyone() {
    for lang in [Lang::En, Lang::Zh] {
        for (name, page) in all_pages(&context(lang), "digits") {
            assert_eq!(page.matches("<h1").count(), 1, "{name}");
            assert!(page.starts_with("<!DOCTYPE html><html lang=\""), "{name}");
            assert!(page.contains(&format!("<html lang=\"{}\"", lang.tag())), "{name}");
            for landmark in ["<main", "<header", "<nav", "<footer", "class=\"skip\""] {
                assert!(page.contains(landmark), "{name}: {landmark}");
            }
            let mut ids = BTreeSet::new();
            for tag in tags(&page) {
                let attribute =
                    |key: &str| tag.split_once(&format!(" {key}=\"")).and_then(|(_, rest)| rest.split('"').next());
                if let Some(id) = attribute("id") {
                    assert!(ids.insert(id.to_owned()), "{name}: two of id {id}");
                }
                let kind = tag.split_whitespace().next().unwrap_or_default();
                if ["input", "select", "textarea", "progress"].contains(&kind) {
                    let id = attribute("id").unwrap_or_else(|| panic!("{name}: <{tag}> has no id"));
                    assert!(page.contains(&format!("<label for=\"{id}\"")), "{name}: no label for {id}");
                }
                if kind == "img" {
                    assert!(tag.contains(" alt=\""), "{name}: <{tag}>");
                }
                if kind == "th" {
                    assert!(tag.contains(" scope=\""), "{name}: <{tag}>");
                }
            }
            assert_eq!(page.matches("<table").count(), page.matches("<caption").count(), "{name}: captions");
            for reference in ["aria-labelledby=\"", "aria-describedby=\"", "href=\"#", "data-copy=\"#"] {
                for target in page.split(reference).skip(1).filter_map(|rest| rest.split('"').next()) {
                    assert!(ids.contains(target), "{name}: {reference}{target}");
                }
            }
        }
    }
}

#[test]
fn pages_load_nothing_foreign_and_run_nothing_inline() {
    for (name, page) in all_pages(&context(Lang::En), "digits") {
        for tag in tags(&page) {
            if tag.starts_with("script") {
                assert!(tag.contains(" src=\"/assets/") || tag.contains("application/json"), "{name}: <{tag}>");
            }
            for key in [" src=\"", " href=\"", " action=\""] {
                if let Some(target) = tag.split_once(key).and_then(|(_, rest)| rest.split('"').next()) {
                    let own = target.starts_with(['/', '#', '?']) || target.starts_with("data:image/png;");
                    assert!(own && !target.starts_with("//"), "{name}: {target}");
                }
            }
        }
    }
}

#[test]
fn chinese_pages_are_chinese() {
    // Names of methods, formats and commands are the same in both languages.
    let shared = ["F1", "R²"];
    for (name, page) in all_pages(&context(Lang::Zh), "甲") {
        let texts = said(&page);
        for (word, english, chinese) in WORDS {
            if shared.contains(english) || english == chinese {
                continue;
            }
            let pieces = english.split(['{', '}']).enumerate().filter(|(place, _)| place % 2 == 0);
            let longest = pieces.map(|(_, piece)| piece.trim()).max_by_key(|piece| piece.len()).unwrap_or_default();
            if longest.len() < 3 {
                continue;
            }
            for text in &texts {
                // Findings of checks without a sentence of ours, reasons of failures and choices come in English.
                if text.split_whitespace().count() > 4 && text.contains('甲') {
                    continue;
                }
                let bounded = text.match_indices(longest).any(|(start, _)| {
                    let before = text[..start].chars().next_back().is_none_or(|c| !c.is_ascii_alphanumeric());
                    let after = text[start + longest.len()..].chars().next().is_none_or(|c| !c.is_ascii_alphanumeric());
                    before && after
                });
                assert!(!bounded, "{name}: {word:?} in English: {text}");
            }
        }
    }
}

#[test]
fn a_report_is_one_file_that_loads_nothing() {
    for (lang, view) in
        [(Lang::En, version_view("digits")), (Lang::Zh, value_view("digits")), (Lang::En, picture_view("p"))]
    {
        let file = report(&view, lang);
        let (page, script) = file.split_once("plotly.js v3").unwrap();
        for text in [page, script.rsplit_once("</script>").unwrap().1] {
            for key in [" src=\"", " href=\"", " action=\"", "url(", "@import"] {
                for target in text.split(key).skip(1).filter_map(|rest| rest.split(['"', ')']).next()) {
                    assert!(target.starts_with('#') || target.starts_with("data:image/png;"), "{key}{target}");
                }
            }
        }
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains(&format!("<html lang=\"{}\"", lang.tag())));
        assert_eq!(page.matches("<h1").count(), 1);
        assert!(file.len() < 7_000_000);
    }
}

#[test]
fn a_version_is_read_from_its_folder_and_a_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let full = version_view("digits");
    write("audit.json", serde_json::to_string(&full.audit).unwrap());
    write("history.json", serde_json::to_string(&full.history).unwrap());
    write("evaluation.json", serde_json::to_string(&full.evaluation).unwrap());
    write("importance.json", serde_json::to_string(&full.importance).unwrap());
    write("worst.json", serde_json::to_string(&full.worst).unwrap());
    write("usage.json", serde_json::to_string(&full.usage).unwrap());
    write("features.json", serde_json::json!({"columns": [], "choices": full.choices, "numeric": {}}).to_string());
    let details = serde_json::json!({"target": full.target, "spec": full.settings, "parameters": full.parameters});
    write("manifest.json", serde_json::json!({"summary": {"details": details}}).to_string());
    let read = VersionView::read(folder.path(), "digits", 4).unwrap();
    // Figures are compared as they are shown: JSON may lose the last bit of a number.
    let findings = |view: &VersionView| view.audit.as_ref().map(|audit| audit.findings.clone());
    assert_eq!((findings(&read), read.history.len(), read.worst.len()), (findings(&full), 12, 6));
    assert_eq!((&read.target, &read.choices, read.parameters), (&full.target, &full.choices, full.parameters));
    assert_eq!((read.importance.len(), &read.usage, &read.settings), (5, &full.usage, &full.settings));
    assert_eq!(read.evaluation.test.unwrap().labels, full.evaluation.test.unwrap().labels);
    write("history.json", "[{\"epoch\": ".into());
    let error = VersionView::read(folder.path(), "digits", 4).unwrap_err().to_string();
    assert!(error.contains("history.json"), "{error}");
    assert!(VersionView::read(&folder.path().join("none"), "digits", 4).unwrap().history.is_empty());
}

/// Writes all pages and two reports into the folder named by `TIDEMILL_PAGES`, to be looked at in a browser.
#[test]
#[allow(clippy::disallowed_methods, reason = "a person asks for the files by this variable; no test depends on it")]
fn pages_can_be_written_to_be_looked_at() {
    let Ok(folder) = std::env::var("TIDEMILL_PAGES") else { return };
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for name in ["app.css", "app.js", "favicon.svg", "plotly.min.js"] {
        std::fs::write(folder.join("assets").join(name), asset(name).unwrap().body).unwrap();
    }
    for (lang, theme) in
        [(Lang::En, Theme::Light), (Lang::Zh, Theme::Light), (Lang::En, Theme::Dark), (Lang::Zh, Theme::Dark)]
    {
        let context = Context { theme, ..context(lang) };
        for (name, page) in all_pages(&context, "digits") {
            std::fs::write(folder.join(format!("{name}-{}-{}.html", lang.code(), theme.name())), page).unwrap();
        }
    }
    std::fs::write(folder.join("report-en.html"), report(&version_view("digits"), Lang::En)).unwrap();
    std::fs::write(folder.join("report-zh.html"), report(&picture_view("digits"), Lang::Zh)).unwrap();
}
