//! The server from outside: answers, health, figures, documents, life cycle.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Project, Server};

fn trained() -> Project {
    let project = Project::small(400);
    project.ok(&["run", "-q"]);
    project
}

#[test]
fn rows_are_answered_in_each_form() {
    let project = trained();
    let server = Server::of(&project);
    let (status, one) = server.post("/predict", &json!({ "input": [0.9, "red"] }));
    assert_eq!((status, &one["prediction"]), (200, &json!(["up"])));
    assert_eq!((one["model"].as_str(), one["version"].as_u64()), (Some("kind"), Some(1)));
    assert!(one["confidence"][0].as_f64().unwrap() > 0.5 && one["threshold"].is_number());
    assert!(one.get("probabilities").is_none(), "only where asked");
    let named = json!({ "x": 0.9, "colour": "red" });
    assert_eq!(server.post("/predict", &json!({ "input": named })).1["prediction"], json!(["up"]));
    let (_, many) =
        server.post("/predict/kind", &json!({ "input": [named, { "x": -0.9, "colour": "blue" }], "proba": true }));
    assert_eq!(many["prediction"], json!(["up", "down"]));
    let shares = &many["probabilities"][1];
    let total = shares["up"].as_f64().unwrap() + shares["down"].as_f64().unwrap();
    assert!((total - 1.0).abs() < 1e-6 && shares["down"].as_f64().unwrap() > 0.5, "{shares}");
    assert_eq!(server.post("/predict", &json!({ "input": [[null, null]] })).0, 200, "unknown values may be null");
}

#[test]
fn it_says_how_it_is_and_what_it_offers() {
    let project = trained();
    let server = Server::of(&project);
    assert_eq!(server.get("/health/live").0, 200);
    assert_eq!(server.get("/health/ready").0, 200);
    server.post("/predict", &json!({ "input": [0.9, "red"] }));
    let figures = server.get("/metrics").1;
    assert!(figures.contains("tidemill_requests_total{endpoint=\"kind\",outcome=\"answered\"} 1"), "{figures}");
    assert!(figures.contains("tidemill_request_duration_seconds"), "{figures}");
    let document: serde_json::Value = serde_json::from_str(&server.get("/openapi.json").1).unwrap();
    let row = &document["paths"]["/predict/kind"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        ["input"]["oneOf"][0];
    assert_eq!(row["required"], json!(["x", "colour"]));
    assert_eq!(server.get("/nothing").0, 404);
    assert_eq!(server.get("/predict").0, 405);
}

#[test]
fn an_endpoint_without_a_version_says_what_to_do() {
    let project = Project::small(100);
    let server = Server::of(&project);
    let (status, reply) = server.post("/predict", &json!({ "input": [0.9, "red"] }));
    assert!(status == 503 && reply["error"].as_str().unwrap().contains("tidemill run kind"), "{status} {reply}");
}

#[test]
fn training_in_the_server_can_be_followed_promoted_and_rolled_back() {
    let project = trained();
    let server = Server::of(&project);
    let (status, begun) = server.post("/api/models/kind/train", &json!({}));
    assert_eq!(status, 202, "{begun}");
    let run = begun["run"].to_string();
    let patience = Instant::now();
    let finished = loop {
        let (_, text) = server.get(&format!("/api/runs/{run}"));
        let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
        if seen["run"]["status"] != "running" {
            break seen;
        }
        assert!(patience.elapsed() < Duration::from_secs(60), "{seen}");
    };
    assert_eq!(finished["run"]["status"], "succeeded", "{finished}");
    assert!(!finished["epochs"].as_array().unwrap().is_empty());
    assert_eq!(server.post("/predict", &json!({ "input": [0.9, "red"] })).1["version"], 1, "the champion stays");
    assert_eq!(server.post("/api/models/kind/promote", &json!({ "version": 2 })).0, 200);
    assert_eq!(server.post("/predict", &json!({ "input": [0.9, "red"] })).1["version"], 2);
    assert_eq!(server.post("/api/models/kind/rollback", &json!({})).0, 200);
    assert_eq!(server.post("/predict", &json!({ "input": [0.9, "red"] })).1["version"], 1);
    assert_eq!(server.post("/api/models/nobody/train", &json!({})).0, 404);
}

#[test]
fn no_request_is_lost_while_the_champion_changes() {
    let project = trained();
    project.ok(&["run", "-q", "--set", "models.kind.train.seed=9"]);
    let server = Server::of(&project);
    let url = server.url("/predict");
    let asking = std::thread::spawn(move || {
        let agent = crate::support::agent();
        let body = json!({ "input": [0.9, "red"] }).to_string();
        (0..400).map(|_| crate::support::read(agent.post(&url).send(&body)).0).collect::<Vec<u16>>()
    });
    for turn in 0..20 {
        server.post("/api/models/kind/promote", &json!({ "version": 1 + turn % 2 }));
    }
    assert!(asking.join().unwrap().iter().all(|&status| status == 200));
}

#[test]
fn asked_to_stop_it_drains_and_ends_well() {
    let project = trained();
    let server = Server::of(&project);
    assert_eq!(server.post("/predict", &json!({ "input": [0.9, "red"] })).0, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn hostile_bodies_are_refused_and_others_answered() {
    let project = trained();
    let server = Server::of(&project);
    let deep = format!("{{\"input\": {}1{}}}", "[".repeat(250_000), "]".repeat(250_000));
    for body in [
        deep.as_str(),
        "",
        "{",
        "null",
        "{\"input\": [1e999, \"red\"]}",
        "{\"input\": [[0.1, \"re\\u0000d\"]], \"input\": 3}",
    ] {
        let (status, text) = crate::support::read(crate::support::agent().post(server.url("/predict")).send(body));
        assert!((400..500).contains(&status) && text.contains("error"), "{status} {text}");
    }
    let large = vec![b' '; (64 << 20) + 128];
    if let Ok(mut response) = crate::support::agent().post(server.url("/predict")).send(&large[..]) {
        assert_eq!(response.status().as_u16(), 413);
        let _read = response.body_mut().read_to_string();
    }
    for path in [
        "/predict/%2e%2e",
        "/predict/..%2f",
        "/predict/%252e",
        "/predict/%5c",
        "/models/kind/999999999999999999999",
        "/runs/-1",
        "/try/%00",
    ] {
        let (status, _) = server.get(path);
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(server.post("/predict", &json!({ "input": [0.9, "red"] })).0, 200);
}

#[test]
fn every_page_is_there_in_both_languages() {
    let project = trained();
    let server = Server::of(&project);
    for path in ["/", "/data", "/runs", "/runs/1", "/models", "/models/kind/1", "/try/kind"] {
        for lang in ["en", "zh"] {
            let (status, html) = server.get(&format!("{path}?lang={lang}"));
            assert_eq!(status, 200, "{path}");
            assert!(html.contains(&format!("<html lang=\"{lang}")), "{path} in {lang}");
            assert!(!html.contains("<script>"), "{path}: inline script");
        }
    }
    let (status, script) = server.get("/assets/plotly.min.js");
    assert!(status == 200 && script.len() > 1_000_000, "plotly comes from the binary");
}
