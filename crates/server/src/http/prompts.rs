//! Help with a prompt before anything is made of it.

use axum::Json;
use axum::extract::State;
use platform::{Prompt, Scope, Service};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::prompt_help::Helped;

const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Video));

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/prompts/reword", READ, reword_prompt)
            .says("Says a prompt again in words that the model learned, and what was changed. Nothing is made or charged.")
            .reads::<RewordPrompt>(BodyKind::JsonOrForm)
            .answers::<RewordedPrompt>(),
    ]
}

/// What to say again.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewordPrompt {
    /// The prompt as somebody typed it, in English or Japanese.
    #[schema(min_length = 1, max_length = 32000)]
    prompt: String,
}

/// A prompt said again.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewordedPrompt {
    /// Always `prompt.reworded`.
    object: &'static str,
    /// The prompt in the model's words; null if none of its words mean anything to the model.
    prompt: Option<String>,
    /// Who said it: `rules` of the model, or the `language_model` that the owner named.
    by: &'static str,
    /// What was said in other words.
    changes: Vec<RewordedWord>,
    /// Words that nothing came of.
    unknown: Vec<String>,
    /// What was not said and was chosen.
    chosen: Vec<String>,
}

/// A word of a prompt and what comes closest to it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewordedWord {
    /// As it was asked for.
    asked: String,
    /// What the model knows.
    closest: String,
}

impl RewordedPrompt {
    pub(crate) fn new(helped: Helped) -> Self {
        let Helped { by, reworded } = helped;
        let word = |(asked, closest)| RewordedWord { asked, closest };
        Self {
            object: "prompt.reworded",
            prompt: reworded.prompt,
            by: by.as_str(),
            changes: reworded.changes.into_iter().map(word).collect(),
            unknown: reworded.unknown,
            chosen: reworded.chosen,
        }
    }
}

async fn reword_prompt(
    State(app): State<App>,
    _caller: KeyCaller,
    form: Form,
) -> Result<Json<RewordedPrompt>, ApiError> {
    Ok(Json(RewordedPrompt::new(help(&app, &form).await?)))
}

/// The `prompt` of a form said again.
///
/// # Errors
/// If it is no prompt, or nobody helps here.
pub(crate) async fn help(app: &App, form: &Form) -> Result<Helped, ApiError> {
    let prompt = Prompt::parse(form.text("prompt")?)?;
    app.prompt_help.reword(prompt.as_str()).await.ok_or_else(|| {
        ApiError::invalid("prompt", "The model of this place is asked in any words; nobody says prompts again here.")
    })
}
