//! The pages in a real browser, as a person walks them: overview -> model -> try it -> answer. Headless Chromium through
//! ChromeDriver's WebDriver protocol, which is JSON over HTTP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, agent, skipped, tidemill};

/// Key of an element's reference in the WebDriver protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

struct Browser {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// None where there is no ChromeDriver.
    fn start() -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = started else {
            skipped("the pages in a browser: no chromedriver on this machine");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
            })
            .unwrap();
        std::thread::spawn(move || lines.count());
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-background-networking".to_owned(),
            "--window-size=1280,1600".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let driver_url = format!("http://127.0.0.1:{port}");
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let begun = call("POST", &format!("{driver_url}/session"), &wanted);
        let session = format!("{driver_url}/session/{}", begun["sessionId"].as_str().unwrap());
        Some(Self { driver, session, _profile: profile })
    }

    fn post(&self, act: &str, body: &Value) -> Value {
        call("POST", &format!("{}/{act}", self.session), body)
    }

    fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    fn script(&self, code: &str) -> Value {
        self.post("execute/sync", &json!({ "script": code, "args": [] }))
    }

    /// Waits until the script gives something true.
    fn wait(&self, code: &str) -> Value {
        let patience = Instant::now();
        loop {
            let value = self.script(code);
            if value != Value::Null && value != false && value != "" && value != 0 {
                return value;
            }
            let page = || self.script("return document.body.innerText.slice(0, 2000)");
            assert!(patience.elapsed() < Duration::from_secs(20), "never true: {code}\n{}", page());
        }
    }

    fn click(&self, css: &str) {
        let found = self.post("element", &json!({ "using": "css selector", "value": css }));
        let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {css}: {found}"));
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// What the page complained of.
    fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().filter(|line| line["level"] == "SEVERE").map(|line| line["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended = agent().delete(&self.session).call();
        let _killed = self.driver.kill();
        let _reaped = self.driver.wait();
    }
}

fn call(method: &str, url: &str, body: &Value) -> Value {
    assert_eq!(method, "POST");
    let (_, text) = crate::support::read(agent().post(url).send(body.to_string()));
    serde_json::from_str::<Value>(&text).unwrap()["value"].take()
}

#[test]
fn from_the_demo_to_an_answer() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tidemill();
    demo.args(["demo", "--port", "0", "--folder"]).arg(folder.path().join("demo")).current_dir(folder.path());
    let server = Server::start(&mut demo);

    browser.open(&server.url("/?lang=en"));
    assert_eq!(browser.script("return document.querySelectorAll('h1').length"), 1);
    browser.click("a[href*='/models/digits/1']");
    browser.wait("return location.pathname == '/models/digits/1'");
    browser.wait("return document.querySelectorAll('.js-plotly-plot, .plotly').length > 3");
    assert!(browser.wait("return document.body.innerText").as_str().unwrap().contains("0.9"), "the accuracy is shown");

    browser.click("a[href*='/try/digits']");
    browser.wait("return location.pathname == '/try/digits'");
    let stroke = "const c = document.querySelector('canvas'), r = c.getBoundingClientRect();\
        const at = (t, x, y) => c.dispatchEvent(new PointerEvent(t, { bubbles: true, pointerId: 1, isPrimary: true, buttons: 1,\
            clientX: r.left + x * r.width, clientY: r.top + y * r.height }));\
        at('pointerdown', 0.5, 0.15); for (let y = 0.15; y < 0.85; y += 0.02) at('pointermove', 0.5, y); at('pointerup', 0.5, 0.85);";
    browser.script(stroke);
    browser.click("form button[type=submit]");
    let answer = browser.wait("return document.querySelector('[aria-live]') && [...document.querySelectorAll('[aria-live]')].map(e => e.innerText).join(' ').trim()");
    assert!(answer.as_str().unwrap().contains(|c: char| c.is_ascii_digit()), "{answer}");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    browser.open(&server.url("/runs/1?lang=zh"));
    assert_eq!(browser.script("return document.documentElement.lang.slice(0, 2)"), "zh");
    for (page, width) in [("/", 360), ("/data", 360), ("/models", 360), ("/models/digits/1", 360), ("/try/digits", 360)]
    {
        browser.post("window/rect", &json!({ "width": width, "height": 800 }));
        browser.open(&server.url(page));
        let wide = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert!(wide.as_i64().unwrap() <= 1, "{page} scrolls sideways by {wide}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
