//! What an attempt made, and how it is kept: the signed MP4, a thumbnail, a sprite sheet, the recipe.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use media::{
    Frame, FrameHash, Mp4Reader, ReadError, ReadLimits, cover, encode_jpeg, encode_png, encode_webp, frames_to_hash,
    sprite_sheet, thumbnail,
};
use platform::Timestamp;
use provenance::SignedVideo;
use render::Rendered;
use serde::Serialize;
use store::{Generation, Objects, Outputs};

use crate::worker::failure::Failure;
use crate::worker::making::media_size;

/// The longer side of a thumbnail.
pub(crate) const THUMBNAIL_SIDE: u32 = 640;
/// Pictures in a sprite sheet, and how many stand side by side.
const TILES: usize = 16;
const COLUMNS: u32 = 4;
const TILE_WIDTH: u32 = 240;
/// Pictures of each shot of a film, for whoever looks at it.
const TILES_OF_SHOT: usize = 8;
/// The lengths of the shots of what is one shot.
pub(crate) const WHOLE: [u32; 1] = [1];
pub(crate) const QUALITY: u8 = 80;

/// A finished clip with its pictures, encoded.
pub(crate) struct Made {
    video: SignedVideo,
    recipe: String,
    thumbnail: (&'static str, Vec<u8>),
    spritesheet: Option<Vec<u8>>,
    /// Of each shot frames all through it, for whoever looks at it before it is kept.
    shots: Vec<Vec<Frame>>,
    /// How its frames look, so that it is known again.
    hashes: Vec<[u8; 32]>,
}

/// Frames of a finished clip.
struct Chosen {
    /// At even distances, small, from first to last.
    sheet: Vec<Frame>,
    /// The same of each shot.
    shots: Vec<Vec<Frame>>,
    /// How those look by which the clip is known again.
    hashes: Vec<[u8; 32]>,
}

impl Made {
    /// A video of shots whose lengths stand in this proportion: WebP of its first frame, JPEG of frames all through it. Both carry the mark,
    /// because they are read from the signed file.
    pub(crate) fn video<R: Serialize>(rendered: Rendered<R>, lengths: &[u32]) -> Result<Self, Failure> {
        let small = thumbnail(&rendered.first_frame, THUMBNAIL_SIDE);
        let webp = encode_webp(&small, QUALITY).map_err(|error| Failure::transient(&error))?;
        let chosen = chosen(rendered.video.bytes(), lengths).map_err(|error| Failure::transient(&error))?;
        let sheet = sprite_sheet(&chosen.sheet, COLUMNS, TILE_WIDTH).map_err(|error| Failure::transient(&error))?;
        let jpeg = encode_jpeg(&sheet, QUALITY).map_err(|error| Failure::transient(&error))?;
        Self::new(rendered, ("webp", webp), Some(jpeg), (chosen.shots, chosen.hashes))
    }

    /// A picture: PNG of the first frame, cut to this size, in place of the thumbnail.
    pub(crate) fn picture(rendered: Rendered, size: platform::Size) -> Result<Self, Failure> {
        let size = media_size(size);
        let frame = &rendered.first_frame;
        let png = if frame.size() == size { encode_png(frame) } else { encode_png(&cover(frame, size)) };
        let png = png.map_err(|error| Failure::transient(&error))?;
        let shots = vec![vec![thumbnail(&rendered.first_frame, TILE_WIDTH * 2)]];
        let hashes = vec![FrameHash::of(&rendered.first_frame).straight];
        Self::new(rendered, ("png", png), None, (shots, hashes))
    }

    fn new<R: Serialize>(
        rendered: Rendered<R>,
        thumbnail: (&'static str, Vec<u8>),
        spritesheet: Option<Vec<u8>>,
        (shots, hashes): (Vec<Vec<Frame>>, Vec<[u8; 32]>),
    ) -> Result<Self, Failure> {
        let recipe = serde_json::to_string(&rendered.recipe).map_err(|error| Failure::transient(&error))?;
        Ok(Self { video: rendered.video, recipe, thumbnail, spritesheet, shots, hashes })
    }

    /// Of each shot frames all through it, small.
    pub(crate) fn shots(&self) -> &[Vec<Frame>] {
        &self.shots
    }

    /// Writes everything under the attempt's own prefix. Writing the same again changes nothing.
    pub(crate) async fn keep(
        self,
        objects: &Objects,
        generation: &Generation,
        attempt: u32,
        expires_at: Option<Timestamp>,
    ) -> Result<Outputs, Failure> {
        let (id, subject) = (generation.id, generation.subject());
        let (extension, picture) = self.thumbnail;
        let thumbnail = Some(objects.put_derived(subject, id, attempt, extension, Bytes::from(picture)).await?);
        let spritesheet = match self.spritesheet {
            Some(jpeg) => Some(objects.put_derived(subject, id, attempt, "jpg", Bytes::from(jpeg)).await?),
            None => None,
        };
        let video = objects.put_video(subject, id, attempt, self.video).await?;
        Ok(Outputs { video, thumbnail, spritesheet, frames: self.hashes, recipe: self.recipe, expires_at })
    }
}

/// The frames of a clip that are looked at, now and later.
fn chosen(mp4: &[u8], lengths: &[u32]) -> Result<Chosen, ReadError> {
    // The file is our own, so its length needs no limit; one frame lies in memory at a time.
    let limits = ReadLimits { max_bytes: usize::MAX, max_frames: usize::MAX, ..ReadLimits::default() };
    let mut reader = Mp4Reader::open(mp4, &limits)?;
    let count = reader.info().frame_count.max(1);
    let sheet = spread(0..count, TILES);
    let each = if lengths.len() == 1 { TILES } else { TILES_OF_SHOT };
    let shots: Vec<_> = parts(lengths, count).map(|shot| spread(shot, each)).collect();
    let mut small: BTreeMap<usize, Option<Frame>> =
        shots.iter().flatten().chain(&sheet).map(|index| (*index, None)).collect();
    let mut hashed = frames_to_hash(reader.info()).into_iter().peekable();
    let (mut index, mut hashes) = (0, Vec::new());
    while let Some(frame) = reader.next_frame()? {
        if hashed.next_if_eq(&index).is_some() {
            hashes.push(FrameHash::of(&frame).straight);
        }
        if let Some(tile) = small.get_mut(&index) {
            *tile = Some(thumbnail(&frame, TILE_WIDTH * 2));
        }
        index += 1;
    }
    let of = |indices: &Vec<usize>| indices.iter().filter_map(|index| small.get(index)?.clone()).collect();
    Ok(Chosen { sheet: of(&sheet), shots: shots.iter().map(of).collect(), hashes })
}

/// So many numbers of a range at even distances, or all.
fn spread(range: Range<usize>, most: usize) -> Vec<usize> {
    let wanted = most.min(range.len());
    (0..wanted).map(|tile| range.start + tile * range.len() / wanted).collect()
}

/// So many frames, cut in this proportion.
fn parts(lengths: &[u32], frames: usize) -> impl Iterator<Item = Range<usize>> {
    let whole = lengths.iter().map(|length| *length as usize).sum::<usize>().max(1);
    let mut before = 0;
    lengths.iter().map(move |length| {
        let start = before * frames / whole;
        before += *length as usize;
        start..before * frames / whole
    })
}
