//! Which template does a line of a log follow? Drain (He, Zhu, Zheng and Lyu: "Drain: an online log parsing approach with
//! fixed depth tree", ICWS 2017): lines of as many words and with the same first words are compared, and those that are alike
//! enough share a template, whose words that differ stand as `<*>`.

use std::collections::HashMap;

/// What stands for words that differ.
pub(super) const ANY: &str = "<*>";
/// First words that lead to the templates a line is compared with.
const DEPTH: usize = 1;
/// Branches of a node; words beyond share one.
const CHILDREN_MAX: usize = 100;
/// Share of words that must be equal.
const SIMILARITY_MIN: f64 = 0.4;
/// Templates, at most; lines beyond join the nearest one of their length, or none.
const TEMPLATES_MAX: usize = 2_000;
/// Words of a line; what follows counts as one.
const WORDS_MAX: usize = 256;

/// The templates found so far.
#[derive(Debug, Default)]
pub(super) struct Drain {
    nodes: Vec<Node>,
    /// First node for lines of so many words.
    roots: HashMap<usize, usize>,
    templates: Vec<Template>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<String, usize>,
    /// Templates below, in a leaf.
    templates: Vec<usize>,
}

/// What lines have in common; none where they differ.
#[derive(Debug)]
struct Template {
    words: Vec<Option<String>>,
}

/// How a line follows its template.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Followed<'a> {
    /// Number of the template, from 1 in the order of their first lines.
    pub(super) number: usize,
    /// The words where the template has `<*>`.
    pub(super) parameters: Vec<&'a str>,
}

impl Drain {
    /// Takes a line into account.
    pub(super) fn learn(&mut self, line: &str) {
        let words = words(line);
        let leaf = self.leaf(&words);
        let best = self.nearest(&self.nodes[leaf].templates, &words);
        match best.filter(|(_, similarity)| *similarity >= SIMILARITY_MIN) {
            Some((at, _)) => self.templates[at].join(&words),
            None if self.templates.len() < TEMPLATES_MAX => {
                self.nodes[leaf].templates.push(self.templates.len());
                let words = words.iter().map(|word| (!has_digit(word)).then(|| (*word).to_owned())).collect();
                self.templates.push(Template { words });
            }
            None => {
                if let Some((at, _)) = best {
                    self.templates[at].join(&words);
                }
            }
        }
    }

    /// The template of a line that was learned; none where there were too many.
    pub(super) fn follow<'a>(&self, line: &'a str) -> Option<Followed<'a>> {
        let words = words(line);
        let leaf = self.known_leaf(&words)?;
        let at = self.fitting(&self.nodes[leaf].templates, &words)?;
        let template = &self.templates[at];
        let parameters = template.words.iter().zip(&words).filter(|(known, _)| known.is_none());
        Some(Followed { number: at + 1, parameters: parameters.map(|(_, word)| *word).collect() })
    }

    /// A template as text, by its number.
    pub(super) fn text(&self, number: usize) -> String {
        let words = self.templates[number - 1].words.iter();
        words.map(|word| word.as_deref().unwrap_or(ANY)).collect::<Vec<_>>().join(" ")
    }

    /// The leaf for these words, made where it is missing.
    fn leaf(&mut self, words: &[&str]) -> usize {
        let root = match self.roots.get(&words.len()) {
            Some(&root) => root,
            None => {
                let root = self.node();
                self.roots.insert(words.len(), root);
                root
            }
        };
        words.iter().take(DEPTH).fold(root, |node, word| {
            let key = self.branch(node, word);
            match self.nodes[node].children.get(&key) {
                Some(&child) => child,
                None => {
                    let child = self.node();
                    self.nodes[node].children.insert(key, child);
                    child
                }
            }
        })
    }

    fn known_leaf(&self, words: &[&str]) -> Option<usize> {
        let root = *self.roots.get(&words.len())?;
        words.iter().take(DEPTH).try_fold(root, |node, word| {
            let children = &self.nodes[node].children;
            let own = if has_digit(word) { None } else { children.get(*word) };
            own.or_else(|| children.get(ANY)).copied()
        })
    }

    /// The branch of a word: its own, or the common one of words with digits and of those for which there is no room.
    fn branch(&self, node: usize, word: &str) -> String {
        let children = &self.nodes[node].children;
        let is_own = !has_digit(word) && (children.contains_key(word) || children.len() + 1 < CHILDREN_MAX);
        if is_own { word.to_owned() } else { ANY.to_owned() }
    }

    fn node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// The template that is most alike, and how much. Words with digits count as equal; at least one other word must be, or
    /// lines of numbers alone would swallow all.
    fn nearest(&self, templates: &[usize], words: &[&str]) -> Option<(usize, f64)> {
        let mut best: Option<(usize, usize)> = None;
        for &at in templates {
            let known = &self.templates[at].words;
            let pairs = || known.iter().zip(words);
            let equal = pairs().filter(|(known, word)| known.as_deref() == Some(**word)).count();
            let open = pairs().filter(|(known, word)| known.is_none() && has_digit(word)).count();
            let is_other = equal == 0 && known.iter().any(Option::is_some);
            if !is_other && best.is_none_or(|(alike, _)| equal + open > alike) {
                best = Some((equal + open, at));
            }
        }
        best.map(|(alike, at)| (at, if words.is_empty() { 1.0 } else { alike as f64 / words.len() as f64 }))
    }

    /// The template that the line is a case of; of several the one that says most of it.
    fn fitting(&self, templates: &[usize], words: &[&str]) -> Option<usize> {
        let own = |at: usize| self.templates[at].words.iter().flatten().count();
        let fits = |at: &usize| {
            let known = self.templates[*at].words.iter();
            known.zip(words).all(|(known, word)| known.as_deref().is_none_or(|known| known == *word))
        };
        templates.iter().copied().filter(fits).max_by_key(|&at| (own(at), std::cmp::Reverse(at)))
    }
}

