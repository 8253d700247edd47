//! From a seed to a scene.

use super::scene::{
    Actor, ActorKind, ActorSize, Background, Camera, Colour, HairColour, HairStyle, Hat, Motion, Pace, Placement,
    Puppet, Relation, Scene, Shot, Skin, TimeOfDay, Weather,
};
use super::split::{
    Split, withheld_colours, withheld_motions, withheld_weathers, withholds_colour, withholds_motion, withholds_weather,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// How often scenes have what: every share is a probability in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mixture {
    /// Two actors.
    pub two_actors: f64,
    /// Three actors; the rest of the scenes have one.
    pub three_actors: f64,
    /// Two shots.
    pub two_shots: f64,
    /// A camera that moves.
    pub camera_moves: f64,
    /// Weather that is not clear.
    pub weather: f64,
    /// A main actor that stays still (the camera, weather or nothing moves).
    pub still: f64,
    /// A puppet, for each actor; the other kinds share the rest.
    pub puppets: f64,
    /// Length of the scenes in seconds.
    pub duration_s: f32,
}

impl Default for Mixture {
    /// The full world.
    fn default() -> Self {
        Self {
            two_actors: 0.30,
            three_actors: 0.15,
            two_shots: 0.15,
            camera_moves: 0.30,
            weather: 0.45,
            still: 0.08,
            puppets: 0.14,
            duration_s: 4.0,
        }
    }
}

impl Mixture {
    /// The early curriculum: one actor, one shot, mostly clear weather and a camera that mostly stays.
    pub fn simple() -> Self {
        Self {
            two_actors: 0.0,
            three_actors: 0.0,
            two_shots: 0.0,
            camera_moves: 0.15,
            weather: 0.30,
            ..Self::default()
        }
    }
}

impl Scene {
    /// The scene of a seed; equal arguments give equal scenes.
    pub fn sample(seed: u64, split: Split, mixture: &Mixture) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed ^ if split == Split::HeldOut { 0x9e37_79b9_7f4a_7c15 } else { 0 });
        let count = if rng.random_bool(mixture.two_shots) { 2 } else { 1 };
        let mut shots: Vec<Shot> = (0..count).map(|_| sample_shot(&mut rng, mixture)).collect();
        if split == Split::HeldOut {
            withhold(&mut shots[0], &mut rng);
        }
        Self { seed, shots, duration_s: mixture.duration_s }
    }
}

/// A shot that training may see.
fn sample_shot(rng: &mut Pcg64, mixture: &Mixture) -> Shot {
    let background = pick(rng, Background::ALL);
    let weather = if rng.random_bool(mixture.weather) {
        pick_where(rng, &[Weather::Rain, Weather::Snow, Weather::Wind], |w| !withholds_weather(background, w))
    } else {
        Weather::Clear
    };
    let time_of_day = match (background, rng.random_range(0..10)) {
        (Background::NightSky, _) | (_, 8..) => TimeOfDay::Night,
        (_, 5..8) => TimeOfDay::Dusk,
        _ => TimeOfDay::Day,
    };
    let camera = if rng.random_bool(mixture.camera_moves) { pick(rng, &Camera::ALL[1..]) } else { Camera::Still };
    let plain_colour = pick_where(rng, Colour::ALL, |c| !matches!(c, Colour::Black | Colour::Brown));
    let avoided = vanishing(background, time_of_day, plain_colour);

    let count = match rng.random::<f64>() {
        dice if dice < mixture.three_actors => 3,
        dice if dice < mixture.three_actors + mixture.two_actors => 2,
        _ => 1,
    };
    let mut actors: Vec<Actor> = Vec::new();
    for _ in 0..count {
        let kind = loop {
            let kind = if rng.random_bool(mixture.puppets) { ActorKind::Puppet } else { pick(rng, ActorKind::ALL) };
            if actors.iter().all(|other| other.kind != kind) {
                break kind;
            }
        };
        let colour = pick_where(rng, Colour::ALL, |colour| {
            !withholds_colour(kind, colour) && Some(colour) != avoided && actors.iter().all(|a| a.colour != colour)
        });
        actors.push(Actor {
            kind,
            colour,
            size: sample_size(rng, count, actors.first()),
            motion: Motion::Still,
            pace: Pace::Slow,
            puppet: sample_puppet(rng, kind),
            placement: Placement { dx: rng.random_range(-0.05..0.05), dy: rng.random_range(-0.025..0.025) },
        });
    }
    if count == 1 {
        actors[0].placement.dx *= 1.6;
    }

    let still = rng.random_bool(mixture.still);
    let relation = (count > 1 && (still || rng.random_bool(0.75))).then(|| pick(rng, Relation::ALL));
    if !still {
        let kind = actors[0].kind;
        actors[0].motion = pick_where(rng, &Motion::ALL[..Motion::Still.index()], |motion| {
            !withholds_motion(kind, motion) && keeps_relation(motion, relation)
        });
        actors[0].pace = pick(rng, Pace::ALL);
    }
    Shot { actors, relation, background, plain_colour, time_of_day, weather, camera }
}

