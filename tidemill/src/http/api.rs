//! Acts on runs and models: follow a run, train, promote, roll back.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::pipeline;

use super::App;

#[derive(Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: usize,
}

/// A run and its epochs after number `after`, for curves that grow.
pub(super) async fn run(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(after): Query<After>,
) -> Result<Response> {
    let id = store::RunId(id.parse().map_err(|_| Failure::not_found(format!("no run \"{id}\"")))?);
    let run = app.store.run(id)?;
    let epochs = app.store.epochs(id, after.after)?;
    Ok(Json(json!({ "run": run, "epochs": epochs })).into_response())
}

/// Trains the model in the background; 202 with the run's number.
pub(super) async fn train(State(app): State<App>, Path(model): Path<String>) -> Result<Response> {
    let spec = app.project.model(&model)?.clone();
    let run = pipeline::begin(&app.store, &app.project, &spec)?;
    let handle = tokio::runtime::Handle::current();
    let (project, store, endpoints) = (app.project.clone(), app.store.clone(), app.endpoints.clone());
    let started = app.jobs.start(&model, move |stop| {
        let place = pipeline::Place { project: &project, store: &store, runtime: &handle };
        let options = pipeline::Options { run: Some(run), stop, ..pipeline::Options::new(stop) };
        match pipeline::run(&place, &spec, &options, &mut |_| ()) {
            Ok(_) => endpoints.reload(&spec.name, &store),
            Err(failure) => tracing::error!(model = spec.name, %failure, "training failed"),
        }
    });
    if let Err(failure) = started {
        app.store.finish_run(run, store::RunOutcome::Failed { why: failure.message.clone() })?;
        return Err(failure);
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "run": run, "page": format!("/runs/{run}") }))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promotion {
    version: u32,
}

/// Makes a version the champion and serves it.
pub(super) async fn promote(
    State(app): State<App>,
    Path(model): Path<String>,
    Json(asked): Json<Promotion>,
) -> Result<Response> {
    let champion = app.store.promote(&model, asked.version)?;
    serve_anew(app, model, champion.number).await
}

/// Makes the champion before this one the champion again.
pub(super) async fn rollback(State(app): State<App>, Path(model): Path<String>) -> Result<Response> {
    let champion = app.store.rollback(&model)?;
    serve_anew(app, model, champion.number).await
}

async fn serve_anew(app: App, model: String, champion: u32) -> Result<Response> {
    let name = model.clone();
    let reloaded = tokio::task::spawn_blocking(move || app.endpoints.reload(&name, &app.store)).await;
    reloaded.map_err(|e| Failure::new(crate::failure::Fault::Ours, format!("loading stopped: {e}")))?;
    Ok(Json(json!({ "model": model, "champion": champion })).into_response())
}
