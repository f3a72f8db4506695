//! How is an endpoint called? The same call as a command line and as Python.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::page::{Context, copy_button};
use super::words::Word as W;

/// A row with more characters (a picture) is shown as a command only.
const INPUT_CHARACTERS_MAX: usize = 6_000;

/// One call of an endpoint.
pub(crate) struct Call<'a> {
    /// `http://127.0.0.1:8000`.
    pub(crate) address: &'a str,
    /// The endpoint.
    pub(crate) endpoint: &'a str,
    /// One row, column names and values.
    pub(crate) input: &'a Value,
    /// Asks for the probabilities of all classes.
    pub(crate) proba: bool,
}

impl Call<'_> {
    fn url(&self) -> String {
        format!("{}/predict/{}", self.address.trim_end_matches('/'), super::page::segment(self.endpoint))
    }

    fn body(&self) -> Value {
        if self.proba { json!({"input": self.input, "proba": true}) } else { json!({"input": self.input}) }
    }
}

/// The call for a POSIX shell.
pub(crate) fn curl(call: &Call) -> String {
    let body = call.body().to_string().replace('\'', "'\\''");
    format!("curl -s {} -H 'content-type: application/json' -d '{body}'", call.url())
}

/// The call in Python, standard library only.
pub(crate) fn python(call: &Call) -> String {
    // A JSON text inside a raw Python string could end it; as a JSON string it is a Python string as well.
    let body = Value::String(call.body().to_string()).to_string();
    format!(
        "import json, urllib.request\n\nrequest = urllib.request.Request(\n    {},\n    data={body}.encode(),\n    \
         headers={{\"content-type\": \"application/json\"}},\n)\nprint(json.load(urllib.request.urlopen(request)))",
        Value::String(call.url())
    )
}

/// Both, with buttons to copy them.
pub(crate) fn calls(context: &Context, call: &Call) -> Markup {
    let long = call.input.to_string().len() > INPUT_CHARACTERS_MAX;
    html! {
        h3 { (context.t(W::ByCurl)) }
        div.code { pre { code #call-curl { (curl(call)) } } (copy_button(context, "#call-curl")) }
        @if !long {
            h3 { (context.t(W::ByPython)) }
            div.code { pre { code #call-python { (python(call)) } } (copy_button(context, "#call-python")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_values_do_not_end_the_command() {
        let input = json!({"name": "O'Brien \"x\"", "n": 1.5});
        let call = Call { address: "http://127.0.0.1:8000/", endpoint: "churn", input: &input, proba: true };
        assert_eq!(
            curl(&call),
            "curl -s http://127.0.0.1:8000/predict/churn -H 'content-type: application/json' -d \
             '{\"input\":{\"name\":\"O'\\''Brien \\\"x\\\"\",\"n\":1.5},\"proba\":true}'"
        );
        assert!(python(&call).contains(r#"data="{\"input\":{\"name\":\"O'Brien \\\"x\\\"\""#), "{}", python(&call));
    }
}
