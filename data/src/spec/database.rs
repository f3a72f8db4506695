//! Which rows of a database?

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A table or a query of a database server; it is read in a read-only session, values are bound and never pasted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// Server, user and database: `postgres://reader@db.example:5432/shop`, `mysql://reader@db.example:3306/shop`.
    pub url: Secret,
    /// The user's password, where it is not in the URL; best as `${NAME}` from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The table or view, `name` or `schema.name`.
    #[serde(default)]
    pub table: Option<String>,
    /// A query in the server's own SQL, in place of a table.
    #[serde(default)]
    pub query: Option<String>,
    /// Whether the connection is encrypted and the server's certificate checked.
    #[serde(default)]
    pub tls: Tls,
    /// File of the certificates (PEM) that are trusted, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Seconds to wait for the server, when connecting and for the next rows, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

/// A table or a query of a SQLite file, which is opened for reading alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSpec {
    /// The file.
    pub path: String,
    /// The table or view.
    #[serde(default)]
    pub table: Option<String>,
    /// A query in SQLite's own SQL, in place of a table.
    #[serde(default)]
    pub query: Option<String>,
    /// Rows from which the types of the columns are found out: SQLite's columns may hold values of any type.
    #[serde(default = "super::sample_rows")]
    pub sample_rows: usize,
}

impl SqliteSpec {
    /// The defaults, for a table.
    pub fn new(path: impl Into<String>, table: impl Into<String>) -> Self {
        Self { path: path.into(), table: Some(table.into()), query: None, sample_rows: super::sample_rows() }
    }
}

/// A table or a query of a server that speaks Arrow Flight SQL; values are bound and never pasted, and nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlightSqlSpec {
    /// The server: `grpc://db.example:31337`, or `grpc+tls://db.example:31337` where the connection is encrypted and the
    /// server's certificate checked.
    pub url: Secret,
    /// The user, where the server asks for one and the URL names none.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password, where it is not in the URL; best as `${NAME}` from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token, in place of user and password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The table or view, `name` or `schema.name`.
    #[serde(default)]
    pub table: Option<String>,
    /// A query in the server's own SQL, in place of a table.
    #[serde(default)]
    pub query: Option<String>,
    /// File of the certificates (PEM) that are trusted, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Seconds to wait for the server, when connecting and for the next rows, at least 1.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Encrypted and checked, but for servers on this machine.
    #[default]
    Auto,
    /// Encrypted and checked.
    On,
    /// Neither.
    Off,
}

/// Text that may hold a password: it is shown as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this was sent; compares in a time that does not tell how much was right.
    pub(crate) fn is(&self, sent: &str) -> bool {
        let (ours, sent) = (self.0.as_bytes(), sent.as_bytes());
        ours.len() == sent.len() && ours.iter().zip(sent).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }

    /// The text without what may be a password: all of it, or that of a URL.
    fn masked(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return "***".to_owned() };
        // A password may hold an `@` that was not encoded: the last one before the path ends the user.
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let masked = match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => format!("{scheme}://{user}:***@{host}{}", &rest[authority.len()..]),
            _ => self.0.clone(),
        };
        match masked.split_once("password=") {
            Some((before, after)) => {
                format!("{before}password=***{}", after.find('&').map_or("", |at| &after[at..]))
            }
            None => masked,
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

fn timeout_s() -> u64 {
    30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let check = |text: &str, shown: &str| {
            let secret = Secret::from(text);
            assert_eq!(format!("{secret}"), shown);
            assert_eq!(format!("{secret:?}"), shown);
            assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{shown}\""));
            assert_eq!(secret.reveal(), text);
        };
        check("hunter2", "***");
        check("postgres://db:5432/shop", "postgres://db:5432/shop");
        check("postgres://reader@db/shop", "postgres://reader@db/shop");
        check("postgres://reader:hunter2@db/shop?sslmode=require", "postgres://reader:***@db/shop?sslmode=require");
        check("mysql://reader:a@b:c@db/shop", "mysql://reader:***@db/shop");
        check("postgres://db/shop?user=a&password=hunter2&b=c", "postgres://db/shop?user=a&password=***&b=c");
        check("host=db password=hunter2", "***");
        check("grpc+tls://reader:hunter2@db:31337", "grpc+tls://reader:***@db:31337");
        let secret = Secret::from("hunter2");
        assert!(secret.is("hunter2") && !secret.is("hunter3") && !secret.is("hunter22") && !secret.is(""));
    }
}
