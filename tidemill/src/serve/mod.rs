//! Who answers a request? Endpoints: a loaded model behind a bounded queue that answers in batches.

mod endpoint;
mod endpoints;
pub(crate) mod rows;

pub(crate) use endpoint::{Answer, Endpoint};
pub(crate) use endpoints::{Endpoints, load};
