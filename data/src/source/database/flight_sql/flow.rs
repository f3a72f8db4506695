//! In which order do rows come? One endpoint after the other, each where the server says that its ticket is taken.

use std::vec::IntoIter;

use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::{FlightEndpoint, FlightInfo};

use super::session::Session;
use crate::error::Result;

/// The rows of a query as they come.
pub(super) struct Flow {
    session: Session,
    endpoints: IntoIter<FlightEndpoint>,
    /// The messages of the endpoint that is being read, and whose they are.
    open: Option<(Session, FlightDataDecoder)>,
    /// A message that was looked at before it was wanted.
    seen: Option<DecodedPayload>,
    /// A statement that ends with the rows.
    statement: Option<Vec<u8>>,
}

impl Flow {
    pub(super) fn of(session: Session, info: FlightInfo) -> Self {
        Self { session, endpoints: info.endpoint.into_iter(), open: None, seen: None, statement: None }
    }

    /// The rows of a prepared statement, which is closed with them.
    pub(super) fn of_statement(session: Session, info: FlightInfo, handle: Vec<u8>) -> Self {
        Self { statement: Some(handle), ..Self::of(session, info) }
    }

    /// Waits for the first message, so that what is wrong with a query is known before rows are handed out.
    pub(super) async fn started(mut self) -> Result<Self> {
        self.seen = self.next().await?;
        Ok(self)
    }

    /// The next columns or rows; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<DecodedPayload>> {
        if let Some(seen) = self.seen.take() {
            return Ok(Some(seen));
        }
        loop {
            let Some((session, messages)) = &mut self.open else {
                let Some(endpoint) = self.endpoints.next() else { return Ok(None) };
                self.open = Some(self.opened(endpoint).await?);
                continue;
            };
            match session.next(messages).await? {
                Some(DecodedPayload::None) => {}
                Some(payload) => return Ok(Some(payload)),
                None => self.open = None,
            }
        }
    }

    async fn opened(&self, endpoint: FlightEndpoint) -> Result<(Session, FlightDataDecoder)> {
        let ticket = endpoint.ticket.ok_or_else(|| self.session.garbled("an endpoint has no ticket"))?;
        let session = match self.session.server().elsewhere(&endpoint.location).await? {
            None => self.session.clone(),
            Some(server) => Session::begin(&server).await?,
        };
        let messages = session.messages(ticket).await?;
        Ok((session, messages))
    }

    /// Ends what the server keeps for these rows.
    pub(super) async fn close(self) {
        drop(self.open);
        if let Some(handle) = self.statement {
            self.session.close(&handle).await;
        }
    }
}
