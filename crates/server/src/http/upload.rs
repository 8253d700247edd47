//! What people upload: looked at by its bytes, never by the type it declares, and cleaned of what it gives away.

use bytes::Bytes;
use media::{FrameHash, Mp4Info, PictureLimits, ReadLimits, encode_png, probe_mp4, read_picture};
use platform::Size;

use crate::http::error::ApiError;

/// The largest picture, in bytes, as the API has it for `data:` addresses.
pub(crate) const MAX_PICTURE_BYTES: usize = 20_971_520;

/// A picture that was read and written again: nothing but pixels is left of it.
pub(crate) struct CleanPicture {
    pub(crate) png: Bytes,
    pub(crate) size: media::Size,
    pub(crate) look: FrameHash,
}

/// Reads a picture and writes it again as PNG, upright; location, device and thumbnail stay behind.
pub(crate) async fn clean_picture(bytes: Bytes, param: &'static str) -> Result<CleanPicture, ApiError> {
    let limits = PictureLimits { max_bytes: MAX_PICTURE_BYTES, ..PictureLimits::default() };
    let work = move || {
        let frame = read_picture(&bytes, &limits).map_err(|error| {
            ApiError::invalid(param, format!("'{param}' must be a JPEG, PNG or WebP picture: {error}."))
        })?;
        let png = encode_png(&frame).map_err(|error| ApiError::internal(&error))?;
        Ok(CleanPicture { png: png.into(), size: frame.size(), look: FrameHash::of(&frame) })
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}

/// Looks at a clip and takes away its user data (place, device, title); signed claims stay. The length is that of the
/// picture track, rounded to whole seconds.
pub(crate) async fn clean_clip(bytes: Bytes, param: &'static str) -> Result<(Bytes, Mp4Info), ApiError> {
    let work = move || {
        let info = probe_mp4(&bytes, &ReadLimits::default()).map_err(|error| {
            ApiError::invalid(param, format!("'{param}' must be an MP4 with H.264 pictures: {error}."))
        })?;
        let mut bytes = Vec::from(bytes);
        blank_user_data(&mut bytes);
        Ok((bytes.into(), info))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}

/// The picture of a `data:` address.
pub(crate) fn data_url(url: &str, param: &'static str) -> Result<Bytes, ApiError> {
    use base64::Engine;
    let refused = |why: &str| ApiError::invalid(param, format!("'{param}' holds a data: address that {why}."));
    let (head, body) =
        url.strip_prefix("data:").and_then(|rest| rest.split_once(',')).ok_or_else(|| refused("has no comma"))?;
    if url.len() > MAX_PICTURE_BYTES {
        return Err(refused("is longer than 20971520 characters"));
    }
    if !head.to_ascii_lowercase().ends_with(";base64") {
        return Err(refused("is not base64"));
    }
    let body: String = body.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    engine.decode(body).map(Bytes::from).map_err(|_| refused("is not base64"))
}

/// Refuses a first frame of another size than the clip's, in the words that clients know.
pub(crate) fn fits(picture: media::Size, clip: Size) -> Result<(), ApiError> {
    if (picture.width, picture.height) == (u32::from(clip.width()), u32::from(clip.height())) {
        return Ok(());
    }
    Err(ApiError::bad_request("Inpaint image must match the requested width and height"))
}

/// What bytes are, by their first ones; `application/octet-stream` if nobody knows.
pub(crate) fn media_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "video/mp4",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Turns the `udta` and `meta` boxes of a movie and its tracks into `free` ones full of zeros. No offset changes.
fn blank_user_data(mp4: &mut [u8]) {
    for moov in boxes(mp4, 0..mp4.len()).into_iter().filter(|(kind, _)| kind == b"moov") {
        let mut found = Vec::new();
        for (kind, body) in boxes(mp4, moov.1) {
            if &kind == b"trak" {
                found.extend(boxes(mp4, body));
            } else {
                found.push((kind, body));
            }
        }
        for (_, body) in found.into_iter().filter(|(kind, _)| kind == b"udta" || kind == b"meta") {
            // The four letters before the body; a 64-bit size would stand between, which no such box has.
            if let Some(at) = body.start.checked_sub(4) {
                mp4[at..at + 4].copy_from_slice(b"free");
                mp4[body].fill(0);
            }
        }
    }
}

/// The boxes in a part of a file: their kinds and where their bodies lie. Ends at the first that cannot be.
fn boxes(mp4: &[u8], within: std::ops::Range<usize>) -> Vec<([u8; 4], std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = within.start;
    while let Some(&[a, b, c, d, kind @ ..]) = mp4.get(at..at + 8).and_then(|head| <&[u8; 8]>::try_from(head).ok()) {
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let (head, size) = match size {
            0 => (8, within.end - at),
            1 => {
                let Some(long) = mp4.get(at + 8..at + 16).and_then(|long| <[u8; 8]>::try_from(long).ok()) else {
                    break;
                };
                (16, usize::try_from(u64::from_be_bytes(long)).unwrap_or(usize::MAX))
            }
            size => (8, size),
        };
        if size < head || size > within.end - at {
            break;
        }
        found.push((kind, at + head..at + size));
        at += size;
        if at >= within.end {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
    }

    #[test]
    fn a_clip_forgets_where_it_was_taken_and_nothing_else() {
        let place = mp4_box(b"udta", b"+35.68+139.69/");
        let track = mp4_box(b"trak", &[mp4_box(b"tkhd", b"head"), mp4_box(b"meta", b"phone")].concat());
        let moov = mp4_box(b"moov", &[mp4_box(b"mvhd", b"movie"), track, place].concat());
        let mut file =
            [mp4_box(b"ftyp", b"isom"), moov, mp4_box(b"uuid", b"claims"), mp4_box(b"mdat", b"udta")].concat();
        let before = file.clone();
        blank_user_data(&mut file);
        assert_eq!(file.len(), before.len());
        let text = String::from_utf8_lossy(&file);
        assert!(!text.contains("35.68") && !text.contains("phone"));
        for kept in ["movie", "head", "claims", "udta"] {
            assert!(text.contains(kept), "{kept}");
        }
    }

    #[test]
    fn broken_boxes_end_the_walk() {
        for size in [0_u32, 1, 7, 9999] {
            let mut file = [&size.to_be_bytes(), &b"moov"[..], b"rest"].concat();
            blank_user_data(&mut file);
        }
    }

    #[test]
    fn data_addresses_are_base64() {
        assert_eq!(data_url("data:image/png;base64,aGk", "image_url").unwrap(), "hi");
        for url in ["data:image/png,hi", "data:;base64", "data:;base64,%"] {
            assert!(data_url(url, "image_url").is_err(), "{url}");
        }
    }
}
