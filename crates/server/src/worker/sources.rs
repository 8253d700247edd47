//! What a clip starts from: fetched from the objects by the async side, decoded in the engine's thread.

use bytes::Bytes;
use media::{
    Clip, Filter, Frame, FrameRate, Mp4Reader, PictureLimits, ReadError, ReadLimits, Resizer, Size, cover, read_picture,
};
use platform::likeness::{LikenessRefusal, Puppet, mentions, with_mentions_as};
use platform::{
    CharacterId, ClipSource, ExtensionDirection, GenerationErrorCode, GenerationKind, Handle, ProjectId, Timestamp,
};
use render::{Looks, Parent, Source, VideoModel};
use store::{Generation, Objects, Store};

use crate::worker::failure::Failure;

/// How far an edit or a remix goes from its clip; 1 would keep nothing of it.
const STRENGTH: f32 = 0.7;

/// What a generation starts from, as bytes.
pub(crate) struct Sources {
    start: Start,
    characters: Vec<Figure>,
    people: Vec<Guest>,
}

/// A character: what it is named by in prompts, and what it looks like.
struct Figure {
    handle: Option<Handle>,
    file: Bytes,
}

/// Someone who appears in a clip by their likeness.
pub(crate) struct Guest {
    handle: Handle,
    puppet: Puppet,
    still: Option<Bytes>,
}

enum Start {
    Nothing,
    FirstFrame(Bytes),
    Extend(Bytes, ExtensionDirection),
    Edit(Bytes),
    Trim(Original),
}

/// A clip that a part is cut out of, with its recipe as JSON.
pub(crate) struct Original {
    pub(crate) file: Bytes,
    pub(crate) recipe: String,
}

impl Sources {
    /// Reads the bytes. They may have been deleted since the request was accepted.
    pub(crate) async fn fetch(
        store: &Store,
        objects: &Objects,
        generation: &Generation,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let project = generation.project;
        let mut characters = Vec::new();
        let start = match &generation.kind {
            GenerationKind::Image => Start::Nothing,
            GenerationKind::Create { first_frame, characters: ids } => {
                characters = figures(store, objects, generation, ids).await?;
                match first_frame {
                    Some(id) => Start::FirstFrame(objects.get_all(&store.file(project, *id).await?.key).await?),
                    None => Start::Nothing,
                }
            }
            GenerationKind::Film { characters: ids, .. } => {
                characters = figures(store, objects, generation, ids).await?;
                Start::Nothing
            }
            GenerationKind::Remix { source } => {
                // Whoever accepted it asked whether it may be remixed: it may be of another's project.
                let source = store.any_generation(*source).await?;
                let video = source.video.ok_or_else(gone)?;
                Start::Edit(objects.get_all(&video.key).await?)
            }
            GenerationKind::Trim { source, .. } => {
                let video = store.any_generation(*source).await?.video.ok_or_else(gone)?;
                Start::Trim(Original { file: objects.get_all(&video.key).await?, recipe: video.recipe })
            }
            GenerationKind::Edit { source } => Start::Edit(clip(store, objects, project, *source).await?),
            GenerationKind::Extension { source, direction, .. } => {
                Start::Extend(clip(store, objects, project, *source).await?, *direction)
            }
        };
        let people = guests(store, objects, generation, now).await?;
        Ok(Self { start, characters, people })
    }

