//! Sign, then verify.

use provenance::{
    Action, SignError, State, TrainingChoice, Trust, TrustedRoots, VisibleMark, sign, sign_picture, verify,
};

use crate::{CLIP, created, installation, made_from};

#[test]
fn a_signed_file_tells_everything() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap();
    let report = verify(signed.bytes(), &TrustedRoots::installation(&key));

    assert_eq!(report.state, State::Untouched, "{report:#?}");
    let signer = report.signer.as_ref().unwrap();
    assert_eq!((signer.organisation.as_str(), signer.trust), ("Paper Studio", Trust::ThisInstallation));
    assert_eq!(report.made_at.as_deref(), Some("2026-11-23T21:30:00Z"));
    assert_eq!(report.signed_at, None);
    assert_eq!(report.title.as_deref(), Some("a red boat sails right"));
    assert_eq!(report.action, Some(Action::Created));
    assert!(report.generated);
    assert_eq!(report.software_agent, Some(created().software_agent));
    assert_eq!(report.model, Some(created().model));
    assert_eq!(report.recipe, Some(created().recipe));
    assert_eq!(report.training, Some(TrainingChoice::NotAllowed));
    assert_eq!(report.visible_mark, Some(true));
    assert!(report.parents.is_empty());
    assert!(report.codes.iter().any(|code| code == "signingCredential.trusted"), "{:?}", report.codes);

    let summary = report.summary();
    for words in [
        "UNTOUCHED",
        "Paper Studio",
        "this installation, not on the public trust list",
        "2026-11-23",
        "trained model",
        "paper-1-nano",
    ] {
        assert!(summary.contains(words), "{words:?} is not in\n{summary}");
    }
    assert!(summary.lines().count() <= 24);
}

#[test]
fn the_other_choices_are_told_too() {
    let (_dir, key) = installation("Paper Studio");
    let facts = provenance::Provenance {
        training: TrainingChoice::Allowed,
        visible_mark: false,
        recipe: serde_json::Value::Null,
        ..created()
    };
    let report = verify(sign(CLIP, &facts, &key).unwrap().bytes(), &TrustedRoots::none());
    assert_eq!(report.training, Some(TrainingChoice::Allowed));
    assert_eq!((report.visible_mark, report.recipe), (Some(false), None));
}

#[test]
fn parents_are_kept_over_two_generations() {
    let (_dir, key) = installation("Paper Studio");
    let first = sign(CLIP, &created(), &key).unwrap();
    let second = sign(CLIP, &made_from(first.bytes(), Action::Extended, "longer"), &key).unwrap();
    let third = sign(CLIP, &made_from(second.bytes(), Action::Edited, "in snow"), &key).unwrap();

    let report = verify(third.bytes(), &TrustedRoots::installation(&key));
    assert_eq!((report.state, report.action), (State::Untouched, Some(Action::Edited)), "{report:#?}");
    let [parent] = report.parents.as_slice() else { panic!("{report:#?}") };
    assert_eq!((parent.state, parent.title.as_deref()), (State::Untouched, Some("longer")));
    assert_eq!(parent.signer.as_ref().unwrap().trust, Trust::ThisInstallation);
    let [grandparent] = parent.parents.as_slice() else { panic!("{report:#?}") };
    assert_eq!((grandparent.state, grandparent.title.as_deref()), (State::Untouched, Some("a red boat sails right")));
    assert_eq!(grandparent.action, Some(Action::Created));

    let middle = verify(second.bytes(), &TrustedRoots::installation(&key));
    assert_eq!(middle.action, Some(Action::Extended));
}

#[test]
fn what_is_placed_behind_the_parent_is_told_too() {
    let (_dir, key) = installation("Paper Studio");
    let [one, other] = ["one", "other"]
        .map(|title| sign(CLIP, &provenance::Provenance { title: title.to_owned(), ..created() }, &key).unwrap());
    let facts = provenance::Provenance {
        placed: vec![other.bytes(), CLIP],
        ..made_from(one.bytes(), Action::Extended, "one into the other")
    };
    let report = verify(sign(CLIP, &facts, &key).unwrap().bytes(), &TrustedRoots::installation(&key));
    assert_eq!((report.state, report.action), (State::Untouched, Some(Action::Extended)), "{report:#?}");
    let told: Vec<_> = report.parents.iter().map(|parent| (parent.title.as_deref(), parent.state)).collect();
    let expected =
        [(Some("one"), State::Untouched), (Some("other"), State::Untouched), (Some("a part"), State::NoCredentials)];
    assert_eq!(told, expected, "{report:#?}");
}

