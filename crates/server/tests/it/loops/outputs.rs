//! What a finished job leaves, and what expires of it.

use std::time::Duration;

use media::{PictureLimits, ReadLimits, probe_mp4, read_picture};
use platform::GenerationKind;
use platform::Size;
use server::housekeeping;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, create, test_card};

#[tokio::test]
async fn a_video_has_a_thumbnail_a_sprite_sheet_and_a_recipe() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    let video = bed.generation(id).await.video.unwrap();

    let mp4 = bed.app.objects.get_all(&video.key).await.unwrap();
    assert_eq!(mp4.len() as u64, video.size_bytes);
    let info = probe_mp4(&mp4, &ReadLimits::default()).unwrap();
    assert_eq!((info.size.to_string(), info.frame_count), ("144x80".into(), 48));

    let thumbnail = bed.app.objects.get_all(&video.thumbnail.unwrap()).await.unwrap();
    assert_eq!(&thumbnail[8..12], b"WEBP");
    let sheet = bed.app.objects.get_all(&video.spritesheet.unwrap()).await.unwrap();
    assert_eq!(&sheet[..3], [0xff, 0xd8, 0xff]);
    // Sixteen tiles, four in a row.
    let sheet = read_picture(&sheet, &PictureLimits::default()).unwrap();
    assert_eq!(sheet.size().to_string(), "960x532");

    let recipe: render::Recipe = serde_json::from_str(&video.recipe).unwrap();
    assert_eq!((recipe.prompt.as_str(), recipe.seed), ("a red boat", 7));
}

#[tokio::test]
async fn a_picture_is_one_frame_of_the_size_that_was_asked_for() {
    let bed = Bed::new().await;
    let size = Size::new(300, 200);
    let id = bed.accept_for("test-card", GenerationKind::Image, size, 0, 0).await.id;
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    let video = bed.generation(id).await.video.unwrap();
    let png = bed.app.objects.get_all(&video.thumbnail.unwrap()).await.unwrap();
    assert_eq!(&png[1..4], b"PNG");
    assert_eq!(read_picture(&png, &PictureLimits::default()).unwrap().size().to_string(), "300x200");
    let mp4 = bed.app.objects.get_all(&video.key).await.unwrap();
    assert_eq!(probe_mp4(&mp4, &ReadLimits::default()).unwrap().frame_count, 1);
}

#[tokio::test]
async fn deleted_videos_and_lost_attempts_leave_no_objects() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    assert_eq!(bed.app.objects.list("renders").await.unwrap().len(), 3);
    bed.app.store.delete_generation(bed.project, id, bed.app.now()).await.unwrap();
    assert_eq!(housekeeping::tidy(&bed.app).await.unwrap().prefixes, 1);
    assert!(bed.app.objects.list("renders").await.unwrap().is_empty());
    bed.clock.advance(Duration::from_secs(1));
    assert_eq!(housekeeping::tidy(&bed.app).await.unwrap(), housekeeping::Tidied::default());
}
