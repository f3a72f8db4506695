//! Whom do we talk to over HTTP, and how? Certificates are checked, no proxy is taken from the environment, and nobody
//! sends us to an address of our own machine or network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::source::files::file;
use crate::source::tls_config;
use crate::spec::StoreSpec;

/// Redirects that are followed, at most.
const REDIRECTS_MAX: usize = 5;
/// Where clouds tell their machines secrets, beside what is link-local.
const METADATA: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)), IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200))];

/// A client for a server; redirects are followed for files of the web alone.
pub(super) fn client(server: &Url, spec: &StoreSpec, base: &Path, is_web: bool) -> Result<reqwest::Client> {
    let ca = spec.ca.as_deref().map(|ca| file(base, ca)).transpose()?;
    let wait = Duration::from_secs(spec.timeout_s.max(1));
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .referer(false)
        .connect_timeout(wait)
        .read_timeout(wait)
        .redirect(if is_web { policy(server.clone(), spec) } else { Policy::none() });
    let trust = match tls_config(ca.as_deref()) {
        Err(_) if ca.is_none() && server.scheme() == "http" => nobody()?, // a machine without certificates
        found => found?,
    };
    builder = builder.tls_backend_preconfigured(trust);
    if is_web && !spec.allow_local_redirects {
        let named = server.host_str().unwrap_or_default().to_owned();
        builder = builder.dns_resolver(Guard { named });
    }
    builder.build().map_err(|e| Error::internal("an HTTP client", e))
}

/// Encryption that trusts no server.
fn nobody() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::internal("encryption", e))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Follows redirects, but not to where a server must not send us.
fn policy(server: Url, spec: &StoreSpec) -> Policy {
    let (allow_http, allow_local) = (spec.allow_http || server.scheme() == "http", spec.allow_local_redirects);
    Policy::custom(move |attempt: Attempt| {
        let to = attempt.url();
        let is_same =
            to.host_str() == server.host_str() && to.port_or_known_default() == server.port_or_known_default();
        let is_local = to.host_str().is_some_and(is_own);
        let shown = to.host_str().unwrap_or("nowhere").to_owned();
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error(format!("it redirects more than {REDIRECTS_MAX} times"));
        }
        match to.scheme() {
            "https" => {}
            "http" if allow_http => {}
            "http" => {
                return attempt.error(format!(
                    "it redirects to http://{shown}, which is not encrypted; set store: allow_http if that is meant"
                ));
            }
            other => {
                let text = format!("it redirects to {other}:, which is not fetched");
                return attempt.error(text);
            }
        }
        match is_local && !is_same && !allow_local {
            true => attempt.error(refused(&shown)),
            false => attempt.follow(),
        }
    })
}

fn refused(host: &str) -> String {
    format!(
        "it redirects to {host}, an address of this machine or its own network, where servers hide secrets; set store: \
         allow_local_redirects if that is meant"
    )
}

/// Whether a name or an address, as a URL writes it, is of this machine or its own network, where servers hide secrets.
pub(in crate::source) fn is_own(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    is_local_name(host) || host.parse().is_ok_and(is_inside)
}

fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Loopback, link-local, nowhere in particular, or the metadata of a cloud.
pub(in crate::source) fn is_inside(address: IpAddr) -> bool {
    if METADATA.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_inside(IpAddr::V4(mapped)),
            None => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
        },
    }
}

/// Finds addresses of names; those of redirects must not be our own.
#[derive(Debug)]
struct Guard {
    /// The host that the project file names, which may be anywhere.
    named: String,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (host, is_named) = (name.as_str().to_owned(), name.as_str() == self.named);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            match !is_named && found.iter().any(|address| is_inside(address.ip())) {
                true => Err(io::Error::other(refused(&host)).into()),
                false => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

/// Gives object stores our client.
#[derive(Debug)]
pub(super) struct Connector(pub(super) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A URL of a server, as the settings name it.
pub(super) fn server(url: &str, spec: &StoreSpec) -> Result<Url> {
    let invalid = |why: String| Error::invalid(format!("endpoint: {why}"));
    let server = Url::parse(url).map_err(|e| invalid(format!("\"{url}\" is no URL: {e}")))?;
    if !server.username().is_empty() || server.password().is_some() {
        return Err(invalid("a URL must not hold a key; set access_key and secret_key".to_owned()));
    }
    match (server.scheme(), server.host_str()) {
        ("https", Some(_)) => Ok(server),
        ("http", Some(_)) if spec.allow_http => Ok(server),
        ("http", Some(_)) => Err(invalid(format!(
            "\"{url}\" is not encrypted; write https://, or set allow_http: true if that is meant"
        ))),
        _ => Err(invalid(format!("\"{url}\" is no URL of a server; write it as https://minio.example:9000"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_our_own_are_known() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_inside(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "100.64.0.1"] {
            assert!(!is_inside(address.parse().unwrap()), "{address}");
        }
        assert!(is_local_name("LOCALHOST.") && is_local_name("a.localhost") && !is_local_name("localhost.example"));
    }

    #[test]
    fn endpoints_are_encrypted_unless_said_otherwise() {
        let check = |url: &str, allow_http: bool, expected: &str| {
            let spec = StoreSpec { allow_http, ..StoreSpec::default() };
            let error = server(url, &spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("http://minio:9000", false, "set allow_http: true");
        check("minio:9000", true, "write it as https://");
        check("nonsense", true, "is no URL");
        check("https://me:secret@minio:9000", false, "set access_key and secret_key");
        assert!(server("https://minio:9000", &StoreSpec::default()).is_ok());
        assert!(server("http://minio:9000", &StoreSpec { allow_http: true, ..StoreSpec::default() }).is_ok());
    }
}
