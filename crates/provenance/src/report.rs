//! What a verifier tells, for programs (`Serialize`) and for people (`Display`).

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::manifest::{Action, Model, SoftwareAgent, TrainingChoice};

/// Who made a file, when and how, and whether it is untouched.
///
/// The facts are the signer's claims. They are shown for tampered files too, where nobody vouches for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether the file is as it was signed.
    pub state: State,
    /// Who signed.
    pub signer: Option<Signer>,
    /// When it was signed, proven by a timestamp authority (RFC 3339); without one there is only `made_at`.
    pub signed_at: Option<String>,
    /// When it was made, as the signer's clock said (RFC 3339).
    pub made_at: Option<String>,
    /// The video's name.
    pub title: Option<String>,
    /// How it came to be.
    pub action: Option<Action>,
    /// Whether a trained model drew it, at least in part.
    pub generated: bool,
    /// The program that made it.
    pub software_agent: Option<SoftwareAgent>,
    /// The model that drew it.
    pub model: Option<Model>,
    /// What makes the same frames again.
    pub recipe: Option<Value>,
    /// Whether others may train on it; nothing if the signer did not say.
    pub training: Option<TrainingChoice>,
    /// Whether the visible mark was put on the frames.
    pub visible_mark: Option<bool>,
    /// The files it was made from.
    pub parents: Vec<Parent>,
    /// The validation codes of the C2PA specification §15, failures first, and the library's own words where it could not read.
    pub codes: Vec<String>,
}

/// Whether a file is as it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every byte is as it was signed.
    Untouched,
    /// It carries credentials that do not hold: changed after signing, or signed with a certificate that does not hold.
    Tampered,
    /// A good file without credentials; that says nothing about where it came from.
    NoCredentials,
    /// No file of a kind that we know.
    Unreadable,
}

/// Who signed a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The name in the certificate.
    pub organisation: String,
    /// Who vouches for that name.
    pub trust: Trust,
}

/// Who vouches for a signer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Signed by the installation that is verifying.
    ThisInstallation,
    /// Its root is on the trust list that the operator configured.
    TrustList,
    /// Nobody; the name may be anyone's.
    Unknown,
}

/// A file that another was made from, as it was when the other was signed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parent {
    /// Its name.
    pub title: Option<String>,
    /// Whether it was untouched then.
    pub state: State,
    /// Who signed it.
    pub signer: Option<Signer>,
    /// How it came to be.
    pub action: Option<Action>,
    /// When it was made, as its signer's clock said.
    pub made_at: Option<String>,
    /// The files that it was made from.
    pub parents: Vec<Parent>,
}