impl Template {
    fn join(&mut self, words: &[&str]) {
        for (known, word) in self.words.iter_mut().zip(words) {
            if known.as_deref().is_some_and(|known| known != *word) {
                *known = None;
            }
        }
    }
}

/// The words of a line, the last one with all that is beyond the bound.
fn words(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = line.split_whitespace().take(WORDS_MAX).collect();
    if words.len() == WORDS_MAX
        && let Some(last) = words.last_mut()
    {
        let begin = last.as_ptr() as usize - line.as_ptr() as usize;
        *last = line[begin..].trim_end();
    }
    words
}

/// Numbers, addresses, identifiers: what differs from line to line.
fn has_digit(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(lines: &[&str]) -> Vec<(String, Vec<String>)> {
        let mut drain = Drain::default();
        lines.iter().for_each(|line| drain.learn(line));
        let tell = |line: &&str| {
            let followed = drain.follow(line).unwrap();
            (drain.text(followed.number), followed.parameters.into_iter().map(str::to_owned).collect())
        };
        lines.iter().map(tell).collect()
    }

    #[test]
    fn lines_that_are_alike_share_a_template() {
        let found = parsed(&[
            "Receiving block blk_1 src: /10.0.0.1:50010 dest: /10.0.0.2:50010",
            "Receiving block blk_22 src: /10.0.0.9:50010 dest: /10.0.0.3:50010",
            "PacketResponder 1 for block blk_1 terminating",
            "PacketResponder 0 for block blk_9 terminating",
            "Verification succeeded for disk sda",
            "Verification succeeded for disk sdb",
            "电源 A 断开",
        ]);
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts[0], "Receiving block <*> src: <*> dest: <*>");
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[2], "PacketResponder <*> for block <*> terminating");
        assert_eq!(texts[2], texts[3]);
        assert_eq!(texts[4], "Verification succeeded for disk <*>");
        assert_eq!(texts[4], texts[5]);
        assert_eq!(texts[6], "电源 A 断开");
        assert_eq!(found[1].1, ["blk_22", "/10.0.0.9:50010", "/10.0.0.3:50010"]);
        assert_eq!((found[4].1.as_slice(), found[6].1.len()), (["sda".to_owned()].as_slice(), 0));
    }

    #[test]
    fn a_line_is_its_template_with_its_parameters() {
        let lines: Vec<String> = (0..2_000)
            .map(|n| {
                format!("{} user{} did {} in {} ms", ["start", "stop", "wait"][n % 3], n % 7, ["a", "b"][n % 2], n)
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for (line, (template, parameters)) in lines.iter().zip(parsed(&lines)) {
            let mut parameters = parameters.into_iter();
            let words: Vec<String> = template
                .split(' ')
                .map(|word| if word == ANY { parameters.next().unwrap() } else { word.to_owned() })
                .collect();
            assert_eq!(&words.join(" "), line);
        }
    }

    #[test]
    fn hostile_lines_have_a_bound() {
        let long = "word ".repeat(100_000);
        let mut drain = Drain::default();
        drain.learn(&long);
        drain.learn("");
        assert_eq!(drain.text(drain.follow(&long).unwrap().number).split(' ').count(), 100_000);
        for n in 0..3_000_u32 {
            let word: String = format!("{n:b}").replace('0', "a").replace('1', "b");
            drain.learn(&format!("{word} x{word}"));
        }
        assert!(drain.templates.len() <= TEMPLATES_MAX);
    }
}
