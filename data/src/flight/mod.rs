//! Who else may ask? Whatever speaks Arrow Flight SQL: ADBC, JDBC, Arrow's own clients. They read the engine's tables as
//! Arrow batches, and nothing else. How rows of other such servers get here is `source::database`'s.

mod access;
mod catalogue;
mod credentials;
mod server;
mod service;
mod statements;

use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use arrow_ipc::root_as_message;
use tonic::{Code, Status};

pub(crate) use self::credentials::{AUTHORIZATION, basic};
use crate::error::{Error, ErrorKind, Result};
use crate::source::unpacked_bytes;

/// Refuses a message whose buffers say that they unpack to more bytes than these: memory is taken by their word.
pub(crate) fn check_unpacked(message: &FlightData, bytes_max: usize) -> Result<(), FlightError> {
    let Ok(head) = root_as_message(&message.data_header) else { return Ok(()) }; // told when it is decoded
    match unpacked_bytes(&head, &message.data_body) {
        Some(bytes) if bytes <= bytes_max as u64 => Ok(()),
        Some(bytes) => Err(FlightError::DecodeError(format!(
            "a message says that it unpacks to {bytes} bytes, where {} MB are allowed",
            bytes_max >> 20
        ))),
        None => Err(FlightError::DecodeError("a buffer lies nowhere".to_owned())),
    }
}

/// An error as gRPC tells it.
fn status(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Exhausted | ErrorKind::Busy => Code::ResourceExhausted,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Io => Code::Unavailable,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    };
    Status::new(code, error.to_string())
}
