//! Says which changed copies of clips of the paper world are known again, which other clips are taken for copies, and how long asking takes:
//! `cargo run --release -p training --example copies -- 100`.

use std::time::Instant;

use media::{
    Clip, ClipLook, Filter, Frame, FrameHash, FrameRate, PictureLimits, Quality, ReadLimits, Size, encode_jpeg,
    hash_clip, is_seen_again, read_mp4, read_picture, resize, write_mp4,
};
use training::FRAME_RATE;
use training::paper::{Background, Mixture, Renderer, Scene, Split, TimeOfDay};

const SIZE: Size = Size::new(320, 180);

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(100, |text| text.parse().expect("how many clips"));
    let scenes: Vec<_> = (0..count).map(scene).collect();
    let films: Vec<_> = scenes.iter().map(film).collect();
    let known: Vec<_> = films.iter().map(|film| straight(film)).collect();

    println!("copies that are known, of {count}");
    let second = FRAME_RATE as usize;
    type Change = fn(&Frame) -> Frame;
    let copies: [(&str, u8, std::ops::Range<usize>, Change); 10] = [
        ("encoded anew, quantiser 40", 40, 0..48, Clone::clone),
        ("half as large, quantiser 36", 36, 0..48, |frame| resize(frame, half(frame.size()), Filter::CatmullRom)),
        ("20 of 255 brighter", 30, 0..48, |frame| levels(frame, |level| level + 20.0)),
        ("40 of 255 brighter", 30, 0..48, |frame| levels(frame, |level| level + 40.0)),
        ("a fifth flatter", 30, 0..48, |frame| levels(frame, |level| 128.0 + (level - 128.0) * 0.8)),
        ("a second cut off", 30, second..48, Clone::clone),
        ("a second cut out", 30, second..second * 2, Clone::clone),
        ("mirrored", 30, 0..48, mirrored),
        ("a twentieth of each side cut off", 30, 0..48, |frame| cropped(frame, 0.05)),
        ("a tenth of each side cut off", 30, 0..48, |frame| cropped(frame, 0.10)),
    ];
    for (what, quantiser, range, change) in copies {
        let changed = |film: &Vec<u8>| encoded(frames(film)[range.clone()].iter().map(change).collect(), quantiser);
        let seen = films.iter().zip(&known).filter(|(film, known)| is_seen_again(known, &look(&changed(film)).frames));
        println!("{:5}  {what}", seen.count());
    }
    let stills = films.iter().zip(&known).filter(|(film, known)| {
        let frame = &frames(film)[25];
        let jpeg = encode_jpeg(&resize(frame, half(SIZE), Filter::CatmullRom), 50).expect("a JPEG");
        is_seen_again(known, &[FrameHash::of(&read_picture(&jpeg, &PictureLimits::default()).expect("a picture"))])
    });
    println!("{:5}  a still, half as large, JPEG of quality 50", stills.count());

    println!("other clips that are taken for copies");
    let looks: Vec<_> = films.iter().map(|film| look(film).frames).collect();
    let (wrong, pairs) = mistaken(&known, &looks);
    println!("{wrong:5}  of {pairs} pairs of any two");
    let (mut sum, mut all, mut stills) = (0, 0, 0);
    for ground in Background::ALL {
        let same = (1_000..).map(scene).filter(|scene| {
            let shot = &scene.shots[0];
            let day = shot.time_of_day == TimeOfDay::Day || *ground == Background::NightSky;
            scene.shots.len() == 1 && shot.background == *ground && day
        });
        let looks: Vec<_> = same.take(10).map(|scene| look(&film(&scene)).frames).collect();
        let known: Vec<Vec<_>> = looks.iter().map(|look| look.iter().map(|hash| hash.straight).collect()).collect();
        let (wrong_here, pairs) = mistaken(&known, &looks);
        (sum, all) = (sum + wrong_here, all + pairs);
        stills += mistaken(&known, &looks.iter().map(|look| look[..1].to_vec()).collect::<Vec<_>>()).0;
    }
    println!("{sum:5}  of {all} pairs on the same background, by day; of their first pictures {stills}");
    let twins: Vec<_> = (0..scenes.len()).map(|at| look(&film(&recast(&scenes, at))).frames).collect();
    let taken = |cut: fn(&[FrameHash]) -> &[FrameHash]| {
        known.iter().zip(&twins).filter(|(known, twin)| is_seen_again(known, cut(twin))).count()
    };
    let (whole, first) = (taken(|twin| twin), taken(|twin| &twin[..1]));
    println!(
        "{whole:5}  of {count} pairs of one seed, one scenery to the pixel and other actors; of their first pictures {first}"
    );

    let many: Vec<_> = known.iter().cycle().take(5_000).collect();
    let start = Instant::now();
    let seen = many.iter().filter(|known| is_seen_again(known, &looks[0])).count();
    println!("{:.0} ms to ask 5,000 clips about one of 4 s ({seen} alike)", start.elapsed().as_secs_f64() * 1e3);
}

