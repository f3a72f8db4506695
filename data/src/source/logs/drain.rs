//! Which template does a line of a log follow? Drain (He, Zhu, Zheng and Lyu: "Drain: an online log parsing approach with
//! fixed depth tree", ICWS 2017): numbers and addresses are masked, lines of as many words and with the same first words are
//! compared, and those that are alike enough share a template, whose words that differ stand as `<*>`.
//!
//! Unlike there, the tree is followed to the first word that does not vary, not to a depth that is set for each log; and templates
//! have a bound: where it is passed twofold, those of the fewest lines are forgotten.

use std::collections::HashMap;
use std::ops::Range;

use super::mask::{ANY, masked, parts};

/// First words that lead to the templates a line is compared with, at most: up to the first one that does not vary.
const DEPTH_MAX: usize = 3;
/// Branches of a node; words beyond share one.
const CHILDREN_MAX: usize = 100;
/// Words of a line; what follows belongs to the last one.
const WORDS_MAX: usize = 256;

/// The templates found so far.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    similarity_min: f64,
    templates_max: usize,
    nodes: Vec<Node>,
    /// First node for lines of so many words.
    roots: HashMap<usize, usize>,
    templates: Vec<Template>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: HashMap<String, usize>,
    /// Templates below, in a leaf.
    templates: Vec<usize>,
}

/// What lines have in common: masked words; none where they differ.
#[derive(Debug, Clone)]
struct Template {
    words: Vec<Option<String>>,
    text: String,
    lines: u64,
}

/// The words of a line, and the same with what differs masked. Kept from line to line for its memory.
#[derive(Debug, Default)]
pub(super) struct Words {
    whole: Vec<Range<usize>>,
    masked: Vec<Range<usize>>,
    text: String,
    parts: Vec<Range<usize>>,
}

impl Words {
    /// Cuts a line into words.
    pub(super) fn cut(&mut self, line: &str) {
        self.whole.clear();
        self.masked.clear();
        self.text.clear();
        let begin = line.as_ptr() as usize;
        for word in line.split_whitespace() {
            let from = word.as_ptr() as usize - begin;
            if self.whole.len() + 1 == WORDS_MAX {
                let last = line[from..].trim_end();
                self.add(last, from);
                return;
            }
            self.add(word, from);
        }
    }

    fn add(&mut self, word: &str, from: usize) {
        let start = self.text.len();
        parts(word, &mut self.parts);
        masked(word, &self.parts, &mut self.text);
        self.whole.push(from..from + word.len());
        self.masked.push(start..self.text.len());
    }

    fn len(&self) -> usize {
        self.masked.len()
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.masked.iter().map(|word| &self.text[word.clone()])
    }
}

impl Drain {
    /// No templates yet; words have to be equal by this share for a line to follow a template.
    pub(super) fn new(similarity_min: f64, templates_max: usize) -> Self {
        Self { similarity_min, templates_max, nodes: Vec::new(), roots: HashMap::new(), templates: Vec::new() }
    }

    /// Takes a line into account.
    pub(super) fn learn(&mut self, words: &Words) {
        let leaf = self.leaf(words);
        match self.nearest(&self.nodes[leaf].templates, words) {
            Some(at) => self.templates[at].join(words),
            None => {
                if self.templates.len() >= self.templates_max.saturating_mul(2) {
                    self.settle();
                    return self.learn(words); // the leaf may be gone
                }
                self.nodes[leaf].templates.push(self.templates.len());
                self.templates.push(Template::new(words));
            }
        }
    }

