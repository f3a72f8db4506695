//! What does a person see? The server's pages and the report, in English and Chinese.
//!
//! *Good for*: turning views (plain structs) into HTML. *Not for*: reading the store, routing, cookies: `http` builds
//! the views and passes a [`Context`]. Every page is a pure function of its context and its view.
//!
//! Nothing on a page comes from outside and no script stands inside a page, so the pages work under
//! [`CONTENT_SECURITY_POLICY`]. Text goes through `maud`, which escapes it; JSON inside a page has `<`, `>` and `&`
//! written as `\u003c` and the like.

mod assets;
mod audit;
mod audit_page;
mod charts;
mod curves;
mod format;
mod model;
mod models;
mod overview;
mod page;
mod report;
mod runs;
mod sections;
mod tables;
mod try_it;
mod usage;
mod version;
mod words;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use assets::{Asset, asset};
pub use audit_page::{AuditView, audit_report};
pub use model::model;
pub use models::{ModelsView, models};
pub use overview::{Counts, EndpointRow, EndpointStatus, OverviewView, overview};
pub use page::{Context, Theme, message};
pub use report::report;
pub use runs::{RunRow, RunView, RunsView, run, runs};
pub use tables::{DataView, SourceRow, TableView, data};
pub use try_it::{TryView, try_it};
pub use version::{Evaluations, Score, Usage, VersionView, WorstRow};
pub use words::Lang;

/// The policy under which every page works: nothing foreign, no script inside a page.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
     object-src 'none'";
