//! The bytes of a signed file that C2PA leaves open, and how we close them.
//!
//! C2PA 2.2 hashes neither an MP4's file type and free boxes (§A.5) nor the wrapping of the manifest store itself: box lengths, the
//! store's label, the padding in the signature. Whoever reads the file may ignore them; we promise that not one byte was changed. So
//! the first go into a digest of our own that is signed with the rest, and the second must be exactly as we write them. Both are asked
//! only of files that we signed: other makers may write them differently.

use sha2::{Digest as _, Sha256};

use crate::container::{FileBox, boxes};

/// The user type of the box that holds a manifest store (C2PA 2.2 §A.5.1).
const C2PA_USER_TYPE: [u8; 16] = *b"\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81";
/// Version and flags, the purpose, and the offset of a Merkle tree that only fragmented files have.
const BOX_FIELDS: &[u8] = b"\0\0\0\0manifest\0\0\0\0\0\0\0\0\0";
/// A description box of a manifest store: its type, the toggles «requestable, labelled», its label (JUMBF §A.3).
const STORE_DESCRIPTION: &[u8] = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\0";
const SIGNATURE_TYPE: &[u8] = b"c2cs\x00\x11\x00\x10";
/// Store, manifest, assertion store, assertion, embedded file: nothing lies deeper.
const MAX_DEPTH: usize = 8;

