//! Files that someone changed, cut, or made up.

use proptest::prelude::*;
use provenance::{Action, State, TrustedRoots, sign, verify};

use crate::{CLIP, created, installation, made_from};

/// One flipped byte at each of these offsets must be told.
fn check_flips(signed: &[u8], offsets: impl Iterator<Item = usize>) {
    let mut bytes = signed.to_vec();
    let mut silent = Vec::new();
    for offset in offsets {
        for mask in [0x01, 0x80, 0xff] {
            bytes[offset] = signed[offset] ^ mask;
            if verify(&bytes, &TrustedRoots::none()).state == State::Untouched {
                silent.push(offset);
            }
        }
        bytes[offset] = signed[offset];
    }
    silent.dedup();
    let runs: Vec<_> = silent.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..run[run.len() - 1] + 1).collect();
    assert!(runs.is_empty(), "{} flipped bytes went unnoticed: {runs:?}", silent.len());
}

#[test]
fn forty_flipped_bytes_are_told() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap().into_bytes();
    check_flips(&signed, (0..40).map(|step| step * (signed.len() - 1) / 39));
}

#[test]
#[ignore = "a minute or two"]
fn every_flipped_byte_is_told() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap().into_bytes();
    check_flips(&signed, 0..signed.len());
}

#[test]
#[ignore = "a minute or two"]
fn every_flipped_byte_of_a_child_is_told() {
    let (_dir, key) = installation("Paper Studio");
    let parent = sign(CLIP, &created(), &key).unwrap().into_bytes();
    let signed = sign(CLIP, &made_from(&parent, Action::Edited, "child"), &key).unwrap().into_bytes();
    check_flips(&signed, (0..signed.len()).step_by(3));
}

#[test]
fn bytes_put_behind_or_cut_away_are_told() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap().into_bytes();
    let longer = [signed.as_slice(), b"\0\0\0\x09free!"].concat();
    assert_eq!(verify(&longer, &TrustedRoots::none()).state, State::Tampered);
    for cut in [1, 100, signed.len() / 2] {
        let report = verify(&signed[..signed.len() - cut], &TrustedRoots::none());
        assert_eq!(report.state, State::Tampered, "cut by {cut}: {report:#?}");
    }
}

#[test]
fn an_unsigned_file_has_no_credentials() {
    let report = verify(CLIP, &TrustedRoots::none());
    assert_eq!(report.state, State::NoCredentials, "{report:#?}");
    assert!(report.signer.is_none() && report.codes.is_empty());
}

#[test]
fn nonsense_is_unreadable() {
    let deep = {
        let mut bytes = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
        let levels = 50_000_u32;
        for level in (0..levels).rev() {
            bytes.extend(((level + 1) * 8).to_be_bytes());
            bytes.extend(b"moov");
        }
        bytes
    };
    for bytes in [
        b"".as_slice(),
        b"hello",
        b"\0\0\0\x18ftypisom",
        b"\xff\xff\xff\xffftypisom",
        b"\xff\xd8\xff",
        b"RIFF\xff\xff\xff\xffWEBP",
    ] {
        let report = verify(bytes, &TrustedRoots::none());
        assert!(matches!(report.state, State::Unreadable | State::NoCredentials), "{bytes:?}: {report:#?}");
    }
    assert_eq!(verify(b"hello", &TrustedRoots::none()).state, State::Unreadable);
    assert_ne!(verify(&deep, &TrustedRoots::none()).state, State::Untouched);
}

/// The manifest of one signed file on the picture of another.
#[test]
fn a_borrowed_manifest_is_told() {
    let (_dir, key) = installation("Paper Studio");
    let signed = sign(CLIP, &created(), &key).unwrap().into_bytes();
    let manifest_size = signed.len() - CLIP.len();
    let head = u32::from_be_bytes(*CLIP.first_chunk().unwrap()) as usize;
    let mut other = CLIP.to_vec();
    let last = other.len() - 3;
    other[last] ^= 0x40;
    let forged = [&signed[..head + manifest_size], &other[head..]].concat();
    assert_ne!(verify(&forged, &TrustedRoots::installation(&key)).state, State::Untouched);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(verify(&bytes, &TrustedRoots::none()).state, State::Unreadable);
    }

    #[test]
    fn random_boxes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..2000), kind in 0_usize..4) {
        let starts: [&[u8]; 4] = [b"\0\0\0\x10ftypisom\0\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"RIFF\0\x01\0\0WEBP"];
        let state = verify(&[starts[kind], &tail].concat(), &TrustedRoots::none()).state;
        prop_assert_ne!(state, State::Untouched);
    }

    #[test]
    fn a_mangled_signed_file_never_panics(at in any::<prop::sample::Index>(), patch in prop::collection::vec(any::<u8>(), 1..200)) {
        thread_local! {
            static SIGNED: Vec<u8> = {
                let (_dir, key) = installation("Paper Studio");
                sign(CLIP, &created(), &key).unwrap().into_bytes()
            };
        }
        let (changed, bytes) = SIGNED.with(|signed| {
            let mut bytes = signed.clone();
            let at = at.index(bytes.len() - patch.len());
            bytes[at..at + patch.len()].copy_from_slice(&patch);
            (bytes != *signed, bytes)
        });
        let state = verify(&bytes, &TrustedRoots::none()).state;
        prop_assert!(!changed || state != State::Untouched);
    }
}
