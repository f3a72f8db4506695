//! Which tensors stay as they are while others learn?

use super::{Op, Plan, Role};
use crate::error::did_you_mean;
use crate::{Error, Result};

impl Plan {
    /// Freezes the tensors whose names fit a pattern, in which `*` stands for any characters. Of a batch normalisation all
    /// or nothing is frozen: then it takes its running statistics while others learn, as in Keras.
    pub(crate) fn freeze(&mut self, patterns: &[String]) -> Result<()> {
        for pattern in patterns {
            let mut any = false;
            for parameter in self.parameters.iter_mut().filter(|parameter| fits(pattern, &parameter.name)) {
                parameter.role = Role::Frozen;
                any = true;
            }
            if !any {
                let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                let hint = did_you_mean(pattern, names.iter().copied());
                return Err(Error::invalid(format!(
                    "train.freeze: no tensor fits \"{pattern}\"{hint}; the network has {}",
                    listed(&names)
                )));
            }
        }
        for node in &self.nodes {
            let Op::BatchNorm { gain, bias, statistics: [mean, variance], .. } = node.op else { continue };
            let all = [gain, bias, mean, variance];
            if all.iter().any(|&id| self.parameters[id].role == Role::Frozen) {
                all.iter().for_each(|&id| self.parameters[id].role = Role::Frozen);
            }
        }
        match self.parameters.iter().any(|parameter| parameter.role.is_learned()) {
            true => Ok(()),
            false => Err(Error::invalid("train.freeze leaves nothing to learn; take a pattern out")),
        }
    }
}

/// The first and the last of many names.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if names.len() > 12 => format!("{}, ..., {last}", first[..10].join(", ")),
        _ => names.join(", "),
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((end, middle)) = parts.split_last() else { return true };
    for part in middle {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let check = |pattern: &str, name: &str, expected: bool| assert_eq!(fits(pattern, name), expected, "{pattern}");
        check("words.weight", "words.weight", true);
        check("words", "words.weight", false);
        check("words*", "words.weight", true);
        check("layer.1.*", "layer.1.norm1.bias", true);
        check("layer.1.*", "layer.11.norm1.bias", false);
        check("*.bias", "layer.1.norm1.bias", true);
        check("*norm*.bias", "layer.1.norm1.bias", true);
        check("*norm*.bias", "layer.1.norm1.weight", false);
        check("layer.*.norm*.w*", "layer.1.norm1.weight", true);
        check("a*a", "a", false);
        check("*", "anything", true);
    }
}
