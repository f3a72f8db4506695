//! All that is written to the terminal: the result on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, Fault};

/// Where a command writes, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Terminal {
    /// `json`: one document on standard output and nothing else there.
    pub fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self { json, quiet, verbose }
    }

    /// Whether the result goes out as JSON.
    pub fn json(self) -> bool {
        self.json
    }

    /// Whether standard error is a person's terminal.
    pub fn interactive(self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// The command line could not be read (or asked for help).
    pub fn usage(refused: &clap::Error) -> ExitCode {
        let _closed = refused.print();
        ExitCode::from(u8::try_from(refused.exit_code()).unwrap_or(2))
    }

    /// Sends log events to standard error.
    pub fn start_log(self) {
        // The clients of Kafka, Delta Lake and Ballista log what they then give back as an error: said once is enough.
        let quiet = "error,krafka=off,delta_kernel=off,ballista_core=off,ballista_scheduler::display=off";
        let level = if self.verbose { "info,tidemill=debug" } else { quiet };
        let _already_set = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(level))
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .try_init();
    }

    /// The result for people; left out with `--json`.
    pub fn result(self, text: impl AsRef<str>) {
        if !self.json {
            write_all(&mut std::io::stdout().lock(), text.as_ref());
        }
    }

    /// The result for programs; left out without `--json`.
    pub fn document(self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
            write_all(&mut std::io::stdout().lock(), &text);
        }
    }

    /// What is being done; left out with `--quiet`.
    pub fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            write_all(&mut std::io::stderr().lock(), text.as_ref());
        }
    }

    /// Something to know that does not stop the work.
    pub fn warning(self, text: impl AsRef<str>) {
        write_all(&mut std::io::stderr().lock(), &format!("warning: {}", text.as_ref()));
    }

    /// Says why a command failed and gives its exit code: 2 wrong use, 1 all else.
    pub fn failed(self, failure: &Failure) -> ExitCode {
        write_all(&mut std::io::stderr().lock(), &format!("error: {failure}"));
        if self.json && !failure.is_documented {
            self.document(&serde_json::json!({ "error": failure.message }));
        }
        ExitCode::from(if failure.fault == Fault::Usage { 2 } else { 1 })
    }

    /// A progress bar of `length` steps; none where there is no terminal.
    pub fn bar(self, length: u64) -> Option<ProgressBar> {
        if !self.interactive() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template("  {bar:24.cyan/dim} {percent:>3} %  {msg}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        Some(bar)
    }
}

/// A closed pipe is the reader's choice, not an error of ours.
fn write_all(to: &mut impl Write, text: &str) {
    let _closed = writeln!(to, "{}", text.trim_end_matches('\n')).and_then(|()| to.flush());
}

/// Text in columns: the first row is the head; numbers (columns whose cells all parse) go to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| display_width(cell)).max();
    let number = |column: usize| {
        rows.iter().skip(1).filter_map(|row| row.get(column)).all(|cell| {
            let number = cell.trim_end_matches(|c: char| c.is_ascii_alphabetic() || " %µ".contains(c));
            cell.is_empty() || cell == "-" || number.replace(',', "").parse::<f64>().is_ok()
        })
    };
    let shape: Vec<(usize, bool)> = (0..columns).map(|c| (width(c).unwrap_or(0), number(c))).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, (width, right)) in row.iter().zip(&shape) {
            let blanks = " ".repeat(width.saturating_sub(display_width(cell)));
            line += &if *right { format!("{blanks}{cell}  ") } else { format!("{cell}{blanks}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Columns a text takes on a terminal: two for East Asian characters.
fn display_width(text: &str) -> usize {
    text.chars().map(|c| if matches!(c as u32, 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6) { 2 } else { 1 }).sum()
}

/// A number of bytes for people: `12.3 MB`.
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A number with thousands separated: `60,000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn a_table_puts_numbers_to_the_right_and_text_to_the_left() {
        let rows = [["name", "rows"], ["a", "5"], ["数据", "1,000"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "name   rows\na         5\n数据  1,000\n");
        let rows = [["name", "time"], ["Ada", "5 ms"], ["Li", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "name  time\nAda   5 ms\nLi\n");
    }
}