/// Forces one withheld composition on a shot and mends what it contradicts.
fn withhold(shot: &mut Shot, rng: &mut Pcg64) {
    match rng.random_range(0..5) {
        0 | 1 => {
            let (kind, colour) = pick(rng, &withheld_colours());
            recast(shot, kind, rng);
            shot.actors[0].colour = colour;
        }
        2 | 3 => {
            let (kind, motion) = pick(rng, &withheld_motions());
            recast(shot, kind, rng);
            shot.actors[0].motion = motion;
            shot.actors[0].pace = pick(rng, Pace::ALL);
            if !keeps_relation(motion, shot.relation) {
                shot.relation = None;
            }
        }
        _ => {
            (shot.background, shot.weather) = pick(rng, &withheld_weathers());
        }
    }
    let colour = shot.actors[0].colour;
    if shot.background == Background::Plain && shot.plain_colour == colour {
        shot.plain_colour = if colour == Colour::Yellow { Colour::Blue } else { Colour::Yellow };
    }
    for at in 1..shot.actors.len() {
        let (kind, taken) = (shot.actors[at].kind, shot.actors.iter().map(|a| a.colour).collect::<Vec<_>>());
        if shot.actors[at].colour == colour {
            shot.actors[at].colour =
                pick_where(rng, Colour::ALL, |c| !taken.contains(&c) && !withholds_colour(kind, c));
        }
    }
}

/// Gives the main actor another kind; an extra that is of that kind takes the old one.
fn recast(shot: &mut Shot, kind: ActorKind, rng: &mut Pcg64) {
    let old = (shot.actors[0].kind, shot.actors[0].puppet);
    if let Some(extra) = shot.actors.iter_mut().skip(1).find(|extra| extra.kind == kind) {
        (extra.kind, extra.puppet) = old;
    }
    shot.actors[0].kind = kind;
    shot.actors[0].puppet = sample_puppet(rng, kind);
}

/// Whether actor 0 stays on its side of actor 1 while it moves so.
fn keeps_relation(motion: Motion, relation: Option<Relation>) -> bool {
    match relation {
        None => true,
        Some(Relation::LeftOf) => !matches!(motion, Motion::Left | Motion::Right),
        Some(Relation::Above) => !matches!(motion, Motion::Up | Motion::Down | Motion::Circles | Motion::Bounces),
        Some(Relation::Behind) => {
            matches!(motion, Motion::Spins | Motion::Sways | Motion::FadesIn | Motion::Still)
        }
    }
}

/// The colour of paper that would not show against the background.
fn vanishing(background: Background, time_of_day: TimeOfDay, plain_colour: Colour) -> Option<Colour> {
    match (background, time_of_day) {
        (Background::Plain, _) => Some(plain_colour),
        (_, TimeOfDay::Night) => Some(Colour::Black),
        (Background::SnowField, _) => Some(Colour::White),
        (Background::Meadow, _) => Some(Colour::Green),
        (Background::Sky | Background::Sea, TimeOfDay::Day) => Some(Colour::Blue),
        _ => None,
    }
}