#[test]
fn a_parent_is_told_as_it_was() {
    let (_dir, key) = installation("Paper Studio");
    let (_other_dir, other) = installation("Elsewhere");
    let check = |parent: &[u8], expected: State| {
        let child = sign(CLIP, &made_from(parent, Action::Edited, "child"), &key).unwrap();
        let report = verify(child.bytes(), &TrustedRoots::installation(&key));
        assert_eq!(report.state, State::Untouched, "{report:#?}");
        assert_eq!(report.parents[0].state, expected, "{report:#?}");
        report.parents[0].signer.as_ref().map(|signer| signer.trust)
    };
    assert_eq!(check(CLIP, State::NoCredentials), None);
    let foreign = sign(CLIP, &created(), &other).unwrap().into_bytes();
    assert_eq!(check(&foreign, State::Untouched), Some(Trust::Unknown));
    let mut tampered = sign(CLIP, &created(), &key).unwrap().into_bytes();
    *tampered.last_mut().unwrap() ^= 1;
    check(&tampered, State::Tampered);
}

#[test]
fn a_foreign_file_is_untouched_but_its_signer_unknown() {
    let (_here_dir, here) = installation("Here");
    let (_there_dir, there) = installation("Here");
    let signed = sign(CLIP, &created(), &there).unwrap();
    let check = |trusted: &TrustedRoots, expected: Trust| {
        let report = verify(signed.bytes(), trusted);
        assert_eq!((report.state, report.signer.as_ref().unwrap().trust), (State::Untouched, expected), "{report:#?}");
    };
    check(&TrustedRoots::none(), Trust::Unknown);
    check(&TrustedRoots::installation(&here), Trust::Unknown);
    check(&TrustedRoots::installation(&here).with_trust_list(there.root_pem()).unwrap(), Trust::TrustList);
    check(&TrustedRoots::installation(&there), Trust::ThisInstallation);
}

#[test]
fn a_clip_of_our_own_writer_is_marked_signed_and_still_plays() {
    let (_dir, key) = installation("Paper Studio");
    let size = media::Size::new(128, 72);
    let mark = VisibleMark::new(size);
    let frame_rate = media::FrameRate::whole(8);
    let mut writer = media::Mp4Writer::new(size, frame_rate, media::Quality::default()).unwrap();
    for index in 0..8_u32 {
        let mut frame = media::Frame::filled(size, [40, 90, 160]);
        mark.draw(&mut frame, f64::from(index) / frame_rate.as_f64());
        writer.push(&frame).unwrap();
    }
    let mp4 = writer.finish().unwrap();
    let signed = sign(&mp4, &created(), &key).unwrap();
    let report = verify(signed.bytes(), &TrustedRoots::installation(&key));
    assert_eq!(report.state, State::Untouched, "{report:#?}");
    let limits = media::ReadLimits::default();
    assert_eq!(media::read_mp4(signed.bytes(), &limits).unwrap(), media::read_mp4(&mp4, &limits).unwrap());
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap();
    assert!(matches!(sign(b"no video", &created(), &key), Err(SignError::NotMp4 { size_bytes: 8 })));
    assert!(matches!(sign(signed.bytes(), &created(), &key), Err(SignError::AlreadySigned)));
    let orphan = provenance::Provenance { action: Action::Extended, ..created() };
    assert!(matches!(sign(CLIP, &orphan, &key), Err(SignError::ParentMissing)));
    assert!(matches!(sign(CLIP, &made_from(CLIP, Action::Created, "x"), &key), Err(SignError::ParentOfCreation)));
    assert!(matches!(sign(CLIP, &made_from(b"what", Action::Edited, "x"), &key), Err(SignError::ParentUnreadable)));
}

/// Writes a signed file for other tools: `FOLDER/signed.mp4`, `FOLDER/child.mp4` and `FOLDER/root.pem`.
#[test]
#[ignore = "makes files; MISORA_SIGNED_DIR names the folder"]
fn files_for_the_reference_reader() {
    let dir =
        std::path::PathBuf::from(std::env::var_os("MISORA_SIGNED_DIR").expect("MISORA_SIGNED_DIR names a folder"));
    let (_keys, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap();
    let child = sign(CLIP, &made_from(signed.bytes(), Action::Extended, "longer"), &key).unwrap();
    std::fs::write(dir.join("signed.mp4"), signed.bytes()).unwrap();
    std::fs::write(dir.join("child.mp4"), child.bytes()).unwrap();
    std::fs::write(dir.join("root.pem"), key.root_pem()).unwrap();
    println!("{}", verify(child.bytes(), &TrustedRoots::installation(&key)));
}

/// Writes frames with the mark as PPM pictures, for eyes: `MISORA_MARK_DIR` names the folder.
#[test]
#[ignore = "makes files; MISORA_MARK_DIR names the folder"]
fn pictures_of_the_mark() {
    let dir = std::path::PathBuf::from(std::env::var_os("MISORA_MARK_DIR").expect("MISORA_MARK_DIR names a folder"));
    for (width, height) in [(128, 72), (320, 180), (1280, 720), (1080, 1920)] {
        let size = media::Size::new(width, height);
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x * 255 / width, y * 255 / height)));
        let rgb =
            rows.flat_map(|(across, down)| [across as u8, 255 - down as u8 / 2, 255 - across as u8 / 3]).collect();
        let mut frame = media::Frame::new(size, rgb).unwrap();
        let mark = VisibleMark::new(size);
        (0..8).for_each(|stay| mark.draw(&mut frame, f64::from(stay) * 2.0));
        let ppm = [format!("P6 {width} {height} 255\n").as_bytes(), frame.rgb()].concat();
        std::fs::write(dir.join(format!("mark-{size}.ppm")), ppm).unwrap();
    }
}