fn scene(seed: u64) -> Scene {
    Scene::sample(seed, Split::Train, &Mixture::default())
}

/// A scene with the actors of another.
fn recast(scenes: &[Scene], at: usize) -> Scene {
    let mut scene = scenes[at].clone();
    let other = &scenes[(at + 7) % scenes.len()];
    for (shot, from) in scene.shots.iter_mut().zip(other.shots.iter().cycle()) {
        (shot.actors, shot.relation) = (from.actors.clone(), from.relation);
    }
    scene
}

fn film(scene: &Scene) -> Vec<u8> {
    let renderer = Renderer::new(scene, SIZE);
    encoded((0..48).map(|at| renderer.frame(at as f32 / FRAME_RATE as f32)).collect(), Quality::default().qp())
}

fn encoded(frames: Vec<Frame>, quantiser: u8) -> Vec<u8> {
    let clip = Clip::new(frames, FrameRate::whole(FRAME_RATE)).expect("frames of one size");
    write_mp4(&clip, Quality::from_qp(quantiser).expect("a quantiser")).expect("a film")
}

fn frames(film: &[u8]) -> Vec<Frame> {
    read_mp4(film, &ReadLimits::default()).expect("a film of ours").into_frames()
}

fn look(film: &[u8]) -> ClipLook {
    hash_clip(film, &ReadLimits::default()).expect("a film of ours")
}

fn straight(film: &[u8]) -> Vec<[u8; 32]> {
    look(film).frames.iter().map(|hash| hash.straight).collect()
}

/// How many of all pairs of two different clips are taken for copies, and how many pairs there are.
fn mistaken(known: &[Vec<[u8; 32]>], looks: &[Vec<FrameHash>]) -> (usize, usize) {
    let pairs = (0..known.len()).flat_map(|a| (0..looks.len()).map(move |b| (a, b))).filter(|(a, b)| a != b);
    pairs.fold((0, 0), |(wrong, all), (a, b)| (wrong + usize::from(is_seen_again(&known[a], &looks[b])), all + 1))
}

fn half(size: Size) -> Size {
    Size::new(size.width / 2, size.height / 2)
}

fn levels(frame: &Frame, change: impl Fn(f32) -> f32) -> Frame {
    let mut frame = frame.clone();
    frame.rgb_mut().iter_mut().for_each(|level| *level = change(f32::from(*level)).clamp(0.0, 255.0) as u8);
    frame
}

fn mirrored(frame: &Frame) -> Frame {
    let mut rgb = Vec::with_capacity(frame.rgb().len());
    for line in frame.rgb().chunks_exact(frame.size().width as usize * 3) {
        line.chunks_exact(3).rev().for_each(|pixel| rgb.extend_from_slice(pixel));
    }
    Frame::new(frame.size(), rgb).expect("as many pixels")
}

/// The middle of a frame at the size of the whole.
fn cropped(frame: &Frame, share: f32) -> Frame {
    let Size { width, height } = frame.size();
    let (left, top) = ((width as f32 * share / 2.0) as u32, (height as f32 * share / 2.0) as u32);
    let size = Size::new(width - 2 * left, height - 2 * top);
    let places = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
    let rgb = places.flat_map(|(x, y)| frame.pixel(x + left, y + top)).collect();
    resize(&Frame::new(size, rgb).expect("as many pixels"), frame.size(), Filter::CatmullRom)
}
