//! How do name and password stand in a header? As `Basic` and base64 (RFC 7617).

use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

/// The header that says who asks.
pub(crate) const AUTHORIZATION: &str = "authorization";
/// A header of bytes: gRPC has them in base64, so that no other code for it is needed.
const BYTES: &str = "basic-bin";

/// The header's value for a name and a password.
pub(crate) fn basic(name: &str, password: &str) -> String {
    let value = BinaryMetadataValue::from_bytes(format!("{name}:{password}").as_bytes());
    let mut encoded = String::from_utf8_lossy(value.as_encoded_bytes()).into_owned();
    // gRPC leaves out the end that many readers insist on.
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    format!("Basic {encoded}")
}

/// Name and password in a header's value; none where it is anything else.
pub(super) fn name_and_password(header: &str) -> Option<(String, String)> {
    let mut headers = HeaderMap::new();
    headers.insert(BYTES, HeaderValue::from_str(behind(header, "Basic")?).ok()?);
    let bytes = MetadataMap::from_headers(headers).get_bin(BYTES)?.to_bytes().ok()?;
    let (name, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What stands behind a scheme, in upper or lower case.
pub(super) fn behind<'h>(header: &'h str, scheme: &str) -> Option<&'h str> {
    let (first, rest) = header.split_once(' ')?;
    first.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_come_back() {
        // RFC 7617, section 2
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let check = |name: &str, password: &str| {
            let found = name_and_password(&basic(name, password));
            assert_eq!(found, Some((name.to_owned(), password.to_owned())));
        };
        check("reader", "tide & mill @ 1");
        check("", "");
        check("数据", "a:b🦀");
        assert_eq!(name_and_password("basic YTpi"), Some(("a".to_owned(), "b".to_owned())), "without its end");
        for wrong in ["", "Basic", "Basic !", "Basic YWI=", "Bearer YTpi", "Basic /w==", "Basic YTpi\u{7f}"] {
            assert_eq!(name_and_password(wrong), None, "{wrong}");
        }
    }
}
