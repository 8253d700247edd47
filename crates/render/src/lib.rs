//! One accepted request becomes one signed video; the seam where a model is plugged in.
#![forbid(unsafe_code)]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod request;

mod model;
mod recipe;
mod render;

mod storyboard;
mod trim;

mod test_card;

pub use model::{Looks, ModelError, Progress, Reworded, Stage, VideoModel};
pub use recipe::{AnyRecipe, FilmRecipe, OwnChoices, Recipe};
pub use render::{Parent, RenderError, RenderOptions, Rendered, render};
pub use request::{ClipSeconds, OutputSize, Prompt, RequestError, Shortcuts, Source, VideoRequest};
pub use storyboard::{Join, Storyboard, StoryboardError, StoryboardShot};
pub use test_card::{SteppedTestCard, TestCard};
pub use trim::trim;
