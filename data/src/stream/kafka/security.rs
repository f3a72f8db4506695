//! How are connections to Kafka encrypted, and who are we? From the words of the project file to those of the client.

use std::path::Path;

use krafka::auth::{AuthConfig, TlsConfig};

use super::faults::word;
use crate::error::{Error, Result};
use crate::spec::{KafkaProtocol, KafkaSecurity, SaslMechanism, Secret};

/// What the client needs. Files are read when it connects.
///
/// # Errors
/// Keys that do not go with the protocol, or are missing.
pub(super) fn auth(spec: &KafkaSecurity, base: &Path) -> Result<AuthConfig> {
    let is_encrypted = matches!(spec.protocol, KafkaProtocol::Ssl | KafkaProtocol::SaslSsl);
    let is_with_user = matches!(spec.protocol, KafkaProtocol::SaslPlaintext | KafkaProtocol::SaslSsl);
    let files = [("ca", &spec.ca), ("certificate", &spec.certificate), ("key", &spec.key)];
    if let Some((key, _)) = files.iter().find(|(_, file)| !is_encrypted && file.is_some()) {
        return Err(unsuitable(spec, key, "nothing is encrypted", "ssl or sasl_ssl"));
    }
    let login = [("user", spec.user.is_some()), ("password", spec.password.is_some())];
    if let Some((key, _)) = login.iter().find(|(_, is_given)| !is_with_user && *is_given) {
        return Err(unsuitable(spec, key, "there is no user", "sasl_ssl or sasl_plaintext"));
    }
    let auth = match (&spec.user, spec.password.as_ref().map(Secret::reveal)) {
        (Some(user), Some(password)) => match spec.mechanism {
            SaslMechanism::Plain => AuthConfig::sasl_plain(user, password),
            SaslMechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(user, password),
            SaslMechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(user, password),
        },
        _ if is_with_user => {
            let protocol = word(spec.protocol);
            return Err(Error::invalid(format!("security: protocol: {protocol} needs user and password")));
        }
        _ => AuthConfig::plaintext(),
    };
    if !is_encrypted {
        return Ok(auth);
    }
    let file = |name: &String| base.join(name).to_string_lossy().into_owned();
    let trust = match &spec.ca {
        Some(ca) => TlsConfig::new().with_ca_cert(file(ca)),
        None => TlsConfig::new().with_native_roots(),
    };
    match (&spec.certificate, &spec.key) {
        (Some(certificate), Some(key)) => Ok(auth.with_tls(trust.with_client_cert(file(certificate), file(key)))),
        (None, None) => Ok(auth.with_tls(trust)),
        _ => Err(Error::invalid("security: certificate and key go together")),
    }
}

fn unsuitable(spec: &KafkaSecurity, key: &str, why: &str, instead: &str) -> Error {
    let protocol = word(spec.protocol);
    Error::invalid(format!("security.{key}: {why} with protocol: {protocol}; write {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use krafka::auth::SaslMechanism as Known;
    use serde_json::{Value, json};

    fn read(spec: Value) -> Result<AuthConfig> {
        auth(&serde_json::from_value(spec).unwrap(), Path::new("/project"))
    }

    #[test]
    fn the_words_of_the_file_become_those_of_the_client() {
        let plain = read(json!({})).unwrap();
        assert!(!plain.requires_tls() && !plain.requires_sasl());
        let files = json!({ "protocol": "ssl", "ca": "ca.pem", "certificate": "/etc/us.pem", "key": "us.key" });
        let encrypted = read(files).unwrap();
        assert!(encrypted.requires_tls() && !encrypted.requires_sasl());
        let tls = encrypted.tls_config().unwrap();
        let found = [tls.ca_cert_path(), tls.client_cert_path(), tls.client_key_path()].map(Option::unwrap);
        assert_eq!(found, ["/project/ca.pem", "/etc/us.pem", "/project/us.key"]);
        assert!(read(json!({ "protocol": "ssl" })).unwrap().tls_config().unwrap().use_native_roots());
        for (word, expected) in
            [("plain", Known::Plain), ("scram_sha_256", Known::ScramSha256), ("scram_sha_512", Known::ScramSha512)]
        {
            let login = json!({ "protocol": "sasl_ssl", "mechanism": word, "user": "reader", "password": "hunter2" });
            let found = read(login).unwrap();
            assert!(found.requires_tls() && found.requires_sasl(), "{word}");
            assert_eq!(found.sasl_mechanism(), Some(&expected));
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        }
        let open = read(json!({ "protocol": "sasl_plaintext", "user": "reader", "password": "" })).unwrap();
        assert!(!open.requires_tls() && open.requires_sasl());
    }

    #[test]
    fn keys_that_do_not_go_with_the_protocol_are_refused() {
        let check = |spec: Value, expected: &str| {
            let error = read(spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            json!({ "ca": "ca.pem" }),
            "security.ca: nothing is encrypted with protocol: plaintext; write ssl or sasl_ssl",
        );
        check(json!({ "protocol": "sasl_plaintext", "key": "a" }), "security.key: nothing is encrypted");
        check(json!({ "protocol": "ssl", "user": "a" }), "security.user: there is no user with protocol: ssl");
        check(json!({ "password": "hunter2" }), "security.password: there is no user with protocol: plaintext");
        check(json!({ "protocol": "sasl_ssl", "user": "a" }), "protocol: sasl_ssl needs user and password");
        check(json!({ "protocol": "ssl", "key": "a" }), "certificate and key go together");
    }
}
