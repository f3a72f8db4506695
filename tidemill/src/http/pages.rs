//! The pages: build the view of each from the store and the endpoints, let `ui` draw it.

use std::path::Path as FilePath;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;
use serde::Deserialize;
use store::{Run, Version};

use crate::failure::{Failure, Fault, Result};
use crate::ui::{self, Context, Lang, Theme};

use super::App;

/// Runs listed on a page.
const RUNS_MAX: usize = 200;
/// Runs listed on the overview.
const LAST_RUNS: usize = 5;
const COOKIE: &str = "tidemill_lang";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(overview))
        .route("/data", get(data))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/models", get(models))
        .route("/models/{model}/{version}", get(model))
        .route("/try/{endpoint}", get(try_it))
        .layer(middleware::from_fn(remember_language))
        .route("/assets/{name}", get(asset))
}

/// What the address says about the page.
#[derive(Debug, Default, Deserialize)]
struct Wish {
    lang: Option<String>,
    theme: Option<String>,
}

/// Keeps the language of `?lang=` for the next pages.
async fn remember_language(Query(wish): Query<Wish>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(lang) = wish.lang.as_deref().map(Lang::from_code) {
        let cookie = format!("{COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax", lang.code());
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, value);
        }
    }
    response
}

fn context(app: &App, path: &str, wish: &Wish, headers: &HeaderMap) -> Context {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookie = text(header::COOKIE).split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let chosen = wish.lang.as_deref().or(cookie).map(Lang::from_code);
    let folder = std::fs::canonicalize(&app.project.folder).unwrap_or_else(|_| app.project.folder.clone());
    let ready = app.endpoints.status().into_iter().find(|line| line.version.is_some());
    Context {
        lang: chosen.unwrap_or_else(|| Lang::from_header(text(header::ACCEPT_LANGUAGE))),
        theme: Theme::parse(wish.theme.as_deref().unwrap_or_default()),
        path: path.to_owned(),
        project: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        try_endpoint: ready.map(|line| line.endpoint),
    }
}

