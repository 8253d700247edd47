//! The sequence parameter set of H.264, as far as the size of its pictures: ITU-T H.264 §7.3.2.1.1.

use crate::frame::Size;

/// What a stream promises about its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    /// Sides in macroblocks times 16: what a decoder allocates.
    pub(crate) coded: Size,
    /// Sides that are shown.
    pub(crate) visible: Size,
    pub(crate) profile_idc: u8,
}

/// Why a parameter set was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpsError {
    /// The bits end too early, or a number has more than 32 bits.
    #[error("its sequence parameter set is cut off")]
    Cut,
    /// A field has a value that the standard does not allow.
    #[error("its sequence parameter set has an impossible {0}")]
    Impossible(&'static str),
    /// Legal, but our decoder cannot read it.
    #[error("it is {0}, only 8-bit 4:2:0 progressive video can be read")]
    Unsupported(&'static str),
}

impl Sps {
    /// Reads a NAL unit, its header byte included.
    pub(crate) fn parse(nal: &[u8]) -> Result<Self, SpsError> {
        let payload = without_emulation_prevention(nal.get(1..).unwrap_or_default());
        let mut bits = Bits { bytes: &payload, position: 0 };
        let profile_idc = bits.read(8)? as u8;
        bits.read(16)?; // constraint flags, level_idc
        bits.exp_golomb()?; // seq_parameter_set_id
        if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile_idc) {
            let chroma_format_idc = bits.exp_golomb()?;
            if chroma_format_idc != 1 {
                return Err(SpsError::Unsupported("not 4:2:0"));
            }
            if bits.exp_golomb()? != 0 || bits.exp_golomb()? != 0 {
                return Err(SpsError::Unsupported("of more than 8 bits"));
            }
            bits.read(1)?; // qpprime_y_zero_transform_bypass_flag
            if bits.read(1)? == 1 {
                for list in 0..8 {
                    if bits.read(1)? == 1 {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.exp_golomb()?; // log2_max_frame_num_minus4
        match bits.exp_golomb()? {
            0 => {
                bits.exp_golomb()?; // log2_max_pic_order_cnt_lsb_minus4
            }
            1 => {
                bits.read(1)?; // delta_pic_order_always_zero_flag
                bits.exp_golomb()?; // offset_for_non_ref_pic
                bits.exp_golomb()?; // offset_for_top_to_bottom_field
                let count = bits.exp_golomb()?;
                if count > 255 {
                    return Err(SpsError::Impossible("num_ref_frames_in_pic_order_cnt_cycle"));
                }
                for _ in 0..count {
                    bits.exp_golomb()?;
                }
            }
            2 => {}
            _ => return Err(SpsError::Impossible("pic_order_cnt_type")),
        }
        if bits.exp_golomb()? > 16 {
            return Err(SpsError::Impossible("max_num_ref_frames"));
        }
        bits.read(1)?; // gaps_in_frame_num_value_allowed_flag
        let side = |macroblocks_minus1: u32| {
            // Level 6.2 ends at 139,264 macroblocks with sides under sqrt(8 · that) = 1,056.
            if macroblocks_minus1 < 1056 {
                Ok((macroblocks_minus1 + 1) * 16)
            } else {
                Err(SpsError::Impossible("size"))
            }
        };
        let coded = Size::new(side(bits.exp_golomb()?)?, side(bits.exp_golomb()?)?);
        if bits.read(1)? == 0 {
            return Err(SpsError::Unsupported("interlaced"));
        }
        bits.read(1)?; // direct_8x8_inference_flag
        let mut visible = coded;
        if bits.read(1)? == 1 {
            // In 4:2:0 cropping counts pairs of pixels (Table 6-1).
            let [left, right, top, bottom] =
                [bits.exp_golomb()?, bits.exp_golomb()?, bits.exp_golomb()?, bits.exp_golomb()?];
            let crop = |side: u32, a: u32, b: u32| {
                let gone = (u64::from(a) + u64::from(b)) * 2;
                u64::from(side).checked_sub(gone).filter(|&rest| rest > 0).ok_or(SpsError::Impossible("cropping"))
            };
            visible = Size::new(crop(coded.width, left, right)? as u32, crop(coded.height, top, bottom)? as u32);
        }
        Ok(Self { coded, visible, profile_idc })
    }
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Result<(), SpsError> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.exp_golomb()?);
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// Removes the 3 of every 0 0 3 (§7.4.1).
fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Up to 32 bits, the highest first.
    fn read(&mut self, count: u32) -> Result<u32, SpsError> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8).ok_or(SpsError::Cut)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Ok(value)
    }

    /// ue(v), §9.1.
    fn exp_golomb(&mut self) -> Result<u32, SpsError> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return Err(SpsError::Cut);
            }
        }
        Ok(((1_u64 << zeros) - 1) as u32 + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::I420;
    use crate::frame::Frame;
    use crate::openh264::Encoder;

    #[test]
    fn our_encoder_says_its_size() {
        for size in [Size::new(16, 16), Size::new(1280, 720), Size::new(720, 1280), Size::new(50, 34)] {
            let mut encoder = Encoder::new(size, 12.0, 23).unwrap();
            let unit = encoder.encode(&I420::from_frame(&Frame::filled(size, [9, 99, 199]))).unwrap();
            let sps = Sps::parse(&unit.sps).unwrap();
            assert_eq!(sps.visible, size);
            assert_eq!(sps.coded, Size::new(size.width.next_multiple_of(16), size.height.next_multiple_of(16)));
            assert_eq!(sps.profile_idc, 100);
        }
    }

    #[test]
    fn exp_golomb_counts() {
        // 1, 010, 011, 00100 are 0, 1, 2, 3.
        let mut bits = Bits { bytes: &[0b1010_0110, 0b0100_0000], position: 0 };
        assert_eq!([0; 4].map(|_| bits.exp_golomb().unwrap()), [0, 1, 2, 3]);
    }

    #[test]
    fn every_cut_is_an_error() {
        let size = Size::new(64, 48);
        let mut encoder = Encoder::new(size, 12.0, 23).unwrap();
        let unit = encoder.encode(&I420::from_frame(&Frame::filled(size, [0; 3]))).unwrap();
        for length in 0..6 {
            assert!(Sps::parse(&unit.sps[..length]).is_err());
        }
    }
}
