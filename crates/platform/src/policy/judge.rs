//! Whether a text may be made, and which rules say no.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::category::{Category, Stage, Subject};
use super::lookalikes::is_unspaced;
use super::normalise::{Word, normalise};
use super::phrase::{Phrase, Span};
use super::rights::{Rights, RightsEntry, RightsUse};
use super::rules::{Book, Condition, Rule, RuleError};
use crate::time::Timestamp;

/// How far back a negation is looked for.
const NEGATION_REACH: usize = 8;

/// The rules, ready to judge.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    phrases: Vec<(usize, Phrase)>,
    lists: usize,
    /// Phrases by the first letter of the word they begin with.
    by_letter: HashMap<char, Vec<usize>>,
    /// Phrases that may begin within a word of any script.
    within: Vec<usize>,
    harmless: usize,
    /// The lists that make a rule be met. What only excuses is not excused itself.
    sought: Vec<bool>,
    negators: Vec<Phrase>,
    fillers: Vec<Phrase>,
}

/// What is known beside the text.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The registry of rights.
    pub rights: &'a Rights,
    /// What of it counts.
    pub reach: RightsUse,
    /// When.
    pub at: Timestamp,
}

/// What the policy says of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    findings: Vec<Finding>,
}

/// One rule that a text meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// Which wording of it.
    pub version: u32,
    /// What it protects from.
    pub subject: Subject,
    /// The API's category, if it has one for this.
    pub category: Option<Category>,
    /// What the rule says, in English and Japanese.
    pub text: Sentence,
    /// What to change.
    pub advice: Sentence,
    /// The entry of the registry of rights it comes from.
    pub entry: Option<crate::id::RightsId>,
}

/// A sentence in the languages of the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

/// The built-in rules. Lists that several of them use come first.
pub(super) const FILES: [&str; 10] = [
    include_str!("rules/shared.txt"),
    include_str!("rules/minors.txt"),
    include_str!("rules/sexual.txt"),
    include_str!("rules/violent.txt"),
    include_str!("rules/hateful.txt"),
    include_str!("rules/self-harm.txt"),
    include_str!("rules/illicit.txt"),
    include_str!("rules/people.txt"),
    include_str!("rules/characters.txt"),
    include_str!("rules/artists.txt"),
];

static BUILT_IN: LazyLock<Policy> =
    LazyLock::new(|| Policy::read(&FILES).expect("the built-in rules are read by a test"));

