//! What a clip can start from: a picture, characters, another clip, and what is not there any more.

use std::time::Duration;

use bytes::Bytes;
use media::{Frame, Mp4Reader, ReadLimits, encode_png, read_mp4};
use platform::likeness::Audience;
use platform::{
    CharacterId, ClipSource, Cut, ExtensionDirection, FileId, GenerationErrorCode, GenerationKind, GenerationState,
    Service, VideoId,
};
use provenance::{Action, State, TrustedRoots, verify};
use store::{Character, File, Generation};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, SIZE, create, entropy, key, test_card};

/// Makes a clip and says what came of it.
async fn made(bed: &Bed, kind: GenerationKind, seconds: u32, total: u32) -> Generation {
    let id = bed.accept_for("test-card", kind, SIZE, seconds, total).await.id;
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    bed.generation(id).await
}

async fn mp4(bed: &Bed, generation: &Generation) -> Bytes {
    bed.app.objects.get_all(&generation.video.as_ref().unwrap().key).await.unwrap()
}

fn recipe(generation: &Generation) -> render::Recipe {
    serde_json::from_str(&generation.video.as_ref().unwrap().recipe).unwrap()
}

async fn upload(bed: &Bed, bytes: Bytes, media_type: &str) -> FileId {
    let id = FileId::new(bed.app.now(), entropy());
    let file = File {
        id,
        project: bed.project,
        filename: "upload".into(),
        purpose: "vision".into(),
        media_type: media_type.into(),
        size_bytes: bytes.len() as u64,
        key: bed.app.objects.put_upload(bed.subject(Service::Api), &id, bytes).await.unwrap(),
        created_at: bed.app.now(),
        expires_at: None,
    };
    bed.app.store.create_file(&file).await.unwrap();
    id
}