/// Reads what a page shows (on a thread that may wait for files) and draws it; a failure is a page too.
async fn page<V: Send + 'static>(
    app: App,
    wish: Wish,
    request: Request,
    read: impl FnOnce(&App) -> Result<V> + Send + 'static,
    draw: impl FnOnce(&Context, &V) -> Markup + Send + 'static,
) -> Response {
    let context = context(&app, request.uri().path(), &wish, request.headers());
    let shown = tokio::task::spawn_blocking(move || match read(&app) {
        Ok(view) => draw(&context, &view).into_response(),
        Err(failure) => {
            let status = if failure.fault == Fault::NotFound {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            let title = if context.lang == Lang::Zh { "没有这个页面" } else { "Nothing to show" };
            (status, ui::message(&context, title, &failure.message)).into_response()
        }
    });
    shown.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn overview(State(app): State<App>, Query(wish): Query<Wish>, request: Request) -> Response {
    page(app, wish, request, overview_view, ui::overview).await
}

fn overview_view(app: &App) -> Result<ui::OverviewView> {
    let versions = app.store.versions(None)?;
    let score_of = |model: &str, number: Option<u32>| {
        let version = versions.iter().find(|version| version.model == model && Some(version.number) == number)?;
        score(version, version.primary.test)
    };
    let endpoints: Vec<ui::EndpointRow> = app
        .endpoints
        .status()
        .into_iter()
        .map(|line| ui::EndpointRow {
            score: score_of(&line.model, line.version),
            status: match (line.version, line.trouble) {
                (Some(_), None) => ui::EndpointStatus::Ready,
                (_, trouble) => ui::EndpointStatus::Unavailable(trouble.unwrap_or_default()),
            },
            name: line.endpoint,
            model: line.model,
            version: line.version,
            requests: line.answered,
        })
        .collect();
    Ok(ui::OverviewView {
        counts: ui::Counts {
            sources: app.project.sources.len() as u64,
            tables: app.project.tables.len() as u64,
            models: app.project.models.len() as u64,
            versions: versions.len() as u64,
            predictions: endpoints.iter().map(|line| line.requests).sum(),
        },
        endpoints,
        runs: app.store.runs(LAST_RUNS)?.into_iter().map(|run| run_row(&versions, run)).collect(),
    })
}

fn score(version: &Version, value: Option<f64>) -> Option<ui::Score> {
    Some(ui::Score { metric: version.primary.name.clone(), value: value? })
}

fn run_row(versions: &[Version], run: Run) -> ui::RunRow {
    let made = versions.iter().find(|version| version.run == Some(run.id));
    let best = made.and_then(|version| score(version, version.primary.validation));
    ui::RunRow { run, best }
}

async fn data(State(app): State<App>, Query(wish): Query<Wish>, request: Request) -> Response {
    page(app, wish, request, data_view, ui::data).await
}

/// Sources and tables; each table with the audit of the newest version that was trained on it.
fn data_view(app: &App) -> Result<ui::DataView> {
    let project = &app.project;
    let mut tables = Vec::new();
    let trained: Vec<&str> = project.models.iter().map(|model| model.table.as_str()).collect();
    let sources = project.sources.iter().map(|source| (source.name.as_str(), None));
    let made = project.tables.iter().map(|table| (table.name.as_str(), Some(table.sql.clone())));
    for (name, sql) in sources.filter(|(name, _)| trained.contains(name)).chain(made) {
        let mut newest: Option<Version> = None;
        for model in project.models.iter().filter(|model| model.table == name) {
            let last = app.store.versions(Some(&model.name))?.into_iter().max_by_key(|version| version.created_unix_ms);
            newest = newest.into_iter().chain(last).max_by_key(|version| version.created_unix_ms);
        }
        let audit = newest.as_ref().and_then(|version| read_json(&version.folder.join("audit.json")));
        let audited_unix_ms = newest.map(|version| version.created_unix_ms);
        tables.push(ui::TableView { name: name.to_owned(), sql, audit, audited_unix_ms });
    }
    let row = |source: &crate::config::NamedSource| {
        let spec = serde_json::to_value(&source.spec).unwrap_or_default();
        let (kind, fields) = spec
            .as_object()
            .and_then(|object| object.iter().next())
            .map_or_else(Default::default, |(kind, fields)| (kind.clone(), fields.clone()));
        // a path may hold a secret of the environment: shown as it was written
        let written = project.shown()["sources"][&source.name][&kind].clone();
        let place = ["path", "images", "name"]
            .iter()
            .find_map(|key| written[key].as_str().or(fields[key].as_str()).map(str::to_owned));
        ui::SourceRow { name: source.name.clone(), kind, place: place.unwrap_or_default() }
    };
    Ok(ui::DataView { sources: project.sources.iter().map(row).collect(), tables })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &FilePath) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

async fn runs(State(app): State<App>, Query(wish): Query<Wish>, request: Request) -> Response {
    let read = |app: &App| {
        let versions = app.store.versions(None)?;
        let runs = app.store.runs(RUNS_MAX)?.into_iter().map(|run| run_row(&versions, run)).collect();
        Ok(ui::RunsView { runs, models: model_names(app) })
    };
    page(app, wish, request, read, ui::runs).await
}

fn model_names(app: &App) -> Vec<String> {
    app.project.models.iter().map(|model| model.name.clone()).collect()
}

async fn run(State(app): State<App>, Query(wish): Query<Wish>, Path(id): Path<String>, request: Request) -> Response {
    let read = move |app: &App| {
        let id = store::RunId(id.parse().map_err(|_| Failure::not_found(format!("no run \"{id}\"")))?);
        let run = app.store.run(id)?;
        let history = app.store.epochs(id, 0)?.into_iter();
        let history = history.filter_map(|epoch| serde_json::from_value(epoch.record).ok()).collect();
        let epochs_max = run.config["train"]["epochs"].as_u64();
        let version = run.version.and_then(|number| app.store.version(&run.model, number).ok());
        let stages = version.map(|version| stages(&version.folder)).unwrap_or_default();
        Ok(ui::RunView { run, history, epochs_max, stages })
    };
    page(app, wish, request, read, ui::run).await
}

/// Seconds of each stage, as the run wrote them.
fn stages(folder: &FilePath) -> Vec<(String, f64)> {
    read_json::<Vec<(String, f64)>>(&folder.join("stages.json")).unwrap_or_default()
}

async fn models(State(app): State<App>, Query(wish): Query<Wish>, request: Request) -> Response {
    let read = |app: &App| {
        let names = model_names(app);
        let leaderboards = names.iter().map(|name| Ok(app.store.leaderboard(name)?)).collect::<Result<Vec<_>>>()?;
        Ok(ui::ModelsView { leaderboards, trainable: names })
    };
    page(app, wish, request, read, ui::models).await
}

async fn model(
    State(app): State<App>,
    Query(wish): Query<Wish>,
    Path((model, number)): Path<(String, String)>,
    request: Request,
) -> Response {
    let address = address(request.headers());
    let read = move |app: &App| {
        let number =
            number.parse().map_err(|_| Failure::not_found(format!("no version \"{number}\" of \"{model}\"")))?;
        let version = app.store.version(&model, number)?;
        let mut view = ui::VersionView::read(&version.folder, &model, number)?;
        view.stages = stages(&version.folder);
        let endpoint = app.project.endpoints.iter().find(|endpoint| endpoint.model == model);
        if let Some(usage) = &mut view.usage {
            usage.address = address;
            usage.endpoint = endpoint.map(|endpoint| endpoint.name.clone()).unwrap_or_default();
        }
        view.stored = Some(version);
        Ok(view)
    };
    page(app, wish, request, read, ui::model).await
}

/// The server as its reader calls it.
fn address(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8000");
    format!("http://{host}")
}

async fn try_it(
    State(app): State<App>,
    Query(wish): Query<Wish>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let address = address(request.headers());
    let read = move |app: &App| {
        let endpoint = app.endpoints.get(&name)?;
        let model = &endpoint.model;
        Ok(ui::TryView {
            endpoint: name,
            endpoints: app.endpoints.names(),
            model: endpoint.model_name.clone(),
            version: endpoint.version,
            target: model.target().column.clone(),
            columns: model.features().columns().to_vec(),
            threshold: model.threshold().map(f64::from),
            address,
            samples: Default::default(),
        })
    };
    page(app, wish, request, read, ui::try_it).await
}

async fn asset(Path(name): Path<String>) -> Result<Response> {
    let asset = ui::asset(&name).ok_or_else(|| Failure::not_found(format!("no asset \"{name}\"")))?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type.to_owned()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::ETAG, format!("\"{}\"", asset.tag)),
    ];
    Ok((headers, asset.body).into_response())
}
