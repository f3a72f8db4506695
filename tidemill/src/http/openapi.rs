//! The OpenAPI document: one path per endpoint, with the model's own features as the schema of a row.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use learn::{Column, ColumnKind};
use serde_json::{Map, Value, json};

use super::App;

pub(super) async fn document(State(app): State<App>) -> Response {
    let mut paths = Map::new();
    for name in app.endpoints.names() {
        let row =
            app.endpoints.get(&name).map_or_else(|_| json!({}), |endpoint| row(endpoint.model.features().columns()));
        paths.insert(format!("/predict/{name}"), predict(&format!("Answer rows with endpoint {name}"), &row));
    }
    if app.endpoints.only().is_ok() {
        let row = paths.values().next().map_or(json!({}), |path| path["post"]["x-row"].clone());
        paths.insert("/predict".into(), predict("Answer rows with the only endpoint", &row));
    }
    for path in paths.values_mut() {
        if let Some(post) = path["post"].as_object_mut() {
            post.remove("x-row");
        }
    }
    for route in app.ingests.routes().iter().filter(|route| route.starts_with("/ingest/")) {
        paths.insert(route.clone(), ingest());
    }
    let get = |summary: &str, status: &str| json!({ "get": { "summary": summary, "responses": { status: { "description": "OK" } } } });
    paths.insert("/health/live".into(), get("The process is alive", "200"));
    paths.insert("/health/ready".into(), get("Every endpoint answers (503 and the reasons where not)", "200"));
    paths.insert("/metrics".into(), get("Figures for Prometheus", "200"));
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Tidemill", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": { "Error": { "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } } } },
    }))
    .into_response()
}

fn ingest() -> Value {
    let refused = json!({
        "description": "What is wrong, and in which line",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    json!({ "post": {
        "summary": "Store rows; the answer comes when they are durable",
        "requestBody": { "required": true, "content": {
            "application/x-ndjson": { "schema": { "type": "string", "description": "one JSON object per line" } },
            "application/json": { "schema": { "type": "array", "items": { "type": "object" } } },
            "application/vnd.apache.arrow.stream": { "schema": { "type": "string", "format": "binary" } },
        } },
        "responses": {
            "200": { "description": "Rows that are durable", "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["source", "rows", "kept_aside"],
                "properties": {
                    "source": { "type": "string" },
                    "rows": { "type": "integer" },
                    "kept_aside": { "type": "integer", "description": "lines that are no rows, where the source keeps them aside" },
                },
            } } } },
            "400": refused, "404": refused, "503": refused, "507": refused,
        },
    } })
}

fn predict(summary: &str, row: &Value) -> Value {
    let refused = json!({
        "description": "What is wrong",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    json!({ "post": {
        "summary": summary,
        "x-row": row,
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object",
            "required": ["input"],
            "additionalProperties": false,
            "properties": {
                "input": { "oneOf": [row, { "type": "array", "items": row }, { "type": "array", "description": "values in the order of the features" }] },
                "proba": { "type": "boolean", "default": false, "description": "give the probability of every class" },
            },
        } } } },
        "responses": {
            "200": { "description": "The answers, one per row", "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["prediction", "model", "version"],
                "properties": {
                    "prediction": { "type": "array", "items": { "type": ["string", "number"] } },
                    "confidence": { "type": "array", "items": { "type": "number", "minimum": 0, "maximum": 1 } },
                    "confident": { "type": "array", "items": { "type": "boolean" } },
                    "threshold": { "type": "number" },
                    "probabilities": { "type": "array", "items": { "type": "object", "additionalProperties": { "type": "number" } } },
                    "model": { "type": "string" },
                    "version": { "type": "integer" },
                },
            } } } },
            "400": refused, "404": refused, "503": refused,
        },
    } })
}

fn row(columns: &[Column]) -> Value {
    let properties: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), property(column))).collect();
    let names: Vec<&String> = columns.iter().map(|column| &column.name).collect();
    json!({ "type": "object", "required": names, "additionalProperties": false, "properties": properties })
}

fn property(column: &Column) -> Value {
    let mut schema = match &column.kind {
        ColumnKind::Number { min, max, .. } => {
            json!({ "type": ["number", "null"], "description": format!("{min} to {max} in training rows") })
        }
        ColumnKind::Boolean => json!({ "type": ["boolean", "null"] }),
        ColumnKind::Category { values } => {
            let known: Vec<&String> = values.values().iter().take(20).collect();
            json!({ "type": ["string", "null"], "description": "other values count as unknown", "examples": known })
        }
        ColumnKind::Date { min, max, .. } => {
            json!({ "type": ["string", "null"], "description": format!("ISO 8601; {min} to {max} in training rows") })
        }
        ColumnKind::Text { .. } => json!({ "type": ["string", "null"], "description": "a text" }),
        ColumnKind::Series { steps, min, max, .. } => json!({
            "type": ["array", "null"],
            "items": { "type": ["number", "null"] },
            "description": format!(
                "oldest value first, the newest {steps} are read; {min} to {max} in training rows"
            ),
        }),
        ColumnKind::Image { height, width, channels, raw } => {
            let [height, width, channels] = raw.unwrap_or([*height, *width, *channels]);
            let shape = format!(
                "{height} x {width} x {channels} values 0 to 255, row by row, or a file as data:image/png;base64,..."
            );
            json!({ "type": ["array", "string"], "description": shape })
        }
    };
    if !column.example.is_null() {
        schema["examples"] = json!([column.example]);
    }
    schema
}
