//! Is the connection encrypted, and whose certificates are trusted?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::source::files::file;
use crate::spec::{DatabaseSpec, Tls};

/// The file of trusted certificates, and whether the connection to these hosts is encrypted.
pub(super) fn wanted<'a>(
    spec: &DatabaseSpec,
    base: &Path,
    mut hosts: impl Iterator<Item = &'a str>,
) -> Result<(bool, Option<PathBuf>)> {
    let is_on = match spec.tls {
        Tls::On => true,
        Tls::Off => false,
        Tls::Auto => !hosts.all(is_here),
    };
    Ok((is_on, spec.ca.as_deref().map(|ca| file(base, ca)).transpose()?))
}

/// Whether a host is this machine; sockets in the file system are.
fn is_here(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Encryption that trusts the certificates of a file, or those of the system.
pub(crate) fn config(ca: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::internal("encryption", e))?;
    Ok(builder.with_root_certificates(roots(ca)?).with_no_client_auth())
}

/// Whom we believe who a server is.
pub(super) fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted(ca)?);
    Ok(roots)
}

/// The certificates of a file, or those of the system.
pub(super) fn trusted(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>> {
    let trusted = match ca {
        Some(path) => {
            let corrupt = |e| Error::corrupt(path, format!("no certificates: {e}"));
            let found = CertificateDer::pem_file_iter(path).map_err(corrupt)?;
            found.collect::<Result<Vec<_>, _>>().map_err(corrupt)?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    match trusted.is_empty() {
        true => Err(Error::invalid(
            "no certificates are trusted: there are none; name a file of them with ca, or set tls: off",
        )),
        false => Ok(trusted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_alone_is_trusted_without_encryption() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "/run/postgresql"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["db.example", "10.0.0.1", "localhost.example", "0.0.0.0"] {
            assert!(!is_here(host), "{host}");
        }
    }
}