impl Policy {
    /// The rules that every installation has.
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Reads files of rules. They have the lists `harmless`, `negators` and `fillers`.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn read(files: &[&'static str]) -> Result<Self, RuleError> {
        let book = Book::read(files)?;
        let needed = |name: &str| book.list(name).map_err(|what| RuleError { line: 0, what });
        let harmless = needed("harmless")?;
        let negators = book.lists[needed("negators")?].clone();
        let fillers = book.lists[needed("fillers")?].clone();
        let lists = book.lists.len();
        let mut sought = vec![false; lists];
        for condition in book.rules.iter().flat_map(|rule| &rule.when) {
            std::iter::once(&condition.first).chain(&condition.others).for_each(|list| sought[*list] = true);
        }
        let phrases: Vec<(usize, Phrase)> = book
            .lists
            .into_iter()
            .enumerate()
            .flat_map(|(list, phrases)| phrases.into_iter().map(move |phrase| (list, phrase)))
            .collect();
        let mut by_letter: HashMap<char, Vec<usize>> = HashMap::new();
        let mut within = Vec::new();
        for (at, (_, phrase)) in phrases.iter().enumerate() {
            match phrase.beginnings() {
                Some(mut letters) => {
                    letters.sort_unstable();
                    letters.dedup();
                    letters.into_iter().for_each(|letter| by_letter.entry(letter).or_default().push(at));
                }
                None => within.push(at),
            }
        }
        Ok(Self { rules: book.rules, phrases, lists, by_letter, within, harmless, sought, negators, fillers })
    }

    /// Every rule, the gravest first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the rules and the registry say of a text at a stage.
    pub fn judge(&self, stage: Stage, text: &str, context: &Context<'_>) -> Verdict {
        let normalised = normalise(text);
        let mut met = vec![false; self.rules.len()];
        for words in normalised.readings() {
            let found = self.found(words);
            let allowed = context.rights.allowed(words, context.reach, context.at);
            for (rule, met) in self.rules.iter().zip(&mut met) {
                if !*met && rule.is_asked_at(stage) {
                    *met = self.is_met(rule, words, &found, &allowed);
                }
            }
        }
        let mut findings: Vec<Finding> =
            self.rules.iter().zip(met).filter(|(_, met)| *met).map(|(rule, _)| Finding::of(rule)).collect();
        findings.extend(context.rights.forbidding(&normalised, context.reach, context.at).map(Finding::of_entry));
        Verdict { findings }
    }

    /// Where a reading says which list's phrases. What harmless phrases cover is left out.
    fn found(&self, words: &[Word]) -> Vec<Vec<Span>> {
        let mut found = vec![Vec::new(); self.lists];
        let uncovered: Vec<Word> = words.iter().map(|word| self.without_harmless(word)).collect();
        for (start, word) in uncovered.iter().enumerate() {
            let first = word.as_str().chars().next();
            let candidates = first.and_then(|letter| self.by_letter.get(&letter)).map_or(&[][..], Vec::as_slice);
            let is_ascii = word.as_str().is_ascii();
            let within = self.within.iter().filter(|at| !is_ascii || self.phrases[**at].1.as_str().is_ascii());
            for at in candidates.iter().chain(within) {
                let (list, phrase) = &self.phrases[*at];
                found[*list].extend(phrase.span_at(&uncovered, start));
            }
        }
        let harmless = std::mem::take(&mut found[self.harmless]);
        for spans in found.iter_mut().enumerate().filter(|(list, _)| self.sought[*list]).map(|(_, spans)| spans) {
            spans.retain(|span| !harmless.iter().any(|cover| cover.start <= span.start && span.end <= cover.end));
        }
        found
    }

    /// A word of a script without spaces, with what is harmless in it taken out.
    fn without_harmless(&self, word: &Word) -> Word {
        if !word.as_str().chars().any(is_unspaced) {
            return word.clone();
        }
        let harmless = self.within.iter().map(|at| &self.phrases[*at]).filter(|(list, _)| *list == self.harmless);
        harmless.fold(word.clone(), |word, (_, phrase)| phrase.taken_out_of(word))
    }

    fn is_met(&self, rule: &Rule, words: &[Word], found: &[Vec<Span>], allowed: &[Span]) -> bool {
        rule.when.iter().any(|condition| {
            found[condition.first].iter().any(|span| {
                let excused = rule.unless.is_some_and(|unless| is_near(*span, &found[unless.list], unless.within))
                    || (rule.negatable && self.is_negated(rule, *span, words, found))
                    || (rule.subject.is_anyones_right() && allowed.iter().any(|allowed| allowed.meets(*span)));
                condition.is_met_at(*span, found) && !excused
            })
        })
    }

    /// Whether what stands before says that it is left out: `no nudity`, `without any blood or gore`.
    fn is_negated(&self, rule: &Rule, span: Span, words: &[Word], found: &[Vec<Span>]) -> bool {
        let is_any = |phrases: &[Phrase], at: usize| phrases.iter().any(|phrase| phrase.span_at(words, at).is_some());
        let counts = |at: usize| {
            rule.when.iter().any(|when| found[when.first].iter().any(|span| span.start <= at && at < span.end))
        };
        let before = (span.start.saturating_sub(NEGATION_REACH)..span.start).rev();
        for at in before {
            if is_any(&self.negators, at) && !counts(at) {
                return true;
            }
            if !is_any(&self.fillers, at) && !counts(at) {
                return false;
            }
        }
        false
    }
}

impl Condition {
    fn is_met_at(&self, span: Span, found: &[Vec<Span>]) -> bool {
        self.others.iter().all(|list| is_near(span, &found[*list], self.within))
    }
}

fn is_near(span: Span, others: &[Span], within: usize) -> bool {
    others.iter().any(|other| other.start <= span.end - 1 + within && span.start <= other.end - 1 + within)
}

impl Verdict {
    /// Whether nothing speaks against it.
    pub fn is_allowed(&self) -> bool {
        self.findings.is_empty()
    }

    /// What speaks against it, the gravest first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The finding that a refusal rests on.
    pub fn first(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// 1 for a category that was found, 0 for the others: words know no doubt.
    pub fn score(&self, category: Category) -> f64 {
        f64::from(u8::from(self.findings.iter().any(|finding| finding.category == Some(category))))
    }

    /// What of it comes from the registry of rights.
    #[must_use]
    pub fn of_rights(mut self) -> Self {
        self.findings.retain(|finding| finding.entry.is_some());
        self
    }

    /// With what else speaks against it.
    #[must_use]
    pub fn and(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }
}

impl Finding {
    fn of(rule: &Rule) -> Self {
        let sentence = |wording: super::rules::Wording| Sentence { en: wording.en.into(), ja: wording.ja.into() };
        Self {
            rule: rule.id.into(),
            version: rule.version,
            subject: rule.subject,
            category: rule.answers,
            text: sentence(rule.text),
            advice: sentence(rule.advice),
            entry: None,
        }
    }

    fn of_entry(entry: &RightsEntry) -> Self {
        let name = entry.names.first().map_or("", String::as_str);
        Self {
            rule: "rights.opt-out".into(),
            version: 1,
            subject: Subject::Rights,
            category: None,
            text: Sentence {
                en: format!("{} does not allow «{name}» to be used here (entry {}).", entry.holder, entry.id),
                ja: format!("{}は「{name}」の使用を許可していません(登録 {})。", entry.holder, entry.id),
            },
            advice: Sentence {
                en: "Leave the name out and describe something of your own.".into(),
                ja: "名前を除き、あなた自身のものを書いてください。".into(),
            },
            entry: Some(entry.id),
        }
    }
}
