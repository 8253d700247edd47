//! What a clip starts from: fetched from the objects by the async side, decoded in the engine's thread.

use bytes::Bytes;
use media::{Clip, Filter, Frame, FrameRate, Mp4Reader, PictureLimits, ReadLimits, Resizer, Size, cover, read_picture};
use platform::{ClipSource, GenerationKind, ProjectId};
use render::Source;
use store::{Generation, Objects, Store};

use crate::worker::failure::Failure;

/// How far an edit or a remix goes from its clip; 1 would keep nothing of it.
const STRENGTH: f32 = 0.7;

/// What a generation starts from, as bytes.
pub(crate) struct Sources {
    start: Start,
    characters: Vec<Bytes>,
}

enum Start {
    Nothing,
    FirstFrame(Bytes),
    Extend(Bytes),
    Edit(Bytes),
}

impl Sources {
    /// Reads the bytes. They may have been deleted since the request was accepted.
    pub(crate) async fn fetch(store: &Store, objects: &Objects, generation: &Generation) -> Result<Self, Failure> {
        let project = generation.project;
        let mut characters = Vec::new();
        let start = match &generation.kind {
            GenerationKind::Image => Start::Nothing,
            GenerationKind::Create { first_frame, characters: ids } => {
                for id in ids {
                    let character = store.character(project, *id).await?;
                    characters.push(objects.get_all(&character.key).await?);
                }
                match first_frame {
                    Some(id) => Start::FirstFrame(objects.get_all(&store.file(project, *id).await?.key).await?),
                    None => Start::Nothing,
                }
            }
            GenerationKind::Remix { source } => {
                // Whoever accepted it asked whether it may be remixed: it may be of another's project.
                let source = store.any_generation(*source).await?;
                let video = source.video.ok_or_else(|| Failure::source("The clip that it starts from has gone."))?;
                Start::Edit(objects.get_all(&video.key).await?)
            }
            GenerationKind::Edit { source } => Start::Edit(clip(store, objects, project, *source).await?),
            GenerationKind::Extension { source, .. } => Start::Extend(clip(store, objects, project, *source).await?),
        };
        Ok(Self { start, characters })
    }

    /// The file that the new one is made from, for its manifest.
    pub(crate) fn parent(&self) -> Option<&[u8]> {
        match &self.start {
            Start::Extend(bytes) | Start::Edit(bytes) => Some(bytes),
            Start::Nothing | Start::FirstFrame(_) => None,
        }
    }

    /// The pictures and clips, at the model's rate and the finished clip's size; then one picture of each character.
    pub(crate) fn decode(&self, rate: FrameRate, size: Size) -> Result<(Source, Vec<Frame>), Failure> {
        let source = match &self.start {
            Start::Nothing => Source::Text,
            Start::FirstFrame(bytes) => {
                let frame = read_picture(bytes, &PictureLimits::default())
                    .map_err(|error| Failure::source(format!("The first frame cannot be read: {error}.")))?;
                Source::FirstFrame(if frame.size() == size { frame } else { cover(&frame, size) })
            }
            Start::Extend(bytes) => Source::Extend(read_clip(bytes, rate, size)?),
            Start::Edit(bytes) => Source::Edit { clip: read_clip(bytes, rate, size)?, strength: STRENGTH },
        };
        let references = self.characters.iter().map(|bytes| middle_frame(bytes)).collect::<Result<_, _>>()?;
        Ok((source, references))
    }
}

async fn clip(store: &Store, objects: &Objects, project: ProjectId, source: ClipSource) -> Result<Bytes, Failure> {
    let key = match source {
        ClipSource::File(id) => store.file(project, id).await?.key,
        ClipSource::Video(id) => {
            // Whoever accepted it asked whether it may be used. A clip that was put into the trash since still serves.
            let video = store.any_generation(id).await?.video;
            video.ok_or_else(|| Failure::source("The video that this starts from is not there any more."))?.key
        }
    };
    Ok(objects.get_all(&key).await?)
}

/// The clip at another rate, by the frame nearest before, and at another size. Frames that are not needed never lie in memory.
fn read_clip(bytes: &[u8], rate: FrameRate, size: Size) -> Result<Clip, Failure> {
    let limits = ReadLimits::default();
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::source(format!("The video that this starts from cannot be read: {error}."))
    };
    let mut reader = Mp4Reader::open(bytes, &limits).map_err(|error| unreadable(&error))?;
    let (count, ratio) = (reader.info().frame_count, reader.info().frame_rate.as_f64() / rate.as_f64());
    let wanted = ((count as f64 / ratio).round() as usize).max(1);
    if wanted.saturating_mul(size.pixels()) > limits.max_clip_pixels {
        let seconds = limits.max_clip_pixels as f64 / size.pixels() as f64 / rate.as_f64();
        return Err(Failure::source(format!(
            "The video that this starts from is too long for this server, which holds {seconds:.0} seconds of this size."
        )));
    }
    let mut resizer = Resizer::new();
    let (mut frames, mut index) = (Vec::with_capacity(wanted), 0);
    while let Some(frame) = reader.next_frame().map_err(|error| unreadable(&error))? {
        let frame = if frame.size() == size { frame } else { resizer.cover(&frame, size, Filter::CatmullRom) };
        // A rate that is lower here than there needs a frame more than once.
        while frames.len() < wanted && (frames.len() as f64 * ratio) as usize <= index {
            frames.push(frame.clone());
        }
        index += 1;
    }
    Clip::new(frames, rate).map_err(|error| unreadable(&error))
}

/// What a character looks like: the picture in the middle of its clip.
fn middle_frame(bytes: &[u8]) -> Result<Frame, Failure> {
    let unreadable = |error| Failure::source(format!("The character's video cannot be read: {error}."));
    let mut reader = Mp4Reader::open(bytes, &ReadLimits::default()).map_err(unreadable)?;
    let middle = reader.info().frame_count / 2;
    let mut index = 0;
    while let Some(frame) = reader.next_frame().map_err(unreadable)? {
        if index == middle {
            return Ok(frame);
        }
        index += 1;
    }
    Err(Failure::source("The character's video has no picture."))
}
