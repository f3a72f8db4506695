//! What do all pages share? The frame: head, navigation, footer, and a few small parts.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use super::assets::address;
use super::words::{Lang, Word as W};

/// Who is looking, and at what.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The language of the page.
    pub lang: Lang,
    /// Light or dark where the address or a cookie says so; the reader's own choice in the browser goes first.
    pub theme: Theme,
    /// Path of the page, without the query: for the language switch. Empty in a report.
    pub path: String,
    /// The project's name.
    pub project: String,
    /// The version of tidemill.
    pub version: String,
    /// The endpoint behind "Try it" in the navigation; none hides it.
    pub try_endpoint: Option<String>,
}

impl Context {
    /// The words of this entry.
    pub(crate) fn t(&self, word: W) -> &'static str {
        self.lang.text(word)
    }

    /// The words of this entry with its `{placeholders}` filled in.
    pub(crate) fn fill(&self, word: W, values: &[(&str, &str)]) -> String {
        self.lang.fill(word, values)
    }
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the reader's system is set.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// `light` and `dark`; anything else is [`Theme::Auto`].
    pub fn parse(text: &str) -> Self {
        match text {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The entry of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Data,
    Runs,
    Models,
    Try,
    None,
}

/// The frame around `body`. `charts` loads the chart library.
pub(crate) fn layout(context: &Context, place: Place, title: &str, charts: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(context.lang.tag()) data-theme=(context.theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Tidemill" }
                link rel="icon" href=(address("favicon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(address("app.css"));
                // Not deferred: it sets the theme before anything is painted.
                script src=(address("app.js")) {}
                @if charts { script src=(address("plotly.min.js")) defer {} }
            }
            body {
                a.skip href="#main" { (context.t(W::SkipToContent)) }
                (header(context, place))
                main #main tabindex="-1" { (body) }
                p #status .status role="status" aria-live="polite" {}
                footer.foot {
                    p { "Tidemill " (context.version) " · " (context.t(W::FooterLocal)) }
                }
                (script_words(context))
            }
        }
    }
}

fn header(context: &Context, place: Place) -> Markup {
    let link = |target: Place, href: &str, word: W| {
        html! { a href=(href) aria-current=[(place == target).then_some("page")] { (context.t(word)) } }
    };
    html! {
        header.top {
            div.bar {
                a.brand href="/" { (logo()) span { "Tidemill" } }
                @if !context.project.is_empty() { span.project title=(context.t(W::Project)) { (context.project) } }
                nav.main aria-label=(context.t(W::Navigation)) {
                    (link(Place::Overview, "/", W::NavOverview))
                    (link(Place::Data, "/data", W::NavData))
                    (link(Place::Runs, "/runs", W::NavRuns))
                    (link(Place::Models, "/models", W::NavModels))
                    @if let Some(endpoint) = &context.try_endpoint {
                        (link(Place::Try, &format!("/try/{}", segment(endpoint)), W::NavTry))
                    }
                }
                div.tools {
                    @let other = context.lang.other();
                    a.lang href=(format!("{}?lang={}", context.path, other.code())) hreflang=(other.tag())
                        lang=(other.tag()) { (other.own_name()) }
                    (theme_button(context))
                }
            }
        }
    }
}

/// The button between light and dark.
pub(crate) fn theme_button(context: &Context) -> Markup {
    html! {
        button #theme .quiet type="button" hidden aria-label=(context.t(W::ThemeSwitch)) title=(context.t(W::ThemeSwitch)) {
            (PreEscaped(r#"<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><circle cx="12" cy="12" r="8.5" fill="none" stroke="currentColor" stroke-width="2"/><path d="M12 3.5a8.5 8.5 0 0 1 0 17z" fill="currentColor"/></svg>"#))
        }
    }
}

/// The mark beside the name.
pub(crate) fn logo() -> Markup {
    PreEscaped(r#"<svg class="logo" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"><circle cx="16" cy="12.5" r="7"/><path d="M16 3v19M6.5 12.5h19M9.3 5.8l13.4 13.4M22.7 5.8 9.3 19.2" stroke-width="1.5"/><path d="M2.5 27c2.2-2.2 4.5-2.2 6.7 0s4.6 2.2 6.8 0 4.5-2.2 6.7 0 4.6 2.2 6.8 0"/></g></svg>"#.to_owned())
}

/// The words that `app.js` says.
pub(crate) fn script_words(context: &Context) -> Markup {
    let words = json!({
        "copied": context.t(W::JsCopied), "copyFailed": context.t(W::JsCopyFailed),
        "sending": context.t(W::JsSending), "failed": context.t(W::JsFailed),
        "unreachable": context.t(W::JsUnreachable), "answer": context.t(W::JsAnswer),
        "confidence": context.t(W::Confidence), "threshold": context.t(W::Threshold),
        "probabilities": context.t(W::Probabilities), "epoch": context.t(W::JsEpoch),
        "succeeded": context.t(W::JsRunSucceeded), "stopped": context.t(W::JsRunStopped),
        "runFailed": context.t(W::JsRunFailed), "notConfident": context.t(W::JsNotConfident),
        "drawFirst": context.t(W::JsDrawFirst), "cleared": context.t(W::JsCleared),
        "chosen": context.t(W::JsChosen), "noChart": context.t(W::JsNoChart),
        "milliseconds": context.t(W::JsMilliseconds), "done": context.t(W::JsDone),
        "best": context.t(W::Best), "pickFailed": context.t(W::JsPickFailed),
        "statusSucceeded": context.t(W::StatusSucceeded), "statusStopped": context.t(W::StatusStopped),
        "statusFailed": context.t(W::StatusFailed),
    });
    html! { script #words type="application/json" { (json_block(&words)) } }
}

/// JSON that may stand inside a script element: no `<`, `>`, `&`.
pub(crate) fn json_block(value: &serde_json::Value) -> PreEscaped<String> {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    PreEscaped(out)
}

/// A path segment: all but letters, digits, `-`, `_`, `.` and `~` as `%XX`.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// How a badge looks; its words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warn,
    Bad,
    Plain,
    Accent,
}

/// A word in a pill, with a sign so that colour is not all.
pub(crate) fn badge(tone: Tone, text: &str) -> Markup {
    let (class, sign) = match tone {
        Tone::Good => ("good", "✓"),
        Tone::Warn => ("warn", "!"),
        Tone::Bad => ("bad", "✕"),
        Tone::Plain => ("plain", "·"),
        Tone::Accent => ("accent", "★"),
    };
    html! { span.badge.(class) { span.sign aria-hidden="true" { (sign) } (text) } }
}

/// A figure with its name, for a row of them.
pub(crate) fn figure_tile(name: &str, value: &str, note: Option<&str>) -> Markup {
    html! {
        div.tile {
            dt { (name) }
            dd { span.value { (value) } @if let Some(note) = note { span.note { (note) } } }
        }
    }
}

/// A button that copies the text of the element `target`.
pub(crate) fn copy_button(context: &Context, target: &str) -> Markup {
    html! { button.copy.quiet type="button" data-copy=(target) { (context.t(W::Copy)) } }
}

/// A time, milliseconds since 1970 UTC, that the browser shows in the reader's time zone.
pub(crate) fn time(unix_ms: i64) -> Markup {
    let moment = chrono::DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    let exact = moment.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    html! { time datetime=(exact) { (moment.format("%Y-%m-%d %H:%M UTC").to_string()) } }
}

/// A page that says one thing: an error, or that there is nothing here.
pub fn message(context: &Context, title: &str, text: &str) -> Markup {
    let body = html! {
        h1 { (title) }
        p.lead { (text) }
        p { a href="/" { (context.t(W::BackToOverview)) } }
    };
    layout(context, Place::None, title, false, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_page_cannot_end_its_script() {
        let text = json_block(&json!({"name": "</script><script>alert(1)</script>&\u{2028}"})).into_string();
        assert!(!text.contains(['<', '>', '&', '\u{2028}']));
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["name"], "</script><script>alert(1)</script>&\u{2028}");
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        assert_eq!(segment("digits-2_a.b"), "digits-2_a.b");
        assert_eq!(segment("a/b?c\"<水"), "a%2Fb%3Fc%22%3C%E6%B0%B4");
    }
}