    /// What the new one is made from: the file for its manifest, and of a clip that goes on the frames that [`Self::decode`] leaves out.
    pub(crate) fn parent(&self, rate: FrameRate, size: Size) -> Result<Option<Parent<'_>>, Failure> {
        Ok(match &self.start {
            Start::Extend(bytes, ExtensionDirection::Before) => {
                let mut trail = RatedFrames::open(bytes, rate, size)?;
                trail.skip_to(shown_frames(rate));
                Some(Parent { trail: Box::new(trail), ..Parent::from(&bytes[..]) })
            }
            Start::Extend(bytes, ExtensionDirection::After | ExtensionDirection::Loop) => {
                let mut lead = RatedFrames::open(bytes, rate, size)?;
                lead.end = lead.end.saturating_sub(shown_frames(rate));
                Some(Parent { lead: Box::new(lead), ..Parent::from(&bytes[..]) })
            }
            Start::Edit(bytes) => Some(Parent::from(&bytes[..])),
            Start::Nothing | Start::FirstFrame(_) | Start::Trim(_) => None,
        })
    }

    /// The clip that a part is cut out of, if it is that kind of work.
    pub(crate) fn original(&self) -> Option<&Original> {
        match &self.start {
            Start::Trim(original) => Some(original),
            _ => None,
        }
    }

    /// The pictures and clips, at the model's rate and the finished clip's size, of a clip that goes on the last seconds alone; then one
    /// picture of each character.
    pub(crate) fn decode(&self, model: &dyn VideoModel, size: Size) -> Result<(Source, Vec<Frame>), Failure> {
        let rate = model.frame_rate();
        let source = match &self.start {
            Start::Nothing | Start::Trim(_) => Source::Text,
            Start::FirstFrame(bytes) => {
                let frame = read_picture(bytes, &PictureLimits::default())
                    .map_err(|error| Failure::source(format!("The first frame cannot be read: {error}.")))?;
                Source::FirstFrame(if frame.size() == size { frame } else { cover(&frame, size) })
            }
            Start::Extend(bytes, ExtensionDirection::After) => Source::Extend(read_tail(bytes, rate, size)?),
            Start::Extend(bytes, ExtensionDirection::Before) => Source::Precede(read_head(bytes, rate, size)?),
            Start::Extend(bytes, ExtensionDirection::Loop) => {
                Source::Loop { end: read_tail(bytes, rate, size)?, start: read_head(bytes, rate, size)? }
            }
            Start::Edit(bytes) => Source::Edit { clip: read_clip(bytes, rate, size)?, strength: STRENGTH },
        };
        Ok((source, self.pictures(model, size, |_| true)?))
    }

    /// One picture of each character and person whom a prompt names: of a film, only they appear in that shot.
    pub(crate) fn named_in(&self, prompt: &str, model: &dyn VideoModel, size: Size) -> Result<Vec<Frame>, Failure> {
        let named = mentions(prompt);
        self.pictures(model, size, |handle| handle.is_some_and(|handle| named.contains(handle)))
    }

    fn pictures(
        &self,
        model: &dyn VideoModel,
        size: Size,
        appears: impl Fn(Option<&Handle>) -> bool,
    ) -> Result<Vec<Frame>, Failure> {
        let characters = self.characters.iter().filter(|figure| appears(figure.handle.as_ref()));
        let people = self.people.iter().filter(|guest| appears(Some(&guest.handle)));
        let people = people.map(|guest| guest.portrait(model, size));
        characters.map(|figure| middle_frame(&figure.file)).chain(people).collect()
    }
}

impl Sources {
    /// A prompt in the words of a model: whoever is named in it is told as they are drawn there.
    pub(crate) fn told(&self, model: &dyn VideoModel, size: Size, prompt: &str) -> String {
        with_mentions_as(prompt, |handle| {
            let guest = self.people.iter().find(|guest| guest.handle == *handle)?;
            Some(match model.portrait(&guest.looks(), size) {
                Some(_) => guest.puppet.phrase(),
                None => "the person of the reference picture".to_owned(),
            })
        })
    }
}

impl Guest {
    fn looks(&self) -> Looks {
        let Puppet { skin, hair_style, hair_colour, shirt, hat, glasses } = self.puppet;
        Looks {
            skin: skin.as_str().into(),
            hair_style: hair_style.as_str().into(),
            hair_colour: hair_colour.as_str().into(),
            shirt: shirt.as_str().into(),
            hat: hat.as_str().into(),
            glasses,
        }
    }

    /// The reference picture: as the model's world draws such a person, else the still that they approved.
    fn portrait(&self, model: &dyn VideoModel, size: Size) -> Result<Frame, Failure> {
        if let Some(frame) = model.portrait(&self.looks(), size) {
            return Ok(frame);
        }
        let still = self.still.as_ref().ok_or_else(|| {
            Failure::source(format!("@{} enrolled without a picture, which this model needs.", self.handle.as_str()))
        })?;
        read_picture(still, &PictureLimits::default()).map_err(|error| {
            Failure::source(format!("The picture of @{} cannot be read: {error}.", self.handle.as_str()))
        })
    }
}

/// The characters of a clip, as far as its maker may use them at this moment.
async fn figures(
    store: &Store,
    objects: &Objects,
    generation: &Generation,
    ids: &[CharacterId],
) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for id in ids {
        let character = store.usable_character(generation.identity, *id).await?;
        figures.push(Figure { handle: character.handle, file: objects.get_all(&character.key).await? });
    }
    Ok(figures)
}

