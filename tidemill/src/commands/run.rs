//! `tidemill run`: everything from collect to registered model and report.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::cli::{Common, Run};
use crate::failure::{Failure, Fault, Result};
use crate::news::News;
use crate::pipeline::{self, Options, Place, Summary};
use crate::terminal::Terminal;

/// Runs the named models, or all. One that fails does not keep the others from being trained.
pub fn run(common: &Common, args: &Run, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let models = super::chosen(&project, &args.models)?;
    let store = super::open(&project)?;
    let runtime = pipeline::runtime()?;
    let stop = super::stop_flag(&runtime);
    let place = Place { project: &project, store: &store, runtime: runtime.handle() };
    let mut done: BTreeMap<&str, Summary> = BTreeMap::new();
    let mut failed: Vec<(&str, Failure)> = Vec::new();
    for spec in models {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        terminal.note(format!("model \"{}\"", spec.name));
        let options = Options { resume: args.resume, promote: args.promote, ..Options::new(&stop) };
        let mut news = News::new(terminal);
        match pipeline::run(&place, spec, &options, &mut |progress| news.tell(&progress)) {
            Ok(summary) => {
                terminal.result(describe(&spec.name, &summary));
                done.insert(&spec.name, summary);
            }
            Err(failure) => failed.push((&spec.name, failure)),
        }
    }
    let reasons: BTreeMap<_, _> = failed.iter().map(|(name, failure)| (name, &failure.message)).collect();
    let mut document = json!({ "models": done });
    if !reasons.is_empty() {
        document["failed"] = json!(reasons);
    }
    terminal.document(&document);
    match failed.len() {
        0 => Ok(()),
        _ => Err(summed_up(failed).documented()),
    }
}

fn summed_up(mut failed: Vec<(&str, Failure)>) -> Failure {
    if failed.len() == 1 {
        return failed.remove(0).1;
    }
    let lines: Vec<String> = failed.iter().map(|(_, failure)| failure.message.clone()).collect();
    Failure::new(Fault::Input, format!("{} models failed:\n  {}", failed.len(), lines.join("\n  ")))
}

/// What a finished run says to people.
pub(crate) fn describe(model: &str, summary: &Summary) -> String {
    let figure = |part: &str| {
        let value = summary.metrics.get(part).and_then(|metrics| metrics.get(summary.main_metric));
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
    };
    let total: f64 = summary.seconds.values().sum();
    let mut text = format!(
        "\"{model}\" version {}: {} {} on test rows, {} on validation rows, in {total:.1} s\n  report: {}",
        summary.version,
        summary.main_metric.replace('_', " "),
        figure("test"),
        figure("validation"),
        summary.folder.join("report.html").display(),
    );
    if summary.champion != summary.version {
        text += &format!(
            "\n  version {} stays the champion; to change that: tidemill promote {model} {}",
            summary.champion, summary.version
        );
    }
    text
}
