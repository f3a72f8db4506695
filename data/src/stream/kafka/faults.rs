//! What went wrong with Kafka, and whose fault is it? In words, without passwords.

use std::fmt;
use std::time::Duration;

use krafka::error::{ErrorCode, KrafkaError, ProtocolErrorKind};

use super::RESPONSE_BYTES_MAX;
use super::offsets::Partition;
use crate::error::Error;
use crate::spec::{KafkaProtocol, KafkaSpec};

/// Names that a message shows.
const SHOWN_MAX: usize = 3;
/// How an encrypted connection refuses a plain one, taken for the length of an answer.
const TLS_ALERTS: [&str; 2] = ["size 352518912 ", "size 352518400 "];

/// What is read from whom; for messages.
pub(super) struct Origin {
    place: String,
    group: String,
    protocol: KafkaProtocol,
}

impl Origin {
    pub(super) fn new(spec: &KafkaSpec, servers: &[String]) -> Self {
        let topics = match spec.topics.as_slice() {
            [topic] => format!("topic \"{topic}\""),
            topics => format!("topics {}", shown(topics)),
        };
        let place = format!("{topics} of {}", shown(servers));
        Self { place, group: spec.group.clone(), protocol: spec.security.protocol }
    }

    pub(super) fn fault(&self, error: &KrafkaError) -> Error {
        let invalid = |what: String| Error::invalid(format!("{}: {what}", self.place));
        match error {
            KrafkaError::Auth { message, .. } => invalid(self.refused(message)),
            KrafkaError::Broker { code, message } => self.answer(*code, message),
            KrafkaError::Config { message } => invalid(message.clone()),
            KrafkaError::UnknownTopic { topic } => {
                Error::NotFound(format!("{}: there is no topic \"{topic}\"", self.place))
            }
            KrafkaError::Protocol { kind: ProtocolErrorKind::UnknownApiVersion, message } => {
                Error::Unsupported(format!("{}: the broker is too old or too new: {message}", self.place))
            }
            KrafkaError::Protocol { message, .. } if message.starts_with("undecodable") => invalid(unreadable(message)),
            _ => {
                let reason = error.to_string();
                let hint = self.hint(&reason);
                Error::Unreachable(format!("{} cannot be reached: {reason}; {hint}", self.place))
            }
        }
    }

    /// A broker answered, but not with what was asked for.
    fn answer(&self, code: ErrorCode, message: &str) -> Error {
        let (place, group) = (&self.place, &self.group);
        match code {
            ErrorCode::TopicAuthorizationFailed => {
                Error::invalid(format!("{place}: {message}: the user may not read it (READ of a topic is missing)"))
            }
            ErrorCode::GroupAuthorizationFailed => Error::invalid(format!(
                "{place}: the user may not read it as group \"{group}\" (READ of the group is missing)"
            )),
            ErrorCode::ClusterAuthorizationFailed | ErrorCode::SaslAuthenticationFailed => {
                Error::invalid(format!("{place}: {code:?}; see user and password"))
            }
            ErrorCode::InvalidSessionTimeout => Error::invalid(format!(
                "{place}: session_s: the brokers do not allow it; see their group.min.session.timeout.ms"
            )),
            ErrorCode::InconsistentGroupProtocol => Error::invalid(format!(
                "{place}: group \"{group}\" has members that share partitions out in another way; name another group"
            )),
            ErrorCode::InvalidGroupId => Error::invalid(format!("{place}: \"{group}\" is no name of a group")),
            ErrorCode::FencedInstanceId | ErrorCode::UnreleasedInstanceId => Error::invalid(format!(
                "{place}: another member of group \"{group}\" has the same instance_id; give each its own"
            )),
            _ => Error::Unreachable(format!("{place}: {message} ({code:?})")),
        }
    }

    /// Why we, or the broker, did not want to go on once connected.
    fn refused(&self, message: &str) -> String {
        let hint = if message.contains("InvalidContentType") {
            "the broker does not encrypt; see security.protocol"
        } else if message.contains("fatal alert") {
            "see security.certificate and security.key"
        } else if message.contains("TLS") {
            "see security.ca and the names of the servers"
        } else if message.contains("handshake failed") {
            "see security.mechanism"
        } else {
            "see user and password"
        };
        format!("{message}; {hint}")
    }

    fn hint(&self, reason: &str) -> String {
        if reason.contains("tls handshake eof") {
            "the broker does not encrypt; see security.protocol".to_owned()
        } else if TLS_ALERTS.iter().any(|alert| reason.contains(alert)) {
            "the broker encrypts; see security.protocol".to_owned()
        } else {
            let word = word(self.protocol);
            format!("see whether the brokers run and speak {word} (security.protocol)")
        }
    }

    pub(super) fn forbidden(&self, topic: &str) -> Error {
        Error::invalid(format!("{}: the user may not read topic \"{topic}\" (READ of it is missing)", self.place))
    }

    pub(super) fn lost(&self) -> Error {
        Error::Unreachable(format!("{}: the connection is lost", self.place))
    }

    pub(super) fn changed(&self) -> Error {
        Error::Unreachable(format!("{}: there are other partitions than before", self.place))
    }

    /// The group does not let us in.
    pub(super) fn outside(&self, patience: Duration) -> Error {
        Error::Unreachable(format!(
            "{}: no member of group \"{}\" after {} s; see whether the addresses that the brokers advertise can be reached \
             from here, and whether other members of the group are stuck",
            self.place,
            self.group,
            patience.as_secs()
        ))
    }