/// Everyone who appears in a clip by their likeness, if all of them let its maker at this moment. What cannot be asked is a refusal.
async fn guests(
    store: &Store,
    objects: &Objects,
    generation: &Generation,
    now: Timestamp,
) -> Result<Vec<Guest>, Failure> {
    let refused = |refusal: LikenessRefusal| {
        let message = format!("The video was not made: {refusal}. Nothing was charged.");
        Failure::permanent(GenerationErrorCode::PermissionRevoked, message)
    };
    // A part of a clip is drawn by no model.
    let drawn = !matches!(generation.kind, GenerationKind::Trim { .. });
    let mut guests = Vec::new();
    for cast in store.cast_of(generation.id, generation.identity, now).await?.map_err(refused)? {
        cast.permitted.map_err(refused)?;
        if !drawn {
            continue;
        }
        let likeness = cast.likeness;
        let template = likeness.template.as_ref().ok_or_else(|| refused(LikenessRefusal::Revoked))?;
        let line = objects.get_all(template).await?;
        let puppet = std::str::from_utf8(&line).ok().and_then(Puppet::read).ok_or_else(Failure::ours)?;
        let still = match &likeness.still {
            Some(key) => Some(objects.get_all(key).await?),
            None => None,
        };
        guests.push(Guest { handle: likeness.handle, puppet, still });
    }
    Ok(guests)
}

fn gone() -> Failure {
    Failure::source("The clip that it starts from has gone.")
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

/// How much of an end of a clip the model is shown, to go on from there or to lead up to it.
const SHOWN_S: f64 = 4.0;

fn shown_frames(rate: FrameRate) -> usize {
    (SHOWN_S * rate.as_f64()).ceil() as usize
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::source(format!("The video that this starts from cannot be read: {error}."))
}

/// The last seconds of a clip. What comes before is not decoded, but for what they refer to.
fn read_tail(bytes: &[u8], rate: FrameRate, size: Size) -> Result<Clip, Failure> {
    let mut frames = RatedFrames::open(bytes, rate, size)?;
    frames.skip_to(frames.end.saturating_sub(shown_frames(rate)));
    let frames = frames.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    Clip::new(frames, rate).map_err(|error| unreadable(&error))
}

/// The first seconds of a clip.
fn read_head(bytes: &[u8], rate: FrameRate, size: Size) -> Result<Clip, Failure> {
    let frames = RatedFrames::open(bytes, rate, size)?.take(shown_frames(rate));
    let frames = frames.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    Clip::new(frames, rate).map_err(|error| unreadable(&error))
}

/// A whole clip.
fn read_clip(bytes: &[u8], rate: FrameRate, size: Size) -> Result<Clip, Failure> {
    let frames = RatedFrames::open(bytes, rate, size)?;
    let most = ReadLimits::default().max_clip_pixels;
    if frames.end.saturating_mul(size.pixels()) > most {
        let seconds = most as f64 / size.pixels() as f64 / rate.as_f64();
        return Err(Failure::source(format!(
            "The video that this starts from is too long for this server, which holds {seconds:.0} seconds of this size."
        )));
    }
    let frames = frames.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    Clip::new(frames, rate).map_err(|error| unreadable(&error))
}

/// The frames of a clip at another rate, by the frame nearest before, and at another size. One lies in memory at a time.
struct RatedFrames<'a> {
    reader: Mp4Reader<'a>,
    resizer: Resizer,
    size: Size,
    /// Frames of the file for one that is given out.
    ratio: f64,
    /// The next frame to give out, and the one to stop before.
    next: usize,
    end: usize,
    /// How many frames of the file were decoded or passed over, and the last of them.
    passed: usize,
    current: Option<Frame>,
}

impl<'a> RatedFrames<'a> {
    fn open(bytes: &'a [u8], rate: FrameRate, size: Size) -> Result<Self, Failure> {
        let reader = Mp4Reader::open(bytes, &ReadLimits::default()).map_err(|error| unreadable(&error))?;
        let ratio = reader.info().frame_rate.as_f64() / rate.as_f64();
        let end = ((reader.info().frame_count as f64 / ratio).round() as usize).max(1);
        Ok(Self { reader, resizer: Resizer::new(), size, ratio, next: 0, end, passed: 0, current: None })
    }