    /// Forgets the templates of the fewest lines beyond the bound, the younger of equals; the others keep their order.
    pub(super) fn settle(&mut self) {
        if self.templates.len() <= self.templates_max {
            return;
        }
        let mut order: Vec<usize> = (0..self.templates.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(self.templates[at].lines), at));
        order.truncate(self.templates_max);
        order.sort_unstable();
        let mut all: Vec<Option<Template>> = std::mem::take(&mut self.templates).into_iter().map(Some).collect();
        self.nodes.clear();
        self.roots.clear();
        for template in order.into_iter().filter_map(|at| all[at].take()) {
            let leaf =
                self.leaf_of(template.words.len(), template.words.iter().map(|word| word.as_deref().unwrap_or(ANY)));
            self.nodes[leaf].templates.push(self.templates.len());
            self.templates.push(template);
        }
    }

    /// Whether another template may be added without one being forgotten.
    pub(super) fn has_room(&self) -> bool {
        self.templates.len() < self.templates_max
    }

    /// Place of the template that a line is a case of, of several the one that says most of it; none for a line that was not
    /// learned, or whose template was forgotten.
    pub(super) fn follow(&self, words: &Words) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for leaf in self.known_leaves(words) {
            for &at in &self.nodes[leaf].templates {
                let own = self.templates[at].fits(words);
                if own.is_some() && own > best.map(|(most, _)| most) {
                    best = own.map(|own| (own, at));
                }
            }
        }
        best.map(|(_, at)| at)
    }

    /// A template as text.
    pub(super) fn text(&self, at: usize) -> &str {
        &self.templates[at].text
    }

    /// What a line has where its template has [`ANY`].
    pub(super) fn parameters<'a>(&self, at: usize, words: &Words, line: &'a str, mut each: impl FnMut(&'a str)) {
        let mut found = Vec::new();
        for (known, whole) in self.templates[at].words.iter().zip(&words.whole) {
            let word = &line[whole.clone()];
            match known {
                None => each(word),
                Some(known) if known.contains(ANY) => {
                    parts(word, &mut found);
                    found.iter().for_each(|part| each(&word[part.clone()]));
                }
                Some(_) => {}
            }
        }
    }

    fn leaf(&mut self, words: &Words) -> usize {
        self.leaf_of(words.len(), words.all())
    }

    /// The leaf for these words, made where it is missing.
    fn leaf_of<'a>(&mut self, count: usize, words: impl Iterator<Item = &'a str>) -> usize {
        let mut node = match self.roots.get(&count) {
            Some(&root) => root,
            None => {
                let root = self.node();
                self.roots.insert(count, root);
                root
            }
        };
        for word in path(words) {
            let key = self.branch(node, word);
            node = match self.nodes[node].children.get(key) {
                Some(&child) => child,
                None => {
                    let child = self.node();
                    self.nodes[node].children.insert(key.to_owned(), child);
                    child
                }
            };
        }
        node
    }

    /// The leaves where a line may have been learned: a word may have got a branch of its own only later.
    fn known_leaves(&self, words: &Words) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.roots.get(&words.len()).copied().into_iter().collect();
        for word in path(words.all()) {
            let below = |node: &usize| {
                let children = &self.nodes[*node].children;
                let own = if varies(word) { None } else { children.get(word) };
                [own, children.get(ANY)].into_iter().flatten().copied()
            };
            nodes = nodes.iter().flat_map(below).collect();
        }
        nodes
    }

    /// The branch of a word: its own, or the common one of words with figures and of those for which there is no room.
    fn branch<'a>(&self, node: usize, word: &'a str) -> &'a str {
        let children = &self.nodes[node].children;
        let is_own = !varies(word) && (children.contains_key(word) || children.len() + 1 < CHILDREN_MAX);
        if is_own { word } else { ANY }
    }

    fn node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// The template that is most alike, where it is alike enough; of equals the one with the most open words.
    fn nearest(&self, templates: &[usize], words: &Words) -> Option<usize> {
        let mut best: Option<((usize, usize), usize)> = None;
        for &at in templates {
            let (mut equal, mut open) = (0, 0);
            for (known, word) in self.templates[at].words.iter().zip(words.all()) {
                match known {
                    None => open += 1,
                    Some(known) => equal += usize::from(known == word),
                }
            }
            if best.is_none_or(|(most, _)| (equal, open) > most) {
                best = Some(((equal, open), at));
            }
        }
        let needed = self.similarity_min * words.len() as f64;
        best.filter(|((equal, _), _)| *equal as f64 >= needed).map(|(_, at)| at)
    }
}

impl Template {
    fn new(words: &Words) -> Self {
        let mut template =
            Self { words: words.all().map(|word| Some(word.to_owned())).collect(), text: String::new(), lines: 1 };
        template.write();
        template
    }

    fn write(&mut self) {
        self.text = self.words.iter().map(|word| word.as_deref().unwrap_or(ANY)).collect::<Vec<_>>().join(" ");
    }

    /// How many words it says of a line that is a case of it; none for other lines.
    fn fits(&self, words: &Words) -> Option<usize> {
        let mut own = 0;
        for (known, word) in self.words.iter().zip(words.all()) {
            match known {
                Some(known) if known == word => own += 1,
                Some(_) => return None,
                None => {}
            }
        }
        Some(own)
    }

