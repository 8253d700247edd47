//! Rules as they are written: plain files of lists and rules, read once.
//!
//! `list NAME` is followed by indented lines of phrases, parted by commas. `rule ID` is followed by lines of a word and what it says: `version`,
//! `category`, `answers` (the API's category, if there is one), `stages`, `en`, `ja`, `advice-en`, `advice-ja`, `when @list + @list within N` (any one is
//! enough), `unless @list within N`, `negatable`, and the examples `stops` and `passes`, which are tests. A line that begins with `#` says why.

use std::collections::HashMap;

use super::category::{Category, Stage, Subject};
use super::phrase::Phrase;

/// A rule: what it looks for, what it says, what to do instead.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, for reasons and appeals.
    pub id: &'static str,
    /// Which wording of it. Changed whenever what it stops changes.
    pub version: u32,
    /// What it protects from.
    pub subject: Subject,
    /// The API's category; none for rights, of which the API knows nothing.
    pub answers: Option<Category>,
    /// Where it is looked at.
    pub stages: Vec<Stage>,
    /// What it says.
    pub text: Wording,
    /// What to change.
    pub advice: Wording,
    /// Texts that it stops, and texts that it lets pass: its tests.
    pub stops: Vec<&'static str>,
    /// Near misses.
    pub passes: Vec<&'static str>,
    pub(super) when: Vec<Condition>,
    pub(super) unless: Option<Nearby>,
    pub(super) negatable: bool,
}

/// A sentence in the languages of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    /// English.
    pub en: &'static str,
    /// Japanese.
    pub ja: &'static str,
}

/// Lists that are met close together.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) first: usize,
    pub(super) others: Vec<usize>,
    pub(super) within: usize,
}

/// A list near a finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nearby {
    pub(super) list: usize,
    pub(super) within: usize,
}

/// What files of rules say.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) lists: Vec<Vec<Phrase>>,
    pub(super) rules: Vec<Rule>,
    names: HashMap<&'static str, usize>,
}

/// A file of rules that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the rules: {what}")]
pub struct RuleError {
    /// Counted from one, over all files in a row.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Book {
    /// Reads files of rules, one after the other. A list is known from where it is written on.
    pub(super) fn read(files: &[&'static str]) -> Result<Self, RuleError> {
        let mut book = Self::default();
        let mut into = Into::Nothing;
        for (at, line) in files.iter().flat_map(|file| file.lines()).enumerate() {
            into = book.read_line(line, into).map_err(|what| RuleError { line: at + 1, what })?;
        }
        for rule in &book.rules {
            rule.check().map_err(|what| RuleError { line: 0, what: format!("{}: {what}", rule.id) })?;
        }
        Ok(book)
    }

    /// The list of a name.
    pub(super) fn list(&self, name: &str) -> Result<usize, String> {
        self.names.get(name).copied().ok_or_else(|| format!("there is no list {name:?}"))
    }

    fn read_line(&mut self, line: &'static str, into: Into) -> Result<Into, String> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(into);
        }
        if line.starts_with(' ') {
            let Into::List(list) = into else { return Err("phrases stand under a list".into()) };
            self.lists[list].extend(line.split(',').map(str::trim).filter(|text| !text.is_empty()).map(Phrase::new));
            return Ok(into);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "list" => {
                let list = self.lists.len();
                if self.names.insert(rest, list).is_some() {
                    return Err(format!("there are two lists {rest:?}"));
                }
                self.lists.push(Vec::new());
                Ok(Into::List(list))
            }
            "rule" => {
                if self.rules.iter().any(|rule| rule.id == rest) {
                    return Err(format!("there are two rules {rest:?}"));
                }
                self.rules.push(Rule::new(rest));
                Ok(Into::Rule)
            }
            _ if into == Into::Rule => {
                let when = match word {
                    "when" => Some(self.condition(rest)?),
                    _ => None,
                };
                let unless = match word {
                    "unless" => {
                        let condition = self.condition(rest)?;
                        Some(Nearby { list: condition.first, within: condition.within })
                    }
                    _ => None,
                };
                let rule = self.rules.last_mut().ok_or("no rule has begun")?;
                rule.when.extend(when);
                rule.unless = unless.or(rule.unless);
                rule.take(word, rest)?;
                Ok(into)
            }
            _ => Err(format!("{word:?} stands under no rule")),
        }
    }

    fn condition(&self, text: &str) -> Result<Condition, String> {
        let (lists, within) = match text.split_once(" within ") {
            Some((lists, within)) => (lists, within.parse().map_err(|_| format!("{within:?} is no number"))?),
            None => (text, 0),
        };
        let mut lists = lists.split('+').map(|name| {
            let name = name.trim();
            self.list(name.strip_prefix('@').ok_or_else(|| format!("{name:?} is no list"))?)
        });
        let first = lists.next().ok_or("a condition names a list")??;
        Ok(Condition { first, others: lists.collect::<Result<_, _>>()?, within })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Into {
    Nothing,
    List(usize),
    Rule,
}

impl Rule {
    fn new(id: &'static str) -> Self {
        Self {
            id,
            version: 0,
            subject: Subject::Rights,
            answers: None,
            stages: Vec::new(),
            text: Wording::default(),
            advice: Wording::default(),
            stops: Vec::new(),
            passes: Vec::new(),
            when: Vec::new(),
            unless: None,
            negatable: false,
        }
    }

    /// Whether it is looked at in this stage. When the making begins, prompts are asked again: rules may have changed while they waited.
    pub(super) fn is_asked_at(&self, stage: Stage) -> bool {
        self.stages.contains(&stage) || (stage == Stage::During && self.stages.contains(&Stage::Prompt))
    }

    fn take(&mut self, word: &str, rest: &'static str) -> Result<(), String> {
        match word {
            "version" => self.version = rest.parse().map_err(|_| format!("{rest:?} is no version"))?,
            "category" => self.subject = one_of(Subject::ALL, Subject::as_str, rest)?,
            "answers" => self.answers = Some(one_of(Category::ALL, Category::as_str, rest)?),
            "stages" => {
                self.stages =
                    rest.split(' ').map(|stage| one_of(Stage::ALL, Stage::as_str, stage)).collect::<Result<_, _>>()?;
            }
            "en" => self.text.en = rest,
            "ja" => self.text.ja = rest,
            "advice-en" => self.advice.en = rest,
            "advice-ja" => self.advice.ja = rest,
            "stops" => self.stops.push(rest),
            "passes" => self.passes.push(rest),
            "negatable" => self.negatable = true,
            "when" | "unless" => {}
            _ => return Err(format!("a rule has no {word:?}")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let said = [self.text.en, self.text.ja, self.advice.en, self.advice.ja];
        let missing = |what: &str| Err(format!("{what} is missing"));
        match () {
            () if self.version == 0 => missing("a version"),
            () if self.stages.is_empty() => missing("a stage"),
            () if self.when.is_empty() => missing("a condition"),
            () if said.iter().any(|text| text.is_empty()) => missing("a sentence"),
            () if self.stops.is_empty() || self.passes.is_empty() => missing("an example"),
            () => Ok(()),
        }
    }
}

fn one_of<T: Copy, const N: usize>(all: [T; N], word: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    all.into_iter().find(|value| word(*value) == text).ok_or_else(|| format!("{text:?} is none of what stands here"))
}