    /// There are messages that do not come, or nobody says where the group is.
    pub(super) fn kept(&self, (topic, partition): &Partition, position: Option<i64>) -> Error {
        let place = format!("{}: partition {partition} of topic \"{topic}\"", self.place);
        Error::Unreachable(match position {
            Some(position) => format!(
                "{place} has messages from offset {position} on and gives none; see whether the user may read it, and whether \
                 a batch of them is larger than {} MiB",
                RESPONSE_BYTES_MAX >> 20
            ),
            None => format!("{place}: the brokers do not tell the offset of group \"{}\"", self.group),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// How a protocol is written in the project file.
pub(super) fn word(protocol: KafkaProtocol) -> &'static str {
    match protocol {
        KafkaProtocol::Plaintext => "plaintext",
        KafkaProtocol::Ssl => "ssl",
        KafkaProtocol::SaslPlaintext => "sasl_plaintext",
        KafkaProtocol::SaslSsl => "sasl_ssl",
    }
}

/// Whether the group has taken our partitions, or we left it because the sink took too long.
pub(super) fn has_moved_on(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::IllegalState { .. }
            | KrafkaError::Broker {
                code: ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId | ErrorCode::RebalanceInProgress,
                ..
            }
    )
}

/// Messages that nobody can decode: where, why, and what is left to do; the client's advice is for programmers.
fn unreadable(message: &str) -> String {
    let place = message.split(';').next().unwrap_or(message);
    let reason = message.rsplit_once("Underlying error: ").map_or("", |(_, reason)| reason);
    format!("{place}: {reason}; set the group's offset behind it (kafka-consumer-groups.sh --reset-offsets)")
}

fn shown(names: &[String]) -> String {
    let more = if names.len() > SHOWN_MAX { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN_MAX)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn origin(protocol: &str) -> Origin {
        let spec = serde_json::json!({ "servers": ["a"], "topics": ["orders"], "security": { "protocol": protocol } });
        Origin::new(&serde_json::from_value(spec).unwrap(), &["a:9092".to_owned()])
    }

    #[test]
    fn faults_say_whose_they_are_and_what_to_do() {
        let check = |protocol: &str, error: KrafkaError, kind: ErrorKind, expected: &[&str]| {
            let found = origin(protocol).fault(&error);
            assert_eq!(found.kind(), kind, "{found}");
            let text = found.to_string();
            for part in expected.iter().chain(&["topic \"orders\" of a:9092"]) {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        };
        let refused = |text: &str| KrafkaError::auth(text.to_owned());
        let broken = |text: &str| KrafkaError::network(std::io::Error::other(text.to_owned()));
        let answer = |code| KrafkaError::broker(code, "no");
        let invalid = ErrorKind::Invalid;
        check(
            "sasl_ssl",
            refused("SASL authentication failed: SaslAuthenticationFailed - "),
            invalid,
            &["see user and password"],
        );
        check(
            "sasl_ssl",
            refused("SASL handshake failed: UnsupportedSaslMechanism."),
            invalid,
            &["see security.mechanism"],
        );
        check(
            "ssl",
            refused("TLS handshake failed: invalid peer certificate: UnknownIssuer"),
            invalid,
            &["see security.ca"],
        );
        check(
            "ssl",
            refused("TLS handshake failed: received fatal alert: HandshakeFailure"),
            invalid,
            &["security.certificate"],
        );
        check(
            "ssl",
            refused("TLS handshake failed: corrupt message: InvalidContentType"),
            invalid,
            &["does not encrypt"],
        );
        check(
            "ssl",
            broken("tls handshake eof"),
            ErrorKind::Io,
            &["the broker does not encrypt; see security.protocol"],
        );
        check("plaintext", broken("message size 352518912 exceeds maximum 9"), ErrorKind::Io, &["the broker encrypts"]);
        check("plaintext", broken("refused"), ErrorKind::Io, &["cannot be reached", "run and speak plaintext"]);
        check("plaintext", KrafkaError::timeout("x"), ErrorKind::Io, &["cannot be reached"]);
        check("plaintext", answer(ErrorCode::TopicAuthorizationFailed), invalid, &["READ of a topic"]);
        check("plaintext", answer(ErrorCode::GroupAuthorizationFailed), invalid, &["as group \"tidemill\""]);
        check("plaintext", answer(ErrorCode::InvalidSessionTimeout), invalid, &["session_s"]);
        check("plaintext", answer(ErrorCode::FencedInstanceId), invalid, &["instance_id"]);
        check("plaintext", answer(ErrorCode::InconsistentGroupProtocol), invalid, &["name another group"]);
        check("plaintext", answer(ErrorCode::NotCoordinator), ErrorKind::Io, &["no (NotCoordinator)"]);
        let stuck = "undecodable record batch at orders-3 offset 17; it cannot advance. Underlying error: bad crc";
        let stuck = KrafkaError::protocol_kind(ProtocolErrorKind::CrcMismatch, stuck);
        check("plaintext", stuck, invalid, &["orders-3 offset 17: bad crc;", "--reset-offsets"]);
    }

    #[test]
    fn what_the_group_does_is_no_fault() {
        for code in [ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId, ErrorCode::RebalanceInProgress] {
            assert!(has_moved_on(&KrafkaError::broker(code, "")), "{code:?}");
        }
        assert!(has_moved_on(&KrafkaError::illegal_state("no valid generation")));
        assert!(!has_moved_on(&KrafkaError::broker(ErrorCode::GroupAuthorizationFailed, "")));
        assert!(!has_moved_on(&KrafkaError::timeout("")));
    }

    #[test]
    fn long_lists_are_cut() {
        let names = |count: usize| (1..=count).map(|n| format!("t{n}")).collect::<Vec<_>>();
        assert_eq!(shown(&names(3)), "t1, t2, t3");
        assert_eq!(shown(&names(4)), "t1, t2, t3, ...");
    }
}
