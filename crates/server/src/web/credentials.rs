//! Where a clip came from, in words: what its signed manifest says, and what that is worth.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::VideoId;
use provenance::{Action, Parent, Report, State as FileState, TrainingChoice, Trust};
use store::ObjectKey;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Id;
use crate::web::clip::own;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/clips/{id}/credentials", Viewer::Person, show_credentials)]
}

/// A manifest in words.
pub(super) struct Credentials {
    /// Whether every byte is as it was signed.
    pub(super) untouched: bool,
    pub(super) headline: &'static str,
    pub(super) explanation: &'static str,
    /// What is known, line by line.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) parents: Vec<ParentLine>,
}

/// A file that it was made from, and how far back.
pub(super) struct ParentLine {
    pub(super) title: String,
    pub(super) said: String,
    pub(super) depth: usize,
}

#[derive(Template)]
#[template(path = "credentials.html")]
pub(super) struct CredentialsPage {
    pub(super) shell: Shell,
    pub(super) credentials: Credentials,
    /// Where the clip can be watched.
    pub(super) back: String,
    pub(super) prompt: String,
}

async fn show_credentials(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
) -> Result<Response, ApiError> {
    let generation = own(&app, &person, id).await?;
    let video = generation.video.as_ref().ok_or_else(|| ApiError::not_found("clip"))?;
    let page = CredentialsPage {
        shell: Shell::new(&app, &visitor, "credentials.title", Here::Library),
        credentials: read_file(&app, visitor.words, &video.key).await?,
        back: format!("/clips/{id}"),
        prompt: generation.prompt.clone(),
    };
    Ok(html(&page))
}

/// Reads and checks the file that is kept, as anyone could who downloads it.
pub(super) async fn read_file(app: &App, words: &'static Words, key: &ObjectKey) -> Result<Credentials, ApiError> {
    let bytes = app.objects.get_all(key).await?;
    let trusted = app.trusted.clone();
    let report = tokio::task::spawn_blocking(move || provenance::verify(&bytes, &trusted)).await;
    Ok(in_words(words, &report.map_err(|error| ApiError::internal(&error))?))
}

fn in_words(words: &'static Words, report: &Report) -> Credentials {
    let (headline, explanation) = match report.state {
        FileState::Untouched => (words.say("credentials.untouched"), words.say("credentials.untouched_means")),
        FileState::Tampered => (words.say("credentials.tampered"), words.say("credentials.tampered_means")),
        FileState::NoCredentials => (words.say("credentials.none"), words.say("credentials.none_means")),
        FileState::Unreadable => (words.say("credentials.unreadable"), words.say("credentials.none_means")),
    };
    let mut facts = Vec::new();
    if let Some(action) = report.action {
        let how = match action {
            Action::Created => words.say("credentials.created"),
            Action::Edited => words.say("credentials.edited"),
            Action::Extended => words.say("credentials.extended"),
            Action::Trimmed => words.say("credentials.trimmed"),
            Action::Imported => words.say("credentials.imported"),
        };
        facts.push((words.say("credentials.how"), how.to_owned()));
    }
    if let Some(model) = &report.model {
        let hash: String = model.weights_hash.chars().take(16).collect();
        let said = if hash.is_empty() { model.name.clone() } else { format!("{} ({hash}…)", model.name) };
        facts.push((words.say("credentials.model"), said));
    }
    if let Some(agent) = &report.software_agent {
        facts.push((words.say("credentials.program"), format!("{} {}", agent.name, agent.version)));
    }
    match (&report.signed_at, &report.made_at) {
        (Some(time), _) => facts.push((words.say("credentials.when"), words.fill("credentials.when_proven", &[time]))),
        (None, Some(time)) => {
            facts.push((words.say("credentials.when"), words.fill("credentials.when_said", &[time])));
        }
        (None, None) => {}
    }
    if let Some(signer) = &report.signer {
        facts.push((words.say("credentials.who"), signer.organisation.clone()));
        let worth = match signer.trust {
            Trust::ThisInstallation => words.say("credentials.trust_here"),
            Trust::TrustList => words.say("credentials.trust_list"),
            Trust::Unknown => words.say("credentials.trust_unknown"),
        };
        facts.push((words.say("credentials.worth"), worth.to_owned()));
    }
    if let Some(training) = report.training {
        let said = match training {
            TrainingChoice::Allowed => words.say("credentials.training_yes"),
            TrainingChoice::NotAllowed => words.say("credentials.training_no"),
        };
        facts.push((words.say("credentials.training"), said.to_owned()));
    }
    if let Some(mark) = report.visible_mark {
        let said = if mark { words.say("credentials.mark_yes") } else { words.say("credentials.mark_no") };
        facts.push((words.say("credentials.mark"), said.to_owned()));
    }
    let mut parents = Vec::new();
    for parent in &report.parents {
        lines(words, parent, 0, &mut parents);
    }
    Credentials { untouched: report.state == FileState::Untouched, headline, explanation, facts, parents }
}

/// A parent and those before it, three generations at most.
fn lines(words: &'static Words, parent: &Parent, depth: usize, into: &mut Vec<ParentLine>) {
    let title = parent.title.clone().unwrap_or_else(|| words.say("credentials.nameless").to_owned());
    let said = match parent.state {
        FileState::Untouched => words.say("credentials.parent_untouched"),
        FileState::Tampered => words.say("credentials.parent_tampered"),
        FileState::NoCredentials | FileState::Unreadable => words.say("credentials.parent_none"),
    };
    into.push(ParentLine { title: title.chars().take(200).collect(), said: said.to_owned(), depth });
    if depth < 2 {
        for older in &parent.parents {
            lines(words, older, depth + 1, into);
        }
    }
}
