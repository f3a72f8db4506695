//! The SQL shell: `tidemill sql` on a terminal. Lines are edited, completed by Tab and remembered; a query ends with `;`.

use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use crate::cli::Common;
use crate::config::Project;
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, table};

/// Queries that are remembered.
const HISTORY_MAX: usize = 1_000;
/// Words that can be completed.
const WORDS_MAX: usize = 20_000;
/// Where, in the data folder.
const HISTORY: &str = "sql_history";
/// Words that complete themselves beside the names of tables and columns.
const WORDS: [&str; 39] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "USING",
    "UNION ALL",
    "DISTINCT",
    "BETWEEN",
    "EXPLAIN",
    "DESC",
    "CASE WHEN",
    "IS NULL",
    "IS NOT NULL",
    "count(*)",
    "sum(",
    "avg(",
    "min(",
    "max(",
    "predict('",
    "confidence('",
    "probability('",
    "features('",
    "profile('",
    "column_profile(",
    "evaluate('",
    "importance('",
    "explain('",
    "attributions('",
    "CREATE MODEL",
    "ML.PREDICT(MODEL ",
    "ML.EXPLAIN_PREDICT(MODEL ",
    "ML.EVALUATE(MODEL ",
    "ML.FEATURE_IMPORTANCE(MODEL ",
    "WITH",
];
const HELP: &str = "\
a query ends with ;        the arrows find earlier ones, Tab completes names
.tables                    tables, sources and models
.columns TABLE             what is in the columns of a table
.help                      this
.quit                      or Ctrl-D
";

/// Reads queries from a terminal until its user leaves, and shows `rows_max` rows of each.
pub(super) fn shell(common: &Common, mut project: Project, rows_max: usize, terminal: &Terminal) -> Result<()> {
    let runtime = pipeline::runtime()?;
    let failed = |e: ReadlineError| Failure::new(Fault::Ours, format!("the terminal: {e}"));
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(failed)?.auto_add_history(true).build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Names::of(&project, &runtime)));
    let history = project.data_folder.join(HISTORY);
    let _first_time = editor.load_history(&history);
    terminal.note("a query ends with ; and .help says more");
    loop {
        let line = match editor.readline("sql> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        if project.data_folder.is_dir() {
            let _kept = editor.save_history(&history); // a shell without memory is better than none
        }
        let asked = line.trim().trim_end_matches(';').trim();
        let done = match asked.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            [".quit" | ".exit" | "exit" | "quit"] => break,
            [".help" | "help"] => {
                terminal.result(HELP);
                Ok(())
            }
            [".tables"] => {
                terminal.result(tables(&project));
                Ok(())
            }
            [".columns", name] => {
                let query = format!("SELECT * FROM profile({})", data::literal(name));
                answer(&project, &runtime, &query, rows_max, terminal)
            }
            [word, ..] if word.starts_with('.') => {
                Err(Failure::new(Fault::Usage, format!("no command {word}; .help lists them")))
            }
            _ => match data::create_model(asked) {
                Ok(Some(wanted)) => super::create_model::create(common, &project, &wanted, &runtime, terminal)
                    .and_then(|()| super::load(common))
                    .map(|changed| project = changed),
                Ok(None) => answer(&project, &runtime, asked, rows_max, terminal),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(failure) = done {
            terminal.warning(failure.message);
        }
    }
    Ok(())
}

/// Shows the rows of a query; Ctrl-C gives it up.
fn answer(
    project: &Project,
    runtime: &tokio::runtime::Runtime,
    query: &str,
    rows_max: usize,
    terminal: &Terminal,
) -> Result<()> {
    runtime.block_on(async {
        let shown = async { super::sql::show(pipeline::query(project, query).await?, rows_max, terminal).await };
        tokio::select! {
            done = shown => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Fault::Stopped, "given up")),
        }
    })
}

fn tables(project: &Project) -> String {
    let mut rows = vec![vec!["name".to_owned(), "what".to_owned()]];
    rows.extend(project.tables.iter().map(|one| vec![one.name.clone(), "table".to_owned()]));
    rows.extend(project.sources.iter().map(|one| vec![one.name.clone(), "source".to_owned()]));
    rows.extend(project.models.iter().map(|one| vec![one.name.clone(), "model".to_owned()]));
    table(&rows)
}

/// What Tab can complete.
struct Names {
    words: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// Names of tables, sources and models; those of columns come as sources open, and the shell waits for none.
    fn of(project: &Project, runtime: &tokio::runtime::Runtime) -> Self {
        let mut words: Vec<String> = WORDS.map(str::to_owned).to_vec();
        words.extend(project.tables.iter().map(|one| one.name.clone()));
        words.extend(project.sources.iter().map(|one| one.name.clone()));
        words.extend(project.models.iter().map(|one| one.name.clone()));
        let words = Arc::new(Mutex::new(words));
        let (known, project) = (Arc::clone(&words), project.clone());
        runtime.spawn(async move {
            let Ok((engine, _)) = pipeline::engine_of_all(&project).await else { return };
            let tables = project.tables.iter().map(|one| &one.name);
            for name in tables.chain(project.sources.iter().map(|one| &one.name)) {
                let Ok(schema) = engine.schema(name).await else { continue };
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                for column in schema.fields().iter().map(|field| quoted(field.name())) {
                    if !known.contains(&column) && known.len() < WORDS_MAX {
                        known.push(column);
                    }
                }
            }
        });
        Self { words }
    }
}

/// A name as SQL reads it.
fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { data::quoted(name) }
}

/// Where the word before this place begins.
fn word_start(line: &str, place: usize) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    let before = &line[..place];
    before.char_indices().rev().take_while(|(_, c)| is_part(*c)).last().map_or(place, |(start, _)| start)
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, place: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let start = word_start(line, place);
        let begun = line[start..place].to_lowercase();
        let fits = |word: &&String| !begun.is_empty() && word.to_lowercase().starts_with(&begun);
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((start, words.iter().filter(fits).cloned().collect()))
    }
}

impl Validator for Names {
    /// A query goes on until its `;`.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input().trim();
        let is_whole =
            text.is_empty() || text.ends_with(';') || text.starts_with('.') || matches!(text, "exit" | "quit" | "help");
        Ok(if is_whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}

impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_before_the_cursor() {
        let check = |line: &str, start: usize| assert_eq!(word_start(line, line.len()), start, "{line}");
        check("", 0);
        check("SELECT na", 7);
        check("SELECT a.na", 9);
        check("SELECT 数", 7);
        check("SELECT ", 7);
        assert_eq!(word_start("SELECT na FROM", 9), 7);
    }
}
