//! The boxes of an MP4 file that starts to play before it is there: `ftyp`, `moov`, `mdat` (ISO/IEC 14496-12).
//!
//! Times are exact: the movie counts in the track's own timescale. Pictures are shown in the order they are coded and
//! the first one at zero, so no edit list is needed; an audio track will need one for its priming samples.

use std::num::NonZeroU32;

use shiguredo_mp4::boxes::{
    Avc1Box, AvccBox, Brand, Co64Box, DinfBox, FtypBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MinfBox, MoovBox,
    MvhdBox, SampleEntry, StblBox, StcoBox, StscBox, StscEntry, StsdBox, StssBox, StszBox, SttsBox, SttsEntry, TkhdBox,
    TrakBox, UnknownBox, VisualSampleEntryFields, VmhdBox,
};
use shiguredo_mp4::{BoxSize, BoxType, Either, Encode, FixedPointNumber, LanguageCode, Mp4FileTime, Uint};

use crate::frame::Size;
use crate::openh264::AccessUnit;

/// An H.264 track, coded.
pub(crate) struct VideoTrack<'a> {
    /// The frames' own size, which may be odd.
    pub(crate) size: Size,
    /// The size of the pictures in the stream, which is even.
    pub(crate) coded: Size,
    /// Units of time in a second …
    pub(crate) timescale: NonZeroU32,
    /// … and how many of them a frame lasts.
    pub(crate) sample_delta: u32,
    /// Pictures; each [`group`](Self::group)th starts a group that needs no other.
    pub(crate) samples: &'a [AccessUnit],
    /// Frames in a group. One group is one chunk of the file.
    pub(crate) group: usize,
}

/// A box could not be written; the library says why.
#[derive(Debug, thiserror::Error)]
#[error("the MP4 boxes cannot be written: {0}")]
pub struct BoxError(String);

impl From<shiguredo_mp4::Error> for BoxError {
    fn from(error: shiguredo_mp4::Error) -> Self {
        Self(error.to_string())
    }
}

impl VideoTrack<'_> {
    /// The whole file.
    pub(crate) fn to_mp4(&self) -> Result<Vec<u8>, BoxError> {
        let ftyp = FtypBox {
            major_brand: Brand::ISOM,
            minor_version: 0x200,
            compatible_brands: vec![Brand::ISOM, Brand::ISO2, Brand::AVC1, Brand::MP41],
        };
        let mut file = ftyp.encode_to_vec()?;
        let payload: u64 = self.samples.iter().map(|unit| unit.sample.len() as u64).sum();
        // The size of `moov` does not depend on the offsets in it, so the first try measures it.
        let wide = payload > u64::from(u32::MAX) - (1 << 24);
        let mdat_header = mdat_header(payload);
        let moov_size = self.moov(0, wide)?.encode_to_vec()?.len();
        let first_sample = file.len() + moov_size + mdat_header.len();
        let moov = self.moov(first_sample as u64, wide)?.encode_to_vec()?;
        assert_eq!(moov.len(), moov_size, "offsets have a fixed width");

        file.reserve_exact(moov.len() + mdat_header.len() + payload as usize);
        file.extend(moov);
        file.extend(mdat_header);
        for unit in self.samples {
            file.extend(&unit.sample);
        }
        Ok(file)
    }

    fn moov(&self, first_sample: u64, wide: bool) -> Result<MoovBox, BoxError> {
        let duration = self.samples.len() as u64 * u64::from(self.sample_delta);
        let time = Mp4FileTime::from_secs(0);
        let side = |side: u32| i16::try_from(side).map_err(|_| BoxError("a side is over 32767".into()));
        let tkhd_box = TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: time,
            modification_time: time,
            track_id: 1,
            duration,
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume: TkhdBox::DEFAULT_VIDEO_VOLUME,
            matrix: TkhdBox::DEFAULT_MATRIX,
            width: FixedPointNumber::new(side(self.coded.width)?, 0),
            height: FixedPointNumber::new(side(self.coded.height)?, 0),
        };
        let mdia_box = MdiaBox {
            mdhd_box: MdhdBox {
                creation_time: time,
                modification_time: time,
                timescale: self.timescale,
                duration,
                language: LanguageCode::UNDEFINED,
            },
            hdlr_box: HdlrBox { handler_type: HdlrBox::HANDLER_TYPE_VIDE, name: b"VideoHandler\0".to_vec() },
            minf_box: MinfBox {
                media_header: Some(MediaHeader::Vmhd(VmhdBox::default())),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box: self.stbl(first_sample, wide)?,
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        };
        Ok(MoovBox {
            mvhd_box: MvhdBox {
                creation_time: time,
                modification_time: time,
                timescale: self.timescale,
                duration,
                rate: MvhdBox::DEFAULT_RATE,
                volume: MvhdBox::DEFAULT_VOLUME,
                matrix: MvhdBox::DEFAULT_MATRIX,
                next_track_id: 2,
            },
            trak_boxes: vec![TrakBox { tkhd_box, edts_box: None, mdia_box, unknown_boxes: Vec::new() }],
            mvex_box: None,
            unknown_boxes: Vec::new(),
        })
    }

    /// The tables that say where each sample is, how long it lasts, and which ones a player may jump to.
    fn stbl(&self, first_sample: u64, wide: bool) -> Result<StblBox, BoxError> {
        let count = self.samples.len() as u32;
        let group = self.group as u32;
        let chunks = || self.samples.chunks(self.group);
        let number = |index: usize| NonZeroU32::MIN.saturating_add(index as u32);

        let mut offset = first_sample;
        let mut chunk_offsets = Vec::new();
        for chunk in chunks() {
            chunk_offsets.push(offset);
            offset += chunk.iter().map(|unit| unit.sample.len() as u64).sum::<u64>();
        }
        let mut stsc_entries = vec![StscEntry {
            first_chunk: NonZeroU32::MIN,
            sample_per_chunk: group.min(count),
            sample_description_index: NonZeroU32::MIN,
        }];
        if count > group && !count.is_multiple_of(group) {
            stsc_entries.push(StscEntry {
                first_chunk: number(chunk_offsets.len() - 1),
                sample_per_chunk: count % group,
                sample_description_index: NonZeroU32::MIN,
            });
        }
        let sync: Vec<NonZeroU32> = (0..self.samples.len()).step_by(self.group).map(number).collect();
        Ok(StblBox {
            stsd_box: StsdBox { entries: vec![SampleEntry::Avc1(self.sample_entry()?)] },
            stts_box: SttsBox { entries: vec![SttsEntry { sample_count: count, sample_delta: self.sample_delta }] },
            ctts_box: None,
            cslg_box: None,
            stsc_box: StscBox { entries: stsc_entries },
            stsz_box: StszBox::Variable {
                entry_sizes: self.samples.iter().map(|unit| unit.sample.len() as u32).collect(),
            },
            stco_or_co64_box: if wide {
                Either::B(Co64Box { chunk_offsets })
            } else {
                Either::A(StcoBox { chunk_offsets: chunk_offsets.into_iter().map(|offset| offset as u32).collect() })
            },
            stss_box: Some(StssBox { sample_numbers: sync }),
            sdtp_box: None,
            unknown_boxes: Vec::new(),
        })
    }

    /// `avc1` with `avcC`, `colr` and, for odd sizes, `clap`.
    fn sample_entry(&self) -> Result<Avc1Box, BoxError> {
        let first = self.samples.first().ok_or_else(|| BoxError("no samples".into()))?;
        let &[_, profile_idc, compatibility, level_idc, ..] = &first.sps[..] else {
            return Err(BoxError("no sequence parameter set".into()));
        };
        let mut unknown_boxes = vec![colr_bt709()];
        if self.size != self.coded {
            unknown_boxes.push(clap(self.size, self.coded));
        }
        Ok(Avc1Box {
            visual: VisualSampleEntryFields {
                data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
                width: self.coded.width as u16,
                height: self.coded.height as u16,
                horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
                vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
                frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
                compressorname: [0; 32],
                depth: VisualSampleEntryFields::DEFAULT_DEPTH,
            },
            avcc_box: AvccBox {
                avc_profile_indication: profile_idc,
                profile_compatibility: compatibility,
                avc_level_indication: level_idc,
                length_size_minus_one: Uint::new(3),
                sps_list: vec![first.sps.clone()],
                pps_list: vec![first.pps.clone()],
                // High profile spells these out: 4:2:0, 8 bits.
                chroma_format: Some(Uint::new(1)),
                bit_depth_luma_minus8: Some(Uint::new(0)),
                bit_depth_chroma_minus8: Some(Uint::new(0)),
                sps_ext_list: Vec::new(),
            },
            unknown_boxes,
        })
    }
}

