//! Prompts, pictures and clips become clips.

use std::io::Read as _;
use std::process::Stdio;

use media::{Frame, Size, encode_png};
use serde_json::Value;

use crate::{Desk, read};

#[test]
fn a_prompt_becomes_a_clip_of_the_size_and_length_asked_for() {
    let desk = Desk::new();
    desk.succeed(&[
        "generate",
        "a yellow star spins",
        "--steps",
        "2",
        "--seed",
        "5",
        "--size",
        "720x1280",
        "-o",
        "star.mp4",
    ]);
    let clip = read(&desk.path("star.mp4"));
    assert_eq!(clip.size(), Size::new(720, 1280));
    assert_eq!((clip.frames().len(), clip.frame_rate().as_f64()), (48, 12.0));
    assert_eq!(desk.files(), [desk.path("star.mp4")]);
}

#[test]
fn the_same_recipe_gives_the_same_frames_and_another_seed_gives_others() {
    let desk = Desk::new();
    let [first, again, other] =
        [("a.mp4", "1"), ("b.mp4", "1"), ("c.mp4", "2")].map(|(name, seed)| read(&desk.clip(name, seed)));
    assert!(first == again);
    assert!(first != other);
}

/// What the shipped weights make of one recipe: a dusk sky over a sea, and a boat whose hull is red. New weights change the figures.
#[test]
fn a_fixed_recipe_looks_as_it_did() {
    let desk = Desk::new();
    desk.succeed(&[
        "generate",
        "a red boat sails right on the sea at dusk",
        "--steps",
        "6",
        "--seed",
        "1",
        "--candidates",
        "1",
        "--no-upscale",
        "--no-visible-mark",
        "-o",
        "boat.mp4",
    ]);
    let clip = read(&desk.path("boat.mp4"));
    let frame = &clip.frames()[24];
    let row_bytes = 3 * frame.size().width as usize;
    let mean = |rows: std::ops::Range<usize>| -> [f64; 3] {
        let pixels = &frame.rgb()[rows.start * row_bytes..rows.end * row_bytes];
        std::array::from_fn(|channel| {
            let values = pixels.iter().skip(channel).step_by(3);
            values.map(|&value| f64::from(value)).sum::<f64>() / (pixels.len() / 3) as f64
        })
    };
    // Products in 16 bits and in 32 land a little apart.
    const APART: f64 = 12.0;
    for (rows, expected) in [(0..36, [138.6, 77.5, 133.7]), (108..144, [82.8, 94.2, 143.2])] {
        let seen = mean(rows.clone());
        let apart = seen.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < APART, "rows {rows:?} are {seen:?}, not {expected:?}");
    }
    let lower = &frame.rgb()[72 * row_bytes..];
    let red = lower.chunks_exact(3).filter(|pixel| pixel[0] > 150 && pixel[1] < 90 && pixel[2] < 90).count();
    assert!((400..1200).contains(&red), "{red} pixels of the lower half are red");
}

#[test]
fn json_tells_the_recipe_of_every_variation() {
    let desk = Desk::new();
    let told = desk.succeed(&[
        "generate",
        "a dog",
        "--no-upscale",
        "--steps",
        "2",
        "--seed",
        "7",
        "-n",
        "2",
        "--json",
        "-o",
        "x.mp4",
    ]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told[0]["file"], "x-1.mp4");
    assert_eq!(told[1]["recipe"]["seed"], 8);
    assert_eq!(told[0]["recipe"]["prompt"], "a dog");
    assert_eq!(told[0]["recipe"]["num_inference_steps"], 2);
    assert_eq!(told[0]["unknown_words"][0], "dog");
    assert!(desk.path("x-2.mp4").exists());
}

#[test]
fn what_a_clip_was_chosen_from_and_what_was_left_out_is_told() {
    let desk = Desk::new();
    let recipe = |prompt: &str, more: &[&str]| -> Value {
        let plain = ["generate", prompt, "--no-upscale", "--steps", "2", "--seed", "7", "--json", "-o", "x.mp4"];
        let told = desk.succeed(&[&plain[..], more].concat());
        serde_json::from_str::<Value>(&told).unwrap()[0]["recipe"].clone()
    };
    let frames = || read(&desk.path("x.mp4")).frames().to_vec();
    assert_eq!(recipe("a red boat", &["--candidates", "3"])["candidates"], 3);
    let chosen = frames();
    assert_eq!(recipe("a red boat", &["--candidates", "3"])["seed"], 7);
    assert!(chosen == frames(), "chosen otherwise the second time");
    assert_eq!(recipe("a red boat", &["--candidates", "1"])["candidates"], Value::Null);
    // Nobody whom it knows is named, so there is nothing to choose by.
    assert_eq!(recipe("quantum chromodynamics", &["--candidates", "3"])["candidates"], Value::Null);
    let hurried = recipe("a red boat", &["--step-cache", "0.5", "--guidance-interval", "0.5,1"]);
    assert_eq!((&hurried["step_cache"], &hurried["guidance_interval"][0]), (&0.5.into(), &0.5.into()));
}

