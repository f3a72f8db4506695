//! How are the lines of a source written, by its settings?

use chrono::NaiveDate;

use super::head::{Head, usual};
use super::layout::Layout;
use super::time::{Clock, TimeFormat, offset_s};
use crate::error::Result;
use crate::source::files::Input;
use crate::spec::LogsSpec;

/// What the settings say of lines.
#[derive(Debug)]
pub(super) struct Form {
    layout: Option<Layout>,
    time_format: Option<TimeFormat>,
    year: Option<i32>,
    offset_s: i64,
    /// Lines that continue another one belong to it.
    pub(super) joins: bool,
}

impl Form {
    /// # Errors
    /// A setting that cannot be.
    pub(super) fn new(spec: &LogsSpec) -> Result<Self> {
        Ok(Self {
            layout: spec.format.as_deref().map(Layout::new).transpose()?,
            time_format: spec.time_format.as_deref().map(TimeFormat::new).transpose()?,
            year: spec.year,
            offset_s: offset_s(&spec.utc_offset)?,
            joins: spec.join_lines,
        })
    }

    /// Whether it is said which lines begin an event.
    pub(super) fn is_given(&self) -> bool {
        self.layout.is_some()
    }

    /// The head of a line, and its level as it is written; none where it is not written as it was said.
    pub(super) fn head<'a>(&self, line: &'a str) -> (Option<Head<'a>>, Option<&'a str>) {
        let given = |text: &str| self.time_format.as_ref().and_then(|format| format.stamp(text));
        match (&self.layout, &self.time_format) {
            (None, None) => (Some(Head::read(line, &usual)), None),
            (None, Some(_)) => (Some(Head::read(line, &given)), None),
            (Some(layout), None) => layout.read(line, &usual).map_or((None, None), |(head, level)| (Some(head), level)),
            (Some(layout), Some(_)) => {
                layout.read(line, &given).map_or((None, None), |(head, level)| (Some(head), level))
            }
        }
    }

    /// What a file leaves unsaid of its times.
    pub(super) fn clock(&self, file: &Input) -> Clock {
        let written = match file.is_here() {
            true => file.metadata().and_then(|file| file.modified()).ok().map(chrono::DateTime::<chrono::Utc>::from),
            false => None,
        };
        let written: NaiveDate = written.unwrap_or_else(chrono::Utc::now).date_naive();
        Clock::new(self.year, written, self.offset_s)
    }
}
