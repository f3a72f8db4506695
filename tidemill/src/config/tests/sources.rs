//! What a section of a source has to say.

use super::*;

#[test]
fn a_source_of_flight_sql_is_checked() {
    let source = |text: &str| format!("sources:\n  orders: {{flight_sql: {text}}}\n");
    let check = |text: &str, expected: &[&str]| assert_eq!(messages(&source(text), &[]), expected, "{text}");
    check("{url: 'grpc://db:31337', user: me, table: orders}", &[]);
    check(
        "{url: 'grpc://db:31337', tabel: orders}",
        &[
            "unknown key \"tabel\" in sources.orders.flight_sql; did you mean \"table\"? | known keys: url, user, password, token, table, query, ca, timeout_s",
        ],
    );
    check(
        "{url: 'grpc://db:31337', timeout_s: 0}",
        &["sources.orders.flight_sql.timeout_s: expected an integer from 1 to 3600, found 0"],
    );
    let missing = messages(&source("{table: orders}"), &[]);
    assert!(missing[0].starts_with("sources.orders.flight_sql needs the key \"url\""), "{missing:?}");
    let hidden = load(&source("{url: 'grpc://me:${SECRET}@db:1', token: '${SECRET}', table: orders}"));
    assert!(!hidden.render().contains("hunter2") && !hidden.shown().to_string().contains("hunter2"));
}

#[test]
fn a_source_of_delta_lake_is_checked() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(messages(&format!("sources:\n  orders: {{delta: {text}}}\n"), &[]), expected, "{text}");
    };
    check("lake/orders", &[]);
    check("{path: lake/orders, version: 12}", &[]);
    check("{path: 's3://lake/orders', time: '2026-11-01T00:00:00Z', store: {region: eu-west-1}}", &[]);
    check(
        "{path: lake/orders, verson: 12}",
        &[
            "unknown key \"verson\" in sources.orders.delta; did you mean \"version\"? | known keys: path, version, time, store",
        ],
    );
    let negative = messages("sources:\n  orders: {delta: {path: lake/orders, version: -1}}\n", &[]);
    assert!(negative[0].starts_with("sources.orders.delta.version: expected an integer"), "{negative:?}");
}

#[test]
fn a_wrong_section_of_kafka_is_shown_with_what_is_right() {
    let check = |section: &str, expected: &str| {
        assert_eq!(messages(&format!("sources: {{s: {{kafka: {section}}}}}"), &[]), [expected], "{section}");
    };
    check(
        "{servers: [a], topics: [b], grup: x}",
        "unknown key \"grup\" in sources.s.kafka; did you mean \"group\"? | known keys: servers, topics, group, instance_id, session_s, start, security, timeout_s, rows",
    );
    check(
        "{servers: [a], topics: [b], security: {protocol: sasl-ssl}}",
        "sources.s.kafka.security.protocol: unknown choice \"sasl-ssl\"; did you mean \"sasl_ssl\"? | choices: plaintext, ssl, sasl_plaintext, sasl_ssl",
    );
    check(
        "{servers: [a], topics: [b], session_s: 0}",
        "sources.s.kafka.session_s: expected an integer from 1 to 1800, found 0",
    );
    let security = "{protocol: sasl_ssl, mechanism: scram_sha_512, user: reader, password: hunter2, ca: kafka.pem}";
    assert!(
        messages(&format!("sources: {{s: {{kafka: {{servers: [a], topics: [b], security: {security}}}}}}}"), &[])
            .is_empty()
    );
}