    fn join(&mut self, words: &Words) {
        self.lines += 1;
        let mut is_changed = false;
        for (known, word) in self.words.iter_mut().zip(words.all()) {
            if known.as_deref().is_some_and(|known| known != word) {
                *known = None;
                is_changed = true;
            }
        }
        if is_changed {
            self.write();
        }
    }
}

/// The words that lead to a leaf.
fn path<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut has_fixed = false;
    words.take(DEPTH_MAX).take_while(move |word| !std::mem::replace(&mut has_fixed, !varies(word)))
}

/// Whether a word may be another one in the next line.
fn varies(word: &str) -> bool {
    word.contains(ANY) || word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Template and parameters of each line, once all are learned.
    fn parsed(lines: &[&str], templates_max: usize) -> Vec<Option<(String, Vec<String>)>> {
        let (mut drain, mut words) = (Drain::new(0.4, templates_max), Words::default());
        for line in lines {
            words.cut(line);
            drain.learn(&words);
        }
        drain.settle();
        let mut tell = |line: &&str| {
            words.cut(line);
            let at = drain.follow(&words)?;
            let mut found = Vec::new();
            drain.parameters(at, &words, line, |value| found.push(value.to_owned()));
            Some((drain.text(at).to_owned(), found))
        };
        lines.iter().map(&mut tell).collect()
    }

    /// A template with its parameters in its gaps.
    fn filled(template: &str, parameters: &[String]) -> String {
        let mut parts = template.split(ANY);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (part, parameter) in parts.zip(parameters) {
            text.push_str(parameter);
            text.push_str(part);
        }
        text
    }

    #[test]
    fn lines_that_are_alike_share_a_template() {
        let found = parsed(
            &[
                "Receiving block blk_1 src: /10.0.0.1:50010 dest: /10.0.0.2:50010",
                "Receiving block blk_-22 src: /10.0.0.9:50010 dest: /10.0.0.3:50010",
                "Verification succeeded for disk sda",
                "Verification succeeded for disk sdb",
                "电源 A 断开",
                "",
            ],
            100,
        );
        let found: Vec<(String, Vec<String>)> = found.into_iter().map(Option::unwrap).collect();
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts[0], "Receiving block blk_<*> src: /<*> dest: /<*>");
        assert_eq!(texts[1..], [texts[0], "Verification succeeded for disk <*>", texts[2], "电源 A 断开", ""]);
        assert_eq!(found[1].1, ["-22", "10.0.0.9:50010", "10.0.0.3:50010"]);
        assert_eq!((found[3].1.as_slice(), found[4].1.len()), (["sdb".to_owned()].as_slice(), 0));
    }

    #[test]
    fn a_line_is_its_template_with_its_parameters() {
        let line = |n: usize| {
            let (verb, way) = (["start", "stop", "wait"][n % 3], ["a", "<*>", "x<*>y"][n % 3]);
            format!("{verb} user{} took {way} in {n}ms at 10.0.0.{}:{} of {:x}-{n}", n % 7, n % 250, n, n * 7_919)
        };
        let lines: Vec<String> = (0..3_000).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for (line, found) in lines.iter().zip(parsed(&lines, 100)) {
            let (template, parameters) = found.unwrap();
            assert_eq!(&filled(&template, &parameters), line, "{template}");
        }
    }

    #[test]
    fn templates_have_a_bound_and_the_frequent_ones_stay() {
        let letters = |n: u32| format!("{n:b}").replace('0', "a").replace('1', "b");
        let mut lines: Vec<String> = Vec::new();
        for n in 0..5_000 {
            lines.push(format!("{} x{} odd", letters(n), letters(n)));
            lines.push(format!("disk {} of rack {n} is full", letters(n % 5)));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = parsed(&lines, 50);
        let known: std::collections::BTreeSet<&str> = found.iter().flatten().map(|(text, _)| text.as_str()).collect();
        assert!(known.len() <= 50, "{}", known.len());
        for found in found.iter().skip(1).step_by(2) {
            assert!(found.as_ref().is_some_and(|(text, _)| text.ends_with("of rack <*> is full")), "{found:?}");
        }
        let long = "word ".repeat(100_000);
        let found = parsed(&[&long], 10);
        assert_eq!(found[0].as_ref().unwrap().0.split(' ').count(), 100_000);
    }
}
