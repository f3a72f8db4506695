//! Who may ask? Without a key, whoever reaches the port; with one, who sends it, or a token that was given for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::credentials::{AUTHORIZATION, behind, name_and_password};
use super::status;
use crate::spec::Secret;
use crate::wire::unguessable;

/// Tokens at a time; of more, the one that was unused for longest ends.
const TOKENS_MAX: usize = 1_024;
/// A token ends when it is unused for so long.
const TOKEN_IDLE: Duration = Duration::from_secs(12 * 3_600);
const TOKEN_BYTES: usize = 32;

/// The key, and the tokens that were given for it, with when they were last used.
pub(super) struct Door {
    key: Option<Secret>,
    tokens: Mutex<HashMap<String, Instant>>,
}

impl Door {
    pub(super) fn new(key: Option<Secret>) -> Self {
        Self { key, tokens: Mutex::default() }
    }

    /// Lets who sent these headers in, or says why not.
    pub(super) fn admit(&self, headers: &MetadataMap, now: Instant) -> Result<(), Status> {
        let Some(key) = &self.key else { return Ok(()) };
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some((_, password)) = name_and_password(sent) {
            return match key.is(&password) {
                true => Ok(()),
                false => Err(Status::unauthenticated("the password is wrong: it is the key of this server")),
            };
        }
        match behind(sent, "Bearer") {
            Some(token) if key.is(token) || self.is_known(token, now) => Ok(()),
            Some(_) => Err(Status::unauthenticated("the token is wrong or too old; log in again with the key")),
            None => Err(Status::unauthenticated("log in with any name, and the key of this server as password")),
        }
    }

    /// A new token.
    pub(super) fn token(&self, now: Instant) -> Result<String, Status> {
        let bytes: [u8; TOKEN_BYTES] = unguessable().map_err(|error| status(&error))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.key.is_some() {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = tokens.iter().min_by_key(|(_, used)| **used).map(|(token, _)| token.clone());
            if let Some(oldest) = oldest.filter(|_| tokens.len() >= TOKENS_MAX) {
                tokens.remove(&oldest);
            }
            tokens.insert(token.clone(), now);
        }
        Ok(token)
    }

    fn is_known(&self, token: &str, now: Instant) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = tokens.get(token).is_some_and(|used| now.duration_since(*used) < TOKEN_IDLE);
        match is_known {
            true => tokens.insert(token.to_owned(), now),
            false => tokens.remove(token),
        };
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::super::basic;
    use super::*;

    fn headers(value: &str) -> MetadataMap {
        let mut headers = MetadataMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_key_and_tokens_for_it_open_the_door() {
        let (door, now) = (Door::new(Some("tide & mill".into())), Instant::now());
        let admits = |value: &str, now: Instant| door.admit(&headers(value), now).is_ok();
        assert!(door.admit(&MetadataMap::new(), now).is_err());
        assert!(admits(&basic("anybody", "tide & mill"), now) && admits("bearer tide & mill", now));
        for wrong in [basic("anybody", "tide"), "Bearer tide".into(), "Bearer ".into(), "tide & mill".into()] {
            assert!(!admits(&wrong, now), "{wrong}");
        }
        let token = format!("Bearer {}", door.token(now).unwrap());
        let later = now + TOKEN_IDLE - Duration::from_secs(1);
        assert!(admits(&token, later) && admits(&token, later + Duration::from_secs(60)), "use prolongs it");
        assert!(!admits(&token, later + TOKEN_IDLE * 2));
        assert!(!admits(&token, later), "what ended stays so");
    }

    #[test]
    fn tokens_are_bounded_and_nobody_needs_one_without_a_key() {
        let (door, now) = (Door::new(Some("tide & mill".into())), Instant::now());
        let tokens: Vec<String> =
            (0..=TOKENS_MAX as u64).map(|n| door.token(now + Duration::from_secs(n)).unwrap()).collect();
        let admits = |token: &str| door.admit(&headers(&format!("Bearer {token}")), now + Duration::from_secs(2_000));
        assert!(admits(&tokens[0]).is_err() && admits(&tokens[1]).is_ok() && admits(&tokens[TOKENS_MAX]).is_ok());
        let open = Door::new(None);
        assert!(open.admit(&MetadataMap::new(), now).is_ok() && open.admit(&headers("Bearer x"), now).is_ok());
        assert_ne!(open.token(now).unwrap(), open.token(now).unwrap());
    }
}