#[test]
fn a_picture_becomes_the_first_frame() {
    let desk = Desk::new();
    let picture = Frame::filled(Size::new(192, 192), [230, 190, 60]);
    std::fs::write(desk.path("first.png"), encode_png(&picture).unwrap()).unwrap();
    desk.succeed(&[
        "generate",
        "a red ball",
        "--image",
        "first.png",
        "--no-upscale",
        "--no-visible-mark",
        "--steps",
        "3",
        "--seed",
        "1",
        "-o",
        "ball.mp4",
    ]);
    let clip = read(&desk.path("ball.mp4"));
    assert_eq!(clip.size(), Size::new(192, 192), "the picture decides the shape");
    let error: f64 =
        clip.frames()[0].rgb().iter().zip(picture.rgb()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let psnr_db = 10.0 * (255.0f64.powi(2) / (error / picture.rgb().len() as f64)).log10();
    assert!(psnr_db >= 22.0, "{psnr_db} dB");
}

#[test]
fn a_reference_picture_is_taken() {
    let desk = Desk::new();
    std::fs::write(desk.path("card.png"), encode_png(&Frame::filled(Size::new(90, 120), [240, 235, 220])).unwrap())
        .unwrap();
    let told = desk.succeed(&[
        "generate",
        "a person walks left",
        "--reference",
        "card.png",
        "--no-upscale",
        "--steps",
        "2",
        "--seed",
        "1",
        "--json",
        "-o",
        "x.mp4",
    ]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()[0]["recipe"]["references"], 1);
}

#[test]
fn an_extension_goes_on_from_its_clip_and_names_it_as_parent() {
    let desk = Desk::new();
    let source = read(&desk.clip("boat.mp4", "1"));
    desk.succeed(&[
        "generate",
        "it rains",
        "--extend",
        "boat.mp4",
        "--no-upscale",
        "--steps",
        "3",
        "--seed",
        "2",
        "-o",
        "long.mp4",
    ]);
    let long = read(&desk.path("long.mp4"));
    assert_eq!(long.frames().len(), source.frames().len() + 48);
    let told: Value = serde_json::from_str(&desk.succeed(&["verify", "long.mp4", "--json"])).unwrap();
    assert_eq!(told["action"], "extended");
    assert_eq!(told["parents"].as_array().unwrap().len(), 1);
}

/// The mean difference of two frames in steps of 8 bits.
fn apart(a: &Frame, b: &Frame) -> f64 {
    let sum: u64 = a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.rgb().len() as f64
}

#[test]
fn what_is_new_leads_up_to_a_clip_round_it_or_from_one_to_another() {
    let desk = Desk::new();
    let source = read(&desk.clip("boat.mp4", "1"));
    let other = read(&desk.clip("other.mp4", "5"));
    let frames = source.frames().len();
    let make = |name: &str, how: &[&str]| {
        let plain = ["generate", "a red boat", "--no-upscale", "--steps", "4", "--seed", "2", "-o", name];
        desk.succeed(&[&plain[..], how].concat());
        let told: Value = serde_json::from_str(&desk.succeed(&["verify", name, "--json"])).unwrap();
        assert_eq!(told["action"], "extended", "{told}");
        let parents = told["parents"].as_array().unwrap().len();
        (read(&desk.path(name)), told["recipe"]["source"].as_str().unwrap().to_owned(), parents)
    };
    // Frames of the clips are in it as they were, but for being encoded again.
    let same = |made: &[Frame], known: &[Frame]| {
        assert_eq!(made.len(), known.len());
        made.iter().zip(known).for_each(|(made, known)| assert!(apart(made, known) < 4.0));
    };
    let (before, name, parents) = make("before.mp4", &["--precede", "boat.mp4"]);
    assert_eq!((before.frames().len(), name.as_str(), parents), (frames + 48, "precede", 1));
    same(&before.frames()[48..], source.frames());

    let (round, name, parents) = make("round.mp4", &["--loop", "boat.mp4"]);
    assert_eq!((round.frames().len(), name.as_str(), parents), (frames + 48, "loop", 1));
    same(&round.frames()[..frames], source.frames());

    let (both, name, parents) = make("both.mp4", &["--bridge", "boat.mp4", "other.mp4"]);
    assert_eq!((both.frames().len(), name.as_str(), parents), (frames * 2 + 48, "bridge", 2));
    same(&both.frames()[..frames], source.frames());
    same(&both.frames()[frames + 48..], other.frames());

    let message = desk.fail(2, &["generate", "x", "--loop", "boat.mp4", "--extend", "boat.mp4", "-o", "x.mp4"]);
    assert!(message.contains("cannot be used with"), "{message}");
}

#[test]
fn a_clip_goes_from_one_picture_to_another() {
    let desk = Desk::new();
    let pictures = ["1", "5"].map(|seed| {
        let name = format!("{seed}.png");
        let frame = read(&desk.clip("clip.mp4", seed)).frames()[20].clone();
        std::fs::write(desk.path(&name), media::encode_png(&frame).unwrap()).unwrap();
        frame
    });
    let plain = ["generate", "a red boat", "--no-upscale", "--no-visible-mark", "--seed", "2", "--image", "1.png"];
    desk.succeed(&[&plain[..], &["--last-image", "5.png", "-o", "way.mp4"]].concat());
    desk.succeed(&[&plain[..], &["-o", "free.mp4"]].concat());
    let (way, free) = (read(&desk.path("way.mp4")), read(&desk.path("free.mp4")));
    assert_eq!(way.frames().len(), 48);
    assert!(apart(&way.frames()[0], &pictures[0]) < 12.0);
    let (arrived, elsewhere) = (apart(&way.frames()[47], &pictures[1]), apart(&free.frames()[47], &pictures[1]));
    assert!(arrived < 12.0 && arrived < elsewhere / 2.0, "{arrived}, without it {elsewhere}");
}

#[test]
fn a_storyboard_becomes_a_film() {
    let desk = Desk::new();
    let board = r#"{ "storyboard": 1, "title": "A boat goes home", "size": "256x144", "seed": 7, "shots": [
        { "prompt": "a red boat sails right on the sea" },
        { "prompt": "a red boat on the sea in the rain", "join": "continue" } ] }"#;
    std::fs::write(desk.path("board.json"), board).unwrap();
    let told = desk.succeed(&["storyboard", "board.json", "-o", "film.mp4", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["frames"], &told["recipes"][1]["source"]), (&96.into(), &"extend".into()));
    assert_eq!(read(&desk.path("film.mp4")).frames().len(), 96);
    let report: Value = serde_json::from_str(&desk.succeed(&["verify", "film.mp4", "--json"])).unwrap();
    assert_eq!(report["title"], "A boat goes home");
    assert_eq!(report["recipe"]["storyboard"], serde_json::from_str::<Value>(board).map(with_defaults).unwrap());

    std::fs::write(desk.path("wrong.json"), board.replace("continue", "melt")).unwrap();
    assert!(desk.fail(2, &["storyboard", "wrong.json"]).contains("melt"));
    std::fs::write(desk.path("wrong.json"), board.replace("\"join\": \"continue\"", "\"image\": \"none.png\""))
        .unwrap();
    let message = desk.fail(2, &["storyboard", "wrong.json"]);
    assert!(message.contains("shot 2") && message.contains("none.png"), "{message}");
}