fn mdat_header(payload: u64) -> Vec<u8> {
    match u32::try_from(payload + 8) {
        Ok(size) => [&size.to_be_bytes()[..], b"mdat"].concat(),
        Err(_) => [&1_u32.to_be_bytes()[..], b"mdat", &(payload + 16).to_be_bytes()].concat(),
    }
}

fn small_box(box_type: [u8; 4], payload: Vec<u8>) -> UnknownBox {
    UnknownBox { box_type: BoxType::Normal(box_type), box_size: BoxSize::U32(8 + payload.len() as u32), payload }
}

/// Colour information, §12.1.5: primaries, transfer and matrix of BT.709, limited range.
fn colr_bt709() -> UnknownBox {
    small_box(*b"colr", b"nclx\0\x01\0\x01\0\x01\0".to_vec())
}

/// Clean aperture, §12.1.4: only the upper left `size` of the coded picture is meant to be seen.
fn clap(size: Size, coded: Size) -> UnknownBox {
    let mut payload = Vec::with_capacity(32);
    let mut fraction = |numerator: i32, denominator: u32| {
        payload.extend(numerator.to_be_bytes());
        payload.extend(denominator.to_be_bytes());
    };
    fraction(size.width as i32, 1);
    fraction(size.height as i32, 1);
    // How far the middle of what is seen lies from the middle of the picture, in half pixels.
    fraction(size.width as i32 - coded.width as i32, 2);
    fraction(size.height as i32 - coded.height as i32, 2);
    small_box(*b"clap", payload)
}

/// Reads a `clap` that keeps the upper left corner; anything else is ignored, as players do.
pub(crate) fn clap_size(payload: &[u8], coded: Size) -> Option<Size> {
    let number = |index: usize| Some(u32::from_be_bytes(*payload.get(index * 4..)?.first_chunk()?));
    let [width, one, height, one_too] = [number(0)?, number(1)?, number(2)?, number(3)?];
    let size = Size::new(width, height);
    let near = |small: u32, large: u32| small > 0 && small <= large && large - small <= 1;
    let fits = one == 1 && one_too == 1 && near(width, coded.width) && near(height, coded.height);
    (fits && payload == clap(size, coded).payload).then_some(size)
}
