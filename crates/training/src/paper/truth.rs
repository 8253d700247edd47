//! What a scene shows, for whoever trains on it, judges it or adds sound to it.

use super::actors::pieces;
use super::motion::{Stage, bounce_rate_hz, pose, zoom};
use super::render::{stand, view};
use super::scene::{
    Actor, ActorKind, Background, Camera, Colour, Motion, Pace, Puppet, Relation, Scene, Shot, TimeOfDay, Weather,
};
use media::Size;
use serde::{Deserialize, Serialize};

/// A rectangle in shares of the frame, from the top left; reaches outside 0..1 where an actor leaves the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Box2 {
    /// Left edge in frame widths.
    pub x: f32,
    /// Top edge in frame heights.
    pub y: f32,
    /// Width in frame widths.
    pub w: f32,
    /// Height in frame heights.
    pub h: f32,
}

impl Box2 {
    /// The middle, (x, y).
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }
}

/// A box at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackPoint {
    /// From the beginning of the scene.
    pub time_s: f32,
    /// Where the silhouette is.
    pub area: Box2,
    /// 0..1; below 1 only while fading in.
    pub opacity: f32,
}

/// An actor and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorTruth {
    /// All its attributes.
    pub actor: Actor,
    /// Twelve points a second.
    pub track: Vec<TrackPoint>,
}

/// A shot and when it plays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShotTruth {
    /// From the beginning of the scene.
    pub start_s: f32,
    /// The next shot begins here.
    pub end_s: f32,
    /// In the order of the shot.
    pub actors: Vec<ActorTruth>,
}

/// Something that happens at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From the beginning of the scene.
    pub time_s: f32,
    /// What.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The main actor touches the ground.
    Bounce,
    /// The main actor begins to fade in.
    Enter,
    /// The next shot begins.
    Cut,
}

/// What is where, when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The length of the scene.
    pub duration_s: f32,
    /// In order.
    pub shots: Vec<ShotTruth>,
    /// In order of time.
    pub events: Vec<Event>,
    /// What a judge should answer.
    pub attributes: Attributes,
}

/// What a judge answers about a clip; about the first shot, except `cut`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The kinds that are present, sorted.
    pub actors: Vec<ActorKind>,
    /// The actors' colours, sorted (not the background's).
    pub colours: Vec<Colour>,
    /// What the main actor is.
    pub main_actor: ActorKind,
    /// The main actor's colour.
    pub main_colour: Colour,
    /// What the main actor does.
    pub motion: Motion,
    /// How quickly; nothing if it stays still.
    pub pace: Option<Pace>,
    /// Actors, 1..=3.
    pub count: usize,
    /// Main actor to the second one.
    pub relation: Option<Relation>,
    /// Where.
    pub background: Background,
    /// The weather.
    pub weather: Weather,
    /// The light.
    pub time_of_day: TimeOfDay,
    /// What the camera does.
    pub camera: Camera,
    /// Whether there are two shots.
    pub cut: bool,
    /// The main actor's looks if it is a puppet.
    pub puppet: Option<Puppet>,
}

impl Scene {
    /// What is where in frames of this size (compositions follow the aspect ratio).
    pub fn truth(&self, size: Size) -> Truth {
        let length_s = self.shot_duration_s();
        let shots = self.shots.iter().enumerate().map(|(at, shot)| {
            let start_s = at as f32 * length_s;
            let points = (length_s * 12.0).ceil() as usize;
            let track = |index| {
                let times = (0..points).map(|point| point as f32 / 12.0);
                times.map(|time_s| track_point(shot, index, start_s, time_s, length_s, size)).collect()
            };
            let actors = shot.actors.iter().cloned().enumerate();
            let actors = actors.map(|(index, actor)| ActorTruth { actor, track: track(index) }).collect();
            ShotTruth { start_s, end_s: start_s + length_s, actors }
        });
        Truth {
            duration_s: self.duration_s,
            shots: shots.collect(),
            events: self.events(),
            attributes: self.attributes(),
        }
    }

    /// The moments at which something happens, in order.
    pub fn events(&self) -> Vec<Event> {
        let length_s = self.shot_duration_s();
        let mut events = Vec::new();
        for (at, shot) in self.shots.iter().enumerate() {
            let start_s = at as f32 * length_s;
            if at > 0 {
                events.push(Event { time_s: start_s, kind: EventKind::Cut });
            }
            match shot.main().motion {
                Motion::Bounces => {
                    let rate_hz = bounce_rate_hz(shot.main().pace);
                    let times = (1..).map(|bounce| bounce as f32 / rate_hz).take_while(|&time_s| time_s < length_s);
                    events.extend(times.map(|time_s| Event { time_s: start_s + time_s, kind: EventKind::Bounce }));
                }
                Motion::FadesIn => events.push(Event { time_s: start_s, kind: EventKind::Enter }),
                _ => {}
            }
        }
        events
    }