/// What a storyboard leaves out is written down in the film.
fn with_defaults(mut board: Value) -> Value {
    for shot in board["shots"].as_array_mut().unwrap() {
        let shot = shot.as_object_mut().unwrap();
        shot.entry("seconds").or_insert(4.into());
        shot.entry("join").or_insert("cut".into());
    }
    board
}

#[test]
fn an_edit_keeps_the_length_of_its_clip() {
    let desk = Desk::new();
    desk.clip("boat.mp4", "1");
    desk.succeed(&[
        "generate",
        "a green boat",
        "--edit",
        "boat.mp4",
        "--strength",
        "0.5",
        "--no-upscale",
        "--steps",
        "3",
        "--seed",
        "2",
        "-o",
        "green.mp4",
    ]);
    assert_eq!(read(&desk.path("green.mp4")).frames().len(), 48);
    let told: Value = serde_json::from_str(&desk.succeed(&["verify", "green.mp4", "--json"])).unwrap();
    assert_eq!(told["action"], "edited");
}

#[test]
fn ctrl_c_stops_and_leaves_nothing() {
    let desk = Desk::new();
    let mut child = desk
        .command(&["generate", "a red boat", "--steps", "200", "--seconds", "20", "-o", "boat.mp4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The advice about the unknown word is not given here, so wait for the key: it is made just before the work.
    while !desk.path("home/keys/root.pem").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
        std::thread::yield_now();
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert!(message.contains("stopped"), "{message}");
    assert!(desk.files().is_empty(), "{:?}", desk.files());
}