impl Report {
    /// A report on a file of which nothing else is known.
    pub(crate) fn bare(state: State) -> Self {
        Self {
            state,
            signer: None,
            signed_at: None,
            made_at: None,
            title: None,
            action: None,
            generated: false,
            software_agent: None,
            model: None,
            recipe: None,
            training: None,
            visible_mark: None,
            parents: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Notes a failure of ours, first among the codes.
    pub(crate) fn tampered(&mut self, code: &str) {
        self.state = State::Tampered;
        self.codes.insert(0, code.to_owned());
    }

    /// One screen in plain words; the same as `Display`.
    pub fn summary(&self) -> String {
        self.to_string()
    }

    /// Why a file does not hold, in the words of its headline.
    fn reason(&self) -> &'static str {
        let has = |needle: &str| self.codes.iter().any(|code| code.contains(needle));
        if has("Hash.mismatch") || has("org.misora.") {
            "TAMPERED: the file was changed after it was signed."
        } else if has("claimSignature.mismatch") || has("hashedURI.mismatch") {
            "TAMPERED: the credentials themselves were changed."
        } else if has("signingCredential.expired") || has("claimSignature.outsideValidity") {
            "NOT CONFIRMED: the signing certificate has expired, or was not valid yet, and no timestamp proves when it signed."
        } else if has("signingCredential.invalid") {
            "NOT CONFIRMED: the signing certificate is not one for content credentials."
        } else {
            "TAMPERED: the file or its credentials were changed or damaged."
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Untouched => writeln!(f, "UNTOUCHED: not one byte was changed since this file was signed.")?,
            State::Tampered => {
                writeln!(f, "{}", self.reason())?;
                if self.signer.is_some() {
                    writeln!(f, "What it claims, for which nobody vouches any more:")?;
                }
            }
            State::NoCredentials => {
                return write!(
                    f,
                    "NO CREDENTIALS: this file does not say where it came from. That proves nothing either way."
                );
            }
            State::Unreadable => return write!(f, "UNREADABLE: this is no MP4, PNG, JPEG or WebP, or a damaged one."),
        }
        let mut line = |name: &str, value: &str| writeln!(f, "  {name:<10} {}", one_line(value));
        if let Some(signer) = &self.signer {
            line("who", &signer.sentence())?;
        }
        match (&self.signed_at, &self.made_at) {
            (Some(time), _) => line("when", &format!("{time} (proven by a timestamp authority)"))?,
            (None, Some(time)) => line("when", &format!("{time} (by the signer's clock; no timestamp authority)"))?,
            (None, None) => {}
        }
        if let Some(title) = &self.title {
            line("title", title)?;
        }
        if let Some(sentence) = self.how() {
            line("how", &sentence)?;
        }
        if let Some(agent) = &self.software_agent {
            line("with", &format!("{} {}", agent.name, agent.version))?;
        }
        if let Some(model) = &self.model {
            line("model", &format!("{} ({})", model.name, model.weights_hash))?;
        }
        if let Some(recipe) = &self.recipe {
            line("recipe", &recipe.to_string())?;
        }
        if let Some(visible) = self.visible_mark {
            line("mark", if visible { "a visible mark moves over the picture" } else { "no visible mark" })?;
        }
        match self.training {
            Some(TrainingChoice::Allowed) => line("training", "others may train models on it")?,
            Some(TrainingChoice::NotAllowed) => line("training", "others may not train models on it")?,
            None => {}
        }
        for parent in &self.parents {
            line("made from", &parent.sentence())?;
            for older in &parent.parents {
                line("  and that", &format!("from {}", older.sentence()))?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn how(&self) -> Option<String> {
        let action = match self.action? {
            Action::Created => "created",
            Action::Edited => "edited from another video",
            Action::Extended => "extended from another video",
            Action::Trimmed => return Some(self.how_trimmed()),
            Action::Imported => "brought here from elsewhere",
        };
        Some(if self.generated {
            format!("{action} by a trained model, not recorded by a camera")
        } else {
            action.to_owned()
        })
    }

    fn how_trimmed(&self) -> String {
        let drawn = if self.generated { ", which a trained model made" } else { "" };
        format!("cut out of another video{drawn}")
    }
}

impl Signer {
    pub(crate) fn sentence(&self) -> String {
        let name = if self.organisation.is_empty() { "a signer without a name" } else { &self.organisation };
        match self.trust {
            Trust::ThisInstallation => format!("{name}: signed by this installation, not on the public trust list"),
            Trust::TrustList => format!("{name}: on the trust list configured here"),
            Trust::Unknown => format!("calls itself {name}: unknown here, so anyone could have used that name"),
        }
    }
}

impl Parent {
    fn sentence(&self) -> String {
        let title = self.title.as_deref().unwrap_or("a file without a name");
        let state = match self.state {
            State::Untouched => "untouched then",
            State::Tampered => "already tampered with",
            State::NoCredentials => "without credentials",
            State::Unreadable => "unreadable",
        };
        match &self.signer {
            Some(signer) => format!("{title} ({state}; {})", signer.sentence()),
            None => format!("{title} ({state})"),
        }
    }
}

/// Strangers wrote these texts: no control characters, and no longer than a screen can take.
pub(crate) fn one_line(text: &str) -> String {
    const LIMIT: usize = 600;
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LIMIT).collect();
    if text.chars().count() > LIMIT {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_honest_about_who_vouches() {
        let mut report = Report::bare(State::Untouched);
        let mut check = |trust, expected: &str| {
            report.signer = Some(Signer { organisation: "Paper Studio".to_owned(), trust });
            let summary = report.summary();
            assert!(summary.contains(expected) && summary.contains("Paper Studio"), "{summary}");
        };
        check(Trust::ThisInstallation, "signed by this installation, not on the public trust list");
        check(Trust::TrustList, "on the trust list configured here");
        check(Trust::Unknown, "unknown here");
    }

    #[test]
    fn strangers_cannot_draw_on_the_terminal() {
        let mut report = Report::bare(State::Untouched);
        report.title = Some(format!("a\u{1b}[2J\nTRUSTED{}", "x".repeat(10_000)));
        let summary = report.summary();
        assert!(!summary.contains('\u{1b}') && summary.lines().count() == 2 && summary.len() < 1000);
    }
}
