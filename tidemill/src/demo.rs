//! `tidemill demo`: real data the whole way, each stage with what it did and how long, then served.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::cli::{Common, Demo};
use crate::commands::serve::{listen, until_stopped};
use crate::commands::{load_from, open, run::describe, stop_flag};
use crate::failure::{Failure, Fault, Result};
use crate::news::News;
use crate::pipeline::{self, Options, Place};
use crate::terminal::Terminal;

/// The project of the demo is the example of the same name.
const PROJECT: &str = include_str!("../../examples/digits/tidemill.yaml");
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Writes the project, runs it, serves it.
pub fn demo(common: &Common, args: &Demo, terminal: &Terminal) -> Result<()> {
    std::fs::create_dir_all(&args.folder).map_err(|e| Failure::io(&args.folder, &e))?;
    let file = args.folder.join(crate::config::FILE_NAME);
    if !file.exists() {
        store::write_atomic(&file, PROJECT.as_bytes())?;
    }
    let project = load_from(&args.folder, &common.set)?;
    let store = open(&project)?;
    let runtime = pipeline::runtime()?;
    terminal.note(format!(
        "1,797 handwritten digits of 8 x 8 pixels, the whole way from collect to show\nproject: {}",
        file.display()
    ));
    let spec = project.models.first().ok_or_else(|| Failure::input(format!("{} has no model", file.display())))?;
    let stop = stop_flag(&runtime);
    let place = Place { project: &project, store: &store, runtime: runtime.handle() };
    let mut news = News::new(terminal);
    let options = Options { promote: true, ..Options::new(&stop) };
    let summary = pipeline::run(&place, spec, &options, &mut |progress| news.tell(&progress))?;
    terminal.result(describe(&spec.name, &summary));
    if args.no_serve {
        terminal.document(&serde_json::json!({ "models": { spec.name.clone(): summary } }));
        return Ok(());
    }
    let usage = summary.folder.join("usage.json");
    let listener = runtime.block_on(listen_near(args.port))?;
    let (name, shown) = (spec.name.clone(), *terminal);
    runtime.block_on(until_stopped(project, store, listener, None, terminal, move |address| {
        shown.result(format!(
            "\nopen   http://{address}/            what was done\n       http://{address}/try/{name}  draw a digit\nask    {}\nstop   Ctrl-C",
            curl(&format!("http://{address}/predict"), &usage)
        ));
    }))
}

/// The command line that asks for the first test row.
fn curl(url: &str, usage: &Path) -> String {
    let example = std::fs::read_to_string(usage).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let input = example.map_or(Value::Null, |example| example["input"].clone());
    format!("curl -s {url} -H 'content-type: application/json' -d '{{\"input\": {input}}}'")
}

/// The port, or a free one where it is taken.
async fn listen_near(port: u16) -> Result<TcpListener> {
    match listen(HOST, port, "--port").await {
        Err(taken) if taken.fault == Fault::Conflict => listen(HOST, 0, "--port").await,
        other => other,
    }
}
