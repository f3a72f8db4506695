//! `POST /predict` and `/predict/{endpoint}`: rows in, answers out.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use learn::Predictions;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::serve::{Answer, Endpoint, rows};

use super::App;

/// The body of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// One row or a list of rows.
    input: Value,
    /// Whether to give the probability of every class.
    #[serde(default)]
    proba: bool,
}

pub(super) async fn only(State(app): State<App>, body: Bytes) -> Result<Response> {
    let name = app.endpoints.only()?;
    named(State(app), Path(name), body).await
}

pub(super) async fn named(State(app): State<App>, Path(name): Path<String>, body: Bytes) -> Result<Response> {
    let began = Instant::now();
    let endpoint = app.endpoints.get(&name)?;
    let answered = answer(&endpoint, &body).await;
    let outcome = if answered.is_ok() { "answered" } else { "refused" };
    metrics::counter!("tidemill_requests_total", "endpoint" => name.clone(), "outcome" => outcome).increment(1);
    metrics::histogram!("tidemill_request_duration_seconds", "endpoint" => name).record(began.elapsed().as_secs_f64());
    answered
}

async fn answer(endpoint: &Endpoint, body: &[u8]) -> Result<Response> {
    let asked: Asked = serde_json::from_slice(body).map_err(|e| {
        Failure::input(format!("the body is not {{\"input\": [...]}}: {e}"))
    })?;
    let batch = rows::from_json(endpoint.model.features(), &asked.input)?;
    let encoded = endpoint.model.features().encode(&batch)?;
    let answer = endpoint.predict(encoded).await?;
    Ok(Json(reply(endpoint, &answer, asked.proba)).into_response())
}

/// `prediction` always; for classes also `confidence`, `confident` and, where asked, `probabilities` by class.
fn reply(endpoint: &Endpoint, answer: &Answer, proba: bool) -> Value {
    let mut reply = Map::new();
    let (predictions, rows) = answer.parts();
    match predictions {
        Predictions::Values(values) => {
            reply.insert("prediction".into(), json!(values[rows]));
        }
        Predictions::Classes { labels, probabilities, classes, threshold } => {
            let width = labels.len();
            let predicted: Vec<&str> = classes[rows.clone()].iter().map(|&class| labels[class as usize].as_str()).collect();
            let confidence: Vec<f32> =
                rows.clone().map(|row| probabilities[row * width + classes[row] as usize]).collect();
            let confident: Vec<bool> = confidence.iter().map(|share| *share >= endpoint.confidence_min).collect();
            reply.insert("prediction".into(), json!(predicted));
            reply.insert("confidence".into(), json!(confidence));
            reply.insert("confident".into(), json!(confident));
            if let Some(threshold) = threshold {
                reply.insert("threshold".into(), json!(threshold));
            }
            if proba {
                let shares = |row: usize| -> Map<String, Value> {
                    let row = &probabilities[row * width..][..width];
                    labels.iter().cloned().zip(row.iter().map(|share| json!(share))).collect()
                };
                reply.insert("probabilities".into(), rows.map(|row| Value::Object(shares(row))).collect());
            }
        }
    }
    reply.insert("model".into(), json!(endpoint.model_name));
    reply.insert("version".into(), json!(endpoint.version));
    Value::Object(reply)
}