#[tokio::test]
async fn an_extension_is_the_clip_and_what_comes_after_it() {
    let bed = Bed::new().await;
    let first = made(&bed, create(), 4, 4).await;
    let source = ClipSource::Video(first.id);
    let longer =
        made(&bed, GenerationKind::Extension { source, direction: ExtensionDirection::After, depth: 1 }, 8, 12).await;
    assert_eq!(recipe(&longer).source, "extend");
    let (short, long) = (mp4(&bed, &first).await, mp4(&bed, &longer).await);
    let mut short = Mp4Reader::open(&short, &ReadLimits::default()).unwrap();
    let mut long = Mp4Reader::open(&long, &ReadLimits::default()).unwrap();
    assert_eq!((short.info().frame_count, long.info().frame_count), (48, 144));
    // It begins with the same pictures, but for what encoding them again costs.
    let (first, again) = (short.next_frame().unwrap().unwrap(), long.next_frame().unwrap().unwrap());
    let apart: u64 = first.rgb().iter().zip(again.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(apart < first.rgb().len() as u64 * 8, "{apart}");
}

#[tokio::test]
async fn a_beginning_leads_up_to_its_clip_and_a_loop_back_to_it() {
    let bed = Bed::new().await;
    let first = made(&bed, create(), 4, 4).await;
    let source = ClipSource::Video(first.id);
    let frames = async |generation: &Generation| {
        read_mp4(&mp4(&bed, generation).await, &ReadLimits::default()).unwrap().into_frames()
    };
    let whole = frames(&first).await;
    let same = |made: &[Frame]| {
        for (made, was) in made.iter().zip(&whole) {
            let apart: u64 = made.rgb().iter().zip(was.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            assert!(apart < was.rgb().len() as u64 * 8, "{apart}");
        }
    };
    for (direction, name) in [(ExtensionDirection::Before, "precede"), (ExtensionDirection::Loop, "loop")] {
        let longer = made(&bed, GenerationKind::Extension { source, direction, depth: 1 }, 8, 12).await;
        assert_eq!((recipe(&longer).source.as_str(), longer.state), (name, GenerationState::Completed));
        let made = frames(&longer).await;
        assert_eq!(made.len(), 144);
        same(if direction == ExtensionDirection::Before { &made[96..] } else { &made[..48] });
        assert!(matches!(longer.kind, GenerationKind::Extension { direction: kept, .. } if kept == direction));
    }
}

#[tokio::test]
async fn a_remix_and_an_edit_start_from_their_clip() {
    let bed = Bed::new().await;
    let first = made(&bed, create(), 4, 4).await;
    let remix = made(&bed, GenerationKind::Remix { source: first.id }, 4, 4).await;
    assert_eq!((recipe(&remix).source.as_str(), recipe(&remix).strength), ("edit", Some(0.7)));
    let file = upload(&bed, mp4(&bed, &first).await, "video/mp4").await;
    let edit = made(&bed, GenerationKind::Edit { source: ClipSource::File(file) }, 4, 4).await;
    assert_eq!(edit.state, GenerationState::Completed, "{:?}", edit.error);
}

#[tokio::test]
async fn a_part_has_the_very_frames_of_its_clip_and_names_it() {
    let bed = Bed::new().await;
    let whole = made(&bed, create(), 4, 4).await;
    let cut = Cut::between(1000, 2500).unwrap();
    let part = made(&bed, GenerationKind::Trim { source: whole.id, cut }, 0, 2).await;
    assert_eq!(part.state, GenerationState::Completed, "{:?}", part.error);
    assert_eq!(part.kind, GenerationKind::Trim { source: whole.id, cut });
    let recipe = recipe(&part);
    assert_eq!((recipe.source.as_str(), recipe.frames, recipe.seed, recipe.seconds), ("trim", Some((12, 30)), 7, 2));

    let (whole, part) = (mp4(&bed, &whole).await, mp4(&bed, &part).await);
    let report = verify(&part, &TrustedRoots::installation(&key()));
    assert_eq!(
        (report.state, report.action, report.visible_mark),
        (State::Untouched, Some(Action::Trimmed), Some(true))
    );
    assert_eq!(report.parents.iter().map(|parent| parent.state).collect::<Vec<_>>(), [State::Untouched]);
    let read = |file: &Bytes| read_mp4(file, &ReadLimits::default()).unwrap();
    let (whole, part) = (read(&whole), read(&part));
    assert_eq!(part.frames().len(), 18);
    let apart =
        |a: &Frame, b: &Frame| -> u64 { a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum() };
    for (at, frame) in part.frames().iter().enumerate() {
        // Nearer than its neighbours, whatever it costs to encode it again.
        let distance = |shift: usize| apart(frame, &whole.frames()[11 + at + shift]);
        assert!(distance(1) < distance(0) && distance(1) < distance(2), "frame {at}");
    }
}

#[tokio::test]
async fn a_clip_starts_with_a_picture_and_shows_characters() {
    let bed = Bed::new().await;
    let picture = Frame::filled(media::Size::new(144, 80), [200, 10, 10]);
    let frame = upload(&bed, encode_png(&picture).unwrap().into(), "image/png").await;
    let someone = made(&bed, create(), 4, 4).await;
    let character = CharacterId::new(bed.app.now(), entropy());
    let (subject, clip) = (bed.subject(Service::Video), mp4(&bed, &someone).await);
    let key = bed.app.objects.put_upload(subject, &character, clip).await.unwrap();
    let row = Character {
        id: character,
        project: bed.project,
        name: "Mika".into(),
        handle: None,
        audience: Audience::OnlyMe,
        key,
        created_at: bed.app.now(),
    };
    bed.app.store.create_character(&row).await.unwrap();
    let kind = GenerationKind::Create { first_frame: Some(frame), characters: vec![character] };
    let clip = made(&bed, kind, 4, 4).await;
    assert_eq!((recipe(&clip).source.as_str(), recipe(&clip).references), ("first_frame", 1));
}

#[tokio::test]
async fn what_it_starts_from_may_be_gone_or_unreadable() {
    let bed = Bed::new().await;
    let check = async |kind: GenerationKind| {
        let failed = made(&bed, kind, 4, 4).await;
        assert_eq!(failed.state, GenerationState::Failed);
        assert_eq!(failed.error.unwrap().code, GenerationErrorCode::SourceUnavailable);
    };
    let nothing = VideoId::new(bed.app.now(), entropy());
    check(GenerationKind::Remix { source: nothing }).await;
    check(GenerationKind::Trim { source: nothing, cut: Cut::between(0, 1000).unwrap() }).await;
    check(GenerationKind::Create { first_frame: Some(FileId::new(bed.app.now(), entropy())), characters: vec![] })
        .await;
    let junk = upload(&bed, Bytes::from_static(b"\0\0\0\x18ftypmp42 and nothing more"), "video/mp4").await;
    check(GenerationKind::Edit { source: ClipSource::File(junk) }).await;
    check(GenerationKind::Create { first_frame: Some(junk), characters: vec![] }).await;
    assert_eq!(bed.money().await, (1000, 0));
}

#[tokio::test]
async fn what_is_erased_is_no_source_and_what_was_begun_before_leaves_nothing() {
    let bed = Bed::new().await;
    let clip = made(&bed, create(), 4, 4).await.id;
    let waiting = bed.accept(create()).await.id;
    bed.clock.advance(Duration::from_secs(1));
    bed.app.objects.destroy_key(bed.member.identity(), Service::Video, bed.app.now()).await.unwrap();
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    let late = bed.generation(waiting).await;
    assert_eq!(late.error.unwrap().code, GenerationErrorCode::SourceUnavailable);
    let edit = made(&bed, GenerationKind::Edit { source: ClipSource::Video(clip) }, 4, 4).await;
    assert_eq!(edit.error.unwrap().code, GenerationErrorCode::SourceUnavailable);
    // The first clip's.
    assert_eq!(bed.app.objects.list("renders").await.unwrap().len(), 3);
}
