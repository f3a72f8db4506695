//! Who is asked, and as whom? The parts of `scheme://user:password@host:port`.

use reqwest::Url;

use crate::error::{Error, Result};
use crate::spec::Secret;

/// A server and the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Address {
    /// `schemes` with their ports; the first one is meant where the URL names none.
    pub(super) fn parse(url: &Secret, password: Option<&Secret>, schemes: &[(&str, u16)]) -> Result<Self> {
        let known = || schemes.iter().map(|(scheme, _)| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
        let wrong =
            |why: String| Error::invalid(format!("url: {url} is no address ({why}); write {}host:port", known()));
        let text = url.reveal();
        let full = match text.contains("://") {
            true => text.to_owned(),
            false => format!("{}://{text}", schemes[0].0),
        };
        let parsed = Url::parse(&full).map_err(|e| wrong(e.to_string()))?;
        let port = schemes.iter().find(|(scheme, _)| *scheme == parsed.scheme());
        let (_, port) = port.ok_or_else(|| wrong(format!("not {}://", parsed.scheme())))?;
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host".to_owned()))?;
        let user = Some(parsed.username()).filter(|user| !user.is_empty()).map(decoded);
        Ok(Self {
            scheme: parsed.scheme().to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(*port),
            user,
            password: password.map(|password| password.reveal().to_owned()).or(parsed.password().map(decoded)),
        })
    }
}

/// `%40` for `@` and so on.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_address_are_found() {
        let schemes = [("mqtt", 1883), ("mqtts", 8883)];
        let check = |url: &str, password: Option<&str>, expected: (&str, &str, u16, Option<&str>, Option<&str>)| {
            let found = Address::parse(&Secret::from(url), password.map(Secret::from).as_ref(), &schemes).unwrap();
            let (user, password) = (found.user.as_deref(), found.password.as_deref());
            assert_eq!((found.scheme.as_str(), found.host.as_str(), found.port, user, password), expected, "{url}");
        };
        check("mqtt://broker", None, ("mqtt", "broker", 1883, None, None));
        check("broker:7", None, ("mqtt", "broker", 7, None, None));
        check("mqtts://a%40b:c%2Fd@[::1]:9", None, ("mqtts", "::1", 9, Some("a@b"), Some("c/d")));
        check("mqtt://ada@broker", Some("x y"), ("mqtt", "broker", 1883, Some("ada"), Some("x y")));
        for wrong in ["http://broker", "mqtt://", "mqtt://broker:99999"] {
            let error = Address::parse(&Secret::from(wrong), None, &schemes).unwrap_err().to_string();
            assert!(error.contains("mqtt://, mqtts://host:port"), "{error}");
        }
    }
}
