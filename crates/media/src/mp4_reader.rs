//! MP4 back to frames: our own files, and other plain ones with H.264.
//!
//! The bytes come from strangers. Everything they claim is checked against their length and the caller's limits before
//! memory is taken for it, and the decoder sees only the NAL units that a plain stream needs. (`re_mp4` was turned down:
//! it indexes and subtracts unchecked, and a file of 1 KB can make it list four thousand million samples.)

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::ops::Range;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{Avc1Box, HdlrBox, MoovBox, SampleEntry, StblBox, TrakBox, UnknownBox};
use shiguredo_mp4::{BaseBox, BoxType, Decode};

use crate::colour::{ColourSpace, Matrix, Planes, frame_from_planes};
use crate::frame::{Clip, Frame, FrameError, FrameRate, Size};
use crate::limits::ReadLimits;
use crate::mp4_boxes::clap_size;
use crate::read_error::ReadError;
use crate::sps::Sps;

/// What a file says about its video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mp4Info {
    /// Sides of the frames, as they are meant to be seen.
    pub size: Size,
    /// Frames a second; the mean when the file's frames are not all as long.
    pub frame_rate: FrameRate,
    /// How many frames.
    pub frame_count: usize,
    /// The codec as browsers name it, such as `avc1.64001f`.
    pub codec: String,
}

/// Reads the index of an MP4 file, and no picture.
///
/// # Errors
/// Any [`ReadError`] but those about pictures and single frames.
pub fn probe_mp4(bytes: &[u8], limits: &ReadLimits) -> Result<Mp4Info, ReadError> {
    Ok(Index::read(bytes, limits)?.info)
}

/// Reads all frames of an MP4 file.
///
/// # Errors
/// Any [`ReadError`] but those about pictures. Whatever the bytes are, there is no panic, and memory stays within what
/// `limits` allow.
pub fn read_mp4(bytes: &[u8], limits: &ReadLimits) -> Result<Clip, ReadError> {
    let mut reader = Mp4Reader::open(bytes, limits)?;
    let Mp4Info { size, frame_rate, frame_count, .. } = *reader.info();
    if frame_count.saturating_mul(size.pixels()) > limits.max_clip_pixels {
        return Err(ReadError::ClipTooLarge { frames: frame_count, width: size.width, height: size.height });
    }
    let mut frames = Vec::with_capacity(frame_count);
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok(Clip::new(frames, frame_rate)?)
}

/// Reads an MP4 file frame by frame, for clips that should not lie in memory whole.
pub struct Mp4Reader<'a> {
    bytes: &'a [u8],
    index: Index,
    decoder: Decoder,
    /// The next sample to decode.
    next: usize,
    /// The sample that decoding began with.
    first: usize,
    /// Frames that the decoder held back until the end.
    tail: VecDeque<Frame>,
    returned: usize,
}