fn sample_size(rng: &mut Pcg64, count: usize, main: Option<&Actor>) -> ActorSize {
    match (count, main.map(|main| main.size)) {
        (1, _) => [ActorSize::Small, ActorSize::Medium, ActorSize::Medium, ActorSize::Large][rng.random_range(0..4)],
        (2, None) => pick(rng, ActorSize::ALL),
        (2, Some(ActorSize::Small)) => pick(rng, ActorSize::ALL),
        (2, Some(ActorSize::Medium)) => pick(rng, &ActorSize::ALL[..2]),
        (_, None) => pick(rng, &ActorSize::ALL[..2]),
        _ => ActorSize::Small,
    }
}

fn sample_puppet(rng: &mut Pcg64, kind: ActorKind) -> Option<Puppet> {
    (kind == ActorKind::Puppet).then(|| Puppet {
        skin: pick(rng, Skin::ALL),
        hair_style: pick(rng, HairStyle::ALL),
        hair_colour: pick(rng, HairColour::ALL),
        hat: if rng.random_bool(0.4) { Hat::Bare } else { pick(rng, &Hat::ALL[1..]) },
        glasses: rng.random_bool(0.4),
    })
}

fn pick<T: Copy>(rng: &mut Pcg64, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}

/// A value that is allowed; the caller knows that there is one.
fn pick_where<T: Copy>(rng: &mut Pcg64, values: &[T], allowed: impl Fn(T) -> bool) -> T {
    loop {
        let value = pick(rng, values);
        if allowed(value) {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenes(mixture: &Mixture) -> Vec<Scene> {
        (0..3000).map(|seed| Scene::sample(seed, Split::Train, mixture)).collect()
    }

    fn share(scenes: &[Scene], has: impl Fn(&Scene) -> bool) -> f64 {
        scenes.iter().filter(|scene| has(scene)).count() as f64 / scenes.len() as f64
    }

    #[test]
    fn one_seed_one_scene() {
        let mixture = Mixture::default();
        assert_eq!(Scene::sample(7, Split::Train, &mixture), Scene::sample(7, Split::Train, &mixture));
        assert_ne!(Scene::sample(7, Split::Train, &mixture), Scene::sample(8, Split::Train, &mixture));
    }

    #[test]
    fn the_full_world_has_the_stated_shares() {
        let scenes = scenes(&Mixture::default());
        let close = |share: f64, stated: f64| assert!((share - stated).abs() < 0.03, "{share} is not {stated}");
        close(share(&scenes, |s| s.shots[0].actors.len() == 1), 0.55);
        close(share(&scenes, |s| s.shots[0].actors.len() == 3), 0.15);
        close(share(&scenes, |s| s.shots.len() == 2), 0.15);
        close(share(&scenes, |s| s.shots[0].camera != Camera::Still), 0.30);
        close(share(&scenes, |s| s.shots[0].weather != Weather::Clear), 0.45);
        for &kind in ActorKind::ALL {
            assert!(share(&scenes, |s| s.shots[0].main().kind == kind) > 0.03, "{kind:?}");
        }
    }

    #[test]
    fn the_simple_world_is_simple() {
        let scenes = scenes(&Mixture::simple());
        assert_eq!(share(&scenes, |s| s.shots.len() == 1 && s.shots[0].actors.len() == 1), 1.0);
    }

    #[test]
    fn only_the_main_actor_moves_and_only_puppets_have_looks() {
        for split in [Split::Train, Split::HeldOut] {
            for seed in 0..2000 {
                for shot in Scene::sample(seed, split, &Mixture::default()).shots {
                    assert!(shot.actors.iter().skip(1).all(|actor| actor.motion == Motion::Still));
                    assert!(shot.actors.iter().all(|a| a.puppet.is_some() == (a.kind == ActorKind::Puppet)));
                    assert!(keeps_relation(shot.main().motion, shot.relation), "seed {seed}");
                    assert!(shot.relation.is_none() || shot.actors.len() > 1);
                }
            }
        }
    }
}
