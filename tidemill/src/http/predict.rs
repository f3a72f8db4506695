//! `POST /predict` and `/predict/{endpoint}`: rows in, answers out.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use learn::Predictions;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

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
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|e| Failure::input(format!("the body is not {{\"input\": [...]}}: {e}")))?;
    let batch = rows::from_json(endpoint.model.features(), &asked.input)?;
    let encoded = endpoint.model.features().encode(&batch)?;
    let answer = endpoint.predict(encoded).await?;
    Ok(Json(reply(endpoint, &answer, asked.proba)).into_response())
}

/// The answers, one per row.
#[derive(Serialize)]
struct Reply<'a> {
    prediction: Prediction<'a>,
    #[serde(flatten)]
    classes: Option<Classes<'a>>,
    model: &'a str,
    version: u32,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Prediction<'a> {
    Labels(Vec<&'a str>),
    Values(&'a [f32]),
}

/// What is known of classes beside the answer.
#[derive(Serialize)]
struct Classes<'a> {
    /// Probability of the answer.
    confidence: Vec<f32>,
    /// Whether it reaches what the endpoint asks for.
    confident: Vec<bool>,
    /// Of two classes: the probability from which the second is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
    /// By class, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<Vec<Shares<'a>>>,
}

/// Probabilities of one row by class, in the order of the classes.
struct Shares<'a>(&'a [String], &'a [f32]);

impl Serialize for Shares<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

fn reply<'a>(endpoint: &'a Endpoint, answer: &'a Answer, proba: bool) -> Reply<'a> {
    let (predictions, rows) = answer.parts();
    let (prediction, classes) = match predictions {
        Predictions::Values(values) => (Prediction::Values(&values[rows]), None),
        Predictions::Classes { labels, probabilities, classes, threshold } => {
            let shares = |row: usize| &probabilities[row * labels.len()..][..labels.len()];
            let answered = |row: usize| classes[row] as usize;
            let confidence: Vec<f32> = rows.clone().map(|row| shares(row)[answered(row)]).collect();
            let known = Classes {
                confident: confidence.iter().map(|share| *share >= endpoint.confidence_min).collect(),
                confidence,
                threshold: *threshold,
                probabilities: proba.then(|| rows.clone().map(|row| Shares(labels, shares(row))).collect()),
            };
            (Prediction::Labels(rows.map(|row| labels[answered(row)].as_str()).collect()), Some(known))
        }
    };
    Reply { prediction, classes, model: &endpoint.model_name, version: endpoint.version }
}