impl std::fmt::Debug for Mp4Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mp4Reader").field("info", &self.index.info).field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'a> Mp4Reader<'a> {
    /// Reads the index. [`ReadLimits::max_clip_pixels`] is not looked at.
    ///
    /// # Errors
    /// As [`probe_mp4`].
    pub fn open(bytes: &'a [u8], limits: &ReadLimits) -> Result<Self, ReadError> {
        let index = Index::read(bytes, limits)?;
        // Flushing after each picture would tear the reference pictures of High profile streams apart.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder =
            Decoder::with_api_config(OpenH264API::from_source(), config).map_err(|_| ReadError::Frame { frame: 0 })?;
        Ok(Self { bytes, index, decoder, next: 0, first: 0, tail: VecDeque::new(), returned: 0 })
    }

    /// What the file says about its video.
    pub fn info(&self) -> &Mp4Info {
        &self.index.info
    }

    /// Passes over frames before the first one is decoded, to the last at or before `frame` that needs none of those before it. Says
    /// which frame comes next.
    pub fn skip_to(&mut self, frame: usize) -> usize {
        if self.next == self.first {
            let last = frame.min(self.index.samples.len().saturating_sub(1));
            let start = (self.next..=last).rev().find(|&sample| self.begins_anew(sample)).unwrap_or(self.next);
            (self.next, self.first, self.returned) = (start, start, start);
        }
        self.returned
    }

    /// Whether a sample is an instantaneous decoding refresh: pictures after it refer to none before it (ITU-T H.264 §3.69).
    fn begins_anew(&self, sample: usize) -> bool {
        let Some(mut rest) = self.index.samples.get(sample).and_then(|range| self.bytes.get(range.clone())) else {
            return false;
        };
        while let Some((length, after)) = rest.split_at_checked(self.index.length_size) {
            let length = length.iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
            let Some((nal, after)) = after.split_at_checked(length) else { return false };
            match nal.first().map(|header| header & 0x1f) {
                Some(5) => return true,
                Some(1) => return false,
                _ => rest = after,
            }
        }
        false
    }

    /// Decodes the next frame; `None` after the last.
    ///
    /// # Errors
    /// [`ReadError::Frame`], [`ReadError::SizeChanges`] or [`ReadError::Stream`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        let frame = self.decode_next()?;
        let count = self.index.info.frame_count;
        match frame {
            Some(_) if self.returned >= count => Err(ReadError::Frame { frame: count }),
            Some(frame) => {
                self.returned += 1;
                Ok(Some(frame))
            }
            None if self.returned < count => Err(ReadError::Frame { frame: self.returned }),
            None => Ok(None),
        }
    }

    fn decode_next(&mut self) -> Result<Option<Frame>, ReadError> {
        while let Some(range) = self.index.samples.get(self.next).cloned() {
            let frame = self.next;
            self.next += 1;
            let unit = self.annex_b(range, frame)?;
            if unit.is_empty() {
                return Err(ReadError::Frame { frame });
            }
            let picture = self.decoder.decode(&unit).map_err(|_| ReadError::Frame { frame })?;
            if let Some(picture) = picture {
                return Ok(Some(self.index.crop(&picture, frame)?));
            }
            if self.next == self.index.samples.len() {
                self.flush()?;
            }
        }
        if self.next == self.index.samples.len() {
            self.flush()?;
        }
        Ok(self.tail.pop_front())
    }

    /// Takes what the decoder still holds, once.
    fn flush(&mut self) -> Result<(), ReadError> {
        self.next = usize::MAX;
        let frame = self.returned;
        for picture in self.decoder.flush_remaining().map_err(|_| ReadError::Frame { frame })? {
            self.tail.push_back(self.index.crop(&picture, frame)?);
        }
        Ok(())
    }

    /// The sample's slices with start codes instead of lengths, and the parameter sets in front of the first.
    fn annex_b(&self, range: Range<usize>, frame: usize) -> Result<Vec<u8>, ReadError> {
        const START_CODE: [u8; 4] = [0, 0, 0, 1];
        let damaged = ReadError::Frame { frame };
        let mut rest = self.bytes.get(range).ok_or(ReadError::Mp4 { part: "sample table" })?;
        let mut unit = Vec::with_capacity(rest.len() + 64);
        if frame == self.first {
            for set in &self.index.parameter_sets {
                unit.extend(START_CODE);
                unit.extend(set);
            }
        }
        while !rest.is_empty() {
            let Some((length, after)) = rest.split_at_checked(self.index.length_size) else { return Err(damaged) };
            let length = length.iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
            let Some((nal, after)) = after.split_at_checked(length) else { return Err(damaged) };
            rest = after;
            match nal.first().map(|header| header & 0x1f) {
                // Slices and picture parameter sets.
                Some(1 | 5 | 8) => {}
                Some(7) if Sps::parse(nal)? == self.index.sps => {}
                Some(7) => return Err(ReadError::SizeChanges { frame }),
                // Delimiters, supplemental information, scalable extensions: not needed, and the less the better.
                _ => continue,
            }
            unit.extend(START_CODE);
            unit.extend(nal);
        }
        Ok(unit)
    }
}

/// What the boxes say, checked.
struct Index {
    info: Mp4Info,
    sps: Sps,
    colour_space: ColourSpace,
    /// SPS and PPS, without start codes.
    parameter_sets: Vec<Vec<u8>>,
    /// Bytes of the length before each NAL unit.
    length_size: usize,
    /// Where each sample lies in the file; all inside it.
    samples: Vec<Range<usize>>,
}