/// SHA-256, in hexadecimal, of every top-level box that C2PA does not hash. Signing does not change it.
pub(crate) fn open_boxes_sha256(mp4: &[u8]) -> String {
    let mut digest = Sha256::new();
    for found in boxes(mp4).filter(|found| !matches!(&found.kind, b"moov" | b"mdat") && !is_store(found)) {
        digest.update(found.bytes);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the wrapping of the manifest store is, byte for byte, as we write it.
pub(crate) fn is_canonical(mp4: &[u8]) -> bool {
    let mut stores = boxes(mp4).filter(is_store);
    let (Some(found), None) = (stores.next(), stores.next()) else { return false };
    let store = &found.payload[C2PA_USER_TYPE.len()..];
    store.strip_prefix(BOX_FIELDS).is_some_and(|store| store_is_canonical(store).unwrap_or(false))
}

/// The MP4 with its manifest stores turned into free space, so that it can be signed anew. No offset changes.
pub fn without_credentials(mp4: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(mp4.len());
    for found in boxes(mp4) {
        let from = plain.len();
        plain.extend_from_slice(found.bytes);
        if is_store(&found) {
            let payload = from + found.bytes.len() - found.payload.len();
            plain[payload..].fill(0);
            plain[from + 4..from + 8].copy_from_slice(b"free");
        }
    }
    plain
}

fn is_store(found: &FileBox<'_>) -> bool {
    found.kind == *b"uuid" && found.payload.starts_with(&C2PA_USER_TYPE)
}

fn store_is_canonical(bytes: &[u8]) -> Option<bool> {
    if !is_well_nested(bytes, 0) {
        return Some(false);
    }
    let mut stores = boxes(bytes);
    let store = stores.next().filter(|store| store.kind == *b"jumb")?;
    let description = boxes(store.payload).next()?;
    // The active manifest is the last; older ones are hashed by the ingredients that name them.
    let active = boxes(store.payload).filter(|child| child.kind == *b"jumb").last()?;
    let signature = boxes(active.payload).find(|child| {
        let description = boxes(child.payload).next();
        description
            .is_some_and(|description| description.kind == *b"jumd" && description.payload.starts_with(SIGNATURE_TYPE))
    })?;
    let cose = boxes(signature.payload).nth(1).filter(|content| content.kind == *b"cbor")?;
    Some(stores.next().is_none() && description.payload == STORE_DESCRIPTION && cose_is_canonical(cose.payload)?)
}

/// Whether every box ends where its length says and the last one where its parent ends.
fn is_well_nested(bytes: &[u8], depth: usize) -> bool {
    let is_sound = |found: FileBox<'_>| {
        let length = found.bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        length == Some(found.bytes.len())
            && match &found.kind {
                b"jumb" => is_well_nested(found.payload, depth + 1),
                b"jumd" => description_is_canonical(found.payload).unwrap_or(false),
                kind => *kind != FileBox::BROKEN,
            }
    };
    depth < MAX_DEPTH && boxes(bytes).all(is_sound)
}

/// Whether a description box (JUMBF §A.3) has what its toggles announce and nothing else; readers skip over both.
fn description_is_canonical(payload: &[u8]) -> Option<bool> {
    const REQUESTABLE_AND_LABELLED: u8 = 0x03;
    const ID: u8 = 0x04;
    const HASH: u8 = 0x08;
    const PRIVATE: u8 = 0x10;
    let (&toggles, rest) = payload.get(16..)?.split_first()?;
    let label_length = rest.iter().position(|&byte| byte == 0)?;
    let mut rest = &rest[label_length + 1..];
    if toggles & ID != 0 {
        rest = rest.get(4..)?;
    }
    if toggles & HASH != 0 {
        rest = rest.get(32..)?;
    }
    let private_boxes = usize::from(toggles & PRIVATE != 0);
    Some(
        toggles & !(ID | HASH | PRIVATE) == REQUESTABLE_AND_LABELLED
            && boxes(rest).count() == private_boxes
            && is_well_nested(rest, MAX_DEPTH - 1),
    )
}

/// `COSE_Sign1` (RFC 9052 §4.2) whose unprotected header is nothing but padding, all zero.
fn cose_is_canonical(bytes: &[u8]) -> Option<bool> {
    const TAG: u8 = 6;
    const ARRAY: u8 = 4;
    const MAP: u8 = 5;
    const TEXT: u8 = 3;
    let (head, rest) = cbor_head(bytes)?;
    let (head, rest) = if head.major == TAG && head.value == 18 { cbor_head(rest)? } else { (head, rest) };
    if head.major != ARRAY || head.value != 4 {
        return Some(false);
    }
    let (_protected, rest) = byte_string(rest)?;
    let (map, mut rest) = cbor_head(rest)?;
    if map.major != MAP {
        return Some(false);
    }
    for _ in 0..map.value {
        let (key, after_key) = cbor_head(rest)?;
        let (name, value) = after_key.split_at_checked(usize::try_from(key.value).ok()?)?;
        let (padding, after_value) = byte_string(value)?;
        if key.major != TEXT || !matches!(name, b"pad" | b"pad2") || padding.iter().any(|&byte| byte != 0) {
            return Some(false);
        }
        rest = after_value;
    }
    let detached_payload = rest.strip_prefix(b"\xf6")?;
    let (_signature, rest) = byte_string(detached_payload)?;
    Some(rest.is_empty())
}

/// Major type and argument of a CBOR item (RFC 8949 §3).
struct CborHead {
    major: u8,
    value: u64,
}

fn cbor_head(bytes: &[u8]) -> Option<(CborHead, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (value, rest) = match first & 0x1f {
        small @ 0..24 => (u64::from(small), rest),
        24 => rest.split_first().map(|(&byte, rest)| (u64::from(byte), rest))?,
        25 => rest.split_first_chunk().map(|(value, rest)| (u64::from(u16::from_be_bytes(*value)), rest))?,
        26 => rest.split_first_chunk().map(|(value, rest)| (u64::from(u32::from_be_bytes(*value)), rest))?,
        27 => rest.split_first_chunk().map(|(value, rest)| (u64::from_be_bytes(*value), rest))?,
        _ => return None,
    };
    Some((CborHead { major: first >> 5, value }, rest))
}

fn byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const BYTES: u8 = 2;
    let (head, rest) = cbor_head(bytes)?;
    (head.major == BYTES).then(|| rest.split_at_checked(usize::try_from(head.value).ok()?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zeros_pad_a_signature() {
        let check = |cose: &[u8], expected: Option<bool>| assert_eq!(cose_is_canonical(cose), expected, "{cose:x?}");
        check(b"\xd2\x84\x41P\xa0\xf6\x42SS", Some(true));
        check(b"\xd2\x84\x41P\xa1\x63pad\x42\0\0\xf6\x42SS", Some(true));
        check(b"\xd2\x84\x41P\xa1\x63pad\x42\0\x01\xf6\x42SS", Some(false));
        check(b"\xd2\x84\x41P\xa1\x63qad\x42\0\0\xf6\x42SS", Some(false));
        check(b"\xd2\x84\x41P\xa0\xf6\x42SSS", Some(false));
        check(b"\xd2\x84\x41P\xbb\xff\xff\xff\xff\xff\xff\xff\xff", None);
        check(b"", None);
    }

    #[test]
    fn toggles_announce_what_follows() {
        let check = |toggles: u8, tail: &[u8], expected: Option<bool>| {
            let payload = [[b'u'; 16].as_slice(), &[toggles], b"label\0", tail].concat();
            assert_eq!(description_is_canonical(&payload), expected, "{toggles:x} {tail:x?}");
        };
        check(0x03, b"", Some(true));
        check(0x13, b"\0\0\0\x09c2shS", Some(true));
        check(0x07, b"1234", Some(true));
        check(0x02, b"", Some(false));
        check(0x83, b"", Some(false));
        check(0x13, b"", Some(false));
        check(0x03, b"\0\0\0\x09c2shS", Some(false));
        check(0x0b, b"", None);
        assert_eq!(description_is_canonical(b"short"), None);
    }

    #[test]
    fn open_boxes_are_all_but_the_hashed_ones() {
        let file = |free: &[u8]| [b"\0\0\0\x0cftypisom\0\0\0\x09free", free, b"\0\0\0\x09mdatA"].concat();
        assert_ne!(open_boxes_sha256(&file(b"1")), open_boxes_sha256(&file(b"2")));
        let other_picture = [&file(b"1")[..29], b"B"].concat();
        assert_eq!(open_boxes_sha256(&file(b"1")), open_boxes_sha256(&other_picture));
    }
}