    /// Passes over the first frames.
    fn skip_to(&mut self, frame: usize) {
        self.next = frame;
        self.passed = self.reader.skip_to(self.wanted());
    }

    /// The frame of the file that is given out next.
    fn wanted(&self) -> usize {
        (self.next as f64 * self.ratio) as usize
    }

    /// Decodes as far as the wanted frame. A rate that is lower in the file needs the same one more than once.
    fn decode(&mut self) -> Result<Option<Frame>, ReadError> {
        while self.passed <= self.wanted() {
            let Some(frame) = self.reader.next_frame()? else { return Ok(None) };
            self.passed += 1;
            if self.passed > self.wanted() {
                let fits = frame.size() == self.size;
                let frame = if fits { frame } else { self.resizer.cover(&frame, self.size, Filter::CatmullRom) };
                self.current = Some(frame);
            }
        }
        Ok(self.current.clone())
    }
}

impl Iterator for RatedFrames<'_> {
    type Item = Result<Frame, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        match self.decode() {
            Ok(frame) => {
                self.next += 1;
                frame.map(Ok)
            }
            Err(error) => {
                self.end = self.next;
                Some(Err(error.to_string()))
            }
        }
    }
}

/// What a character looks like: its picture, or the one in the middle of its clip.
fn middle_frame(bytes: &[u8]) -> Result<Frame, Failure> {
    if let Ok(picture) = read_picture(bytes, &PictureLimits::default()) {
        return Ok(picture);
    }
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

#[cfg(test)]
mod tests {
    use media::{Mp4Writer, Quality};

    use super::*;

    const SMALL: Size = Size::new(48, 32);

    /// A clip whose frames are brighter the later they are.
    fn clip(frames: usize, rate: FrameRate) -> Vec<u8> {
        let mut writer = Mp4Writer::new(SMALL, rate, Quality::default()).unwrap();
        for index in 0..frames {
            writer.push(&Frame::filled(SMALL, [(index * 200 / frames) as u8; 3])).unwrap();
        }
        writer.finish().unwrap()
    }

    fn brightness(frame: &Frame) -> i32 {
        i32::from(frame.rgb()[frame.rgb().len() / 2])
    }

    #[test]
    fn of_a_long_clip_only_the_end_lies_in_memory_and_no_frame_is_lost() {
        // Two minutes, as much as there may be.
        let check = |count: usize, file_rate: u32| {
            let bytes = Bytes::from(clip(count, FrameRate::whole(file_rate)));
            let sources = |direction| Sources {
                start: Start::Extend(bytes.clone(), direction),
                characters: Vec::new(),
                people: Vec::new(),
            };
            let rate = FrameRate::whole(12);
            let after = sources(ExtensionDirection::After);
            let (source, _) = after.decode(&render::TestCard, SMALL).unwrap();
            let Source::Extend(tail) = source else { panic!("{source:?}") };
            assert_eq!(tail.frames().len(), 48);
            let lead: Vec<_> = after.parent(rate, SMALL).unwrap().unwrap().lead.map(Result::unwrap).collect();
            assert_eq!(lead.len() + tail.frames().len(), 1440);
            // The seam is where it would be if all had been read.
            let whole = read_clip(&bytes, rate, SMALL).unwrap();
            for (at, (was, is)) in whole.frames().iter().zip(lead.iter().chain(tail.frames())).enumerate() {
                assert!((brightness(was) - brightness(is)).abs() <= 2, "frame {at} of {count} at {file_rate}");
            }
            // Of one that is led up to, the beginning.
            let before = sources(ExtensionDirection::Before);
            let (source, _) = before.decode(&render::TestCard, SMALL).unwrap();
            let Source::Precede(head) = source else { panic!("{source:?}") };
            let trail: Vec<_> = before.parent(rate, SMALL).unwrap().unwrap().trail.map(Result::unwrap).collect();
            assert_eq!((head.frames().len(), trail.len()), (48, 1392));
            for (at, (was, is)) in whole.frames().iter().zip(head.frames().iter().chain(&trail)).enumerate() {
                assert!((brightness(was) - brightness(is)).abs() <= 2, "frame {at} of {count} at {file_rate}");
            }
        };
        check(1440, 12);
        check(2880, 24);
        check(720, 6);
    }
}