impl Index {
    fn read(bytes: &[u8], limits: &ReadLimits) -> Result<Self, ReadError> {
        if bytes.len() > limits.max_bytes {
            return Err(ReadError::TooManyBytes { actual: bytes.len(), limit: limits.max_bytes });
        }
        let moov = read_moov(bytes)?;
        let fragmented = moov.mvex_box.is_some();
        let is_video = |trak: &TrakBox| trak.mdia_box.hdlr_box.handler_type == HdlrBox::HANDLER_TYPE_VIDE;
        let trak = moov.trak_boxes.into_iter().find(is_video).ok_or(ReadError::NoVideo)?;
        let timescale = trak.mdia_box.mdhd_box.timescale;
        let stbl = trak.mdia_box.minf_box.stbl_box;
        let [entry] = &stbl.stsd_box.entries[..] else {
            return Err(ReadError::Mp4 { part: "sample description" });
        };
        let SampleEntry::Avc1(entry) = entry else {
            return Err(ReadError::Codec { codec: four_characters(entry.box_type()) });
        };
        let entry = entry.clone();
        let (sps, parameter_sets) = parameter_sets(&entry)?;
        if sps.coded.pixels() > limits.max_frame_pixels {
            let Size { width, height } = sps.coded;
            return Err(ReadError::TooManyPixels { width, height, limit: limits.max_frame_pixels });
        }
        let size = find_box(&entry.unknown_boxes, *b"clap")
            .and_then(|clap| clap_size(clap, sps.visible))
            .unwrap_or(sps.visible);
        let frame_rate = frame_rate(&stbl, timescale)?;
        let samples = sample_ranges(stbl, bytes.len(), limits)?;
        if samples.is_empty() {
            return Err(if fragmented { ReadError::Fragmented } else { ReadError::Frames(FrameError::Empty) });
        }
        let avcc = &entry.avcc_box;
        let codec = format!(
            "avc1.{:02x}{:02x}{:02x}",
            avcc.avc_profile_indication, avcc.profile_compatibility, avcc.avc_level_indication
        );
        Ok(Self {
            info: Mp4Info { size, frame_rate, frame_count: samples.len(), codec },
            colour_space: colour_space(&entry.unknown_boxes, size),
            sps,
            parameter_sets,
            length_size: usize::from(avcc.length_size_minus_one.get()) + 1,
            samples,
        })
    }

    /// The part of a decoded picture that is meant to be seen, as RGB.
    fn crop(&self, picture: &DecodedYUV<'_>, frame: usize) -> Result<Frame, ReadError> {
        let (width, height) = picture.dimensions();
        if (width, height) != (self.sps.visible.width as usize, self.sps.visible.height as usize) {
            return Err(ReadError::SizeChanges { frame });
        }
        let (luma_stride, chroma_stride, _) = picture.strides();
        let planes = Planes { luma: picture.y(), blue: picture.u(), red: picture.v(), luma_stride, chroma_stride };
        if !planes.covers(self.info.size) {
            return Err(ReadError::Frame { frame });
        }
        Ok(frame_from_planes(planes, self.info.size, self.colour_space))
    }
}

/// Walks the boxes of the file up to `moov`.
fn read_moov(bytes: &[u8]) -> Result<MoovBox, ReadError> {
    let mut rest = bytes;
    let mut first = true;
    while let Some((header, _)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *header;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => rest.len() as u64,
            1 => match rest.get(8..16).and_then(|size| size.first_chunk()) {
                Some(size) => u64::from_be_bytes(*size),
                None => return Err(ReadError::Mp4 { part: "boxes" }),
            },
            size => u64::from(size),
        };
        if first && !matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide") {
            return Err(ReadError::NotMp4);
        }
        first = false;
        let size = usize::try_from(size).ok().filter(|&size| size >= 8 && size <= rest.len());
        let Some((current, after)) = size.and_then(|size| rest.split_at_checked(size)) else {
            return Err(ReadError::Mp4 { part: "boxes" });
        };
        if &kind == b"moov" {
            return match MoovBox::decode(current) {
                Ok((moov, _)) => Ok(moov),
                Err(_) => Err(ReadError::Mp4 { part: "movie box" }),
            };
        }
        rest = after;
    }
    Err(if first { ReadError::NotMp4 } else { ReadError::Mp4 { part: "index, which is missing" } })
}

