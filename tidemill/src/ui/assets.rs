//! Which files do the pages load? Style, script, icon and the chart library, all from inside the binary.

use std::sync::OnceLock;

pub(crate) const APP_CSS: &str = include_str!("assets/app.css");
pub(crate) const APP_JS: &str = include_str!("assets/app.js");
const FAVICON: &str = include_str!("assets/favicon.svg");

/// A file that pages load from `/assets/NAME`.
#[derive(Debug)]
pub struct Asset {
    /// The value of `content-type`.
    pub content_type: &'static str,
    /// The bytes.
    pub body: &'static [u8],
    /// Changes with the bytes: pages ask for `/assets/NAME?v=TAG`, so an answer may be cached for a year
    /// (`cache-control: public, max-age=31536000, immutable` where `v` equals it), and it serves as `etag`.
    pub tag: String,
}

/// The file of this name: `app.css`, `app.js`, `favicon.svg`, `plotly.min.js`.
pub fn asset(name: &str) -> Option<&'static Asset> {
    static CSS: OnceLock<Asset> = OnceLock::new();
    static JS: OnceLock<Asset> = OnceLock::new();
    static ICON: OnceLock<Asset> = OnceLock::new();
    static PLOTLY: OnceLock<Asset> = OnceLock::new();
    let made =
        |content_type, text: &'static str| Asset { content_type, body: text.as_bytes(), tag: tag(text.as_bytes()) };
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    match name {
        "app.css" => Some(CSS.get_or_init(|| made("text/css; charset=utf-8", APP_CSS))),
        "app.js" => Some(JS.get_or_init(|| made(SCRIPT, APP_JS))),
        "favicon.svg" => Some(ICON.get_or_init(|| made("image/svg+xml", FAVICON))),
        "plotly.min.js" => Some(PLOTLY.get_or_init(|| made(SCRIPT, plotly_script()))),
        _ => None,
    }
}

/// The address under which a page asks for a file.
pub(crate) fn address(name: &str) -> String {
    let tag = asset(name).map(|asset| asset.tag.as_str()).unwrap_or_default();
    format!("/assets/{name}?v={tag}")
}

/// The script of plotly.js as the `plotly` crate carries it (3.0.1, MIT licence).
///
/// The crate hands it out between script tags, followed by MathJax, which we do not use.
pub(crate) fn plotly_script() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let mut text = plotly::Plot::offline_js_sources();
        if let Some(end) = text.find("</script>") {
            text.truncate(end);
        }
        let start = text.find("<script").and_then(|tag| text[tag..].find('>').map(|end| tag + end + 1)).unwrap_or(0);
        text.drain(..start);
        text.shrink_to_fit();
        text
    })
}

/// FNV-1a, 64 bit, as hexadecimal: tells versions of our own files apart, guards nothing.
fn tag(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_library_is_the_script_alone() {
        let script = plotly_script();
        assert!(script.starts_with("/**\n* plotly.js v3"), "{}", &script[..60]);
        assert!(script.len() > 4_000_000 && script.len() < 5_500_000);
        for bad in ["</script", "<script", "<!--", "MathJax={"] {
            assert!(!script.contains(bad), "{bad}");
        }
    }

    #[test]
    fn every_file_has_a_type_and_a_tag_of_its_own() {
        let names = ["app.css", "app.js", "favicon.svg", "plotly.min.js"];
        let tags: std::collections::BTreeSet<_> = names.iter().map(|name| &asset(name).unwrap().tag).collect();
        assert_eq!(tags.len(), names.len());
        assert!(asset("../Cargo.toml").is_none());
        assert_eq!(tag(b""), "cbf29ce484222325");
        assert_eq!(tag(b"a"), "af63dc4c8601ec8c");
    }
}
