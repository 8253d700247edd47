//! Which compositions are withheld from training, so that evaluation can ask for what was never seen together.

use super::scene::{ActorKind, Background, Colour, Motion, Scene, Shot, Weather};
use serde::{Deserialize, Serialize};

/// Which side of the wall a scene is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// No withheld composition anywhere in the scene.
    Train,
    /// At least one withheld composition.
    HeldOut,
}

/// The background and weather pairs that training never sees (4 of 36).
const WITHHELD_WEATHER: [(Background, Weather); 4] = [
    (Background::Desert, Weather::Snow),
    (Background::City, Weather::Wind),
    (Background::Meadow, Weather::Rain),
    (Background::Sea, Weather::Snow),
];

/// Whether training never sees this actor in this colour (22 of 176; two per colour, one or two per actor).
///
/// The pairs lie on a lattice over the class indices, so they are spread evenly and stay the same as long as the enums
/// keep their order.
pub fn withholds_colour(kind: ActorKind, colour: Colour) -> bool {
    (kind.index() * 7 + colour.index() * 3).is_multiple_of(8)
}

/// Whether training never sees this actor move like this (about one in ten). Staying still is never withheld, because
/// every actor but the first does so.
pub fn withholds_motion(kind: ActorKind, motion: Motion) -> bool {
    motion != Motion::Still && (kind.index() * 5 + motion.index() * 4) % 9 == 2
}

/// Whether training never sees this weather there. Clear weather is never withheld.
pub fn withholds_weather(background: Background, weather: Weather) -> bool {
    WITHHELD_WEATHER.contains(&(background, weather))
}

/// Every withheld actor and colour.
pub fn withheld_colours() -> Vec<(ActorKind, Colour)> {
    pairs(ActorKind::ALL, Colour::ALL, withholds_colour)
}

/// Every withheld actor and motion.
pub fn withheld_motions() -> Vec<(ActorKind, Motion)> {
    pairs(ActorKind::ALL, Motion::ALL, withholds_motion)
}

/// Every withheld background and weather.
pub fn withheld_weathers() -> Vec<(Background, Weather)> {
    pairs(Background::ALL, Weather::ALL, withholds_weather)
}

fn pairs<A: Copy, B: Copy>(left: &[A], right: &[B], withheld: fn(A, B) -> bool) -> Vec<(A, B)> {
    left.iter().flat_map(|&a| right.iter().map(move |&b| (a, b))).filter(|&(a, b)| withheld(a, b)).collect()
}

impl Shot {
    /// Whether any composition in this shot is withheld from training.
    pub fn is_withheld(&self) -> bool {
        withholds_weather(self.background, self.weather)
            || self
                .actors
                .iter()
                .any(|actor| withholds_colour(actor.kind, actor.colour) || withholds_motion(actor.kind, actor.motion))
    }
}

impl Scene {
    /// Which side of the wall the scene is on.
    pub fn split(&self) -> Split {
        if self.shots.iter().any(Shot::is_withheld) { Split::HeldOut } else { Split::Train }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::Mixture;

    #[test]
    fn the_withheld_shares_are_as_stated_and_leave_plenty() {
        let share = |withheld: usize, all: usize| withheld as f64 / all as f64;
        let (colours, motions, weathers) = (withheld_colours(), withheld_motions(), withheld_weathers());
        assert!((0.10..=0.14).contains(&share(colours.len(), 16 * 11)), "{}", colours.len());
        assert!((0.08..=0.12).contains(&share(motions.len(), 16 * 12)), "{}", motions.len());
        assert!((0.10..=0.14).contains(&share(weathers.len(), 9 * 4)), "{}", weathers.len());
        for &kind in ActorKind::ALL {
            assert!(colours.iter().filter(|pair| pair.0 == kind).count() <= 2, "{kind:?}");
            assert!(motions.iter().filter(|pair| pair.0 == kind).count() <= 2, "{kind:?}");
        }
        for &colour in Colour::ALL {
            assert!(colours.iter().filter(|pair| pair.1 == colour).count() <= 2, "{colour:?}");
        }
        for &motion in Motion::ALL {
            assert!(motions.iter().filter(|pair| pair.1 == motion).count() <= 3, "{motion:?}");
        }
    }

    #[test]
    fn the_readme_prompt_may_be_learned() {
        assert!(!withholds_colour(ActorKind::Boat, Colour::Red));
        assert!(!withholds_motion(ActorKind::Boat, Motion::Right));
    }

    #[test]
    fn training_scenes_hold_nothing_withheld_and_held_out_scenes_do() {
        for mixture in [Mixture::default(), Mixture::simple()] {
            for seed in 0..2000 {
                assert_eq!(Scene::sample(seed, Split::Train, &mixture).split(), Split::Train, "seed {seed}");
                let held_out = Scene::sample(seed, Split::HeldOut, &mixture);
                assert_eq!(held_out.split(), Split::HeldOut, "seed {seed}");
                assert!(held_out.shots[0].is_withheld(), "seed {seed}: the judge looks at the first shot");
            }
        }
    }
}