    /// What a judge should answer about the scene.
    pub fn attributes(&self) -> Attributes {
        let shot = &self.shots[0];
        let main = shot.main();
        let mut actors: Vec<ActorKind> = shot.actors.iter().map(|actor| actor.kind).collect();
        let mut colours: Vec<Colour> = shot.actors.iter().map(|actor| actor.colour).collect();
        actors.sort();
        actors.dedup();
        colours.sort();
        colours.dedup();
        Attributes {
            actors,
            colours,
            main_actor: main.kind,
            main_colour: main.colour,
            motion: main.motion,
            pace: (main.motion != Motion::Still).then_some(main.pace),
            count: shot.actors.len(),
            relation: shot.relation,
            background: shot.background,
            weather: shot.weather,
            time_of_day: shot.time_of_day,
            camera: shot.camera,
            cut: self.shots.len() > 1,
            puppet: main.puppet,
        }
    }
}

fn track_point(shot: &Shot, index: usize, start_s: f32, time_s: f32, length_s: f32, size: Size) -> TrackPoint {
    let pose = pose(shot, index, time_s, length_s, Stage::new(size));
    let transform = view(size, zoom(shot.camera, time_s, length_s)).pre_concat(stand(&pose));
    let (mut left, mut top, mut right, mut bottom) = (f32::MAX, f32::MAX, f32::MIN, f32::MIN);
    for piece in pieces(&shot.actors[index], pose.stride_s).iter().filter(|piece| piece.silhouette) {
        for &(x, y) in &piece.outline {
            let mut point = tiny_skia::Point::from_xy(x, y);
            transform.map_point(&mut point);
            (left, right) = (left.min(point.x), right.max(point.x));
            (top, bottom) = (top.min(point.y), bottom.max(point.y));
        }
    }
    let (width, height) = (size.width.max(1) as f32, size.height.max(1) as f32);
    TrackPoint {
        time_s: start_s + time_s,
        area: Box2 { x: left / width, y: top / height, w: (right - left) / width, h: (bottom - top) / height },
        opacity: pose.opacity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Mixture, Split};

    const SIZES: [Size; 3] = [Size::new(144, 80), Size::new(80, 144), Size::new(112, 112)];

    /// Scenes of one shot whose main actor moves so, with a still camera.
    fn scenes(motion: Motion) -> impl Iterator<Item = Scene> {
        (0..4000)
            .map(|seed| Scene::sample(seed, Split::Train, &Mixture::default()))
            .filter(move |scene| scene.shots.len() == 1 && scene.shots[0].main().motion == motion)
            .map(|mut scene| {
                scene.shots[0].camera = Camera::Still;
                scene
            })
            .take(40)
    }

    /// Every pair of boxes 1.4 s apart must satisfy the claim.
    fn check(motion: Motion, claim: impl Fn(Box2, Box2) -> bool) {
        for scene in scenes(motion) {
            for size in SIZES {
                let truth = scene.truth(size);
                let track = &truth.shots[0].actors[0].track;
                for (from, to) in track.iter().zip(&track[17..]) {
                    assert!(
                        claim(from.area, to.area),
                        "seed {} at {size}: {:?} → {:?}",
                        scene.seed,
                        from.area,
                        to.area
                    );
                }
            }
        }
    }

    /// The whole track of centres of the middle must satisfy the claim.
    fn check_track(motion: Motion, claim: impl Fn(&[TrackPoint]) -> bool) {
        for scene in scenes(motion) {
            for size in SIZES {
                let truth = scene.truth(size);
                assert!(claim(&truth.shots[0].actors[0].track), "{motion:?}, seed {} at {size}", scene.seed);
            }
        }
    }

    #[test]
    fn crossings_cross() {
        check(Motion::Left, |from, to| to.centre().0 < from.centre().0 - 0.05);
        check(Motion::Right, |from, to| to.centre().0 > from.centre().0 + 0.05);
        check(Motion::Up, |from, to| to.centre().1 < from.centre().1 - 0.05);
        check(Motion::Down, |from, to| to.centre().1 > from.centre().1 + 0.05);
    }

    #[test]
    fn sizes_change_and_stillness_stays() {
        check(Motion::Grows, |from, to| to.h > from.h * 1.2);
        check(Motion::Shrinks, |from, to| to.h < from.h / 1.2);
        check(Motion::Still, |from, to| from == to);
        check(Motion::FadesIn, |from, to| from == to);
    }

    #[test]
    fn rhythms_come_and_go() {
        let spread = |track: &[TrackPoint], of: fn(Box2) -> f32| {
            let values = track.iter().map(|point| of(point.area));
            values.clone().fold(f32::MIN, f32::max) - values.fold(f32::MAX, f32::min)
        };
        check_track(Motion::Bounces, |track| spread(track, |b| b.y) > 0.09 && spread(track, |b| b.x) < 0.12);
        check_track(Motion::Circles, |track| {
            spread(track, |b| b.centre().0) > 0.15 && spread(track, |b| b.centre().1) > 0.15
        });
        check_track(Motion::FadesIn, |track| track[0].opacity < 0.05 && track[35].opacity == 1.0);
    }

    #[test]
    fn who_spins_turns_well_within_a_glance() {
        for scene in scenes(Motion::Spins) {
            let angle = |time_s| pose(&scene.shots[0], 0, time_s, 4.0, Stage::new(SIZES[0])).angle_rad;
            assert!(angle(2.4) - angle(1.0) > 2.0);
        }
    }

    #[test]
    fn who_sways_leans_to_both_sides() {
        for scene in scenes(Motion::Sways) {
            let pose = |step: i32| pose(&scene.shots[0], 0, 1.0 + step as f32 / 12.0, 4.0, Stage::new(SIZES[0]));
            let (left, right) = (0..30).map(pose).fold((pose(0), pose(0)), |(left, right), now| {
                (if now.x < left.x { now } else { left }, if now.x > right.x { now } else { right })
            });
            assert!(right.x - left.x > 0.1 && left.angle_rad < -0.3 && right.angle_rad > 0.3);
        }
    }

    #[test]
    fn actors_stay_mostly_in_the_picture_for_four_seconds() {
        let mut worst: f32 = 1.0;
        for seed in 0..1500 {
            let mut scene = Scene::sample(seed, Split::Train, &Mixture::default());
            scene.shots.iter_mut().for_each(|shot| shot.camera = Camera::Still);
            for size in SIZES {
                for shot in scene.truth(size).shots {
                    for actor in &shot.actors {
                        let seen = |b: Box2| {
                            let inside =
                                |from: f32, side: f32| ((from + side).min(1.0) - from.max(0.0)).max(0.0) / side;
                            inside(b.x, b.w) * inside(b.y, b.h)
                        };
                        let share = actor.track.iter().map(|point| seen(point.area)).fold(1.0, f32::min);
                        assert!(share > 0.45, "seed {seed} at {size}: {:?} shows {share}", actor.actor);
                        worst = worst.min(share);
                    }
                }
            }
        }
        assert!(worst < 1.0, "nobody ever touches an edge: the test sees nothing");
    }

    #[test]
    fn relations_hold_all_the_time() {
        for seed in 0..2500 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::default());
            for size in SIZES {
                let truth = scene.truth(size);
                for (shot, seen) in scene.shots.iter().zip(&truth.shots) {
                    let Some(relation) = shot.relation else { continue };
                    for (a, b) in seen.actors[0].track.iter().zip(&seen.actors[1].track) {
                        let (a, b) = (a.area, b.area);
                        let (right, below) = (b.centre().0 - a.centre().0, b.centre().1 - a.centre().1);
                        let overlaps = a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
                        let holds = match relation {
                            Relation::LeftOf => right > 0.1,
                            Relation::Above => below > 0.1,
                            Relation::Behind => overlaps,
                        };
                        assert!(holds, "seed {seed} at {size}: {relation:?} {:?} {a:?} {b:?}", shot.main());
                    }
                }
            }
        }
    }

    #[test]
    fn events_are_where_they_are_heard() {
        let scene = scenes(Motion::Bounces).next().expect("something bounces");
        let rate = bounce_rate_hz(scene.shots[0].main().pace);
        assert_eq!(scene.events().len(), (4.0 * rate) as usize);
        let truth = scene.truth(SIZES[0]);
        let lowest = truth.shots[0].actors[0].track.iter().map(|p| p.area.y + p.area.h).fold(f32::MIN, f32::max);
        let at_bounce = track_point(&scene.shots[0], 0, 0.0, scene.events()[0].time_s + 1e-4, 4.0, SIZES[0]).area;
        assert!((at_bounce.y + at_bounce.h - lowest).abs() < 0.02);
    }
}