/// Prints how long things take: `cargo test --release -p provenance -- --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement"]
fn how_long_it_takes() {
    fn milliseconds(name: &str, rounds: u32, mut work: impl FnMut()) {
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| work());
        println!("{name}: {:.3} ms", start.elapsed().as_secs_f64() * 1e3 / f64::from(rounds));
    }
    let (_dir, key) = installation("Paper Studio");
    let trusted = TrustedRoots::installation(&key);
    let mut big = CLIP.to_vec();
    big.extend((8_000_000_u32 + 8).to_be_bytes());
    big.extend(b"free");
    big.extend(std::iter::repeat_n(7, 8_000_000));
    for (name, mp4) in [("small", CLIP), ("8 MB", big.as_slice())] {
        let signed = sign(mp4, &created(), &key).unwrap();
        println!("{name}: manifest {} bytes", signed.bytes().len() - mp4.len());
        milliseconds(&format!("sign {name}"), 20, || drop(sign(mp4, &created(), &key)));
        milliseconds(&format!("verify {name}"), 20, || drop(verify(signed.bytes(), &trusted)));
    }
    let size = media::Size::new(1280, 720);
    let mut frame = media::Frame::filled(size, [90, 120, 200]);
    milliseconds("make the mark", 20, || drop(VisibleMark::new(size)));
    let mark = VisibleMark::new(size);
    milliseconds("draw the mark on 1280x720", 500, || mark.draw(&mut frame, 0.0));
}

#[test]
fn pictures_are_signed_in_every_format_that_is_given_out() {
    let (_dir, key) = installation("Paper Studio");
    let frame = media::Frame::filled(media::Size::new(48, 32), [200, 120, 20]);
    let pictures = [
        media::encode_png(&frame).unwrap(),
        media::encode_jpeg(&frame, 90).unwrap(),
        media::encode_webp(&frame, 90).unwrap(),
    ];
    for picture in pictures {
        let signed = sign_picture(&picture, &created(), &key).unwrap();
        let report = verify(signed.bytes(), &TrustedRoots::installation(&key));
        assert_eq!(report.state, State::Untouched, "{report:#?}");
        assert_eq!(report.signer.unwrap().trust, Trust::ThisInstallation);
        assert_eq!((report.model, report.action), (Some(created().model), Some(Action::Created)));
        assert_eq!((report.recipe, report.visible_mark), (Some(created().recipe), Some(true)));
        let read = media::read_picture(signed.bytes(), &media::PictureLimits::default()).unwrap();
        assert_eq!(read.size(), frame.size());

        // A byte of the picture, at its end: what comes behind it in these formats is not looked at by viewers.
        let mut flipped = signed.bytes().to_vec();
        let at = flipped.len() - 8;
        flipped[at] ^= 1;
        assert_eq!(verify(&flipped, &TrustedRoots::installation(&key)).state, State::Tampered);
        assert!(matches!(sign_picture(signed.bytes(), &created(), &key), Err(SignError::AlreadySigned)));
    }
    assert!(matches!(sign_picture(CLIP, &created(), &key), Err(SignError::NotPicture { .. })));
}

#[test]
fn a_video_from_elsewhere_is_signed_as_brought_here() {
    let (_dir, key) = installation("Paper Studio");
    // One that was signed stays as it is; one that was not, is no signed video.
    let first = sign(CLIP, &created(), &key).unwrap();
    assert_eq!(provenance::signed_already(first.bytes().to_vec()).unwrap(), first);
    assert!(provenance::signed_already(CLIP.to_vec()).is_err());
    let mut flipped = first.bytes().to_vec();
    let at = flipped.len() - 9;
    flipped[at] ^= 1;
    assert!(provenance::signed_already(flipped).is_err());

    let plain = provenance::without_credentials(first.bytes());
    assert_eq!(plain.len(), first.bytes().len());
    let brought = sign(&plain, &made_from(first.bytes(), Action::Imported, "theirs"), &key).unwrap();
    let report = verify(brought.bytes(), &TrustedRoots::installation(&key));
    assert_eq!((report.state, report.action, report.generated), (State::Untouched, Some(Action::Imported), false));
    assert_eq!(report.parents[0].action, Some(Action::Created), "{report:#?}");
    assert!(report.summary().contains("brought here from elsewhere"));
}
