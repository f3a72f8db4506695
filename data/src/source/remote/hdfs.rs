//! HDFS as an object store: whom to ask, and what the answers mean that are none.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use hdfs_native::{ClientBuilder, HdfsError};
use hdfs_native_object_store::HdfsObjectStore;
use object_store::ObjectStore;

use super::{runtime, waiting};
use crate::error::{Error, Result};
use crate::spec::StoreSpec;

/// Name nodes that are tried in turn after one does not answer: of one alone it is asked as often again.
const FAILOVERS_MAX: u32 = 3;
/// Milliseconds before a name node is asked again; each time twice as long, a half more or less.
const FAILOVER_MS: u64 = 100;
/// How a connection ends that another program, or a name node that wants Kerberos, does not want.
const ENDED: [ErrorKind; 4] =
    [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
/// What Hadoop calls somebody who may not do what was asked.
const REFUSALS: [&str; 3] = ["AccessControlException", "AuthorizationException", "InvalidToken"];
/// What to do where a cluster knows nobody without Kerberos.
const KERBEROS: &str = "a cluster with Kerberos needs store: { hadoop: { hadoop.security.authentication: kerberos } }, \
                        libgssapi_krb5.so.2 and a ticket (kinit)";

/// Whether names of this scheme are of HDFS.
pub(super) fn is_scheme(scheme: &str) -> bool {
    matches!(scheme, "hdfs" | "viewfs")
}

/// The file system of an address such as `hdfs://namenode:8020`; that of `fs.defaultFS` where it names none.
pub(super) fn store(place: &str, spec: &StoreSpec) -> Result<Arc<dyn ObjectStore>> {
    let timeout_ms = waiting(spec).as_millis().to_string();
    let mut properties = BTreeMap::from([
        ("dfs.client.failover.max.attempts".to_owned(), FAILOVERS_MAX.to_string()),
        ("dfs.client.failover.sleep.base.millis".to_owned(), FAILOVER_MS.to_string()),
        ("dfs.client.socket-timeout".to_owned(), timeout_ms),
    ]);
    properties.extend(spec.hadoop.clone());
    let mut client = ClientBuilder::new().with_url(format!("{place}/")).with_config(properties);
    if let Some(user) = &spec.user {
        client = client.with_user(user);
    }
    let client = client.with_io_runtime(runtime()?).build().map_err(|error| unset(place, &error))?;
    Ok(Arc::new(HdfsObjectStore::new(client)))
}

/// Why nobody can be asked.
fn unset(place: &str, error: &HdfsError) -> Error {
    let why = match error {
        HdfsError::InvalidArgument(why) if why.contains("NameNode") => {
            "no port, and no properties of a name service of this name; write hdfs://HOST:8020/FILE, or set store: { hadoop: \
             { dfs.ha.namenodes.NAME: \"a,b\", dfs.namenode.rpc-address.NAME.a: \"HOST:8020\", ... } }"
                .to_owned()
        }
        HdfsError::InvalidArgument(why) if why.contains("fs.defaultFS") || why.contains("host") => {
            "it names no name node, and no fs.defaultFS does; write hdfs://HOST:8020/FILE".to_owned()
        }
        other => told(other),
    };
    Error::invalid(format!("{place}: {why}"))
}

/// The error of HDFS that this one holds; nothing for those of other stores, and for a file that is not there.
pub(super) fn of(error: &object_store::Error) -> Option<&HdfsError> {
    match error {
        object_store::Error::Generic { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

/// An error of HDFS that would come again, in our words; nothing for any other.
pub(super) fn explained(error: &object_store::Error, place: &str, key: &str) -> Option<Error> {
    let (error, file) = (of(error)?, format!("{place}/{key}"));
    Some(match error {
        HdfsError::RPCError(class, why) | HdfsError::FatalRPCError(class, why)
            if REFUSALS.iter().any(|refusal| class.ends_with(refusal)) =>
        {
            let remedy =
                if why.contains("authentication") { KERBEROS } else { "check store: user, or ask for the right" };
            Error::invalid(format!("{file}: the server refuses it ({}); {remedy}", told(error)))
        }
        HdfsError::RPCError(class, _) if class.ends_with("FileNotFoundException") => {
            Error::NotFound(format!("no file {file}"))
        }
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => {
            Error::invalid(format!("{file}: the server does not know us ({}); {KERBEROS}", told(error)))
        }
        HdfsError::OperationFailed(why) if why.contains("libgssapi") => {
            Error::invalid(format!("{file}: {why}; {KERBEROS}"))
        }
        HdfsError::UnsupportedFeature(_) | HdfsError::UnsupportedErasureCodingPolicy(_) => {
            Error::Unsupported(format!("{file}: {}", told(error)))
        }
        HdfsError::InvalidArgument(_) | HdfsError::InvalidPath(_) | HdfsError::UrlParseError(_) => {
            Error::invalid(format!("{file}: {}", told(error)))
        }
        _ => return None,
    })
}

/// What went wrong, in one line, without the lines of Java that follow.
pub(super) fn told(error: &HdfsError) -> String {
    let first_line = |text: &str| text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    match error {
        HdfsError::RPCError(class, why) | HdfsError::FatalRPCError(class, why) => {
            let class = class.rsplit(['.', '$']).next().unwrap_or(class);
            format!("{class}: {}", first_line(why))
        }
        HdfsError::IOError(error) if ENDED.contains(&error.kind()) => format!(
            "the connection was ended; see whether this is the RPC port of a name node (8020 or 9000 as a rule); {KERBEROS}"
        ),
        HdfsError::DataTransferError(why) if why.starts_with("All DataNodes failed") => {
            "no data node gives a block of it; see whether they can be reached from here".to_owned()
        }
        HdfsError::IOError(error) => format!(
            "{}; see whether a name node listens at this address and can be reached from here",
            first_line(&error.to_string())
        ),
        error => first_line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
