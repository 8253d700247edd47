//! The little we must know about a file before and beside the C2PA library (ISO/IEC 14496-12 §4.2, JUMBF ISO/IEC 19566-5).

/// A kind of file that can carry a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Mp4,
    Png,
    Jpeg,
    WebP,
}

impl Container {
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }
}

/// What the first bytes say a file is.
pub(crate) fn sniff(bytes: &[u8]) -> Option<Container> {
    if bytes.get(4..8) == Some(b"ftyp") {
        Some(Container::Mp4)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Container::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Container::Jpeg)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Container::WebP)
    } else {
        None
    }
}

/// A box of an MP4 or of a JUMBF: the same four bytes of length and four of type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileBox<'a> {
    /// The type; [`FileBox::BROKEN`] for bytes that are no box.
    pub(crate) kind: [u8; 4],
    /// Header and payload.
    pub(crate) bytes: &'a [u8],
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

impl FileBox<'_> {
    pub(crate) const BROKEN: [u8; 4] = [0; 4];
}

/// The boxes that lie one after the other; bytes that are no box come last, as one broken box.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = FileBox<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = first_box(rest).unwrap_or(FileBox { kind: FileBox::BROKEN, bytes: rest, payload: rest });
        rest = &rest[found.bytes.len()..];
        Some(found)
    })
}

fn first_box(bytes: &[u8]) -> Option<FileBox<'_>> {
    let (header, payload) = bytes.split_first_chunk::<8>()?;
    let [a, b, c, d, kind @ ..] = *header;
    let (length, header_length) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (bytes.len(), 8),
        1 => (usize::try_from(u64::from_be_bytes(*payload.first_chunk()?)).ok()?, 16),
        short => (short as usize, 8),
    };
    let bytes = bytes.get(..length)?;
    Some(FileBox { kind, bytes, payload: bytes.get(header_length..)? })
}

/// Whether an MP4 has the one box that it cannot do without.
pub(crate) fn has_movie(mp4: &[u8]) -> bool {
    boxes(mp4).any(|found| found.kind == *b"moov")
}

/// Whether a C2PA manifest store lies somewhere in the bytes, even one whose surroundings are broken.
///
/// It looks for the type of the store's description box, and for the type of a claim's: one flipped bit cannot hide both.
pub(crate) fn has_credentials(bytes: &[u8]) -> bool {
    const STORE: &[u8] = b"jumdc2pa\x00\x11\x00\x10";
    const CLAIM: &[u8] = b"jumdc2cl\x00\x11\x00\x10";
    let mut rest = bytes;
    while let Some(at) = rest.windows(6).position(|window| window == b"jumdc2") {
        rest = &rest[at..];
        if rest.starts_with(STORE) || rest.starts_with(CLAIM) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        fn check(bytes: &[u8], expected: Option<Container>) {
            assert_eq!(sniff(bytes), expected, "{bytes:?}");
        }
        check(b"\0\0\0\x18ftypisom", Some(Container::Mp4));
        check(b"\x89PNG\r\n\x1a\n", Some(Container::Png));
        check(b"\xff\xd8\xff\xe0", Some(Container::Jpeg));
        check(b"RIFF\0\0\0\0WEBPVP8 ", Some(Container::WebP));
        check(b"RIFF\0\0\0\0WAVE", None);
        check(b"\0\0\0\x18fty", None);
        check(b"", None);
    }

    #[test]
    fn broken_boxes_come_last_and_whole() {
        let kinds = |bytes| boxes(bytes).map(|found| (found.kind, found.bytes.len())).collect::<Vec<_>>();
        assert_eq!(kinds(b"\0\0\0\x09freeX\xff\xff\xff\xffmoov"), [(*b"free", 9), (FileBox::BROKEN, 8)]);
        assert_eq!(kinds(b"\0\0\0\x07free"), [(FileBox::BROKEN, 8)]);
        assert_eq!(kinds(b"\0\0\0\0mdatXY"), [(*b"mdat", 10)]);
        assert_eq!(kinds(b"\0\0"), [(FileBox::BROKEN, 2)]);
    }

    #[test]
    fn a_movie_is_found_behind_other_boxes() {
        assert!(has_movie(b"\0\0\0\x0cftypisom\0\0\0\x01mdat\0\0\0\0\0\0\0\x10\0\0\0\x08moov"));
        assert!(!has_movie(b"\0\0\0\x0cftypisom\0\0\0\x00moof"));
        assert!(!has_movie(b"\0\0\0\x01free\xff\xff\xff\xff\xff\xff\xff\xff"));
    }

    #[test]
    fn credentials_are_found_anywhere() {
        assert!(has_credentials(b"xxjumdc2jumdc2pa\x00\x11\x00\x10"));
        assert!(!has_credentials(b"xxjumdc2pa\x00\x11\x00\x11"));
        assert!(!has_credentials(b""));
    }
}
