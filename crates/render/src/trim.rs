//! A part of a clip: its frames as they are, encoded again, signed with the clip as what it was made from.

use std::ops::{ControlFlow, Range};

use media::{Mp4Info, Mp4Reader, Mp4Writer, Quality, ReadError, ReadLimits};
use provenance::{Action, Model, Provenance, SigningKey, TrustedRoots, sign, verify};

use crate::model::{Progress, Stage};
use crate::recipe::{AnyRecipe, FilmRecipe, Recipe};
use crate::render::{RenderError, RenderOptions, Rendered, title};

/// Cuts a part out of a clip. `part` says which frames, when it is told what the file holds; `recipe` is the clip's own.
///
/// # Errors
/// [`RenderError`]; nothing unsigned ever leaves.
pub fn trim(
    file: &[u8],
    part: impl FnOnce(&Mp4Info) -> Range<usize>,
    recipe: AnyRecipe,
    key: &SigningKey,
    options: &RenderOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Rendered<AnyRecipe>, RenderError> {
    let unreadable = |error: ReadError| RenderError::Source(error.to_string());
    let mut reader = Mp4Reader::open(file, &ReadLimits::default()).map_err(unreadable)?;
    let Mp4Info { size, frame_rate, .. } = *reader.info();
    let part = part(reader.info());
    let mut writer = Mp4Writer::new(size, frame_rate, Quality::default())?;
    let mut first_frame = None;
    // What comes before is not decoded, but for what the first frames refer to.
    let mut at = reader.skip_to(part.start);
    while at < part.end {
        let Some(frame) = reader.next_frame().map_err(unreadable)? else { break };
        if at >= part.start {
            writer.push(&frame)?;
            first_frame.get_or_insert(frame);
        }
        at += 1;
        let done = at.saturating_sub(part.start);
        if progress(Progress { stage: Stage::Drawing, done, total: part.len() }).is_break() {
            return Err(RenderError::Stopped);
        }
    }
    let Some(first_frame) = first_frame else { return Err(RenderError::Source("no frame lies in that part".into())) };

    if progress(Progress { stage: Stage::Signing, done: 0, total: 1 }).is_break() {
        return Err(RenderError::Stopped);
    }
    let frames = at - part.start;
    let kept = Some((part.start, at));
    let seconds = (frames as f64 / frame_rate.as_f64()).round() as u32;
    let (recipe, name, model) = match recipe {
        AnyRecipe::Clip(clip) => {
            let (name, model) = (title(&clip.prompt), model_of(&clip));
            (AnyRecipe::Clip(Recipe { source: "trim".into(), seconds, frames: kept, ..clip }), name, model)
        }
        AnyRecipe::Film(film) => {
            let first = film.shots.first().ok_or_else(|| RenderError::Source("it was made of no shots".into()))?;
            let (name, model) = (film.storyboard.name(), model_of(first));
            (AnyRecipe::Film(FilmRecipe { frames: kept, ..film }), name, model)
        }
    };
    let mp4 = writer.finish()?;
    let facts = Provenance {
        title: name,
        action: Action::Trimmed,
        software_agent: options.software_agent(),
        model,
        recipe: serde_json::to_value(&recipe).unwrap_or_default(),
        training: options.training,
        when: options.when,
        // The frames carry the mark that the clip's carry.
        visible_mark: verify(file, &TrustedRoots::none()).visible_mark.unwrap_or(false),
        parent: Some(file),
        placed: Vec::new(),
    };
    let video = sign(&mp4, &facts, key)?;
    Ok(Rendered { video, recipe, frames, first_frame })
}

fn model_of(recipe: &Recipe) -> Model {
    Model { name: recipe.model.clone(), weights_hash: recipe.weights_hash.clone() }
}