fn parameter_sets(entry: &Avc1Box) -> Result<(Sps, Vec<Vec<u8>>), ReadError> {
    let avcc = &entry.avcc_box;
    let [first, others @ ..] = &avcc.sps_list[..] else {
        return Err(ReadError::Mp4 { part: "decoder configuration" });
    };
    let sps = Sps::parse(first)?;
    for other in others {
        if Sps::parse(other)? != sps {
            return Err(ReadError::SizeChanges { frame: 0 });
        }
    }
    let is = |nal_unit_type: u8| move |set: &Vec<u8>| set.first().is_some_and(|header| header & 0x1f == nal_unit_type);
    if !avcc.sps_list.iter().all(is(7)) || !avcc.pps_list.iter().all(is(8)) {
        return Err(ReadError::Mp4 { part: "decoder configuration" });
    }
    Ok((sps, avcc.sps_list.iter().chain(&avcc.pps_list).cloned().collect()))
}

fn sample_ranges(stbl: StblBox, file_size: usize, limits: &ReadLimits) -> Result<Vec<Range<usize>>, ReadError> {
    let damaged = || ReadError::Mp4 { part: "sample table" };
    let table = SampleTableAccessor::new(Table(stbl)).map_err(|_| damaged())?;
    let count = table.sample_count() as usize;
    if count > limits.max_frames {
        return Err(ReadError::TooManyFrames { actual: count, limit: limits.max_frames });
    }
    let range = |offset: u64, size: u32| {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(size as usize)?;
        (end <= file_size).then_some(start..end)
    };
    table.samples().map(|sample| range(sample.data_offset(), sample.data_size()).ok_or_else(damaged)).collect()
}

/// The library asks for a thing that lends its table.
struct Table(StblBox);

impl AsRef<StblBox> for Table {
    fn as_ref(&self) -> &StblBox {
        &self.0
    }
}

/// From the durations of all frames but the last, which many writers get wrong.
fn frame_rate(stbl: &StblBox, timescale: NonZeroU32) -> Result<FrameRate, ReadError> {
    let entries = &stbl.stts_box.entries;
    let total = |of: fn(u64, u64) -> u64| {
        entries
            .iter()
            .map(|entry| of(u64::from(entry.sample_count), u64::from(entry.sample_delta)))
            .fold(0, u64::saturating_add)
    };
    let count = total(|count, _| count);
    let duration = total(u64::saturating_mul);
    let (frames, time) = match entries.last() {
        Some(last) if entries.len() > 1 && last.sample_count == 1 => {
            (count - 1, duration.saturating_sub(u64::from(last.sample_delta)))
        }
        _ => (count, duration),
    };
    let numerator = u128::from(frames) * u128::from(timescale.get());
    let denominator = u128::from(time);
    if numerator == 0 || denominator == 0 {
        return if count == 0 { Ok(FrameRate::whole(1)) } else { Err(ReadError::Mp4 { part: "frame durations" }) };
    }
    let common = gcd(numerator, denominator);
    let (mut numerator, mut denominator) = (numerator / common, denominator / common);
    while numerator > u128::from(u32::MAX) || denominator > u128::from(u32::MAX) {
        numerator /= 2;
        denominator /= 2;
    }
    if numerator == 0 || denominator == 0 {
        return Err(ReadError::Mp4 { part: "frame durations" });
    }
    Ok(FrameRate { numerator: numerator as u32, denominator: denominator as u32 })
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What `colr` says; without it, what browsers guess.
fn colour_space(boxes: &[UnknownBox], size: Size) -> ColourSpace {
    let guess = if size.height.min(size.width) > 576 { Matrix::Bt709 } else { Matrix::Bt601 };
    match find_box(boxes, *b"colr") {
        Some(&[b'n', b'c', b'l', b'x', _, _, _, _, high, low, range, ..]) => {
            let matrix = match u16::from_be_bytes([high, low]) {
                1 => Matrix::Bt709,
                5 | 6 => Matrix::Bt601,
                _ => guess,
            };
            ColourSpace { matrix, full_range: range & 0x80 != 0 }
        }
        _ => ColourSpace { matrix: guess, full_range: false },
    }
}

fn find_box(boxes: &[UnknownBox], kind: [u8; 4]) -> Option<&[u8]> {
    boxes.iter().find(|unknown| unknown.box_type == BoxType::Normal(kind)).map(|unknown| &unknown.payload[..])
}

fn four_characters(kind: BoxType) -> String {
    match kind {
        BoxType::Normal(kind) => kind.escape_ascii().to_string(),
        BoxType::Uuid(_) => "an unknown codec".into(),
    }
}
