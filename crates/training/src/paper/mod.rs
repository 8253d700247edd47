//! The paper world: films of paper cut-outs, drawn from a seed, with their captions and their truth.
//!
//! [`Scene::sample`] decides what a scene is, [`Renderer`] draws it, [`Scene::caption`] tells it and [`Scene::truth`]
//! says what is where. All of it is a pure function of the seed.

mod actors;
mod backgrounds;
mod caption;
mod draw;
mod motion;
mod render;
mod sample;
mod scene;
mod split;
mod truth;
mod vocabulary;
mod weather;
mod wording;

pub use caption::CaptionStyle;
pub use render::Renderer;
pub use sample::Mixture;
pub use scene::{
    Actor, ActorKind, ActorSize, Background, Camera, Colour, HairColour, HairStyle, Hat, Motion, Pace, Placement,
    Puppet, Relation, Scene, Shot, Skin, TimeOfDay, Weather,
};
pub use split::{
    Split, withheld_colours, withheld_motions, withheld_weathers, withholds_colour, withholds_motion, withholds_weather,
};
pub use truth::{ActorTruth, Attributes, Box2, Event, EventKind, ShotTruth, TrackPoint, Truth};
pub use vocabulary::{Concept, KnownWord, known_words};
pub(crate) use wording::WantedShot;
pub use wording::{Reworded, Wanted, reword};
